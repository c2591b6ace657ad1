package workload

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/cmd/lsmbench/internal/proc"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// run is one execution of one workload on one store.
type run struct {
	Spec
	ctx    context.Context
	engine engine.Engine
	store  engine.Store
	data   *data
	warm   time.Duration
	kinds  []string // names of the operations, the main one first
	report func(ops uint64)

	began, ended time.Duration // since clockStart
	before       proc.Usage
	sampler      *sampler
	sessions     []engine.Session
	closers      []func() error
	live         int64 // bytes in the store at the end; 0 if not known
	// check, if not nil, is called when nothing is measured any more: it looks whether the
	// store holds what it should.
	check  func() error
	result result.Run
}

// Do runs what the spec says on a store in its directory, and returns the figures.
// report, which may be nil, is told now and then how many operations are done.
// engine.ErrUnsupported says that the engine cannot do it.
func Do(ctx context.Context, spec Spec, report func(ops uint64)) (*result.Run, error) {
	c, err := Find(spec.Workload)
	if err != nil {
		return nil, err
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	spec.Goroutines = cmp.Or(c.Goroutines, max(spec.Goroutines, c.Workload.goroutines))
	spec.Config.Conflicts = c.Workload.Conflicts
	find := engine.Find
	if c.Workload.Documents {
		find = engine.FindDocuments
	}
	e, err := find(spec.Engine)
	if err != nil {
		return nil, err
	}
	r := &run{Spec: spec, ctx: ctx, engine: e, report: report}
	if r.data, err = newData(&spec.Params); err != nil {
		return nil, err
	}
	if err := r.do(c.Workload); err != nil {
		return nil, err
	}
	return &r.result, nil
}

func (r *run) do(w *Workload) (err error) {
	r.result = result.Run{
		Group: r.Group, Workload: r.Workload, Engine: r.Engine, Repeat: r.Repeat, Reads: w.Reads,
		Counted: engine.UnknownStats,
	}
	if w.Reads {
		r.warm = r.Warm
	}
	if !w.open {
		if r.store, err = r.engine.Open(r.Dir, r.Config); err != nil {
			return err
		}
	}
	err = w.run(r)
	if err == nil && r.store != nil && !w.Hidden {
		err = r.settle(w)
	}
	if err == nil && r.check != nil {
		err = r.check()
	}
	err = errors.Join(err, r.close())
	if err != nil {
		return err
	}
	logs, tables, err := proc.Sizes(r.Dir, r.engine.LogFile)
	if err != nil {
		return err
	}
	r.result.TableBytes, r.result.LogBytes, r.result.LiveBytes = tables, logs, r.live
	r.result.Complete()
	return nil
}

// settle waits for what the workload still owes, and takes the last figures.
func (r *run) settle(w *Workload) error {
	if !w.Reads {
		start := clock()
		idle, err := r.store.Settle(r.ctx)
		if err != nil {
			return err
		}
		r.result.Settle(clock() - start - idle)
		r.result.SettledCPU = proc.Now().Since(r.before).CPU
	}
	r.result.Counted = r.store.Stats()
	if w.Kills || w.Fills {
		return r.rest()
	}
	return nil
}

// rest lets a store tidy up: one in which data has died, so that it is weighed without,
// and one that others will read.
func (r *run) rest() error {
	if r.Rest == 0 {
		return nil
	}
	select {
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-time.After(r.Rest):
	}
	_, err := r.store.Settle(r.ctx)
	return err
}

// close ends sessions and store, and takes what the device got until then.
func (r *run) close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c())
	}
	for _, s := range r.sessions {
		errs = append(errs, s.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.sampler != nil {
		r.sampler.end()
		r.result.PerSecond = r.sampler.perSecond
		r.result.AnonRSS, r.result.FileRSS = r.sampler.rss.Anon, r.sampler.rss.File
		r.result.DeviceWritten = proc.Now().Since(r.before).DeviceWritten
	}
	return errors.Join(errs...)
}

// newWorker makes the id-th goroutine's worker.
func (r *run) newWorker(id int) (*worker, error) {
	s, err := r.store.NewSession()
	if err != nil {
		return nil, err
	}
	r.sessions = append(r.sessions, s)
	return r.workerOf(s, id), nil
}

func (r *run) workerOf(s engine.Session, id int) *worker {
	return &worker{
		Session: s, id: id,
		rng:    rand.New(rand.NewPCG(r.Seed, uint64(id)+1)),
		values: r.data.values.Fork(id),
		key:    make([]byte, 0, r.data.keys.MaxLen()),
		dst:    make([]byte, 0, r.data.value.Max()+64),
	}
}

// begin starts to measure.
func (r *run) begin(workers []*worker) {
	runtime.GC()
	if r.sampler != nil {
		r.sampler.end()
	}
	r.sampler = startSampler(func() (n uint64) {
		for _, w := range workers {
			n += w.ops.Load()
		}
		return n
	}, r.report)
	r.before = proc.Now()
	r.began = clock()
}

// lateNote says what is not in the latencies of an open loop that gave up.
const lateNote = "it fell so far behind -rate that operations which were due were never begun; they are in no percentile"

// remark adds to what the row's note says.
func (r *run) remark(text string) {
	if r.result.Note != "" {
		text = r.result.Note + "; " + text
	}
	r.result.Note = text
}

// end stops measuring and sums up the workers.
func (r *run) end(workers []*worker) {
	r.ended = clock()
	used := proc.Now().Since(r.before)
	r.sampler.frozen.Store(true)
	out := &r.result
	out.Elapsed = r.ended - r.began
	var hists [maxKinds]*hdr.Histogram
	late := false
	for _, w := range workers {
		late = late || w.late
		out.Ops += w.ops.Load()
		out.UserWritten += w.written
		out.UserRead += w.read
		for k, h := range w.hists {
			switch {
			case h == nil:
			case hists[k] == nil:
				hists[k] = h
			default:
				hists[k].Merge(h)
			}
		}
	}
	if late {
		r.remark(lateNote)
	}
	for k, h := range hists {
		if h != nil {
			out.Latencies = append(out.Latencies, result.NewLatency(r.kinds[k], h))
		}
	}
	out.CPU, out.Allocs, out.AllocBytes = used.CPU, used.Allocs, used.AllocBytes
	out.GCs, out.GCPause, out.GCMax = used.GCs, used.GCPause, proc.LongestPause(used.GCs)
	out.DeviceRead, out.FileRead = used.DeviceRead, used.FileRead
}

// endAsIfKilled ends the process as a kill would: nothing is closed.
func endAsIfKilled() { os.Exit(0) }
