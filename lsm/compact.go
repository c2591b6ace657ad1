package lsm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable"
)

// compactor runs compactions: package compaction decides which, and merges; this file
// keeps the jobs apart, installs their results, and judges their failures.
//
// A job that failed is tried again, after rests that grow. Tables that cannot be read are
// set aside (setaside.go).
type compactor struct {
	db    *DB
	alarm alarm

	mu      sync.Mutex
	running []*compaction.Job
	aside   asideTables
	manual  []*manualCompaction // compact_manual.go
}

func (c *compactor) init(d *DB) {
	c.db, c.alarm, c.aside = d, newAlarm(), asideTables{}
}

func (c *compactor) wake() { c.alarm.wake() }

// loop is one worker. It looks for work when woken; while the store is at rest, also for
// work that nothing urges.
func (c *compactor) loop() {
	d := c.db
	ctx := d.background.ctx
	var retry backoff
	var rest time.Duration
	for !d.opts.seams.Sizing.NoCompaction && c.alarm.wait(ctx, rest) {
		rest = 0
		for ctx.Err() == nil {
			attempt := d.room.begin(compacting)
			more, err := c.runNext(ctx)
			d.room.end(compacting, attempt, err)
			if err != nil {
				rest = retry.next()
				break
			}
			if retry = 0; !more {
				rest = c.untilRetry()
				break
			}
		}
	}
}

// untilRetry returns how long it is until a table that was set aside may be tried again,
// 0 if there is none.
func (c *compactor) untilRetry() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aside.next(c.db.opts.seams.Now())
}

// backoff is the last rest between attempts at work that fails.
type backoff time.Duration

const (
	// firstRetry is how long work that failed, as for lack of space, rests before it is
	// tried again, and lastRetry to what that grows by doubling.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// next returns the rest after one more failure.
func (b *backoff) next() time.Duration {
	*b = min(max(2**b, backoff(firstRetry)), backoff(lastRetry))
	return time.Duration(*b)
}

// runNext runs the most urgent job and reports whether there was one.
func (c *compactor) runNext(ctx context.Context) (more bool, err error) {
	if err := c.db.poison.err(); err != nil {
		c.mu.Lock()
		c.answerLocked(nil, err)
		c.mu.Unlock()
		return false, nil
	}
	job, version := c.claim()
	if job == nil {
		return false, c.stuck()
	}
	err = c.run(ctx, job, version)
	c.finish(job, err)
	version.unref()
	if err != nil {
		return false, err // to wake anybody would be to try again at once
	}
	c.wake() // another worker may have waited for these tables
	return true, nil
}

// claim picks a job and marks it as running. It holds manifestMu, so that no flush is
// placed and no job installed while the picker looks at the version.
func (c *compactor) claim() (*compaction.Job, *version) {
	d := c.db
	d.openRanged()
	d.horizons.ready()
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := d.manifestLog.Version()
	job := c.pickManualLocked(v, c.pickParamsLocked(true))
	if job == nil {
		params := c.pickParamsLocked(false)
		params.Idle = d.settler.resting()
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
func (c *compactor) pickParamsLocked(manual bool) compaction.Params {
	d := c.db
	p := c.params()
	p.ElideBelow = d.visible.load()
	if snapshots := d.snapshots.list(); len(snapshots) > 0 {
		p.ElideBelow = snapshots[0]
	}
	p.Covered = d.state.Load().version.coveredTables(p.ElideBelow)
	// What only snapshots have kept goes; tombstones that are newer than a horizon stay. One
	// that covers a table is among these, so that the table may go (H4).
	p.HeldBelow, p.ElideBelow = p.ElideBelow, min(p.ElideBelow, d.horizons.bound())
	p.Running = slices.Clone(c.running)
	p.BlobSpacePercent = d.opts.BlobSpacePercent
	d.expiryParams(&p)
	now := d.opts.seams.Now()
	if dead := d.reaper.ripe.Load(); dead.len() > 0 {
		p.Dead = func(t *manifest.Table) compaction.Dead { return d.reaper.judge(dead, t) }
	}
	p.Retiring = retiring(d.manifestLog.State())
	p.Avoid = func(n fileid.Num) bool { return c.aside.avoids(n, now, manual) }
	return p
}

// stuck returns the error of a level 0 that is full while nothing can be done about it.
func (c *compactor) stuck() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := len(c.db.state.Load().version.Levels[0]) >= c.db.opts.seams.Sizing.L0Stop
	if !full || len(c.running) > 0 {
		return nil
	}
	return c.aside.err(c.db.opts.seams.Now())
}

// run merges the job's tables and installs the result.
func (c *compactor) run(ctx context.Context, job *compaction.Job, version *version) error {
	d := c.db
	var out compaction.Result
	done := d.rotator.timed(job)
	if !job.Move && !job.Drop {
		var err error
		dead := d.reaper.ripe.Load()
		env := d.mergeEnv(version, dead)
		outputs := d.keyring.outputs("a compaction")
		defer outputs.end()
		env.Writer.NewCipher = outputs.newCipher()
		env.Writer.Codec = d.opts.Compression.codec(job.Lowest(version.Version))
		if out, err = compaction.Run(ctx, version.Version, job, c.params(), env); err != nil {
			var read *compaction.ReadError
			if errors.As(err, &read) {
				return &compaction.ReadError{Table: read.Table, Blob: read.Blob, Err: d.tableError(read.Err)}
			}
			return err
		}
		d.reaper.wrote(out.Tables, dead)
	}
	if mutant.Enabled && mutant.Is(mutant.DropHistoryFloor) {
		out.Stats.HistoryFloor = 0
	}
	err := d.installThen(func(v *manifest.Version) (*manifest.Edit, error) {
		floor := max(out.Stats.HistoryFloor, job.Floor)
		if floor > d.horizons.bound() {
			return nil, errHorizonSet
		}
		e := job.Edit(v, out.Tables, floor)
		e.Blobs = out.Blobs
		return e, nil
	}, nil, func() { d.countJob(job, &out.Stats, done) }) // before another worker finds that Compact has come to its end
	if err != nil {
		d.discard(out, err)
		if err == errHorizonSet { // returned bare: the next job will know of it
			return nil
		}
		return err
	}
	d.event("compacted", "reason", job.Reason, "to level", job.Output, "moved", job.Move,
		"bytes read", out.Stats.BytesRead, "bytes written", out.Stats.BytesWritten, "blob bytes", out.Stats.BlobBytes,
		"shadowed", out.Stats.Shadowed, "tombstones elided", out.Stats.Elided, "of dropped scopes", out.Stats.Dead, "expired", out.Stats.Expired)
	return nil
}

// countJob counts an installed job in the metrics; timed is told of one that has merged.
func (d *DB) countJob(job *compaction.Job, s *compaction.Stats, timed func(*compaction.Stats)) {
	switch {
	case job.Drop: // the deleter counts the tables
		d.metrics.expired.Add(expiredIn(job))
	case job.Move:
		d.metrics.trivialMoves.Add(1)
	default:
		d.metrics.compactions.Add(1)
		d.metrics.folded(s)
		d.metrics.compactedBytesRead.Add(s.BytesRead)
		d.metrics.compactedBytes.Add(s.BytesWritten)
		d.metrics.blobBytesWritten.Add(s.BlobBytes)
		d.metrics.expired.Add(int64(s.Expired))
		timed(s)
	}
}

// finish ends a job's claim and judges its failure: a failed write, but for lack of space,
// poisons; anything else is tried again.
func (c *compactor) finish(job *compaction.Job, err error) {
	d := c.db
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = slices.DeleteFunc(c.running, func(j *compaction.Job) bool { return j == job })
	if err == nil {
		c.aside.readable(job)
		return
	}
	if d.background.ctx.Err() != nil {
		return
	}
	d.metrics.compactionErrors.Add(1)
	d.event("compaction failed", "cause", err)
	if errors.Is(err, compaction.ErrWrite) && !errors.Is(err, ErrNoSpace) {
		_ = d.fail(err) // every later write reports it
	}
	if c.aside.judge(job, err, d.opts.seams.Now()) {
		d.event("tables set aside", "cause", err)
	}
	c.answerLocked(job, err)
	if d.poison.err() != nil {
		c.answerLocked(nil, err)
	}
}

// jobs returns how many jobs run.
func (c *compactor) jobs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}

// mergeEnv is what merging needs of the store. The version keeps its tables open.
func (d *DB) mergeEnv(v *version, dead *deadIDs) *compaction.Env {
	byNum := map[fileid.Num]*table{}
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			byNum[t.meta.Num] = t
		}
	}
	e := d.tableEnv(dead)
	e.Yield = d.giveWay
	e.ValueAt = d.valueAt(v)
	e.Open = func(t *manifest.Table) (*sstable.Reader, error) { return byNum[t.Num].open() }
	return e
}

// tableEnv is what writing tables needs of the store. The entries of dead ids are left out;
// the snapshots are listed after the ids became so.
func (d *DB) tableEnv(dead *deadIDs) *compaction.Env {
	expiry := d.expiryEnv() // its time is before the list of snapshots
	writer := d.opts.tableOptions(false)
	writer.NewCipher = d.keyring.newCipher() // who can meet a retirement replaces it by that of outputs
	return &compaction.Env{
		Expiry: expiry,
		FS:     d.opts.seams.FS, Dir: d.dir, Random: d.opts.seams.Random,
		NextFileNum:   func() fileid.Num { return fileid.Num(d.nextFile.Add(1) - 1) },
		Writer:        writer,
		Snapshots:     d.snapshots.list(),
		ElideBelow:    d.horizons.bound(),
		Dead:          dead.filter(),
		Operators:     d.operators.known,
		FoldFences:    d.horizons.fences(),
		ExpiresWithin: d.expiresWithin(),

		BlobThreshold: max(d.opts.BlobThreshold, 0), BlobBytes: d.opts.TableBytes,
		BlobCodec: d.opts.Compression.codec(true), // a value is written once, and moved for garbage alone
	}
}

// place returns the level that a flush's tables go to. Called with manifestMu held.
//
// A running job may write tables that span a gap between its inputs. A flush placed into
// that gap now would be overlapped when the job is installed.
func (c *compactor) place(v *manifest.Version, out []*manifest.Table) manifest.Level {
	p := c.params()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !(mutant.Enabled && mutant.Is(mutant.PlaceInGap)) {
		p.Running = c.running
	}
	return compaction.PlaceFlush(v, out, p)
}

// discard removes tables and blob files that were written but not installed, unless the manifest may
// name them after all.
func (d *DB) discard(out compaction.Result, cause error) {
	if errors.Is(cause, manifest.ErrUncertain) || d.poison.err() != nil {
		return // an orphan goes at the next opening
	}
	for _, t := range out.Tables {
		d.deleter.add(manifest.TableName(t.Num), t.Bytes)
	}
	for _, b := range out.Blobs {
		d.deleter.add(manifest.BlobName(b.Num), b.Bytes)
	}
}

func totalBytes(tables []*manifest.Table) int64 {
	var n int64
	for _, t := range tables {
		n += t.Bytes
	}
	return n
}
