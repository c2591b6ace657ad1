package lsm

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/keys"
)

// Snapshot is the store as it was at one moment. It never changes, and costs nothing
// while it lives but the versions that compaction keeps for it. It may be used from
// any number of goroutines and must be closed, when none of them uses it any more.
type Snapshot struct {
	db  *DB
	seq keys.SeqNum
	at  int64 // the time at which it judges what expires: ttl.go

	closeOnce sync.Once
	closed    atomic.Bool
}

// NewSnapshot returns the store as of now.
func (d *DB) NewSnapshot() (*Snapshot, error) {
	if err := d.hold(); err != nil {
		return nil, err
	}
	s := &Snapshot{db: d}
	s.seq, s.at = d.snapshots.add(d)
	return s, nil
}

// Get returns the value that key had, as a copy, or ErrNotFound.
func (s *Snapshot) Get(key []byte) ([]byte, error) { return s.AppendGet(nil, key) }

// AppendGet appends the value that key had to dst, or returns dst and ErrNotFound.
func (s *Snapshot) AppendGet(dst, key []byte) ([]byte, error) {
	if s.closed.Load() {
		return dst, ErrClosed
	}
	v, _, err := s.db.getEntry(dst, rootPrefix, key, s.seq, s.at)
	return v, err
}

// NewIter returns an iterator over the snapshot, which must outlive it.
func (s *Snapshot) NewIter(o *IterOptions) (*Iterator, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	return s.db.newIterAt(rootKeys, o, s.seq, s.at)
}

// Close ends the snapshot. It is idempotent.
func (s *Snapshot) Close() error {
	s.closeOnce.Do(func() {
		s.closed.Store(true)
		s.db.snapshots.remove(s.seq, s.at)
		if s.seq != s.db.visible.load() || s.at != s.db.readTime() {
			s.db.compactor.wake() // what the snapshot kept may be dropped now; else there is nothing newer
		}
		s.db.reaper.snapshotClosed()
		s.db.release()
	})
	return nil
}

// snapshotList is the multiset of the numbers and times of the open snapshots.
type snapshotList struct {
	mu    sync.Mutex
	seqs  []keys.SeqNum // ascending
	times []int64       // of each; ascending but for those without one
}

// add registers a snapshot of what is visible now. Reading the number, then the time, and
// registering them are one step for list: a snapshot is either in a compaction's list, or sees
// all that its inputs hold, at its time or later (E2).
func (l *snapshotList) add(d *DB) (keys.SeqNum, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := d.visible.load()
	at := d.readTime()
	l.seqs, l.times = append(l.seqs, seq), append(l.times, at) // visible never goes back: the list stays sorted
	return seq, at
}

func (l *snapshotList) remove(seq keys.SeqNum, at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearch(l.seqs, seq)
	for ; i < len(l.seqs) && l.seqs[i] == seq; i++ {
		if l.times[i] == at {
			l.seqs, l.times = slices.Delete(l.seqs, i, i+1), slices.Delete(l.times, i, i+1)
			return
		}
	}
}

// list returns the numbers, ascending, each once.
func (l *snapshotList) list() []keys.SeqNum {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Compact(slices.Clone(l.seqs))
}

func (l *snapshotList) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seqs)
}
