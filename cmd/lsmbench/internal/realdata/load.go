package realdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/cmd/lsmbench/internal/proc"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// Spec says everything about one load: the child process that does it is told nothing
// else.
type Spec struct {
	Dataset Dataset       `json:"dataset"`
	Engine  string        `json:"engine"`
	Config  engine.Config `json:"config"`
	Repeat  int           `json:"repeat"`
	// Label is what results call the engine, "" its name.
	Label string `json:"label,omitempty"`
	// Caches: read again, with a block cache that is too small and with one that is warm.
	Caches bool `json:"caches,omitempty"`
	// Sync makes every record durable before the next.
	Sync bool `json:"sync,omitempty"`
	// Dir is for temporary files and, unless Store is set, for the store.
	Dir string `json:"dir"`
	// Store is the store's directory, for Fill.
	Store string `json:"store,omitempty"`
}

// Report is told, now and then, how many records are done.
type Report func(n uint64)

// loader puts a dataset into stores and compares the two.
type loader struct {
	Spec
	engine   engine.Engine
	report   Report
	runBytes int // of the sort; 0 is sortRunBytes
}

func newLoader(spec Spec, report Report) (*loader, error) {
	e, err := engine.Find(spec.Engine)
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = func(uint64) {}
	}
	return &loader{Spec: spec, engine: e, report: report}, nil
}

// Load loads and verifies a dataset, and returns runs for the load, the point reads and
// the scans.
func Load(ctx context.Context, spec Spec, report Report) ([]result.Run, error) {
	l, err := newLoader(spec, report)
	if err != nil {
		return nil, err
	}
	want, err := l.expect(ctx, everything)
	if err != nil {
		return nil, err
	}
	defer want.remove()
	dir := filepath.Join(l.Dir, "load-"+l.Engine)
	defer os.RemoveAll(dir)
	if err := os.RemoveAll(dir); err != nil { // a child that was killed has left it
		return nil, err
	}
	return l.loadAndVerify(ctx, want, dir)
}

func (l *loader) loadAndVerify(ctx context.Context, want *expected, dir string) ([]result.Run, error) {
	runtime.GC()
	loaded, err := l.load(ctx, dir)
	if err != nil {
		return nil, err
	}
	runs, err := l.verify(ctx, want, dir)
	if err != nil {
		return nil, err
	}
	runs = append([]result.Run{*loaded}, runs...)
	if l.Caches {
		more, err := l.readAgain(ctx, want, dir)
		if err != nil {
			return nil, err
		}
		runs = append(runs, more...)
	}
	logs, tables, err := proc.Sizes(dir, l.engine.LogFile)
	for i := range runs {
		runs[i].LogBytes, runs[i].TableBytes, runs[i].LiveBytes = logs, tables, want.bytes
		runs[i].Complete()
	}
	return runs, err
}

func (l *loader) expect(ctx context.Context, limit uint64) (*expected, error) {
	runBytes := l.runBytes
	if runBytes == 0 {
		runBytes = sortRunBytes
	}
	return buildExpected(ctx, l.Dataset.Source, limit, l.Dir, runBytes)
}

// timing is the operations of one pass over a dataset.
type timing struct {
	ops     uint64
	bytes   int64
	elapsed time.Duration
	hist    hdr.Histogram
}

func (t *timing) add(d time.Duration, bytes int) {
	t.ops++
	t.bytes += int64(bytes)
	t.elapsed += d
	t.hist.Add(d)
}

// run makes a result of the timing of one step. What it read from files and devices is left
// out: records and what is expected are read from files too.
func (l *loader) run(step, kind string, t *timing, used proc.Usage) *result.Run {
	r := &result.Run{
		Group: "real data", Workload: l.Dataset.Name + " " + step, Engine: cmp.Or(l.Label, l.Engine), Repeat: l.Repeat,
		Reads: step != "load", Ops: t.ops, Elapsed: t.elapsed, Counted: engine.UnknownStats,
		CPU: used.CPU, Allocs: used.Allocs, AllocBytes: used.AllocBytes,
		GCs: used.GCs, GCPause: used.GCPause, GCMax: proc.LongestPause(used.GCs),
	}
	if t.hist.Count() > 0 {
		r.Latencies = []result.Latency{result.NewLatency(kind, &t.hist)}
	}
	if r.Reads {
		r.UserRead = t.bytes
	} else {
		r.UserWritten = t.bytes
	}
	rss := proc.ReadRSS()
	r.AnonRSS, r.FileRSS = rss.Anon, rss.File
	r.Complete()
	return r
}

var clockStart = time.Now()

// clock is the monotonic time since the process started.
func clock() time.Duration { return time.Since(clockStart) }

// load writes every record and closes the store.
func (l *loader) load(ctx context.Context, dir string) (r *result.Run, err error) {
	before := proc.Now()
	err = l.opened(dir, func(store engine.Store, s engine.Session) error {
		t, err := l.write(ctx, s, 0, nil)
		if err != nil {
			return err
		}
		r = l.run("load", "set", t, proc.Now().Since(before))
		start := clock()
		idle, err := store.Settle(ctx)
		r.Settle(clock() - start - idle)
		r.Counted = store.Stats()
		return err
	})
	if err == nil {
		r.DeviceWritten = proc.Now().Since(before).DeviceWritten
	}
	return r, err
}

// write sets the source's records from number from on, one by one, timing the writes
// alone; acked is told after each how many are in.
func (l *loader) write(ctx context.Context, s engine.Session, from uint64, acked func(uint64) error) (*timing, error) {
	t := &timing{}
	err := l.Dataset.Source.each(ctx, from, func(n uint64, r engine.Pair) error {
		start := clock()
		if err := s.Set(r.Key, r.Value, l.Sync); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		t.add(clock()-start, len(r.Key)+len(r.Value))
		if t.ops%1024 == 0 {
			l.report(t.ops)
		}
		if acked == nil {
			return nil
		}
		return acked(n + 1)
	})
	return t, err
}

// step is one pass of reading.
type step struct {
	name string
	run  func(engine.Session) (*timing, error)
}

// verify opens the store anew and compares it with its source: by a Get of each key in
// the source's order, by a scan forward and by one in reverse.
func (l *loader) verify(ctx context.Context, want *expected, dir string) (runs []result.Run, err error) {
	steps := []step{
		{"get", func(s engine.Session) (*timing, error) { return verifyGets(ctx, s, l.Dataset.Source, want) }},
		{"scan", func(s engine.Session) (*timing, error) { return verifyScan(ctx, s, want, false) }},
		{"reverse", func(s engine.Session) (*timing, error) { return verifyScan(ctx, s, want, true) }},
	}
	for _, st := range steps {
		err := l.opened(dir, func(_ engine.Store, s engine.Session) error {
			r, err := l.read(st, s)
			if err == nil {
				runs = append(runs, *r)
			}
			return err
		})
		if err != nil {
			return runs, err
		}
	}
	return runs, nil
}

// read does one pass and measures it.
func (l *loader) read(st step, s engine.Session) (*result.Run, error) {
	before := proc.Now()
	t, err := st.run(s)
	if err != nil {
		return nil, err
	}
	return l.run(st.name, "get", t, proc.Now().Since(before)), nil
}

// warming is the name of a pass that is not measured.
const warming = ""

// What readAgain opens the store with for reads that hardly any block is in the cache for.
const (
	coldBudget   = 8 << 20
	coldMemtable = 1 << 20
)

// readAgain reads keys at random, with a block cache too small for the store and with one that
// was warmed by the same reads, and scans the store with that. The system's page cache is warm.
func (l *loader) readAgain(ctx context.Context, want *expected, dir string) (runs []result.Run, err error) {
	keys, err := takeSample(ctx, l.Dataset.Source, want, sampleKeys)
	if err != nil {
		return nil, err
	}
	get := func(s engine.Session) (*timing, error) { return keys.get(ctx, s) }
	scan := func(s engine.Session) (*timing, error) { return verifyScan(ctx, s, want, false) }
	take := func(s engine.Session, steps ...step) error {
		for _, st := range steps {
			r, err := l.read(st, s)
			if err != nil {
				return err
			}
			if st.name != warming {
				runs = append(runs, *r)
			}
		}
		return nil
	}
	small := l.Config
	small.BudgetBytes, small.MemtableBytes = coldBudget, coldMemtable
	err = l.openedWith(dir, small, func(_ engine.Store, s engine.Session) error {
		return take(s, step{"random cold", get})
	})
	if err != nil {
		return nil, err
	}
	err = l.opened(dir, func(_ engine.Store, s engine.Session) error {
		return take(s, step{warming, get}, step{"random warm", get}, step{warming, scan}, step{"scan warm", scan})
	})
	return runs, err
}

// opened calls f with a session of the store in dir, which it opens and closes.
func (l *loader) opened(dir string, f func(engine.Store, engine.Session) error) error {
	return l.openedWith(dir, l.Config, f)
}

func (l *loader) openedWith(dir string, c engine.Config, f func(engine.Store, engine.Session) error) (err error) {
	store, err := l.engine.Open(dir, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	s, err := store.NewSession()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f(store, s)
}
