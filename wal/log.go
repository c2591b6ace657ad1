package wal

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// Log is a log that is open for writing. One goroutine at a time, the commit leader,
// calls Append, Reserve and Mark; every other method may be called at any time from any
// goroutine. Close comes after all of them.
type Log struct {
	// Constant after Open.
	o        Options
	mapped   bool
	overhead int64 // bytes of a tag where records are sealed
	most     int64 // how much of a payload one record takes

	// Owned by Append's caller.
	cur     *segment
	off     int64 // where the next record goes in cur, buffered ones counted
	buf     []byte
	bufOff  int64 // where buf goes in cur
	way     way   // how this group is written
	synced  bool  // all of this group went through O_DSYNC so far
	lastSeq keys.SeqNum
	claimAt uint64   // the value of durable that claim stands for
	claim   Position // what records of this group claim
	rotated bool     // since the preparer was last woken
	marked  uint64   // end of the last claim mark

	// Stream positions: bytes of the log since Open, counted so that a segment's first
	// record begins where its predecessor ended. durable <= end.
	end     atomic.Uint64
	durable atomic.Uint64
	current atomic.Uint64 // number of cur
	failure atomic.Pointer[error]
	// trigger is the offset in cur from which a spare is wanted. It is changed under mu,
	// and read by Append's caller without.
	trigger atomic.Int64

	syncedWrites atomic.Uint64 // counted by Append's caller
	gather       gather

	// changed is signalled when durable, the spares, busy or the failure change; wake when
	// the preparer may have work. Both use mu.
	changed, wake *sync.Cond
	mu            struct {
		sync.Mutex
		segs     []*segment // open: cur and its predecessors not yet retired, in order
		spares   []*segment // ready and registered, in order
		retired  []Segment  // closed but listed by the owner, in order
		slots    *slotSet   // used by the preparer only; the lock orders it for Close
		next     SegmentNum // of the next segment to prepare
		below    SegmentNum // segments with smaller numbers are obsolete
		syncing  bool
		wanted   int64 // bytes of records that Append's caller waits for in spares
		ahead    bool  // one spare is wanted
		attempts uint64
		lastTry  error // why the last preparation failed
		stopping bool
		closed   bool
		closeErr error
		syncs    uint64
	}
	preparerDone chan struct{}
}

// Open begins to write. first is the segment that the owner's synced manifest now
// lists as the last one, prev is Recovery.End, live is Recovery.Live, whose files have
// been synced by SyncSegments. The zero Link and no live segments begin a new store.
// Open takes first over when it succeeds.
func Open(o Options, first *Prepared, prev Link, live []Segment) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Register == nil {
		return nil, fmt.Errorf("%w: Register is nil", ErrInvalid)
	}
	if (first.seg.sealer != nil) != (o.NewCipher != nil) {
		return nil, fmt.Errorf("%w: NewCipher is another than that of PrepareFirst", ErrInvalid)
	}
	listed := append(append([]Segment(nil), live...), first.seg.Segment)
	slots, err := findSlots(o, listed)
	if err != nil {
		return nil, err
	}
	l := &Log{o: o, mapped: first.mapped, cur: first.seg, most: math.MaxInt64, lastSeq: prev.LastSeqNum, preparerDone: make(chan struct{})}
	if o.NewCipher != nil {
		l.overhead, l.most = seal.Overhead, maxSealed
	}
	l.gather.now = o.Now
	l.changed, l.wake = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	l.mu.slots, l.mu.next = slots, first.seg.Num+1
	l.mu.retired = append(l.mu.retired, live...)
	l.cur.prev = prev
	l.mu.segs = []*segment{l.cur}
	l.off, l.bufOff = headerSize, headerSize
	l.trigger.Store(triggerOf(l.cur))
	l.end.Store(headerSize)
	l.durable.Store(headerSize)
	l.current.Store(uint64(l.cur.Num))
	first.seg = nil
	go l.prepareAhead()
	return l, nil
}

// triggerOf is the offset from which on the next segment is prepared: early, because
// that takes longer than filling a small one, but not at once, so that a store that
// writes little never pays for a second segment.
func triggerOf(s *segment) int64 { return headerSize + s.Bytes/8 }

// Err returns the first failure, wrapped in ErrFailed; ErrClosed after Close; nil while
// the log works.
func (l *Log) Err() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail makes err the log's failure unless it has one, and returns that (W6).
func (l *Log) fail(op string, seg *segment, err error) error {
	err = fmt.Errorf("%w: %s %s (segment %d): %w", ErrFailed, op, slotPath(l.o.Dir, seg.Slot), seg.Num, err)
	return l.setFailure(err)
}

func (l *Log) setFailure(err error) error {
	if l.failure.CompareAndSwap(nil, &err) {
		l.o.Logger.Error("log failed", "err", err)
	}
	l.mu.Lock()
	l.changed.Broadcast()
	l.wake.Broadcast()
	l.mu.Unlock()
	return l.Err()
}

// Current returns the number of the segment that takes records now. What the leader
// appends from here on lies in it or in later ones.
func (l *Log) Current() SegmentNum { return SegmentNum(l.current.Load()) }

// DurableTo returns the position up to which the log is on disk.
func (l *Log) DurableTo() Position { return l.position(l.durable.Load()) }

// Durable reports whether the log is on disk up to p, which an Append of this log returned.
func (l *Log) Durable(p Position) bool { return l.durable.Load() >= p.stream }

// End returns the position after the last group.
func (l *Log) End() Position { return l.position(l.end.Load()) }

// position names a stream position at or above durable. The start of a segment is
// named as the end of its predecessor: that is what a record may claim, even if the
// segment's own first record is lost.
func (l *Log) position(at uint64) Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.mu.segs) - 1; i >= 0; i-- {
		if s := l.mu.segs[i]; at > s.streamStart() {
			return Position{Segment: s.Num, Offset: int64(at - s.base), stream: at}
		}
	}
	if len(l.mu.segs) == 0 {
		return Position{stream: at} // closed
	}
	prev := l.mu.segs[0].prev
	return Position{Segment: prev.Num, Offset: prev.Length, stream: at}
}

// Obsolete tells that the owner's synced manifest lists no segment below min any
// more. Their slots are used again or removed.
func (l *Log) Obsolete(min SegmentNum) {
	l.mu.Lock()
	l.mu.below = max(l.mu.below, min)
	l.wake.Broadcast()
	l.mu.Unlock()
}

// Stats counts what the log holds and did.
type Stats struct {
	// Segments are those in use, spares included, and Bytes their length.
	Segments int
	Bytes    int64
	// FreeSlots are slot files that wait for their next use.
	FreeSlots int
	// Syncs counts file syncs of commits, background ones included, and SyncedWrites the
	// writes that were durable by themselves.
	Syncs, SyncedWrites uint64
}

// Stats returns the present figures.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{FreeSlots: len(l.mu.slots.free), Syncs: l.mu.syncs, SyncedWrites: l.syncedWrites.Load()}
	add := func(seg Segment) { s.Segments++; s.Bytes += seg.Bytes }
	for _, seg := range l.mu.retired {
		add(seg)
	}
	for _, seg := range l.mu.segs {
		add(seg.Segment)
	}
	for _, seg := range l.mu.spares {
		add(seg.Segment)
	}
	return s
}

// Close syncs the log, marks it as cleanly closed and releases its files. No other
// method may run beside it. A failed log is released without a mark, and Close returns
// the failure. It is idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.mu.closed {
		err := l.mu.closeErr
		l.mu.Unlock()
		return err
	}
	l.mu.closed, l.mu.stopping = true, true
	l.wake.Broadcast()
	l.changed.Broadcast()
	l.mu.Unlock()
	<-l.preparerDone

	err := l.Err()
	if err == nil {
		err = l.finish()
	}
	l.mu.Lock()
	open := append(l.mu.segs, l.mu.spares...)
	l.mu.segs, l.mu.spares = nil, nil
	l.mu.Unlock()
	for _, s := range open {
		if cerr := s.close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}
	l.failure.CompareAndSwap(nil, &errClosed)
	l.mu.Lock()
	l.mu.closeErr = err
	l.mu.Unlock()
	return err
}

var errClosed = ErrClosed

// finish syncs everything and appends the close record, synced.
func (l *Log) finish() error {
	if err := l.syncTo(l.end.Load(), true); err != nil {
		return err
	}
	if err := l.appendClose(); err != nil {
		return err
	}
	return l.syncTo(l.end.Load(), true)
}
