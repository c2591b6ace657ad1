package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/proc"
	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// What each command runs unless told otherwise.
var (
	// defaultParams make twelve rows on three engines in a minute, a real dataset included.
	defaultParams = workload.Params{
		Records: 300_000, Key: "16", Value: "100",
		Limit: 400 * time.Millisecond, WriteLimit: time.Second, Warm: 100 * time.Millisecond, Rest: 1200 * time.Millisecond,
	}
	defaultWorkloads = "fillseq,fillrandom,fillbatch,fillsync,overwrite,deleterandom,readrandom,readmissing,readseq,readreverse,seekrandom,readwhilewriting"
	defaultEngines   = "loam,pebble,bbolt"

	benchParams = workload.Params{
		Records: 1_000_000, Key: "16", Value: "100",
		Limit: 2 * time.Second, Warm: 300 * time.Millisecond, Rest: 1500 * time.Millisecond,
	}
	benchWorkloads = defaultWorkloads + ",ycsb-a,ycsb-b,ycsb-c,ycsb-d,ycsb-e,ycsb-f"
)

// defaultCommand puts real data of this machine through the engines, and runs twelve
// workloads.
func defaultCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("", defaultEngines, "none", usage)
	flags.addWorkloadFlags(defaultParams, defaultWorkloads, 1)
	opts, rest, err := flags.parse(args, out)
	if err != nil {
		return err
	}
	if err := none(rest); err != nil {
		return err
	}
	return withTempDir(opts.dir, func(dir string) error {
		sets, err := realdata.Find(ctx, dir)
		if err != nil {
			return err
		}
		g := group{name: "workloads", params: opts.params, config: opts.config, choices: opts.choices, datasets: sets[:min(1, len(sets))]}
		return opts.run(ctx, dir, flags.commandLine(), []group{g}, out)
	})
}

func benchCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("bench", defaultEngines, "none", usage)
	flags.addWorkloadFlags(benchParams, benchWorkloads, 1)
	opts, rest, err := flags.parse(args, out)
	if err != nil {
		return err
	}
	if err := none(rest); err != nil {
		return err
	}
	g := group{params: opts.params, config: opts.config, choices: opts.choices}
	return withTempDir(opts.dir, func(dir string) error {
		return opts.run(ctx, dir, flags.commandLine(), []group{g}, out)
	})
}

func none(args []string) error {
	if len(args) > 0 {
		return usagef("argument %q is not understood", args[0])
	}
	return nil
}

// run runs the groups and shows the results.
func (o *options) run(ctx context.Context, dir, commandLine string, groups []group, out io.Writer) (err error) {
	if err := o.writable(); err != nil {
		return err
	}
	groups = besideClear(groups)
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	set := &result.Set{Environment: o.environment(dir, commandLine, groups)}
	var lines *lineWriter
	if o.lines != "" {
		if lines, err = createLines(o.lines, &set.Environment); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lines.close()) }()
	}
	d := newDisplay(os.Stderr)
	b := &bench{engines: o.engines, repeats: o.repeats, dir: dir, display: d, profiles: o.profiles}
	b.took = func(r result.Run) error {
		set.Runs = append(set.Runs, r)
		if lines != nil {
			return lines.add(&r)
		}
		return nil
	}
	runErr := b.all(ctx, groups)
	d.erase()
	b.notes = append(b.notes, encryptionCosts(set.Runs)...)
	if o.remarks != nil {
		b.notes = append(b.notes, o.remarks(set.Runs)...)
	}
	if len(b.notes) > 0 {
		set.Environment.Notes = append(set.Environment.Notes, b.notes...)
		if lines != nil {
			runErr = errors.Join(runErr, lines.end(&set.Environment))
		}
	}
	if len(set.Runs) == 0 {
		return errors.Join(runErr, errors.New(strings.Join(b.notes, "\n")))
	}
	if err := o.show([]*result.Set{set}, o.reference, out); err != nil {
		return errors.Join(runErr, err)
	}
	if b.failed > 0 {
		runErr = errors.Join(runErr, fmt.Errorf("%d runs failed; the notes say how", b.failed))
	}
	return runErr
}

// environment says on what and with what the runs are made.
func (o *options) environment(dir, commandLine string, groups []group) result.Environment {
	env := result.Environment{
		Schema: result.Schema, Time: time.Now().UTC().Truncate(time.Second),
		CPU: proc.CPU(), Cores: runtime.NumCPU(), Memory: proc.Memory(), Kernel: proc.Kernel(),
		FileSystem: proc.FileSystem(dir), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Commit: proc.Commit(), Flags: commandLine, Settings: o.settings(groups),
	}
	for i := range groups {
		for _, set := range groups[i].datasets {
			if note := "data " + set.Describe(); !slices.Contains(env.Notes, note) {
				env.Notes = append(env.Notes, note)
			}
		}
	}
	return env
}

// settings says how each engine is set up: under each compression, where groups differ in it, and
// encrypted or not.
func (o *options) settings(groups []group) map[string]string {
	differ := slices.ContainsFunc(groups, func(g group) bool { return g.config.Compression != groups[0].config.Compression })
	encrypted := slices.ContainsFunc(groups, func(g group) bool { return g.config.Encrypted != groups[0].config.Encrypted })
	settings := map[string]string{}
	for i := range groups {
		for _, e := range o.engines {
			name := e.Name()
			if differ {
				name += " " + groups[i].config.Compression
			}
			if encrypted && groups[i].config.Encrypted {
				name += " " + encryptedTable
			}
			settings[name] = e.Settings(groups[i].config)
		}
	}
	return settings
}
