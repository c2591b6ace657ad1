package lsm

import (
	"iter"

	"github.com/loamdb/loam/internal/keys"
)

// Entry is a key with its value, as Scan yields them. Both slices are valid until the
// loop's next step and must not be changed.
type Entry struct {
	// Key and Value are what was Set.
	Key, Value []byte
}

// Scan yields the entries of [lower, upper) in order, as of the first step. nil means
// no bound. An error is yielded once, with a zero Entry, and ends the loop; but what Iterator.Unreadable tells
// comes with the key of an entry whose value nobody can read, and the loop may go on.
//
//	for e, err := range db.Scan([]byte("a"), []byte("b")) {
//		if err != nil {
//			return err
//		}
//		fmt.Printf("%s = %s\n", e.Key, e.Value)
//	}
func (d *DB) Scan(lower, upper []byte) iter.Seq2[Entry, error] {
	return d.scan(lower, upper, keys.MaxSeqNum, atRead, false)
}

// ScanReverse yields what Scan yields, last entry first.
func (d *DB) ScanReverse(lower, upper []byte) iter.Seq2[Entry, error] {
	return d.scan(lower, upper, keys.MaxSeqNum, atRead, true)
}

// Scan yields the entries that [lower, upper) held, in order, as DB.Scan does.
func (s *Snapshot) Scan(lower, upper []byte) iter.Seq2[Entry, error] {
	return s.scan(lower, upper, false)
}

// ScanReverse yields what Scan yields, last entry first.
func (s *Snapshot) ScanReverse(lower, upper []byte) iter.Seq2[Entry, error] {
	return s.scan(lower, upper, true)
}

func (s *Snapshot) scan(lower, upper []byte, reverse bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if s.closed.Load() { // at the first step, which may come much later than the call
			yield(Entry{}, ErrClosed)
			return
		}
		s.db.scan(lower, upper, s.seq, s.at, reverse)(yield)
	}
}

func (d *DB) scan(lower, upper []byte, seq keys.SeqNum, at int64, reverse bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it, err := d.newIterAt(rootKeys, &IterOptions{LowerBound: lower, UpperBound: upper}, seq, at)
		walk(it, err, reverse, yield)
	}
}

// walk yields what a new iterator passes, or the error of making it, and closes it.
func walk(it *Iterator, err error, reverse bool, yield func(Entry, error) bool) {
	if err != nil {
		yield(Entry{}, err)
		return
	}
	defer it.Close() // its error is it.err, yielded below
	step := it.Next
	if reverse {
		step = it.Prev
	}
	for step() {
		e, err := Entry{Key: it.Key()}, it.Unreadable()
		if err == nil {
			e.Value = it.Value()
		}
		if it.err != nil {
			break // of a value in a blob file
		}
		if !yield(e, err) {
			return
		}
	}
	if it.err != nil {
		yield(Entry{}, it.err)
	}
}
