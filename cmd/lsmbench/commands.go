package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/proc"
	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
	"github.com/loamdb/loam/cmd/lsmbench/internal/report"
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
	opts, rest, err := flags.parse(args)
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
	opts, rest, err := flags.parse(args)
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
		return fmt.Errorf("argument %q is not understood", args[0])
	}
	return nil
}

// run runs the groups and shows the results.
func (o *options) run(ctx context.Context, dir, commandLine string, groups []group, out io.Writer) (err error) {
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
	set.Environment.Notes = append(set.Environment.Notes, b.notes...)
	if len(set.Runs) == 0 {
		return errors.Join(runErr, errors.New(strings.Join(b.notes, "\n")))
	}
	if err := o.show(set, o.reference, out); err != nil {
		return errors.Join(runErr, err)
	}
	return errors.Join(runErr, b.failure())
}

// failure is the error of the runs that failed, if any did.
func (b *bench) failure() error {
	failed := 0
	for _, n := range b.notes {
		if strings.Contains(n, " failed: ") {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d runs failed; the notes say how", failed)
	}
	return nil
}

// environment says on what and with what the runs are made.
func (o *options) environment(dir, commandLine string, groups []group) result.Environment {
	env := result.Environment{
		Schema: result.Schema, Time: time.Now().UTC().Truncate(time.Second),
		CPU: proc.CPU(), Cores: runtime.NumCPU(), Memory: proc.Memory(), Kernel: proc.Kernel(),
		FileSystem: proc.FileSystem(dir), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Commit: proc.Commit(), Flags: commandLine, Settings: map[string]string{},
	}
	for _, e := range o.engines {
		for _, name := range o.compressions {
			env.Settings[o.label(e, name)] = e.Settings(o.withCompression(name))
		}
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

// show prints the results and writes the files that were asked for.
func (o *output) show(set *result.Set, reference string, out io.Writer) error {
	if o.bench != "" {
		err := writeFile(o.bench, func(w io.Writer) error { return report.GoBench(w, set) })
		if err != nil {
			return err
		}
	}
	if o.html != "" {
		err := writeFile(o.html, func(w io.Writer) error { return report.HTML(w, []*result.Set{set}, reference) })
		if err != nil {
			return err
		}
	}
	if o.json {
		return set.Write(out)
	}
	if err := report.Header(out, &set.Environment); err != nil {
		return err
	}
	return report.Table(out, result.Rows(set.Runs), reference, o.wide)
}

func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// lineWriter writes results run by run, so that what an interrupted run has measured is
// not lost.
type lineWriter struct{ f *os.File }

func createLines(name string, env *result.Environment) (*lineWriter, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	w := &lineWriter{f}
	return w, result.WriteLine(f, result.Line{Environment: env})
}

func (w *lineWriter) add(r *result.Run) error { return result.WriteLine(w.f, result.Line{Run: r}) }
func (w *lineWriter) close() error            { return w.f.Close() }

// reportCommand shows files of results, as one if there are several.
func reportCommand(args []string, out io.Writer) error {
	f := newPlainFlags("report", "lsmbench report [flags] FILE… shows results that -out has written, those of several files as one.\n\n"+
		"Examples:\n\n  lsmbench report results.jsonl\n  lsmbench report -html report.html -gobench bench.txt results.jsonl\n")
	var o output
	o.addFlags(f)
	reference := f.String("reference", "pebble", "engine that ratios are to")
	files, err := parseAnywhere(f, args)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("report takes files of results")
	}
	if o.lines != "" {
		return errors.New("report reads results; -out is for the commands that make them")
	}
	merged, err := result.ReadFile(files[0])
	if err != nil {
		return err
	}
	for _, name := range files[1:] {
		set, err := result.ReadFile(name)
		if err != nil {
			return err
		}
		merged.Add(set)
	}
	return o.show(merged, *reference, out)
}

// compareCommand compares two files of results.
func compareCommand(args []string, out io.Writer) error {
	f := newPlainFlags("compare", "lsmbench compare [flags] OLD NEW compares two files of results, and fails if a rate fell by more than\n"+
		"-fail-over, and by more than repeats of either differ.\n\nExample:\n\n  lsmbench compare old.jsonl new.jsonl --fail-over 10%\n")
	over := f.String("fail-over", "", "fail if a rate fell by more than this `percentage`; without it nothing fails")
	files, err := parseAnywhere(f, args)
	if err != nil {
		return err
	}
	if len(files) != 2 {
		return errors.New("compare takes two files of results, the old and the new")
	}
	threshold, err := percentage(*over)
	if err != nil {
		return err
	}
	older, err := result.ReadFile(files[0])
	if err != nil {
		return err
	}
	newer, err := result.ReadFile(files[1])
	if err != nil {
		return err
	}
	c := result.Compare(older, newer, threshold)
	if err := report.Comparison(out, c); err != nil {
		return err
	}
	if n := len(c.Slower()); n > 0 && *over != "" {
		return fmt.Errorf("%d rates fell by more than %s", n, *over)
	}
	return nil
}

// percentage reads 10% or 10 as 0.1; nothing is 10%.
func percentage(text string) (float64, error) {
	if text == "" {
		return 0.1, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || v < 0 || v > 100 {
		return 0, fmt.Errorf("%q is no percentage", text)
	}
	return v / 100, nil
}
