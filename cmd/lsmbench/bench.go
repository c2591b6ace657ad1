package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// group is the runs of one set of parameters: one table.
type group struct {
	name     string
	params   workload.Params
	config   engine.Config
	choices  []workload.Choice
	datasets []realdata.Dataset
	sync     bool // of the datasets' records
	compares bool // groups differ in compression alone, which the engines' names tell
}

// bench runs workloads on engines, one engine after the other for each repeat of each
// workload, so that all meet the same state of the machine.
type bench struct {
	engines []engine.Engine
	repeats int
	dir     string // of all stores; the caller removes it
	display *display
	// profiles is the directory for CPU profiles of the runs, if any.
	profiles string
	took     func(result.Run) error // is given each run as it ends
	notes    []string               // what did not go as it should
	failed   int                    // runs

	bases  map[string]string // by engine: the directory of the store that holds every key
	serial int               // of the next directory
}

// all runs the groups. A run that fails is noted, and the others go on; only the end of
// the context or of the disk ends everything.
func (b *bench) all(ctx context.Context, groups []group) error {
	for i := range groups {
		g := &groups[i]
		b.display.expect((len(g.choices) + len(g.datasets)) * len(b.engines) * b.repeats)
	}
	for i := range groups {
		if err := b.group(ctx, &groups[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) group(ctx context.Context, g *group) error {
	b.bases = map[string]string{}
	defer func() {
		for _, dir := range b.bases {
			os.RemoveAll(dir)
		}
	}()
	for _, set := range g.datasets {
		err := b.turns(func(e engine.Engine, repeat int) error { return b.load(ctx, g, set, e, repeat) })
		if err != nil {
			return err
		}
	}
	for _, c := range g.choices {
		err := b.turns(func(e engine.Engine, repeat int) error { return b.one(ctx, g, c, e, repeat) })
		if err != nil {
			return err
		}
	}
	return nil
}

// turns calls run for each engine and repeat: every other repeat in reverse, so that no
// engine always goes first.
func (b *bench) turns(run func(e engine.Engine, repeat int) error) error {
	for repeat := range b.repeats {
		for i := range b.engines {
			if repeat%2 == 1 {
				i = len(b.engines) - 1 - i
			}
			if err := run(b.engines[i], repeat); err != nil {
				return err
			}
			b.display.finish()
		}
	}
	return nil
}

// note records that a run failed, unless everything is to end.
func (b *bench) note(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, engine.ErrUnsupported) {
		b.failed++
		b.notes = append(b.notes, fmt.Sprintf("%s failed: %v", what, err))
		return nil
	}
	if note := what + ": " + err.Error(); !slices.Contains(b.notes, note) {
		b.notes = append(b.notes, note)
	}
	return nil
}

func (b *bench) load(ctx context.Context, g *group, set realdata.Dataset, e engine.Engine, repeat int) error {
	b.display.start(set.Name + " " + e.Name())
	spec := realdata.Spec{Dataset: set, Engine: e.Name(), Config: g.config, Repeat: repeat, Sync: g.sync, Dir: b.dir}
	if g.compares {
		spec.Label, spec.Caches = e.Name()+" "+g.config.Compression, true
		b.display.start(set.Name + " " + spec.Label)
	}
	t := task{Load: &spec}
	settleDevice()
	runs, err := t.inChild(ctx, b.dir, b.display.progress)
	if err != nil {
		return b.note(ctx, set.Name+" on "+e.Name(), err)
	}
	for _, r := range runs {
		if err := b.took(r); err != nil {
			return err
		}
	}
	return nil
}

// one runs one workload once on one engine.
func (b *bench) one(ctx context.Context, g *group, c workload.Choice, e engine.Engine, repeat int) error {
	what := c.Name + " on " + e.Name()
	spec := workload.Spec{
		Group: g.name, Workload: c.Name, Engine: e.Name(), Repeat: repeat, Config: g.config, Params: g.params,
	}
	spec.Seed += uint64(repeat)
	dir, own, err := b.storeFor(ctx, spec, c.Workload)
	if err != nil {
		return b.note(ctx, what, err)
	}
	if own {
		defer func() {
			if b.bases[e.Name()] != dir {
				os.RemoveAll(dir)
			}
		}()
	}
	spec.Dir = dir
	b.display.start(what)
	settleDevice()
	t := task{Run: &spec}
	if b.profiles != "" {
		t.Profile = filepath.Join(b.profiles, fmt.Sprintf("%s-%s-%d.pprof", e.Name(), c.Name, repeat))
	}
	runs, err := t.inChild(ctx, b.dir, b.display.progress)
	if err != nil {
		return b.note(ctx, what, err)
	}
	// A store that was filled by the same seed serves those that need a filled one.
	if c.Workload.Fills && b.bases[e.Name()] == "" && repeat == 0 && runs[0].Ops == g.params.Records {
		b.bases[e.Name()] = dir
	}
	return b.took(runs[0])
}

// storeFor returns the directory of a store in the state that a workload needs, and
// whether it is the workload's own.
func (b *bench) storeFor(ctx context.Context, spec workload.Spec, w *workload.Workload) (dir string, own bool, err error) {
	start := w.Start
	if start == workload.Empty {
		return b.newDir(spec.Engine), true, nil
	}
	if start == workload.Crashed {
		spec.Workload, spec.Dir = workload.Crash, b.newDir(spec.Engine)
		b.display.start("preparing a crashed store of " + spec.Engine)
		t := task{Run: &spec}
		return spec.Dir, true, t.crashInChild(ctx, b.dir)
	}
	base, err := b.base(ctx, spec, w.Prepare())
	if err != nil || start == workload.Filled {
		return base, false, err
	}
	dir = b.newDir(spec.Engine)
	b.display.start("copying the store of " + spec.Engine)
	if err := copyTree(dir, base); err != nil {
		return "", false, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, true, nil
}

// base returns the directory of the store that holds every key, which prepare makes.
func (b *bench) base(ctx context.Context, spec workload.Spec, prepare string) (string, error) {
	if dir := b.bases[spec.Engine]; dir != "" {
		return dir, nil
	}
	spec.Workload, spec.Dir = prepare, b.newDir(spec.Engine)
	b.display.start("filling a store of " + spec.Engine)
	t := task{Run: &spec}
	if _, err := t.inChild(ctx, b.dir, b.display.progress); err != nil {
		return "", errors.Join(fmt.Errorf("filling the store: %w", err), os.RemoveAll(spec.Dir))
	}
	b.bases[spec.Engine] = spec.Dir
	return spec.Dir, nil
}

func (b *bench) newDir(engine string) string {
	b.serial++
	return filepath.Join(b.dir, fmt.Sprintf("%s-%d", engine, b.serial))
}
