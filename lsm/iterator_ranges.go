package lsm

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
)

// An iterator and range tombstones. It remembers the window around its place within which
// the same tombstone is the newest: to know whether an entry is deleted then costs two
// comparisons. Older sources than the tombstone's are taken past the window at once; what
// they hold in it is not visited.

// openRanges collects the sources that have range tombstones and reports whether what it
// found is exact for the iterator's number, as it is for a snapshot's.
func (it *Iterator) openRanges(latest bool) bool {
	s := it.state
	it.window.known = false
	add := func(age int, r rangeSource) {
		r.age = age
		it.ranges = append(it.ranges, r)
	}
	if set := s.mutable.ranges.Load(); set != nil {
		if latest && it.seq < set.ExactFrom() {
			return false
		}
		add(0, rangeSource{mem: set})
	}
	for i, m := range s.frozen {
		if set := m.ranges.Load(); set != nil {
			add(1+i, rangeSource{mem: set})
		}
	}
	for i := range s.version.runs {
		if tables := s.version.runs[i].ranged; tables != nil {
			add(1+len(s.frozen)+i, rangeSource{run: tables})
		}
	}
	return true
}

// covering returns the number of the newest tombstone over key. False: an error ended the
// iteration.
func (it *Iterator) covering(key []byte) (keys.SeqNum, bool) {
	w := &it.window
	if w.known && (w.upper == nil || bytes.Compare(key, w.upper) < 0) && (w.lower == nil || bytes.Compare(key, w.lower) >= 0) {
		return w.newest, true
	}
	*w = rangeWindow{known: true}
	for i := range it.ranges {
		r := &it.ranges[i]
		newest, lower, upper, err := r.at(key, it.seq)
		if err != nil {
			return 0, it.fail(err)
		}
		if newest > w.newest {
			w.newest, w.age = newest, r.age
		}
		if lower != nil && (w.lower == nil || bytes.Compare(lower, w.lower) > 0) {
			w.lower = lower
		}
		if upper != nil && (w.upper == nil || bytes.Compare(upper, w.upper) < 0) {
			w.upper = upper
		}
	}
	return w.newest, true
}

// isDeleted reports whether a range tombstone deletes the entry at which s, the front of
// the merge, stands, and if so moves on. ok is false if an error ended the iteration.
func (it *Iterator) isDeleted(s *source) (gone, ok bool) {
	newest, ok := it.covering(s.key)
	if !ok || s.trailer.SeqNum() > newest {
		return false, ok
	}
	if s.age <= it.window.age {
		return true, it.advance(s) // it may hold newer entries in the window
	}
	if it.forward {
		to := it.window.upper
		if to == nil || bytes.Compare(to, it.upper) > 0 {
			to = it.upper
		}
		return true, it.leap(s, s.seekGE(to, keys.SeekTrailer(keys.MaxSeqNum)))
	}
	to := it.window.lower
	if to == nil || bytes.Compare(to, it.lower) < 0 {
		to = it.lower
	}
	return true, it.leap(s, s.seekLT(to))
}

// leap ends a seek of the front source.
func (it *Iterator) leap(s *source, valid bool) bool {
	if !it.merge.moved(valid) && s.err() != nil {
		return it.fail(it.db.tableError(s.err()))
	}
	return true
}
