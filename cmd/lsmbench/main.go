package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	interrupted := ctx.Err() != nil
	cancel()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case interrupted:
		fmt.Fprintln(os.Stderr, "lsmbench: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "lsmbench:", err)
		os.Exit(1)
	}
}

// command runs one command line, its tables going to out.
func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] != "" && args[0][0] == '-' {
		return runCommand(ctx, "lsmbench", args, true, out)
	}
	switch args[0] {
	case "bench":
		return runCommand(ctx, "bench", args[1:], false, out)
	case "load":
		return loadCommand(ctx, args[1:], out)
	case "dump":
		return dumpCommand(ctx, args[1:], out)
	case "help":
		usage(out)
		return nil
	}
	return fmt.Errorf("command %q is unknown; lsmbench help lists them", args[0])
}

// runCommand runs the workloads and, with realData, loads what real data the machine
// has first, and prints one table of both.
func runCommand(ctx context.Context, name string, args []string, realData bool, out io.Writer) error {
	flags := newFlags(name, "none", usage)
	flags.addWorkloadFlags()
	opts, err := flags.parse(args)
	if err != nil {
		return err
	}
	if extra := flags.set.Args(); len(extra) > 0 {
		return fmt.Errorf("argument %q is not understood", extra[0])
	}
	return withTempDir(opts.dir, func(dir string) error {
		pr := newProgress(os.Stderr)
		var rows []row
		var notes []string
		if realData {
			sets, err := findDatasets(ctx, dir)
			if err != nil {
				return err
			}
			l := &loader{opts: opts, dir: dir, progress: pr}
			for _, set := range sets {
				loaded, err := l.all(ctx, set)
				if err != nil {
					return err
				}
				rows = append(rows, loaded...)
				notes = append(notes, set.describe())
			}
			if len(sets) == 0 {
				notes = append(notes, "no real data found on this machine; lsmbench load FILE reads yours")
			}
		}
		more, err := newBench(opts, dir, pr).all(ctx)
		if err != nil {
			return err
		}
		return printResult(out, opts, dir, notes, append(rows, more...))
	})
}

func printResult(out io.Writer, opts *options, dir string, notes []string, rows []row) error {
	if opts.json {
		return printJSON(out, rows)
	}
	if err := printHeader(out, opts, dir, notes); err != nil {
		return err
	}
	return printTable(out, rows, opts.reference())
}

// withTempDir calls f with a new directory and removes it afterwards.
func withTempDir(parent string, f func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(parent, "lsmbench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return f(dir)
}
