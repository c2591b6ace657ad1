package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/sstable"
)

// compactor runs compactions: package compaction decides which, and merges; this file
// keeps the jobs apart, installs their results, and judges their failures.
//
// A damaged table is set aside until the store is opened again: one bad block must not
// occupy a processor for ever. Other failures of reading are tried again.
type compactor struct {
	db    *DB
	alarm alarm

	mu       sync.Mutex
	running  []*compaction.Job
	setAside map[fileid.Num]error // with what reading them gave
	manual   []*manualCompaction
}

// manualCompaction is a request of DB.Compact: its range goes down to the last level.
type manualCompaction struct {
	lower, upper []byte      // internal user keys
	last         keys.SeqNum // what was committed later is left alone
	done         chan error  // capacity 1
}

func (c *compactor) init(d *DB) {
	c.db, c.alarm, c.setAside = d, newAlarm(), map[fileid.Num]error{}
}

func (c *compactor) wake() { c.alarm.wake() }

// loop is one worker. It looks for work when woken. While the store is in use it looks
// again after a rest, and when nothing was committed meanwhile it merges what is left
// over, down to one run a level.
func (c *compactor) loop() {
	d := c.db
	ctx := d.background.ctx
	seen, changed := keys.MaxSeqNum, d.opts.seams.Now()
	var rest time.Duration
	for c.alarm.wait(ctx, rest) {
		if now := d.visible.load(); now != seen {
			seen, changed = now, d.opts.seams.Now()
		}
		idle := d.opts.seams.Now().Sub(changed) >= d.opts.seams.Sizing.SettleAfter
		retry := false
		for ctx.Err() == nil {
			attempt := d.room.begin(compacting)
			more, err := c.runNext(ctx, idle)
			d.room.end(compacting, attempt, err)
			if retry = err != nil; retry || !more {
				break
			}
		}
		switch {
		case retry:
			rest = retryAfter
		case idle:
			rest = 0
		default:
			rest = d.opts.seams.Sizing.SettleAfter
		}
	}
}

// runNext runs the most urgent job and reports whether there was one.
func (c *compactor) runNext(ctx context.Context, idle bool) (more bool, err error) {
	if err := c.db.poison.err(); err != nil {
		c.mu.Lock()
		c.answerLocked(err)
		c.mu.Unlock()
		return false, nil
	}
	job, version := c.claim(idle)
	if job == nil {
		return false, c.stuck()
	}
	err = c.run(ctx, job, version)
	c.finish(job, err)
	version.unref()
	c.wake() // another worker may have waited for these tables
	return err == nil, err
}

// claim picks a job and marks it as running. It holds manifestMu, so that no flush is
// placed and no job installed while the picker looks at the version.
func (c *compactor) claim(idle bool) (*compaction.Job, *version) {
	d := c.db
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := d.manifestLog.Version()
	params := c.pickParamsLocked()
	params.Idle = idle
	job := c.pickManualLocked(v, params)
	if job == nil {
		var ok bool
		if job, ok = compaction.Pick(v, params); !ok {
			return nil, nil
		}
	}
	c.running = append(c.running, job)
	current := d.state.Load().version // what manifestMu keeps from being replaced
	current.ref()
	return job, current
}

// params are the sizes of the tree.
func (c *compactor) params() compaction.Params {
	o := &c.db.opts
	return compaction.Params{L0Trigger: o.seams.Sizing.L0Trigger, TableBytes: o.TableBytes}
}

// pickParamsLocked are the sizes, and what a job must not touch.
func (c *compactor) pickParamsLocked() compaction.Params {
	d := c.db
	p := c.params()
	p.ElideBelow = d.visible.load()
	if snapshots := d.snapshots.list(); len(snapshots) > 0 {
		p.ElideBelow = snapshots[0]
	}
	p.Running = slices.Clone(c.running)
	p.Avoid = func(n fileid.Num) bool { return c.setAside[n] != nil }
	return p
}

// pickManualLocked returns the next job of the requests of DB.Compact, and answers
// those that have nothing left to do.
func (c *compactor) pickManualLocked(v *manifest.Version, p compaction.Params) *compaction.Job {
	for i := 0; i < len(c.manual); {
		m := c.manual[i]
		job, done := compaction.PickManual(upTo(v, m.last), m.lower, m.upper, p)
		switch {
		case done:
			m.done <- nil
			c.manual = slices.Delete(c.manual, i, i+1)
		case job != nil:
			return job
		case len(p.Running) == 0:
			m.done <- c.setAsideErrLocked()
			c.manual = slices.Delete(c.manual, i, i+1)
		default:
			i++ // it waits for running jobs
		}
	}
	return nil
}

// upTo returns the version without the runs of level 0 that are newer than last: a
// request of DB.Compact ends although writers go on.
func upTo(v *manifest.Version, last keys.SeqNum) *manifest.Version {
	older := *v
	older.Levels[0] = slices.DeleteFunc(slices.Clone(v.Levels[0]), func(r manifest.Run) bool {
		return !slices.ContainsFunc(r.Tables, func(t *manifest.Table) bool { return t.MinSeqNum <= last })
	})
	return &older
}

// stuck returns the error of a level 0 that is full while nothing can be done about it.
func (c *compactor) stuck() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := len(c.db.state.Load().version.Levels[0]) >= c.db.opts.seams.Sizing.L0Stop
	if !full || len(c.running) > 0 || len(c.setAside) == 0 {
		return nil
	}
	return c.setAsideErrLocked()
}

// run merges the job's tables and installs the result.
func (c *compactor) run(ctx context.Context, job *compaction.Job, version *version) error {
	d := c.db
	var out compaction.Result
	if !job.Move {
		var err error
		env := d.mergeEnv(version)
		if out, err = compaction.Run(ctx, version.Version, job, c.params(), env); err != nil {
			return d.tableError(err)
		}
	}
	err := d.install(func(v *manifest.Version) (*manifest.Edit, error) {
		return job.Edit(v, out.Tables, out.Stats.HistoryFloor), nil
	}, nil)
	if err != nil {
		d.discard(out.Tables, err)
		return err
	}
	if job.Move {
		d.metrics.trivialMoves.Add(1)
	} else {
		d.metrics.compactions.Add(1)
		d.metrics.compactedBytesRead.Add(out.Stats.BytesRead)
		d.metrics.compactedBytes.Add(out.Stats.BytesWritten)
	}
	d.event("compacted", "reason", job.Reason, "to level", job.Output, "moved", job.Move,
		"bytes read", out.Stats.BytesRead, "bytes written", out.Stats.BytesWritten,
		"shadowed", out.Stats.Shadowed, "tombstones elided", out.Stats.Elided)
	return nil
}

// finish ends a job's claim and judges its failure: lack of space is tried again, what
// cannot be read is set aside, and a failed write poisons.
func (c *compactor) finish(job *compaction.Job, err error) {
	d := c.db
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = slices.DeleteFunc(c.running, func(j *compaction.Job) bool { return j == job })
	if err == nil || d.background.ctx.Err() != nil {
		return
	}
	d.metrics.compactionErrors.Add(1)
	d.event("compaction failed", "cause", err)
	switch {
	case errors.Is(err, ErrNoSpace):
	case errors.Is(err, compaction.ErrWrite):
		_ = d.fail(err) // every later write reports it
	case errors.Is(err, ErrCorrupt), errors.Is(err, compaction.ErrNotConserved):
		c.setAsideLocked(job, err)
	}
	if job.Reason == compaction.ReasonManual || d.poison.err() != nil {
		c.answerLocked(err)
	}
}

// setAsideLocked keeps the damaged table from being picked again; all tables of the job
// if it is not known which one is damaged.
func (c *compactor) setAsideLocked(job *compaction.Job, err error) {
	var damage *CorruptionError
	named := errors.As(err, &damage)
	known := named && slices.ContainsFunc(job.Tables(), func(t *manifest.Table) bool {
		return manifest.TableName(t.Num) == damage.File
	})
	for _, t := range job.Tables() {
		if !known || manifest.TableName(t.Num) == damage.File {
			c.setAside[t.Num] = err
		}
	}
}

// setAsideErrLocked is the error of a request that tables which could not be read are
// in the way of.
func (c *compactor) setAsideErrLocked() error {
	for num, err := range c.setAside {
		return fmt.Errorf("%s was set aside: %w", manifest.TableName(num), err)
	}
	return errors.New("tables are in the way that no job may take")
}

// answerLocked ends all requests of DB.Compact with the error.
func (c *compactor) answerLocked(err error) {
	for _, m := range c.manual {
		m.done <- err
	}
	c.manual = nil
}

// jobs returns how many jobs run.
func (c *compactor) jobs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}

// mergeEnv is what merging needs of the store. The version keeps its tables open.
func (d *DB) mergeEnv(v *version) *compaction.Env {
	byNum := map[fileid.Num]*table{}
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			byNum[t.meta.Num] = t
		}
	}
	e := d.tableEnv()
	e.Open = func(t *manifest.Table) (*sstable.Reader, error) { return byNum[t.Num].open() }
	return e
}

// tableEnv is what writing tables needs of the store.
func (d *DB) tableEnv() *compaction.Env {
	return &compaction.Env{
		FS: d.opts.seams.FS, Dir: d.dir, Random: d.opts.seams.Random,
		NextFileNum: func() fileid.Num { return fileid.Num(d.nextFile.Add(1) - 1) },
		Writer: sstable.WriterOptions{
			Codec: d.opts.Compression.codec(), BlockBytes: d.opts.BlockBytes,
			FilterBitsPerKey: d.opts.FilterBitsPerKey, Scope: scopePrefixLen,
		},
		Snapshots:  d.snapshots.list(),
		ElideBelow: keys.MaxSeqNum,
	}
}

// place returns the level that a flush's tables go to. Called with manifestMu held.
//
// A running job may write tables that span a gap between its inputs. A flush placed into
// that gap now would be overlapped when the job is installed, so it goes to level 0.
func (c *compactor) place(v *manifest.Version, out []*manifest.Table) manifest.Level {
	c.mu.Lock()
	defer c.mu.Unlock()
	lower, upper := hull(out)
	for _, job := range c.running {
		jobLower, jobUpper := hull(job.Tables())
		if bytes.Compare(lower, jobUpper) <= 0 && bytes.Compare(jobLower, upper) <= 0 {
			return 0
		}
	}
	return compaction.PlaceFlush(v, out, c.params())
}

// hull returns the smallest and the largest key that bound all tables.
func hull(tables []*manifest.Table) (lower, upper []byte) {
	lower, upper = tables[0].Smallest, tables[0].Largest
	for _, t := range tables[1:] {
		lower = slices.MinFunc([][]byte{lower, t.Smallest}, bytes.Compare)
		upper = slices.MaxFunc([][]byte{upper, t.Largest}, bytes.Compare)
	}
	return lower, upper
}

// discard removes tables that were written but not installed, unless the manifest may
// name them after all.
func (d *DB) discard(tables []*manifest.Table, cause error) {
	if errors.Is(cause, manifest.ErrUncertain) || d.poison.err() != nil {
		return // an orphan goes at the next opening
	}
	for _, t := range tables {
		d.deleter.add(manifest.TableName(t.Num), t.Bytes)
	}
}

func totalBytes(tables []*manifest.Table) int64 {
	var n int64
	for _, t := range tables {
		n += t.Bytes
	}
	return n
}

// Compact merges the tables that hold keys of [lower, upper) down to the last level,
// memtables included, so that what was deleted or overwritten gives its space back now.
// nil bounds mean all keys. A store does this by itself as need arises.
func (d *DB) Compact(ctx context.Context, lower, upper []byte) error {
	if err := d.Flush(ctx); err != nil {
		return err
	}
	m := &manualCompaction{
		lower: slices.Concat(rootPrefix, lower),
		upper: rootUpper,
		last:  d.visible.load(),
		done:  make(chan error, 1),
	}
	if upper != nil {
		m.upper = slices.Concat(rootPrefix, upper)
	}
	d.compactor.mu.Lock()
	d.compactor.manual = append(d.compactor.manual, m)
	d.compactor.mu.Unlock()
	d.compactor.wake()
	select {
	case err := <-m.done:
		if err != nil {
			return fmt.Errorf("lsm: compact: %w", err)
		}
		return nil
	case <-ctx.Done():
		d.compactor.withdraw(m)
		return ctx.Err()
	case <-d.background.ctx.Done():
		return ErrClosed
	}
}

// withdraw takes back a request that nobody waits for any more.
func (c *compactor) withdraw(m *manualCompaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.manual = slices.DeleteFunc(c.manual, func(o *manualCompaction) bool { return o == m })
}
