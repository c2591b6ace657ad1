package wal

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// Reserve makes sure that a group of the given number of batches with the given bytes
// of payload in all finds its segments ready, so that lack of space is met before the
// group's numbers are given out. It is for Append's caller. An error that matches
// ErrUnready may be retried when its cause is gone.
func (l *Log) Reserve(payload int64, batches int) error {
	if err := l.Err(); err != nil {
		return err
	}
	need := payload + int64(batches)*(recordHeaderSize+l.overhead+recordAlign-1) + l.splitting(payload)
	if need <= l.room() {
		return nil
	}
	return l.ensure(need)
}

// ensure waits until the spares, with what is left of the current segment, take need
// bytes of records. One failed attempt to prepare may have begun before space returned;
// two in a row say that there is none.
func (l *Log) ensure(need int64) error {
	need -= max(0, l.room()-crossing)
	l.mu.Lock()
	defer l.mu.Unlock()
	for failures := 0; ; {
		if err := l.Err(); err != nil {
			return err
		}
		if l.mu.closed {
			return ErrClosed
		}
		if l.spareRoomLocked() >= need {
			l.mu.wanted = 0
			return nil
		}
		tries := l.mu.attempts
		l.mu.wanted = need
		l.wake.Broadcast()
		for l.mu.attempts == tries && l.Err() == nil && !l.mu.closed {
			l.changed.Wait()
		}
		if l.mu.lastTry == nil {
			continue
		}
		if failures++; failures == 2 {
			l.mu.wanted = 0
			return fmt.Errorf("%w: %w", ErrUnready, l.mu.lastTry)
		}
	}
}

// Leave makes the next record go into a segment above num, so that what was appended before lies
// in segments that can be dropped, and so that none of those up to num, spares included, takes
// anything more. A segment that is left unused has its link alone. It is for Append's caller.
// An error that matches ErrUnready may be retried when its cause is gone; the log may have left
// some segments then.
func (l *Log) Leave(num SegmentNum) error {
	for l.cur.Num <= num {
		// Killed by TestLeftSegmentsTakeNothingMore.
		if mutant.Enabled && mutant.Is(mutant.LeaveOneSegment) {
			num = l.cur.Num
		}
		if err := l.ensureSpare(); err != nil {
			return err
		}
		l.begin(NoSync)
		if l.off == headerSize {
			if err := l.emitLink(); err != nil {
				return err
			}
		}
		if err := l.rotate(); err != nil {
			return err
		}
		if _, err := l.commit(); err != nil {
			return err
		}
	}
	return l.Err()
}

// ensureSpare waits until there is a spare, as ensure does.
func (l *Log) ensureSpare() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for failures := 0; len(l.mu.spares) == 0; {
		tries := l.mu.attempts
		l.mu.ahead = true
		l.wake.Broadcast()
		for l.mu.attempts == tries && l.Err() == nil && !l.mu.closed {
			l.changed.Wait()
		}
		switch {
		case l.Err() != nil:
			return l.Err()
		case l.mu.closed:
			return ErrClosed
		case l.mu.lastTry == nil:
			continue
		}
		if failures++; failures == 2 {
			return fmt.Errorf("%w: %w", ErrUnready, l.mu.lastTry)
		}
	}
	return nil
}

// spareRoomLocked is how many bytes of records the spares take at least, however the
// batches fall.
func (l *Log) spareRoomLocked() int64 {
	n := int64(0)
	for _, s := range l.mu.spares {
		n += freshRoom(s) - crossing
	}
	return n
}

// prepareAhead is the preparer: the one goroutine that readies segments, syncs and
// closes those left behind, and removes slot files in excess.
func (l *Log) prepareAhead() {
	defer close(l.preparerDone)
	var pending *segment // prepared, its registration still to be repeated
	for {
		job := l.nextJob()
		switch job {
		case jobStop:
			if pending != nil {
				if err := pending.close(); err != nil {
					l.o.Logger.Warn("close of an unused log segment", "err", err)
				}
			}
			return
		case jobSync:
			l.syncBehind()
		case jobRemove:
			l.removeExcess()
		case jobPrepare:
			pending = l.prepareSpare(pending)
		}
	}
}

type job uint8

const (
	jobStop job = iota
	jobSync
	jobRemove
	jobPrepare
)

// nextJob waits for work. What a commit may be waiting for comes first.
func (l *Log) nextJob() job {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.mu.stopping || l.Err() != nil:
			return jobStop
		case l.mu.wanted > 0 && l.spareRoomLocked() < l.mu.wanted:
			return jobPrepare
		case l.mu.ahead && len(l.mu.spares) == 0:
			return jobPrepare
		case l.behindLocked() != nil:
			return jobSync
		case l.obsoleteLocked() || len(l.mu.slots.free) > keepFree:
			return jobRemove
		}
		l.wake.Wait()
	}
}

// behindLocked returns the oldest open segment if the log has gone on from it, all its
// groups are committed, and it can be retired: it is durable, or obsolete, or somebody
// has waited for a sync while it was current and is likely to do so again. In a log that
// nobody syncs it stays: its owner drops it soon, and writing 64 MiB to the device for
// nothing would slow everything down.
func (l *Log) behindLocked() *segment {
	s := l.mu.segs[0]
	if s.length == 0 || s.streamEnd() > l.end.Load() {
		return nil
	}
	if s.awaited || s.Num < l.mu.below || s.streamEnd() <= l.durable.Load() {
		return s
	}
	return nil
}

// syncBehind retires the oldest segment, synced unless it is obsolete. A segment is
// closed only here, where nothing uses it any more: Append has gone on, and no sync
// that includes it runs.
func (l *Log) syncBehind() {
	l.mu.Lock()
	s := l.behindLocked()
	obsolete := s != nil && s.Num < l.mu.below
	l.mu.Unlock()
	if s == nil || !obsolete && l.syncTo(s.streamEnd(), true) != nil {
		return // the failure is the log's and ends the preparer
	}
	l.mu.Lock()
	for l.mu.syncing {
		l.changed.Wait()
	}
	l.mu.segs = l.mu.segs[1:]
	l.mu.retired = append(l.mu.retired, s.Segment)
	l.advanceLocked(s.streamEnd())
	l.changed.Broadcast()
	l.mu.Unlock()
	if err := s.close(); err != nil {
		_ = l.setFailure(fmt.Errorf("%w: %w", ErrFailed, err))
	}
}

// obsoleteLocked reports whether a retired segment's slot can be freed.
func (l *Log) obsoleteLocked() bool {
	return len(l.mu.retired) > 0 && l.mu.retired[0].Num < l.mu.below
}

// removeExcess frees the slots of obsolete segments and removes one free slot's file
// if there are too many.
func (l *Log) removeExcess() {
	l.mu.Lock()
	for l.obsoleteLocked() {
		seg := l.mu.retired[0]
		l.mu.retired = l.mu.retired[1:]
		l.mu.slots.put(freeSlot{slot: seg.Slot, proven: seg.Bytes, uid: seg.UID})
	}
	slot, ok := l.mu.slots.excess()
	l.mu.Unlock()
	if !ok {
		return
	}
	if err := removeFile(l.o, slot); err != nil {
		// The name stays taken until the next Open: nothing depends on it.
		l.o.Logger.Warn("removal of a log slot", "err", err)
		return
	}
	l.mu.Lock()
	l.mu.slots.forget(slot)
	l.mu.Unlock()
}

// prepareSpare readies and registers one segment. It returns the segment if only its
// registration is left to be repeated.
func (l *Log) prepareSpare(pending *segment) *segment {
	seg, err := pending, error(nil)
	if seg == nil {
		seg, err = l.readySlot()
	}
	if err == nil && l.Err() != nil {
		return seg // nothing is registered, nor written, for a log that has failed
	}
	if err == nil {
		if err = l.o.Register(seg.Segment); err == nil {
			l.prepared(seg)
			return nil
		}
		err = fmt.Errorf("wal: register segment %d: %w", seg.Num, err)
	}
	switch {
	case errors.Is(err, errStopped):
		return nil
	case seg != nil && !errors.Is(err, vfs.ErrNoSpace), seg == nil && !retryable(err):
		_ = l.setFailure(fmt.Errorf("%w: %w", ErrFailed, err))
		return seg
	}
	l.o.Logger.Warn("no log segment prepared", "err", err)
	l.mu.Lock()
	l.mu.attempts++
	l.mu.lastTry, l.mu.ahead, l.mu.wanted = err, false, 0
	l.triggerAgainLocked()
	l.changed.Broadcast()
	l.mu.Unlock()
	return seg
}

// triggerAgainLocked asks for the next try at a spare once another eighth of the current
// segment is full: not at every commit, while the cause lasts, and not as late as a commit
// that has to wait for it.
func (l *Log) triggerAgainLocked() {
	cur := l.mu.segs[len(l.mu.segs)-1]
	l.trigger.Store(int64(l.end.Load()-cur.base) + cur.Bytes/8)
}

// prepared adds a spare.
func (l *Log) prepared(seg *segment) {
	l.mu.Lock()
	l.mu.spares = append(l.mu.spares, seg)
	l.mu.attempts++
	l.mu.lastTry, l.mu.ahead = nil, false
	l.changed.Broadcast()
	l.mu.Unlock()
}

// readySlot prepares a segment in a free slot.
func (l *Log) readySlot() (*segment, error) {
	l.mu.Lock()
	slot := l.mu.slots.take()
	num := l.mu.next
	last := l.mu.segs[len(l.mu.segs)-1]
	if n := len(l.mu.spares); n > 0 {
		last = l.mu.spares[n-1]
	}
	l.mu.Unlock()
	p := preparation{
		o: l.o, mapped: l.mapped, num: num, want: min(max(2*last.Bytes, l.o.MinSegmentBytes), l.o.MaxSegmentBytes),
		stop: func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.mu.stopping || l.Err() != nil
		},
	}
	seg, err := p.run(slot)
	if err == nil {
		l.mu.Lock()
		l.mu.next++
		l.mu.Unlock()
		return seg, nil
	}
	if errors.Is(err, errStopped) && (!slot.fresh || l.Err() != nil) {
		return nil, err // what is there of a header still tells what of it is written
	}
	// What a failed write left in the slot is not trusted: its name is used again only by
	// a new file.
	if rerr := removeFile(l.o, slot); rerr != nil {
		l.o.Logger.Warn("removal of a log slot", "err", rerr)
		return nil, err
	}
	l.mu.Lock()
	l.mu.slots.forget(slot)
	l.mu.Unlock()
	return nil, err
}
