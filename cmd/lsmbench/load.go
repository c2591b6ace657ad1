package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"
)

// dataset is a source with a short name for the table.
type dataset struct {
	name string
	src  *source
}

// timing is the operations of one pass over a dataset.
type timing struct {
	ops     int
	bytes   int64
	elapsed time.Duration
	hist    histogram
}

func (t *timing) add(d time.Duration, bytes int) {
	t.ops++
	t.bytes += int64(bytes)
	t.elapsed += d
	t.hist.add(d)
}

func (t *timing) row(workload string, e Engine) row {
	r := newRow(workload, e.Name(), t.ops, t.elapsed, &t.hist)
	r.UserBytes = t.bytes
	return r
}

// loader puts datasets into stores and compares the two.
type loader struct {
	opts     *options
	dir      string
	progress *progress
	sync     bool // every record before the next
	runBytes int  // of the sort; 0 is sortRunBytes
}

func (l *loader) expect(ctx context.Context, set dataset, limit uint64) (*expected, error) {
	l.progress.start("sorting "+set.name, new(atomic.Int64))
	defer l.progress.stop()
	runBytes := l.runBytes
	if runBytes == 0 {
		runBytes = sortRunBytes
	}
	return buildExpected(ctx, set.src, limit, l.dir, runBytes)
}

// all loads and verifies a dataset on every chosen engine in turn, and returns rows for
// the load, the point reads and the scans.
func (l *loader) all(ctx context.Context, set dataset) ([]row, error) {
	want, err := l.expect(ctx, set, everything)
	if err != nil {
		return nil, err
	}
	defer want.remove()
	byStep := make([][]row, 4)
	for _, e := range l.opts.engines {
		rows, err := l.one(ctx, set, want, e)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", set.name, e.Name(), err)
		}
		for i, r := range rows {
			byStep[i] = append(byStep[i], r)
		}
	}
	var rows []row
	for _, step := range byStep {
		rows = append(rows, step...)
	}
	return rows, nil
}

func (l *loader) one(ctx context.Context, set dataset, want *expected, e Engine) ([]row, error) {
	dir := filepath.Join(l.dir, "load-"+e.Name())
	defer os.RemoveAll(dir)
	runtime.GC()
	loaded, err := l.load(ctx, set, e, dir)
	if err != nil {
		return nil, err
	}
	if loaded.DiskBytes, err = dirSize(dir); err != nil {
		return nil, err
	}
	loaded.SpaceAmp = float64(loaded.DiskBytes) / float64(max(want.bytes, 1))
	rows, err := l.verify(ctx, set, want, e, dir)
	return append([]row{loaded}, rows...), err
}

// load writes every record and closes the store.
func (l *loader) load(ctx context.Context, set dataset, e Engine, dir string) (result row, err error) {
	store, err := e.Open(dir, l.opts.config)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	before := deviceWrites()
	t, err := l.write(ctx, set.name+" load "+e.Name(), store.NewSession(), set.src, 0, nil)
	if err != nil {
		return row{}, err
	}
	result = t.row(set.name+" load", e)
	err = result.settle(ctx, store)
	result.setWritten(deviceWrites() - before)
	return result, err
}

// write sets the source's records from number from on, one by one, timing the writes
// alone; acked is told after each how many are in.
func (l *loader) write(ctx context.Context, label string, s Session, src *source, from uint64, acked func(uint64) error) (*timing, error) {
	done := new(atomic.Int64)
	l.progress.start(label, done)
	defer l.progress.stop()
	t := &timing{}
	err := src.each(ctx, from, func(n uint64, r Pair) error {
		start := clock()
		if err := s.Set(r.Key, r.Value, l.sync); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		t.add(clock()-start, len(r.Key)+len(r.Value))
		done.Add(1)
		if acked == nil {
			return nil
		}
		return acked(n + 1)
	})
	return t, err
}

// verify opens the store anew and compares it with its source: by a Get of each key in
// the source's order, by a scan forward and by one in reverse.
func (l *loader) verify(ctx context.Context, set dataset, want *expected, e Engine, dir string) (rows []row, err error) {
	store, err := e.Open(dir, l.opts.config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	steps := []struct {
		name string
		run  func(Session, *atomic.Int64) (*timing, error)
	}{
		{"get", func(s Session, n *atomic.Int64) (*timing, error) { return verifyGets(ctx, s, set.src, want, n) }},
		{"scan", func(s Session, n *atomic.Int64) (*timing, error) { return verifyScan(ctx, s, want, false, n) }},
		{"reverse", func(s Session, n *atomic.Int64) (*timing, error) { return verifyScan(ctx, s, want, true, n) }},
	}
	for _, step := range steps {
		done := new(atomic.Int64)
		l.progress.start(set.name+" "+step.name+" "+e.Name(), done)
		t, err := step.run(store.NewSession(), done)
		l.progress.stop()
		if err != nil {
			return rows, err
		}
		r := t.row(set.name+" "+step.name, e)
		if r.DiskBytes, err = dirSize(dir); err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// loadFlags are the flags of the load command.
type loadFlags struct {
	*rawFlags
	format, key   string
	kill          bool
	sync          bool
	killAfter     uint64
	killedStoreAt string
}

func newLoadFlags() *loadFlags {
	l := &loadFlags{rawFlags: newFlags("load", "s2", loadUsage)}
	f := l.set
	f.StringVar(&l.format, "format", "auto", "how files are read: auto, json, deb, lines, text")
	f.StringVar(&l.key, "key", "", "`field` of JSON lines that is the key")
	f.BoolVar(&l.sync, "sync", false, "sync every record before the next")
	f.BoolVar(&l.kill, "kill", false, "load in a child process, kill it on the way, reopen, finish, verify")
	f.Uint64Var(&l.killAfter, "kill-after", 0, "kill once this many records are acknowledged; 0 is half of them")
	f.StringVar(&l.killedStoreAt, childFlag, "", "used by -kill for its child")
	return l
}

// forChild returns the flags and files of this command line that a child loads by.
func (l *loadFlags) forChild() []string {
	own := map[string]bool{"kill": true, "kill-after": true, "engines": true, "dir": true}
	var args []string
	l.set.Visit(func(f *flag.Flag) {
		if !own[f.Name] {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	return append(append(args, "--"), l.set.Args()...)
}

func loadCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := newLoadFlags()
	opts, err := flags.parse(args)
	if err != nil {
		return err
	}
	src, err := openSource(flags.set.Args(), flags.format, flags.key)
	if err != nil {
		return err
	}
	set := dataset{name: filepath.Base(src.files[0].path), src: src}
	if flags.killedStoreAt != "" {
		l := &loader{opts: opts, progress: &progress{}, sync: flags.sync}
		return l.loadAsChild(ctx, set, flags.killedStoreAt, out)
	}
	return withTempDir(opts.dir, func(dir string) error {
		l := &loader{opts: opts, dir: dir, progress: newProgress(os.Stderr), sync: flags.sync}
		if flags.kill {
			return l.killed(ctx, set, flags.killAfter, flags.forChild(), out)
		}
		rows, err := l.all(ctx, set)
		if err != nil {
			return err
		}
		return printResult(out, opts, dir, []string{set.describe()}, rows)
	})
}
