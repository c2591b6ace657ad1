package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
)

const loadName = "load"

// loadCommand puts records of files into stores and verifies them, under one compression or
// several side by side.
func loadCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags(loadName, defaultEngines, "s2", loadUsage)
	f := flags.set
	format := f.String("format", "auto", "how files are read: auto, "+strings.Join(realdata.FormatNames(), ", "))
	key := f.String("key", "", "`field` of JSON lines that is the key")
	sync := f.Bool("sync", false, "sync every record before the next")
	kill := f.Bool("kill", false, "load in a child process, kill it on the way, reopen, finish, verify")
	killAfter := f.Uint64("kill-after", 0, "kill once this many records are acknowledged; 0 is half of them")
	f.IntVar(&flags.opts.repeats, "repeats", 1, "times to load everything; the median is shown, and the spread")
	opts, files, err := flags.parse(args, out)
	if err != nil {
		return err
	}
	if *kill && (opts.json || opts.lines != "" || opts.bench != "" || opts.html != "") {
		return usagef("-kill says what it found in a sentence: -json, -out, -gobench and -html are for loads without it")
	}
	compares := len(opts.compressions) > 1
	if *kill && compares {
		return usagef("-kill takes one compression")
	}
	if compares && !flags.given("engines") {
		opts.engines = engine.All()[:1] // Loam
		if !flags.given("reference") {
			opts.reference = opts.engines[0].Name()
		}
	}
	line := flags.commandLine(files...)
	if compares {
		opts.reference += " " + opts.compressions[0]
	}
	return withTempDir(opts.dir, func(dir string) error {
		sets, err := datasets(ctx, dir, files, *format, *key)
		if err != nil {
			return err
		}
		if *kill {
			return killAll(ctx, opts.engines, sets, realdata.Spec{Config: opts.config, Sync: *sync, Dir: dir}, *killAfter, out)
		}
		var groups []group
		for _, set := range sets {
			for _, name := range opts.compressions {
				groups = append(groups, group{config: opts.withCompression(name), datasets: []realdata.Dataset{set}, sync: *sync, compares: compares})
			}
		}
		return opts.run(ctx, dir, line, groups, out)
	})
}

// datasets are the files as one, or without any what this machine has.
func datasets(ctx context.Context, dir string, files []string, format, key string) ([]realdata.Dataset, error) {
	if len(files) > 0 {
		src, err := realdata.Open(files, format, key)
		if err != nil {
			return nil, usageError{err}
		}
		return []realdata.Dataset{{Name: filepath.Base(src.Files[0].Path), Source: src}}, nil
	}
	sets, err := realdata.Find(ctx, dir)
	if err != nil {
		return nil, err
	}
	more, err := realdata.Agents(ctx, dir)
	if err != nil {
		return nil, err
	}
	if sets = append(sets, more...); len(sets) == 0 {
		return nil, errors.New("no file to load, and none found")
	}
	return sets, nil
}

func killAll(ctx context.Context, engines []engine.Engine, sets []realdata.Dataset, spec realdata.Spec, after uint64, out io.Writer) error {
	for _, set := range sets {
		for _, e := range engines {
			spec.Dataset, spec.Engine = set, e.Name()
			k, err := realdata.Kill(ctx, spec, after, func(s realdata.Spec) (*exec.Cmd, error) {
				t := task{Fill: &s}
				return t.child(ctx, spec.Dir)
			})
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s, compression %s, %s\n", set.Name, spec.Config.Compression, k); err != nil {
				return err
			}
		}
	}
	return nil
}
