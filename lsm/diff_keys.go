package lsm

import (
	"bytes"
	"errors"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable"
)

// errStopped: the caller's loop has ended. It does not leave the package.
var errStopped = errors.New("lsm: stopped")

// differ walks what has changed between two numbers, one range of keys after the other. An
// entry with a number above the lower one can only be in a table and in a block with such a
// number, so that the others are left out; the newest one of a key is right whatever those
// hold, for all of it is older. From 0 on nothing is left out, and what it shows are the
// entries that there are.
type differ struct {
	v        *diffView
	from, to keys.SeqNum
	sources  []source
	runs     []sstable.RunIter
	merge    merger
	ranges   []rangeSource
	window   rangeWindow // around the last key that was asked for
	key      []byte      // the last key that nextPoint has looked at
	chain    fold.Chain  // its versions, where they are to be folded
	folded   []byte
	begun    bool // it has looked at one
}

// delta is one change within a range of keys, in internal keys.
type delta struct {
	kind       ChangeKind
	key, upper []byte
	value      []byte
	expires    int64 // milliseconds since 1970; 0: never
	seq        keys.SeqNum
	err        error // why the value cannot be opened, or nil
}

// newDiffer returns a differ, which must be closed. It opens tables that have range
// tombstones of its time.
func (v *diffView) newDiffer(from keys.SeqNum) (*differ, error) {
	f := &differ{v: v, from: from, to: v.to, ranges: v.ranges[:len(v.ranges):len(v.ranges)]}
	for _, m := range v.memtables() {
		f.sources = append(f.sources, source{isMem: true, mem: m.Iter(), age: len(f.sources)})
	}
	f.runs = make([]sstable.RunIter, len(v.state.version.runs))
	for i := range v.state.version.runs {
		tables, ranged, err := f.tablesOf(&v.state.version.runs[i])
		if err != nil {
			return nil, err
		}
		age := len(f.sources)
		if len(ranged) > 0 {
			f.ranges = append(f.ranges, rangeSource{age: age, run: ranged})
		}
		f.runs[i].Init(tables, sstable.IterOptions{Above: from})
		f.sources = append(f.sources, source{run: &f.runs[i], age: age})
	}
	return f, nil
}

// tablesOf returns the tables of a run that may hold an entry of the time, and those that
// have a range tombstone of it.
func (f *differ) tablesOf(r *run) (tables []sstable.RunTable, ranged []*table, err error) {
	for i, t := range r.tables {
		if t.meta.MaxSeqNum <= f.from || t.meta.MinSeqNum > f.to {
			continue
		}
		tables = append(tables, r.sources[i])
		if t.meta.RangeDeletes == 0 || mutant.Enabled && mutant.Is(mutant.DiffWithoutRanges) {
			continue
		}
		reader, err := t.open()
		if err != nil {
			return nil, nil, err
		}
		if reader.Properties().Ranges.Max > f.from {
			ranged = append(ranged, t)
		}
	}
	return tables, ranged, nil
}

// close ends a differ, which may be nil.
func (f *differ) close() {
	if f == nil {
		return
	}
	for i := range f.sources {
		_ = f.sources[i].close() // errors were met
	}
}

// seek puts every source at its first entry at or after key.
func (f *differ) seek(key []byte) error {
	for i := range f.sources {
		if s := &f.sources[i]; !s.seekGE(key, keys.SeekTrailer(keys.MaxSeqNum)) && s.err() != nil {
			return f.v.db.tableError(s.err())
		}
	}
	f.merge.build(f.sources, false)
	f.begun = false
	return nil
}

// within calls emit for the changes of [lower, upper), in the order of their keys, until it
// returns false: then the error is errStopped. What emit is given is valid during the call.
func (f *differ) within(lower, upper []byte, emit func(*delta) bool) error {
	return f.withinFrom(lower, lower, upper, emit)
}

// withinFrom is within with deleted ranges from the key ranges on, which is at or above lower.
func (f *differ) withinFrom(lower, ranges, upper []byte, emit func(*delta) bool) error {
	if err := f.seek(lower); err != nil {
		return err
	}
	var gone delta
	next, err := f.nextRange(&gone, ranges, upper)
	for err == nil {
		if f.v.db.closed.Load() {
			return ErrClosed
		}
		var c delta
		ok := false
		if ok, err = f.nextPoint(&c, upper); err != nil {
			break
		}
		for next && (!ok || bytes.Compare(gone.key, c.key) <= 0) {
			if !emit(&gone) {
				return errStopped
			}
			if next, err = f.nextRange(&gone, gone.upper, upper); err != nil {
				return err
			}
		}
		if !ok {
			return nil
		}
		if !emit(&c) {
			return errStopped
		}
	}
	return err
}

// nextPoint finds the next key below upper that was set or deleted, and by nothing that came
// later. It reports whether there is one.
func (f *differ) nextPoint(c *delta, upper []byte) (bool, error) {
	for {
		s, err := f.nextEntry(upper)
		if s == nil || err != nil {
			return false, err
		}
		f.key, f.begun = append(f.key[:0], s.key...), true
		c.seq = s.trailer.SeqNum()
		newest, err := f.covering(f.key)
		if err != nil {
			return false, err
		}
		if newest > c.seq {
			continue // it is deleted, by a range that is yielded
		}
		c.key = f.key
		b, err := f.newest(s)
		if unfolded(err) { // it is there, as nobody can tell what
			b = fold.Base{State: fold.Present}
		} else if err != nil && !unopened(err) {
			return false, err
		}
		if f.v.sees(b) {
			c.kind, c.value, c.expires, c.err = ChangeSet, b.Value, b.Expiry, err
			return true, nil
		}
		if f.from == 0 || newest > f.from {
			continue // it was not there, or goes with a range
		}
		c.kind = ChangeDelete
		return true, nil
	}
}

// newest returns what the key of the entry at which s stands is at the end of the time.
// Operands are folded with all that is below them, also from before the time.
func (f *differ) newest(s *source) (fold.Base, error) {
	d := f.v.db
	if s.trailer.Kind() != keys.KindMerge {
		t, value, err := s.whole()
		if err != nil {
			return fold.Base{}, d.tableError(err)
		}
		return d.baseOf(f.key, t.Kind(), value)
	}
	_, err := d.collect(&f.chain, f.v.state, f.key, f.to, false)
	if unopened(err) && !f.chain.DropExpired() {
		b := f.chain.Base()
		b.Value = nil
		return b, err
	}
	if err != nil && !unopened(err) {
		return fold.Base{}, err
	}
	out, b, err := f.chain.Fold(d.operators.known, f.folded[:0])
	if err != nil {
		return fold.Base{}, d.operators.error(err)
	}
	f.folded, b.Value = out, out
	return b, nil
}

// nextEntry moves to the newest entry of the time of the next key below upper. nil: there is
// none.
func (f *differ) nextEntry(upper []byte) (*source, error) {
	for {
		s := f.merge.top()
		if s == nil || bytes.Compare(s.key, upper) >= 0 {
			return nil, nil
		}
		seq := s.trailer.SeqNum()
		if seq > f.from && seq <= f.to && !(f.begun && bytes.Equal(s.key, f.key)) {
			return s, nil
		}
		if !f.merge.advance() && s.err() != nil {
			return nil, f.v.db.tableError(s.err())
		}
	}
}

// look finds the newest range tombstone over key, and the bounds within which it is that.
func (f *differ) look(key []byte) error {
	w := &f.window
	if w.known && (w.upper == nil || bytes.Compare(key, w.upper) < 0) && (w.lower == nil || bytes.Compare(key, w.lower) >= 0) {
		return nil
	}
	*w = rangeWindow{known: true}
	for i := range f.ranges {
		newest, lower, upper, err := f.ranges[i].at(key, f.to)
		if err != nil {
			w.known = false
			return err
		}
		w.newest = max(w.newest, newest)
		if lower != nil && (w.lower == nil || bytes.Compare(lower, w.lower) > 0) {
			w.lower = lower
		}
		if upper != nil && (w.upper == nil || bytes.Compare(upper, w.upper) < 0) {
			w.upper = upper
		}
	}
	return nil
}

func (f *differ) covering(key []byte) (keys.SeqNum, error) {
	if len(f.ranges) == 0 {
		return 0, nil
	}
	err := f.look(key)
	return f.window.newest, err
}

// nextRange finds the next range from key on, up to upper, that was deleted, as wide as it
// goes: what touches is one. It reports whether there is one.
func (f *differ) nextRange(c *delta, key, upper []byte) (bool, error) {
	if len(f.ranges) == 0 || f.from == 0 {
		return false, nil
	}
	begun := false
	for bytes.Compare(key, upper) < 0 {
		newest, err := f.covering(key)
		if err != nil {
			return false, err
		}
		switch {
		case newest > f.from && !begun:
			begun = true
			*c = delta{kind: ChangeDeleteRange, key: bytes.Clone(key), seq: newest}
		case newest > f.from:
			c.seq = max(c.seq, newest)
		case begun:
			c.upper = bytes.Clone(key)
			return true, nil
		}
		if f.window.upper == nil {
			break // nothing covers what has no end
		}
		key = f.window.upper
	}
	if begun {
		c.upper = upper
	}
	return begun, nil
}
