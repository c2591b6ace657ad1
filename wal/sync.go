package wal

import (
	"errors"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/mutant"
)

// Sync returns nil once the log is durable up to the given position, which an Append
// of this log returned. Any goroutine may call it, and all that wait share one sync of
// the file. After a failure of the log it returns that failure, whatever the position;
// after Close it returns nil for what is durable and ErrClosed for anything else.
func (l *Log) Sync(upTo Position) error { return l.syncTo(upTo.stream, false) }

// syncTo makes the log durable up to a stream position. closing is true for Close,
// which alone may do so after it has begun.
//
// Only one sync of a file runs at a time. Two at once would be faster on some devices,
// but a device error is reported to one caller of a descriptor only, and the other
// would take it for a success.
func (l *Log) syncTo(upTo uint64, closing bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		err := l.Err()
		if err != nil && err != ErrClosed {
			return err
		}
		if l.durable.Load() >= upTo {
			return nil // after Close as well, which has made everything durable
		}
		if err != nil || l.mu.closed && !closing {
			return ErrClosed
		}
		if cur := l.mu.segs[len(l.mu.segs)-1]; !closing {
			cur.awaited = true
		}
		if !l.mu.syncing {
			break
		}
		l.changed.Wait()
	}
	l.mu.syncing = true
	l.mu.Unlock()
	l.gather.wait()
	l.mu.Lock()
	// The target is sampled before the sync: what is appended from here on is not
	// covered (W3). Earlier segments come first, so that durable covers a prefix.
	carried, began := l.gather.begin()
	target := l.end.Load()
	segs := l.unsyncedLocked(target)
	if upTo < target && len(segs) > 1 && segs[len(segs)-1].streamStart() >= upTo {
		// The preparer wants the segment left behind, not the one in use.
		target = segs[len(segs)-1].streamStart()
		segs = segs[:len(segs)-1]
	}
	l.mu.Unlock()
	err := l.syncSegments(segs)
	if err == nil && upTo > target {
		err = errBeyondEnd
	}
	l.mu.Lock()
	l.gather.end(carried, began)
	l.mu.syncing = false
	l.mu.syncs += uint64(len(segs))
	if err == nil {
		l.advanceLocked(target)
	}
	l.changed.Broadcast()
	return err
}

// errBeyondEnd answers a Sync of a position that this log never returned.
var errBeyondEnd = errors.New("wal: sync beyond the end of the log")

// unsyncedLocked returns the open segments that hold something below target and not
// durable yet. The caller holds mu. Obsolete segments are left out: no recovery reads
// them, so that what they hold counts as durable where it is now.
func (l *Log) unsyncedLocked(target uint64) []*segment {
	durable := l.durable.Load()
	from := 0
	for from < len(l.mu.segs)-1 && (l.mu.segs[from].streamEnd() <= durable || l.mu.segs[from].Num < l.mu.below) {
		from++
	}
	to := from
	for to < len(l.mu.segs) && l.mu.segs[to].streamStart() < target {
		to++
	}
	return append([]*segment(nil), l.mu.segs[from:to]...)
}

func (l *Log) syncSegments(segs []*segment) error {
	for _, s := range segs {
		// Killed by TestCrashAtEveryOperation.
		if mutant.Enabled && mutant.Is(mutant.SkipWALSync) {
			continue
		}
		err := s.file.Sync()
		// Both killed by TestFailedSyncIsFinal.
		if mutant.Enabled && err != nil && mutant.Is(mutant.RetrySync) {
			err = s.file.Sync()
		}
		if mutant.Enabled && mutant.Is(mutant.IgnoreSyncError) {
			err = nil
		}
		if err != nil {
			return l.fail("sync", s, err)
		}
	}
	return nil
}

// advance makes durable at least upTo.
func (l *Log) advance(upTo uint64) {
	l.mu.Lock()
	l.advanceLocked(upTo)
	l.changed.Broadcast()
	l.mu.Unlock()
}

// advanceLocked is advance for a caller that holds mu and signals changed.
func (l *Log) advanceLocked(upTo uint64) {
	if upTo > l.durable.Load() {
		l.durable.Store(upTo)
		if l.behindLocked() != nil {
			l.wake.Broadcast()
		}
	}
	if invariants.Enabled && l.durable.Load() > l.end.Load() {
		panic("wal: durable passes the end of the log")
	}
}
