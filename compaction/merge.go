package compaction

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable"
)

// source is one sorted run under a merge.
type source struct {
	run     *inputRun
	it      sstable.RunIter
	key     []byte // the current user key, valid until the source moves
	trailer keys.Trailer
}

// merger merges runs into internal-key order, a total one: a number is given once, so
// no two entries are equal, and which run is newer does not matter.
//
// The sources stand in an array sorted by their current entries. Runs are few, and
// entries from one source in a row are common, so that most steps are one comparison:
// the front source against the second.
type merger struct {
	sources []source
	order   []*source
}

// load refreshes the fields after a move.
func (s *source) load(valid bool) bool {
	if valid {
		s.key, s.trailer = s.it.Key(), s.it.Trailer()
	}
	return valid
}

// err returns the error that ended the source, with the table where it was met.
func (s *source) err() error {
	if err := s.it.Err(); err != nil {
		return &ReadError{Table: s.run.at, Err: err}
	}
	return nil
}

func (s *source) before(o *source) bool {
	c := bytes.Compare(s.key, o.key)
	return c < 0 || c == 0 && s.trailer > o.trailer
}

// newMerger returns a merger over runs, at the first entry of all.
func newMerger(runs []*inputRun) (*merger, error) {
	m := &merger{sources: make([]source, len(runs))}
	for i := range runs {
		s := &m.sources[i]
		s.run = runs[i]
		s.it.Init(s.run.tables, sstable.IterOptions{NoFill: true})
		if s.load(s.it.First()) {
			m.order = append(m.order, s)
			m.sink(len(m.order) - 1)
		} else if err := s.err(); err != nil {
			return m, err
		}
	}
	return m, nil
}

// sink moves the source at i to its place among those before it.
func (m *merger) sink(i int) {
	for ; i > 0 && m.order[i].before(m.order[i-1]); i-- {
		m.order[i], m.order[i-1] = m.order[i-1], m.order[i]
	}
}

// front returns the source with the next entry, nil at the end.
func (m *merger) front() *source {
	if len(m.order) == 0 {
		return nil
	}
	return m.order[0]
}

// next moves past the front entry.
func (m *merger) next() error {
	s := m.order[0]
	if !s.load(s.it.Next()) {
		m.order = m.order[1:]
		return s.err()
	}
	i := 1
	for i < len(m.order) && m.order[i].before(s) {
		m.order[i-1] = m.order[i]
		i++
	}
	m.order[i-1] = s
	return nil
}

// close releases the iterators. Their errors have been returned.
func (m *merger) close() {
	for i := range m.sources {
		_ = m.sources[i].it.Close()
	}
}
