package lsm

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
	"github.com/loamdb/loam/sstable"
)

// source is one sorted input of an iterator: a memtable or a sorted run of tables. A
// branch on a bool stands where an interface call per entry would.
type source struct {
	mem   memtable.Iter
	run   *sstable.RunIter
	isMem bool
	age   int // its place among the sources, the newest first

	valid   bool
	key     []byte // current user key, valid until the source moves
	trailer keys.Trailer
}

// load refreshes the fields after a move.
func (s *source) load(valid bool) bool {
	s.valid = valid
	if !valid {
		s.key = nil
		return false
	}
	if s.isMem {
		s.key, s.trailer = s.mem.Key(), s.mem.Trailer()
	} else {
		s.key, s.trailer = s.run.Key(), s.run.Trailer()
	}
	return true
}

func (s *source) seekGE(key []byte, t keys.Trailer) bool {
	if s.isMem {
		return s.load(s.mem.SeekGE(key, t))
	}
	return s.load(s.run.SeekGE(key, t))
}

func (s *source) seekLT(key []byte) bool {
	if s.isMem {
		return s.load(s.mem.SeekLT(key))
	}
	return s.load(s.run.SeekLT(key))
}

func (s *source) next() bool {
	if s.isMem {
		return s.load(s.mem.Next())
	}
	return s.load(s.run.Next())
}

func (s *source) prev() bool {
	if s.isMem {
		return s.load(s.mem.Prev())
	}
	return s.load(s.run.Prev())
}

// value returns the current value, valid until the source moves.
func (s *source) value() []byte {
	if s.isMem {
		return s.mem.Value()
	}
	return s.run.Value()
}

// err returns what made the source end early, or nil.
func (s *source) err() error {
	if s.isMem {
		return nil
	}
	return s.run.Err()
}

func (s *source) close() error {
	if s.isMem || s.run == nil {
		return nil
	}
	return s.run.Close()
}

// merger keeps sources in the order of their current entries, the next one to be
// emitted in front. There are few sources, and runs of entries from one of them are
// common, so an array kept sorted by insertion beats a heap: staying in front costs one
// comparison, with the runner-up.
type merger struct {
	order   []*source // valid ones, sorted
	reverse bool
}

// less reports whether a is emitted before b.
func (m *merger) less(a, b *source) bool {
	c := bytes.Compare(a.key, b.key)
	if c == 0 { // newest first going forward, so oldest first going back
		return (a.trailer > b.trailer) != m.reverse
	}
	return (c < 0) != m.reverse
}

// build sorts the valid ones of sources.
func (m *merger) build(sources []source, reverse bool) {
	m.order, m.reverse = m.order[:0], reverse
	for i := range sources {
		if sources[i].valid {
			m.order = append(m.order, &sources[i])
			m.settle(len(m.order) - 1)
		}
	}
}

// settle moves the source at i forward to its place among those before it.
func (m *merger) settle(i int) {
	for ; i > 0 && m.less(m.order[i], m.order[i-1]); i-- {
		m.order[i], m.order[i-1] = m.order[i-1], m.order[i]
	}
}

// top returns the source whose entry is next, or nil.
func (m *merger) top() *source {
	if len(m.order) == 0 {
		return nil
	}
	return m.order[0]
}

// advance moves the front source by one entry and restores the order. It returns false
// when the source ended, which its err must explain or not.
func (m *merger) advance() bool {
	s := m.order[0]
	if m.reverse {
		return m.moved(s.prev())
	}
	return m.moved(s.next())
}

// moved restores the order after the front source has moved, to an entry if valid, and
// returns valid.
func (m *merger) moved(valid bool) bool {
	if !valid {
		m.order = m.order[:copy(m.order, m.order[1:])]
		return false
	}
	for i := 1; i < len(m.order) && m.less(m.order[i], m.order[i-1]); i++ {
		m.order[i], m.order[i-1] = m.order[i-1], m.order[i]
	}
	return true
}
