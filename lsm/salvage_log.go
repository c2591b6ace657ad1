package lsm

import (
	"bytes"
	"errors"
	"slices"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/wal"
)

// salvageLog is what is read of the log: the operations that no flush has covered, sorted,
// in memory up to a bound and beyond it in tables of the new directory.
type salvageLog struct {
	entries    []logEntry
	bytes      int64
	at         int // the entry that the merge is at
	lastSeqNum keys.SeqNum
	lastTime   int64
	ops        map[wal.Slot]int64
	bad        map[wal.Slot][]wal.Gap // batches whose content is none
	files      []SalvagedFile
}

type logEntry struct {
	key     []byte
	trailer keys.Trailer
	value   []byte
}

// readLog reads the log: as Open does if that succeeds, else whatever is left of it.
func (s *salvage) readLog() error {
	l := &s.log
	l.reset()
	state := s.remains.State
	take := func(r wal.Record) error { return s.takeBatch(r, state.FlushedSeqNum) }
	if s.remains.Version != nil {
		o := wal.Options{FS: s.fs, Dir: s.dir, Store: state.Store, Random: s.target.opts.seams.Random, OpenCipher: s.keyring.openCipher()}
		rec, err := wal.Replay(o, s.segments(), take)
		cut := state.Cut
		short := err == nil && cut != nil && max(state.FlushedSeqNum, rec.LastSeqNum) < cut.LastSeqNum
		if err == nil && !short && len(l.bad) == 0 {
			l.lastTime = int64(rec.LastTime)
			s.report.Recovery = Recovery{Clean: rec.Verdict == wal.Clean, LostBytes: rec.LostBytes}
			for _, n := range l.ops {
				s.report.Recovery.ReplayedOps += n
			}
			s.listSegments(nil)
			return s.sortLog()
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if errors.Is(err, wal.ErrTooNew) || errors.Is(err, wal.ErrSealed) {
			return s.target.walError(err)
		}
		if err := s.dropSpills(); err != nil {
			return err
		}
		l.reset()
		if short {
			l.files = append(l.files, SalvagedFile{Name: "log", EntriesLost: -1, Lost: []Loss{{Offset: -1, OtherScopes: true, Err: errShortLog}}})
		}
	}
	o := wal.SalvageOptions{FS: s.fs, Dir: s.dir, Store: state.Store, Listed: s.segments(), Unlisted: true,
		Min: wal.SegmentNum(state.MinSegment), OpenCipher: s.keyring.openCipher()}
	if s.remains.Version != nil {
		for _, seg := range o.Listed {
			o.Min = max(o.Min, seg.Num+1) // others were dropped from the list, or came after it
		}
	}
	remains, err := wal.Salvage(s.ctx, o, take)
	if err != nil {
		return err
	}
	s.listSegments(remains)
	return s.sortLog()
}

func (l *salvageLog) reset() {
	l.entries, l.bytes, l.files, l.lastSeqNum, l.lastTime = nil, 0, nil, 0, 0
	l.ops, l.bad = map[wal.Slot]int64{}, map[wal.Slot][]wal.Gap{}
}

// takeBatch keeps the operations of a batch. One whose content cannot have been written is
// a gap.
func (s *salvage) takeBatch(r wal.Record, flushed keys.SeqNum) error {
	l := &s.log
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.inClearLog(r.Segment) {
		return nil // E2
	}
	last := r.FirstSeqNum + keys.SeqNum(r.Count) - 1
	l.lastSeqNum, l.lastTime = max(l.lastSeqNum, last), max(l.lastTime, int64(min(r.CommitTime, 1<<62)))
	if last <= flushed {
		return nil
	}
	stats, err := checkPayload(r.Payload)
	if err == nil && stats.ops != int(r.Count) {
		err = errOpCount
	}
	if err != nil {
		l.bad[r.Slot] = append(l.bad[r.Slot], wal.Gap{Offset: r.Offset, Bytes: int64(len(r.Payload)), Err: err})
		return nil
	}
	ops := opReader{rest: bytes.Clone(r.Payload)}
	for seq := r.FirstSeqNum; ops.next(); seq++ {
		l.ops[r.Slot]++
		if ops.kind == keys.KindRangeDelete {
			s.out.addRanges([]sstable.Fragment{{Lower: ops.key, Upper: ops.value, Trailer: keys.MakeTrailer(seq, ops.kind)}}, true)
			continue
		}
		if ops.kind == keys.KindMerge {
			fold.SetTime(ops.value, int64(r.CommitTime))
		}
		l.entries = append(l.entries, logEntry{ops.key, keys.MakeTrailer(seq, ops.kind), ops.value})
		l.bytes += int64(len(ops.key) + len(ops.value) + 64)
	}
	if l.bytes > s.target.opts.MemoryBudget/4 {
		return s.spill()
	}
	return nil
}

// sortLog sorts what is in memory.
func (s *salvage) sortLog() error {
	l := &s.log
	slices.SortFunc(l.entries, func(a, b logEntry) int { return keys.Compare(a.key, a.trailer, b.key, b.trailer) })
	l.entries = slices.CompactFunc(l.entries, func(a, b logEntry) bool {
		return a.trailer == b.trailer && bytes.Equal(a.key, b.key)
	})
	l.at = -1
	return nil
}

// spill writes what is in memory to a table, which is a source like others from then on.
func (s *salvage) spill() error {
	if err := s.sortLog(); err != nil {
		return err
	}
	w := salvageWriter{d: s.target, env: s.out.env, whole: true}
	for _, e := range s.log.entries {
		if err := w.add(e.key, e.trailer, e.value); err != nil {
			w.abort()
			return err
		}
	}
	if err := w.finish(); err != nil {
		w.abort()
		return err
	}
	for _, name := range w.made {
		t := &salvageTable{s: s, name: name, spill: true}
		if err := t.survey(); err != nil {
			return err
		}
		s.tables = append(s.tables, t)
		s.out.temporary = append(s.out.temporary, name)
	}
	s.log.entries, s.log.bytes = nil, 0
	return nil
}

// dropSpills forgets what a reading of the log that came to nothing has spilled.
func (s *salvage) dropSpills() error {
	s.tables = slices.DeleteFunc(s.tables, func(t *salvageTable) bool { return t.spill })
	s.out.ranges = slices.DeleteFunc(s.out.ranges, func(f salvageRange) bool { return f.fromLog })
	return s.out.removeTemporary()
}

// listSegments enters the slots into the report: as remains describe them, or, after a
// replay that found nothing wrong, as the manifest lists them.
func (s *salvage) listSegments(remains []wal.SlotRemains) {
	l := &s.log
	if remains == nil {
		for _, seg := range s.segments() {
			remains = append(remains, wal.SlotRemains{Slot: seg.Slot, Segment: seg.Num, Bytes: seg.Bytes})
		}
	}
	listed := map[wal.SegmentNum]bool{}
	for _, seg := range s.segments() {
		listed[seg.Num] = true
	}
	for _, r := range remains {
		if r.Segment == 0 && len(r.Gaps) == 0 {
			continue // free, or another store's
		}
		f := SalvagedFile{Name: wal.SlotName(r.Slot), Bytes: r.Bytes, Entries: l.ops[r.Slot], Unlisted: !listed[r.Segment]}
		for _, g := range append(r.Gaps, l.bad[r.Slot]...) {
			loss := Loss{Offset: g.Offset, Bytes: g.Bytes, Err: g.Err}
			if g.Offset == 0 && g.Bytes > 0 && g.Bytes < r.Bytes {
				f.Damaged = append(f.Damaged, loss) // the header: records follow it
				continue
			}
			if errors.Is(g.Err, vfs.ErrNotExist) || g.Bytes == 0 && g.Offset == 0 {
				loss.Offset = -1
			}
			loss.OtherScopes = true
			f.Lost, f.EntriesLost = append(f.Lost, loss), -1
		}
		slices.SortFunc(f.Lost, func(a, b Loss) int { return int(min(max(a.Offset-b.Offset, -1), 1)) })
		l.files = append(l.files, f)
	}
}

// The log as a source of the merge.

func (l *salvageLog) next() bool {
	l.at++
	return l.at < len(l.entries)
}

func (l *salvageLog) key() []byte           { return l.entries[l.at].key }
func (l *salvageLog) trailer() keys.Trailer { return l.entries[l.at].trailer }
func (l *salvageLog) value() []byte         { return l.entries[l.at].value }
func (l *salvageLog) err() error            { return nil }
func (l *salvageLog) finish() error         { return nil }
