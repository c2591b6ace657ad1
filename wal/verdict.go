package wal

import (
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// Verdict is what a recovery found at the end of the log.
type Verdict uint8

// Verdicts.
const (
	// Clean: the log was closed, and nothing was written since.
	Clean Verdict = iota
	// Unclosed: the log ends with a whole batch and no close record; no trace of a
	// further one was found.
	Unclosed
	// TornTail: records were written after the end, never synced, and are lost in part
	// or whole.
	TornTail
)

// String returns the verdict as messages print it.
func (v Verdict) String() string {
	switch v {
	case Clean:
		return "clean"
	case Unclosed:
		return "unclosed"
	case TornTail:
		return "torn tail"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Recovery is what Replay found. The caller owns its slices.
type Recovery struct {
	// Verdict and LostBytes say how the log ended. LostBytes counts the unsynced bytes
	// discarded, as far as surviving record headers show.
	Verdict   Verdict
	LostBytes int64
	// End is where the log ends. Open takes it as the predecessor of the first segment.
	End Link
	// Synced is the greatest position that a record claims to be synced. What lies
	// between it and End was read, but may be nowhere but in memory.
	Synced Position
	// LastSeqNum is the last sequence number of the log; LastTime the greatest commit
	// time, in unix ms. Zero if there is none.
	LastSeqNum keys.SeqNum
	LastTime   uint64
	// Live are the segments that hold batches; the manifest must go on to list them.
	// Discarded are the others that were listed: what lies after the end, and segments
	// without any batch. The manifest must drop them before Open.
	Live, Discarded []Segment
}

// batch handles one record of a batch: it delivers a whole one, or collects fragments.
// cause says that the record does not belong here.
func (r *replayer) batch(i int, off int64, rec *record, payload []byte) (cause, err error) {
	if rec.count == 0 || rec.last() > keys.MaxSeqNum {
		return nil, r.corrupt(i, off, errSequence)
	}
	switch rec.fragment {
	case fragFull, fragFirst:
		if r.open.active {
			return errFragment, nil
		}
		if rec.first <= r.lastSeq {
			return nil, r.corrupt(i, off, errSequence)
		}
		if rec.fragment == fragFull {
			return nil, r.deliver(i, i, off, rec, payload)
		}
		r.open = openBatch{active: true, index: i, off: off, head: *rec, payload: append(r.open.payload[:0], payload...)}
		return nil, nil
	}
	if !r.open.active {
		// The first listed segment may go on with a batch that began in one that the
		// owner has dropped: the batch is in its tables.
		if i != 0 || off != headerSize+r.starts[0].size {
			return errFragment, nil
		}
		r.open = openBatch{active: true, skip: true, index: i, off: off, head: *rec, payload: r.open.payload[:0]}
	}
	b := &r.open
	if rec.first != b.head.first || rec.count != b.head.count || rec.time != b.head.time {
		return errFragment, nil
	}
	if !b.skip {
		b.payload = append(b.payload, payload...)
	}
	if rec.fragment == fragMiddle {
		return nil, nil
	}
	b.active = false
	if b.skip {
		r.lastSeq, r.lastTime = rec.last(), max(r.lastTime, rec.time)
		return nil, nil
	}
	return nil, r.deliver(b.index, i, b.off, &b.head, b.payload)
}

// deliver hands a batch, which begins at off of segment from and lies in segments from to
// i, to the owner.
func (r *replayer) deliver(from, i int, off int64, rec *record, payload []byte) error {
	r.lastSeq = rec.last()
	r.lastTime = max(r.lastTime, rec.time)
	for j := from; j <= i; j++ {
		r.starts[j].batches = true
	}
	return r.fn(Record{
		Segment: r.live[from].Num, Slot: r.live[from].Slot, Offset: off, FirstSeqNum: rec.first, Count: rec.count, CommitTime: rec.time, Payload: payload,
	})
}

// end judges the end of the log, which the scan met in segment i, and describes it.
func (r *replayer) end(i int, st stop) (Recovery, error) {
	at, off := i, st.off
	if r.open.active {
		at, off = r.open.index, r.open.off
	}
	lost, err := r.lookPast(i, st)
	if err != nil {
		return Recovery{}, err
	}
	// Killed by TestDamageBelowAClaimIsCorruption.
	believe := !mutant.Enabled || !mutant.Is(mutant.CutAboveClaim)
	// Everything up to the stop is there, though a batch that goes on behind it is cut at
	// its beginning: of a batch over two segments, the first may be synced and claimed
	// when it is left, and the rest never.
	stopped := Position{Segment: r.live[i].Num, Offset: st.off}
	if stopped.less(r.claimed) && believe {
		cause := st.cause
		if cause == nil {
			cause = errHole
		}
		return Recovery{}, r.corrupt(i, st.off, fmt.Errorf("%w: %w", errHole, cause))
	}
	rec := Recovery{
		LastSeqNum: r.lastSeq, LastTime: r.lastTime, Verdict: Unclosed,
	}
	if r.closed != 0 && uint64(r.live[len(r.live)-1].Num) <= r.closed {
		rec.Verdict = Clean
	}
	for j := at; j < len(r.live); j++ {
		begin := int64(headerSize)
		if j == at {
			begin = off
		}
		rec.LostBytes += max(0, r.starts[j].furthest-begin)
	}
	if lost || rec.LostBytes > 0 {
		rec.Verdict = TornTail
	}
	r.divide(&rec, at, off)
	return rec, nil
}

// lookPast searches what lies after the stop for records and their claims. found
// reports whether there was any.
func (r *replayer) lookPast(i int, st stop) (found bool, err error) {
	for j := i; j < len(r.live); j++ {
		off := int64(headerSize)
		switch {
		case j == i && st.closed != 0:
			continue // the log was closed here: nothing was ever written after it
		case j == i:
			off = st.off
		case uint64(r.live[j].Num) <= st.closed:
			continue // prepared, and never used, by the process that closed the log
		}
		f, err := r.openSegment(j)
		if err != nil {
			return false, err
		}
		r.scan.reset(f, r.live[j], nil)
		err = r.scan.lookPast(off, func(at int64, rec *record) {
			found = true
			r.starts[j].furthest = max(r.starts[j].furthest, at+recordSize(int64(rec.payloadLen)))
			if c := rec.claim(r.live[j].Num); r.claimed.less(c) {
				r.claimed = c
			}
		})
		_ = f.Close() // read only: nothing can be lost
		if err != nil {
			return false, r.damaged(j, off, err)
		}
	}
	return found, nil
}

// divide fills End, Live and Discarded. The log ends at off of segment at.
// Segments without a batch at either side are not kept: a store that is only opened
// and closed must not collect them.
func (r *replayer) divide(rec *Recovery, at int, off int64) {
	first, last := -1, -1
	for j := 0; j <= at; j++ {
		if r.starts[j].batches {
			if first < 0 {
				first = j
			}
			last = j
		}
	}
	for j, seg := range r.live {
		if first >= 0 && j >= first && j <= last {
			rec.Live = append(rec.Live, seg)
		} else {
			rec.Discarded = append(rec.Discarded, seg)
		}
	}
	switch {
	case last < 0:
		rec.End = r.starts[0].link
	case last < at:
		rec.End = r.starts[last+1].link
	default:
		rec.End = Link{Num: r.live[at].Num, UID: r.live[at].UID, Length: off}
	}
	rec.End.LastSeqNum = r.lastSeq
	rec.Synced = r.claimed
}
