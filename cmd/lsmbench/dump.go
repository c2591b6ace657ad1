package main

import (
	"context"
	"io"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dump"
)

func dumpCommand(ctx context.Context, args []string, out io.Writer) error {
	f := newPlainFlags("dump", "lsmbench dump [flags] DIR prints the manifest, the log and the tables of a store that nobody has open.\n\n"+
		"Example:\n\n  lsmbench dump -limit 0 -values ./data\n")
	values := f.Bool("values", false, "print values too, not only their lengths")
	limit := f.Int("limit", 20, "print so many operations of the log and entries of each table; 0 prints all")
	dirs, err := parseAnywhere(f, args, out)
	if err != nil {
		return err
	}
	if len(dirs) != 1 || *limit < 0 {
		return usagef("dump takes one directory, and a -limit that is not negative")
	}
	return dump.Store(ctx, out, dirs[0], dump.Options{Values: *values, Limit: *limit})
}
