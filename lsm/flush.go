package lsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// flusher writes frozen memtables to tables, oldest first: runs enter level 0 in the
// order of their numbers. It also releases the states that readers have left.
type flusher struct {
	db    *DB
	alarm alarm

	mu      sync.Mutex
	retired []*readState
}

func (f *flusher) wake() { f.alarm.wake() }

// retire takes over the installer's reference to a replaced state.
func (f *flusher) retire(s *readState) {
	f.mu.Lock()
	f.retired = append(f.retired, s)
	f.mu.Unlock()
	f.alarm.wake()
}

func (f *flusher) takeRetired() []*readState {
	f.mu.Lock()
	defer f.mu.Unlock()
	states := f.retired
	f.retired = nil
	return states
}

// release unreferences the retired states once every reader of their time has left.
func (f *flusher) release() {
	states := f.takeRetired()
	if len(states) == 0 {
		return
	}
	f.db.readers.Wait()
	for _, s := range states {
		s.unref()
	}
}

func (f *flusher) loop() {
	d := f.db
	var retry backoff
	var rest time.Duration
	for f.alarm.wait(d.background.ctx, rest) {
		rest = 0
		f.release()
		for {
			attempt := d.room.begin(flushing)
			more, err := f.flushOldest(d.background.ctx)
			d.room.end(flushing, attempt, err)
			if err != nil && d.poison.err() == nil {
				d.event("flush to be tried again", "cause", err)
				rest = retry.next()
			} else {
				retry = 0
			}
			f.release()
			if !more || err != nil {
				break
			}
		}
	}
}

// flushOldest flushes the oldest frozen memtable and reports whether there was one. A
// failed write, but for lack of space, has poisoned the store; other failures can be
// tried again.
func (f *flusher) flushOldest(ctx context.Context) (more bool, err error) {
	d := f.db
	frozen := d.state.Load().frozen // only this goroutine removes from it
	if len(frozen) == 0 {
		return false, nil
	}
	if err := d.poison.err(); err != nil {
		return false, err // nothing is flushed any more
	}
	m := frozen[len(frozen)-1]
	// What is not published may never be: a table must not make it visible.
	if !(mutant.Enabled && mutant.Is(mutant.FlushUnpublished)) {
		if err := d.publisher.await(d, m.lastSeqNum); err != nil {
			return false, err
		}
	}
	d.rotateIfDue()
	outputs := d.keyring.outputs("a flush")
	defer outputs.end()
	out, err := d.writeRun(ctx, m, outputs)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, ErrNoSpace), !errors.Is(err, compaction.ErrWrite) && !errors.Is(err, compaction.ErrNotConserved):
		return false, err // nothing was written, or nothing that matters
	default:
		return false, d.fail(err)
	}
	// The memtable that follows m, looked up now: what was mutable when the flush began may
	// have been frozen since, and the log must be kept from its first segment on.
	now := d.state.Load()
	next := now.mutable
	if n := len(now.frozen); n > 1 {
		next = now.frozen[n-2]
	}
	err = d.install(func(v *manifest.Version) (*manifest.Edit, error) {
		e := d.flushEdit(v, out.Tables, m.lastSeqNum, next.firstSegment)
		e.Blobs = out.Blobs
		return e, nil
	}, m)
	if err != nil {
		d.discard(out, err)
		return false, err
	}
	d.wal.Obsolete(next.firstSegment)
	if mutant.Enabled && mutant.Is(mutant.LogKeys) && len(out.Tables) > 0 {
		d.event("flushed", "from", string(out.Tables[0].Smallest))
	}
	d.event("flushed", "tables", len(out.Tables), "bytes", totalBytes(out.Tables),
		"blob files", len(out.Blobs), "blob bytes", totalBlobBytes(out.Blobs))
	return true, nil
}

// writeRun writes a memtable to tables: the newest version of each key, and those that
// snapshots see. Tables are cut where the next level's are, so that merges stay narrow.
func (d *DB) writeRun(ctx context.Context, m *mutableTable, outputs *outputs) (compaction.Result, error) {
	// Tombstones stay: what they delete may be in any table.
	guard := d.readers.Enter()
	v := d.state.Load().version // everything older than the memtable
	v.ref()
	guard.Leave()
	defer v.unref()
	splits := compaction.FlushSplits(v.Version, int64(m.UsedBytes()), d.compactor.params())
	dead := d.reaper.ripe.Load()
	env := d.tableEnv(dead)
	env.Writer.NewCipher = outputs.newCipher()
	env.Writer.Codec = d.opts.Compression.codec(d.landsLowest(v, m))
	env.ValueAt = d.valueAt(v)
	w := compaction.NewFlushWriter(env, splits, tombstonesOf(m.ranges.Load()))
	defer w.Abort() // nothing after Finish
	n := 0
	for it, ok := m.Iter(), false; ; n++ {
		if n == 0 {
			ok = it.First()
		} else {
			ok = it.Next()
		}
		if !ok {
			break
		}
		if n%flushCheckEvery == 0 && ctx.Err() != nil {
			return compaction.Result{}, ctx.Err()
		}
		if err := w.Add(it.Key(), it.Trailer(), it.Value()); err != nil {
			return compaction.Result{}, err
		}
	}
	if n != m.Len() {
		return compaction.Result{}, fmt.Errorf("%w: a memtable of %d entries showed %d", compaction.ErrNotConserved, m.Len(), n)
	}
	out, err := w.Finish()
	d.reaper.wrote(out.Tables, dead)
	d.metrics.expired.Add(int64(out.Stats.Expired))
	d.metrics.folded(&out.Stats)
	return out, err
}

// landsLowest reports whether the run of a memtable is likely to be placed at the last level, as
// in a load of ascending keys: it is not merged into another soon. A job that is running may
// still keep it from there.
func (d *DB) landsLowest(v *version, m *mutableTable) bool {
	first, last := m.Iter(), m.Iter()
	if m.deletes > 0 || m.tombstones > 0 || !first.First() || !last.Last() {
		return false
	}
	t := &manifest.Table{Smallest: first.Key(), Largest: last.Key()}
	return compaction.PlaceFlush(v.Version, []*manifest.Table{t}, d.compactor.params()) == manifest.LastLevel
}

// flushCheckEvery is how many entries are written between looks at the context.
const flushCheckEvery = 4096

// flushEdit puts the tables of one memtable into the version: into the deepest level
// where nothing lies above or beside them, normally level 0.
func (d *DB) flushEdit(v *manifest.Version, out []*manifest.Table, last keys.SeqNum, segment wal.SegmentNum) *manifest.Edit {
	e := &manifest.Edit{FlushedSeqNum: last, MinSegment: uint64(segment)}
	if mutant.Enabled && mutant.Is(mutant.DropLogEarly) {
		e.MinSegment = uint64(d.wal.Current())
	}
	if len(out) == 0 {
		return e
	}
	level := d.compactor.place(v, out)
	run := manifest.RunID(d.nextRun.Add(1) - 1)
	if runs := v.Levels[level]; level > 0 && len(runs) > 0 {
		run = runs[0].ID // beside the tables that are there
	}
	for _, t := range out {
		e.Added = append(e.Added, manifest.AddedTable{Level: level, Run: run, Table: t})
	}
	return e
}

// Flush writes what the memtables hold to tables. It returns when everything that was
// committed before the call is in tables, or with the error that keeps it from being,
// or with ctx's. The memory of the memtables goes back to the system.
func (d *DB) Flush(ctx context.Context) error {
	if err := d.writable(); err != nil {
		return err
	}
	if err := d.queue.acquire(ctx); err != nil {
		return err
	}
	var err error
	if !d.mutable.empty() {
		if err = d.freeze(ctx, d.sameMutableBytes()); err == nil {
			d.giveMemoryBack()
		}
	}
	last := d.lastSeqNum
	d.queue.passLead()
	if err != nil {
		return err
	}
	return d.room.wait(ctx, d, flushing, func() bool { return d.flushedThrough(last) })
}

// flushedThrough reports whether no memtable but the mutable one has entries at or
// below seq.
func (d *DB) flushedThrough(seq keys.SeqNum) bool {
	for _, m := range d.state.Load().frozen {
		if m.firstSeqNum <= seq {
			return false
		}
	}
	return true
}
