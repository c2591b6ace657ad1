package lsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// install is the only way in which the set of tables, and whatever else the manifest
// keeps, changes: the edit that build makes from the current version is logged and
// synced, then readers are given the new state, without the memtable that the edit has
// flushed, if any. build runs under manifestMu, so that what it decides from the
// version still holds when the edit does.
//
// After lack of space the edit can be tried again; any other failure poisons, because
// nobody knows whether the edit is in the file.
func (d *DB) install(build func(v *manifest.Version) (*manifest.Edit, error), flushed *mutableTable) error {
	return d.installThen(build, flushed, func() {})
}

// installThen is install, and calls then before anybody else can install something or pick
// a compaction from the new version.
func (d *DB) installThen(build func(v *manifest.Version) (*manifest.Edit, error), flushed *mutableTable, then func()) error {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	if err := d.poison.err(); err != nil {
		return err
	}
	e, err := build(d.manifestLog.Version())
	if err != nil {
		return err
	}
	d.stamp(e)
	if err := d.manifestLog.Append(e); err != nil {
		if errors.Is(err, ErrNoSpace) {
			return err
		}
		return d.fail(fmt.Errorf("manifest: %w", err))
	}
	d.keyring.count(e)
	d.reserved.Store(uint64(d.manifestLog.State().ReservedSeqNum))
	d.history.floor.Store(uint64(d.manifestLog.State().HistoryFloor)) // before readers see the version (H2)
	if len(e.Added)+len(e.Deleted) > 0 || flushed != nil {
		d.swapVersion(e, flushed)
	}
	then()
	return nil
}

// stamp adds what every edit carries: numbers reserved well ahead of use, so that no
// commit ever waits for it, and the high-water marks of files and runs.
func (d *DB) stamp(e *manifest.Edit) {
	ahead := d.visible.load() + keys.SeqNum(d.opts.seams.Sizing.ReserveSeqNums)
	if ahead > e.ReservedSeqNum && uint64(ahead) > d.reserved.Load() {
		e.ReservedSeqNum = ahead
	}
	if !(mutant.Enabled && mutant.Is(mutant.ForgetTime)) {
		e.LastTime = max(e.LastTime, d.clock.millis()) // what is left out by now stays expired (E3)
	}
	e.NextFileNum = fileid.Num(d.nextFile.Load())
	e.NextRunID = manifest.RunID(d.nextRun.Load())
}

// swapVersion gives readers the version that the manifest now has. Called with
// manifestMu held.
func (d *DB) swapVersion(e *manifest.Edit, flushed *mutableTable) {
	v := d.newVersion(d.manifestLog.Version())
	for _, del := range e.Deleted {
		if t := d.tables[del.Num]; t != nil && !v.holds(del.Num, e) {
			t.obsolete.Store(true)
			delete(d.tables, del.Num)
			d.reaper.removed(del.Num)
		}
	}
	d.dropBlobs(v.Version)
	d.stateMu.Lock()
	s := d.state.Load()
	frozen := s.frozen
	if flushed != nil {
		d.metrics.flushed(flushed, e) // before those who wait for the flush are woken
		frozen = slices.DeleteFunc(slices.Clone(frozen), func(m *mutableTable) bool { return m == flushed })
	}
	d.state.Store(d.newReadState(s.mutable, frozen, v))
	d.stateMu.Unlock()
	d.flusher.retire(s)
	d.room.wakeAll()
	d.compactor.wake()
	d.reaper.installed()
	d.horizons.installed()
	d.expirer.installed()
	d.rotator.stepped()
}

// holds reports whether a table that the edit deletes at one level is, by the same
// edit, at another: a trivial move.
func (v *version) holds(num fileid.Num, e *manifest.Edit) bool {
	return slices.ContainsFunc(e.Added, func(a manifest.AddedTable) bool { return a.Table.Num == num })
}

// reserveSeqNums makes the numbers up to need, and as many again as usual, durable as
// given out. The leader gets here only when a burst outran the edits of flushes.
func (d *DB) reserveSeqNums(need keys.SeqNum) error {
	err := d.install(func(*manifest.Version) (*manifest.Edit, error) {
		return &manifest.Edit{ReservedSeqNum: need + keys.SeqNum(d.opts.seams.Sizing.ReserveSeqNums)}, nil
	}, nil)
	if errors.Is(err, ErrNoSpace) {
		return fmt.Errorf("lsm: no room in the manifest: %w", err)
	}
	return err
}

// registerSegment lists a prepared log segment, before any commit may use it. The log's
// preparer calls it.
func (d *DB) registerSegment(s wal.Segment) error {
	err := d.install(func(*manifest.Version) (*manifest.Edit, error) {
		return &manifest.Edit{AddedSegments: []manifest.Segment{toManifestSegment(s)}}, nil
	}, nil)
	if err == nil {
		d.keyring.listed()
	}
	return err
}

func toManifestSegment(s wal.Segment) manifest.Segment {
	return manifest.Segment{Num: uint64(s.Num), Slot: uint32(s.Slot), UID: s.UID, Bytes: s.Bytes, Key: s.Key}
}

func fromManifestSegment(s manifest.Segment) wal.Segment {
	return wal.Segment{Num: wal.SegmentNum(s.Num), Slot: wal.Slot(s.Slot), UID: s.UID, Bytes: s.Bytes, Key: s.Key}
}
