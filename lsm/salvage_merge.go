package lsm

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
)

// salvageSource is one source of the merge: a table, or what of the log is in memory. Its
// entries ascend in internal-key order. key and value are valid until next.
type salvageSource interface {
	next() bool
	key() []byte
	trailer() keys.Trailer
	value() []byte
	err() error
	finish() error
}

// mergeInput is a source under the merge, with its current entry at hand.
type mergeInput struct {
	source  salvageSource
	key     []byte
	trailer keys.Trailer
}

// advance moves to the next entry; false at the end.
func (m *mergeInput) advance() bool {
	if !m.source.next() {
		return false
	}
	m.key, m.trailer = m.source.key(), m.source.trailer()
	return true
}

func (m *mergeInput) before(o *mergeInput) bool {
	return keys.Compare(m.key, m.trailer, o.key, o.trailer) < 0
}

// merge writes the entries of all sources to one sorted run. Where two have the same entry,
// as a table and what it was compacted to, it is written once. Tables are opened when the
// merge reaches their first key, so that few are open at a time.
func (s *salvage) merge() error {
	pending := slices.DeleteFunc(slices.Clone(s.tables), func(t *salvageTable) bool { return t.gone != nil })
	slices.SortStableFunc(pending, func(a, b *salvageTable) int { return bytes.Compare(a.smallest, b.smallest) })
	s.out.cutRanges()
	var order []*mergeInput
	enter := func(source salvageSource) error {
		m := &mergeInput{source: source}
		if !m.advance() {
			return endSource(source)
		}
		order = append(order, m)
		sink(order)
		return nil
	}
	err := enter(&s.log)
	for err == nil && (len(order) > 0 || len(pending) > 0) {
		if len(pending) > 0 && (len(order) == 0 || bytes.Compare(pending[0].smallest, order[0].key) <= 0) {
			t := pending[0]
			pending = pending[1:]
			if err = t.open(); err != nil {
				break
			}
			if t.gone != nil {
				t.note()
				continue
			}
			err = enter(t)
			continue
		}
		m := order[0]
		if err = s.write(m); err != nil {
			break
		}
		if m.advance() {
			raise(order)
			continue
		}
		order = order[1:]
		err = endSource(m.source)
	}
	for _, m := range order {
		_ = m.source.finish() // the first error is the one that matters
	}
	if err != nil {
		return err
	}
	if err := s.out.finish(); err != nil {
		return err
	}
	s.report.Entries, s.report.RangeTombstones = s.out.entries, s.out.rangeTombstones
	return s.out.removeTemporary()
}

// endSource ends a source that has no more entries.
func endSource(source salvageSource) error {
	err := source.err()
	if ferr := source.finish(); err == nil {
		err = ferr
	}
	return err
}

// write takes over the entry that m is at, unless it was there already.
func (s *salvage) write(m *mergeInput) error {
	if s.out.entries > 0 {
		c := keys.Compare(s.out.lastKey, s.out.lastTrailer, m.key, m.trailer)
		if c == 0 {
			return nil
		}
		if t, ok := m.source.(*salvageTable); ok && c > 0 {
			t.disorder++ // its bounds were not those of its entries: nobody wrote it so
			return nil
		}
	}
	if s.out.entries%4096 == 0 {
		if err := s.ctx.Err(); err != nil {
			return err
		}
	}
	value := m.source.value()
	if t, ok := blobEntry(m.source); ok {
		var err error
		if value, ok, err = s.fromBlob(t, m.key, value); err != nil || !ok {
			return err
		}
	}
	return s.out.add(m.key, m.trailer, value)
}

// sink moves the last input to its place.
func sink(order []*mergeInput) {
	for i := len(order) - 1; i > 0 && order[i].before(order[i-1]); i-- {
		order[i], order[i-1] = order[i-1], order[i]
	}
}

// raise moves the first input, which has advanced, to its place.
func raise(order []*mergeInput) {
	for i := 1; i < len(order) && order[i].before(order[i-1]); i++ {
		order[i], order[i-1] = order[i-1], order[i]
	}
}
