package lsm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// Recovery. The log is replayed into memtables that stay: nothing is flushed, so that
// opening costs reading, and two syncs. The last memtable goes on as the mutable one,
// but the log goes on in a new segment: a segment that a crash may have torn is never
// written again. Until the edit that says so is durable, a crash in recovery finds what
// this one found.
//
// So the memtables hold all of the log at once: three full ones, and a little, after a
// store was used with the same options. With a smaller budget than the one that the log
// was written under they take more than that budget until they are flushed, which begins
// when the store is open.

// replayed is what replaying the log gives.
type replayed struct {
	found  Recovery
	frozen []*mutableTable // newest first; the last one became d.mutable
	log    wal.Recovery

	memtableBytes int64 // of the memtables, once there is something to apply
}

// freeReplayed gives back the memtables of an opening that came to nothing.
func (d *DB) freeReplayed() {
	if d.mutable == nil {
		return
	}
	for _, m := range append(d.replayed.frozen, d.mutable) {
		m.arenas.give(m.region, m.capacity)
	}
}

// loadManifest reads the manifest, or makes a new store where there is none.
func (d *DB) loadManifest() (*manifest.Loaded, error) {
	fs := d.opts.seams.FS
	var err error
	if d.keyring, err = openKeyring(fs, d.dir, &d.opts); err != nil {
		return nil, err
	}
	loaded, err := manifest.Load(fs, d.dir, d.keyring.openCipher())
	switch {
	case err == nil:
		d.store = loaded.State.Store
		return loaded, d.checkKeyring(loaded)
	case !errors.Is(err, manifest.ErrNoStore):
		return nil, d.manifestError(err)
	case d.opts.Encryption != nil && d.opts.Encryption.MinAnchor != Anchor{}:
		return nil, &CorruptionError{File: manifest.CurrentName, Offset: -1, Err: manifest.ErrRollback}
	case !d.mayCreate():
		return nil, ErrNotExist
	}
	return d.createStore()
}

// checkKeyring compares keyring and manifest with each other and with the anchor that the caller
// has; a writer's keyring is then open for writing.
func (d *DB) checkKeyring(loaded *manifest.Loaded) error {
	switch {
	case d.keyring == nil && d.opts.Encryption != nil && d.converting == nil:
		return ErrNotEncrypted
	case d.keyring == nil:
		return nil
	}
	if err := d.keyring.checkState(loaded.State); err != nil {
		return err
	}
	if err := d.opts.Encryption.MinAnchor.manifest.Check(loaded.Anchor()); err != nil {
		return &CorruptionError{File: loaded.Name, Offset: -1, Err: err}
	}
	if d.opts.ReadOnly {
		return nil
	}
	return keyError(d.keyring.ring.Renew())
}

// createStore makes a new store.
func (d *DB) createStore() (*manifest.Loaded, error) {
	fs := d.opts.seams.FS
	uid, err := fileid.NewUID(d.opts.seams.Random)
	if err != nil {
		return nil, err
	}
	if d.keyring != nil {
		uid = d.keyring.ring.Store()
	}
	d.store = uid
	if err := syncParents(fs, d.dir, d.madeDirs); err != nil {
		return nil, err
	}
	switch {
	case d.keyring != nil:
		err = keyError(d.keyring.ring.Renew())
	case d.opts.Encryption != nil:
		d.keyring, err = createKeyring(uid, d.opts.keyFiles(fs, d.dir), &d.opts)
	}
	if err != nil {
		return nil, err
	}
	o := d.manifestOptions()
	o.RollBytes = min(o.RollBytes, firstManifestBytes)
	return manifest.Create(uid, o)
}

// firstManifestBytes bounds the first manifest of a store, so that an empty one is small.
const firstManifestBytes = 64 << 10

func (d *DB) manifestOptions() manifest.LogOptions {
	return manifest.LogOptions{
		FS: d.opts.seams.FS, Dir: d.dir, Random: d.opts.seams.Random,
		RollBytes: d.opts.seams.Sizing.ManifestBytes,
		NewCipher: d.keyring.manifestCipher(), OpenCipher: d.keyring.openCipher(),
	}
}

// checkTables makes sure that every table and blob file of the version is there, with its size: a
// missing file is found now, not by the first unlucky read.
func (d *DB) checkTables(v *manifest.Version) error {
	for level := range v.Levels {
		for _, r := range v.Levels[level] {
			for _, t := range r.Tables {
				if err := d.checkFile(manifest.TableName(t.Num), t.Bytes); err != nil {
					return err
				}
			}
		}
	}
	for i := range v.Blobs {
		name := manifest.BlobName(v.Blobs[i].Num)
		if err := d.checkFile(name, v.Blobs[i].Bytes); err != nil {
			return err
		}
	}
	return nil
}

// checkFile makes sure that a file is there, with its size.
func (d *DB) checkFile(name string, bytes int64) error {
	size, err := d.opts.seams.FS.Size(d.path(name))
	switch {
	case errors.Is(err, vfs.ErrNotExist):
		return &CorruptionError{File: name, Offset: -1, Err: errMissing}
	case err != nil:
		return err
	case size != bytes:
		return &CorruptionError{File: name, Offset: -1, Err: fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, size, bytes)}
	}
	return nil
}

var (
	errMissing   = errors.New("file is missing")
	errWrongSize = errors.New("wrong size")
	errShortLog  = errors.New("synced records are missing")
	errOpCount   = errors.New("number of operations differs from the header's")
)

// walOptions are the log's.
func (d *DB) walOptions() wal.Options {
	z := d.opts.seams.Sizing
	return wal.Options{
		FS: d.opts.seams.FS, Dir: d.dir, Store: d.store, Random: d.opts.seams.Random,
		Mode:            map[LogMode]wal.Mode{LogAuto: wal.Auto, LogMapped: wal.Mapped, LogWritten: wal.Written}[d.opts.LogMode],
		MinSegmentBytes: z.MinSegmentBytes, MaxSegmentBytes: z.MaxSegmentBytes,
		NewCipher: d.keyring.segmentCipher(), OpenCipher: d.keyring.openCipher(),
		Register: d.registerSegment, Now: d.opts.seams.Now, Logger: d.logger,
	}
}

// replay reads the live segments into memtables.
func (d *DB) replay(s *manifest.State) (*replayed, error) {
	rec := &replayed{}
	d.replayed = rec
	first := wal.SegmentNum(s.MinSegment)
	rec.memtableBytes = d.replayBytes(s)
	// A small one, which is all that a store needs whose log is in tables already.
	mutable, err := d.newMutable(d.opts.seams.Sizing.MinMemtableBytes, first)
	if err != nil {
		return nil, err
	}
	d.mutable, d.lastSeqNum = mutable, s.FlushedSeqNum
	rec.log, err = wal.Replay(d.walOptions(), fromManifestSegments(s.Segments), func(r wal.Record) error {
		return d.replayRecord(rec, r, s.FlushedSeqNum)
	})
	if err != nil {
		return nil, d.walError(err)
	}
	// Up to the cut the log had been synced: if it ends earlier now, that is damage.
	if cut := s.Cut; cut != nil && max(d.lastSeqNum, rec.log.LastSeqNum) < cut.LastSeqNum {
		return nil, &CorruptionError{File: "log", Offset: -1, Err: fmt.Errorf(
			"%w: it ends at sequence number %d instead of %d", errShortLog, rec.log.LastSeqNum, cut.LastSeqNum)}
	}
	rec.found.Clean = rec.log.Verdict == wal.Clean
	rec.found.LostBytes = rec.log.LostBytes
	if err := d.dropClearLog(s, rec); err != nil {
		return nil, err
	}
	err = d.clock.begin(d.opts.clock(), max(s.LastTime, int64(rec.log.LastTime)), d.opts.AcceptClock)
	return rec, err
}

// replayBytes sizes the memtables of a replay so that there are few: each becomes a run of
// level 0. What is in the log takes more room in a memtable, seldom twice as much.
func (d *DB) replayBytes(s *manifest.State) int64 {
	logged := int64(0)
	for _, seg := range s.Segments {
		logged += seg.Bytes
	}
	return min(max(2*logged, d.opts.seams.Sizing.MinMemtableBytes), d.opts.MemtableBytes)
}

// replayRecord applies one batch that no flush has covered.
func (d *DB) replayRecord(rec *replayed, r wal.Record, flushed keys.SeqNum) error {
	last := r.FirstSeqNum + keys.SeqNum(r.Count) - 1
	if last <= flushed {
		return nil
	}
	stats, err := checkPayload(r.Payload)
	if err == nil && stats.ops != int(r.Count) {
		err = errOpCount
	}
	if err != nil {
		err = fmt.Errorf("batch at sequence number %d: %w", r.FirstSeqNum, err)
		if errors.Is(err, ErrTooNew) {
			return err
		}
		return &CorruptionError{File: wal.SlotName(r.Slot), Offset: r.Offset, Err: err}
	}
	small := d.mutable.empty() && d.mutable.capacity < rec.memtableBytes
	if small || !d.mutable.fits(stats.ops, stats.ranges, stats.bytes) {
		n := max(d.nextMutableBytes(stats.ops, stats.bytes), rec.memtableBytes)
		fresh, err := d.newMutable(n, r.Segment)
		if err != nil {
			return err
		}
		if !d.mutable.empty() {
			rec.frozen = slices.Insert(rec.frozen, 0, d.mutable)
		} else {
			d.arenas.give(d.mutable.region, d.mutable.capacity)
		}
		d.mutable = fresh
	}
	ops := opReader{rest: r.Payload}
	var scratch []byte
	for seq := r.FirstSeqNum; ops.next(); seq++ {
		if ops.kind == keys.KindRangeDelete {
			// Nobody reads yet, and nobody ever will at a number before the log's end.
			d.mutable.insertRange(ops.key, ops.value, seq, rangedel.Readers{Unread: 1})
			continue
		}
		if ops.kind == keys.KindMerge {
			scratch = append(scratch[:0], ops.value...) // the payload is the log's
			d.applyMerge(d.mutable, ops.key, scratch, seq, int64(r.CommitTime), false)
			continue
		}
		d.mutable.insert(ops.key, keys.MakeTrailer(seq, ops.kind), ops.value)
	}
	d.mutable.logical += stats.bytes
	d.lastSeqNum = last
	rec.found.ReplayedOps += int64(stats.ops)
	return nil
}

// startWriting makes the store writable: what was replayed is synced, a fresh segment
// is prepared, and one edit records the opening, the cut and the segment. The manifest is
// opened before anything is written: only then is it sure that no power cut brings back an
// earlier one, for which a slot that looks free, or a table that looks orphaned, counts.
func (d *DB) startWriting(loaded *manifest.Loaded, rec *replayed) (err error) {
	if d.converting != nil {
		if err := d.beginConversion(loaded, rec); err != nil {
			return err
		}
	}
	least, err := d.rotateAtOpen()
	if err != nil {
		return err
	}
	if d.manifestLog, err = manifest.OpenLog(loaded, d.manifestOptions()); err != nil {
		return err
	}
	if d.keyring != nil {
		if err := d.keyring.ring.Move(false); err != nil { // the manifest is one that needs it (E1)
			return keyError(err)
		}
	}
	s := loaded.State
	if n := len(s.Lineage); n > 0 {
		// An opening that followed a crash and wrote nothing has left no trace in the log.
		d.lastSeqNum = max(d.lastSeqNum, s.Lineage[n-1].First-1)
	}
	if !rec.found.Clean && !(mutant.Enabled && mutant.Is(mutant.ReuseSeqNum)) {
		// Numbers given out after what the log shows may be in tokens and backups.
		d.lastSeqNum = max(d.lastSeqNum, s.ReservedSeqNum)
	}
	o := d.walOptions()
	if err := wal.SyncSegments(o, &rec.log); err != nil {
		return err
	}
	listed := fromManifestSegments(s.Segments)
	num := max(wal.SegmentNum(s.MinSegment), rec.log.End.Num)
	for _, seg := range listed {
		num = max(num, seg.Num)
	}
	first, err := wal.PrepareFirst(o, num+1, listed)
	if err != nil {
		return err
	}
	defer first.Close() // nothing once the log has it
	if err := d.logOpening(loaded, rec, first.Segment(), least); err != nil {
		return err
	}
	if d.wal, err = wal.Open(o, first, rec.log.End, rec.log.Live); err != nil {
		return err
	}
	return d.freezeReplayed(rec)
}

// maxReplayedSegments is how many segments the log may begin with. Each opening adds
// one, so a store that is opened often and never fills a memtable would collect them.
const maxReplayedSegments = 4

// freezeReplayed hands what was replayed to the flusher if it keeps too many segments.
func (d *DB) freezeReplayed(rec *replayed) error {
	if len(rec.log.Live) < maxReplayedSegments || d.mutable.empty() {
		return nil
	}
	fresh, err := d.newMutable(d.sameMutableBytes(), d.wal.Current())
	if err != nil {
		return err
	}
	rec.frozen = slices.Insert(rec.frozen, 0, d.mutable)
	d.mutable = fresh
	return nil
}

// logOpening logs the edit of this opening: from then on the old log ends where it was
// found to end. Data keys below least are to leave.
func (d *DB) logOpening(loaded *manifest.Loaded, rec *replayed, first wal.Segment, least seal.KeyID) error {
	id, err := fileid.NewUID(d.opts.seams.Random)
	if err != nil {
		return err
	}
	d.nextFile.Store(uint64(loaded.State.NextFileNum))
	d.nextRun.Store(uint64(loaded.State.NextRunID))
	end := rec.log.End
	found := min(max(end.LastSeqNum, loaded.State.FlushedSeqNum), d.lastSeqNum)
	e := &manifest.Edit{
		Opened:         &manifest.Open{ID: id, First: d.lastSeqNum + 1, Gap: d.lastSeqNum - found},
		ReservedSeqNum: d.lastSeqNum + keys.SeqNum(d.opts.seams.Sizing.ReserveSeqNums),
		Cut:            &manifest.Cut{Segment: uint64(end.Num), UID: end.UID, Bytes: end.Length, LastSeqNum: max(end.LastSeqNum, loaded.State.FlushedSeqNum)},
		LastTime:       d.clock.millis(),
		Keyring:        d.keyring.anchor(),
		MinKey:         least,
	}
	var segments []manifest.Segment
	for _, live := range rec.log.Live {
		segments = append(segments, toManifestSegment(live))
	}
	e.ReplaceSegments(append(segments, toManifestSegment(first)))
	d.stamp(e)
	if err := d.manifestLog.Append(e); err != nil {
		return err
	}
	d.reserved.Store(uint64(e.ReservedSeqNum))
	d.keyring.count(e)
	d.keyring.listed()
	return nil
}

func fromManifestSegments(segments []manifest.Segment) []wal.Segment {
	out := make([]wal.Segment, len(segments))
	for i, s := range segments {
		out[i] = fromManifestSegment(s)
	}
	return out
}

// removeOrphans deletes files that the manifest does not know: what a crash left of
// flushes, compactions and manifest rolls. It runs only after the edit of the opening is
// durable, lest an earlier manifest that knows them comes back, and touches only names
// that the engine itself gives.
func (d *DB) removeOrphans() {
	fs := d.opts.seams.FS
	names, err := fs.List(d.dir)
	if err != nil {
		d.event("orphans not looked for", "cause", err)
		return
	}
	live := map[string]bool{d.manifestLog.Name(): true}
	for num := range d.tables {
		live[manifest.TableName(num)] = true
	}
	for num := range d.blobs {
		live[manifest.BlobName(num)] = true
	}
	for _, name := range names {
		if live[name] || !manifest.IsStoreFile(name) && !isAsideFile(name) {
			continue
		}
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
			// They may be gigabytes. No new one gets the name: numbers go on after every
			// file that was in the directory when the manifest was loaded.
			size, err := fs.Size(d.path(name))
			if err == nil {
				d.deleter.add(name, size)
				continue
			}
		}
		if err := fs.Remove(d.path(name)); err != nil {
			d.event("orphan not removed", "file", name, "cause", err)
		}
	}
}
