package fuzz

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Step is one step of a history.
type Step struct {
	Kind StepKind
	// Ops and Sync are of Apply.
	Ops  []Op
	Sync bool
	// Lower and Upper are of Compact: [Lower, Upper), "" meaning no bound.
	Lower, Upper string
}

// StepKind says what a step does.
type StepKind uint8

// Kinds of steps.
const (
	Apply    StepKind = iota // commit one batch
	Flush                    // DB.Flush
	Compact                  // DB.Compact
	Reopen                   // close and open again
	Hold                     // take a snapshot
	Release                  // compare the oldest snapshot with what it must hold, close it
	Validate                 // compare the store with the ledger
)

// String returns the kind's name.
func (k StepKind) String() string {
	return [...]string{"apply", "flush", "compact", "reopen", "hold", "release", "validate"}[k]
}

// Shape says what a history is made of. Its zero fields mean none of that.
type Shape struct {
	// Batches is the number of batches.
	Batches int
	// Keys is the number of different keys; zero means 120.
	Keys int
	// FlushEvery and CompactEvery are numbers of batches between explicit flushes and
	// compactions, on average.
	FlushEvery, CompactEvery int
	// Reopens is how often the store is closed and opened again.
	Reopens int
	// HoldEvery is the number of batches between snapshots, of which up to four are
	// held, over many flushes and compactions.
	HoldEvery int
	// Large lets one batch in a hundred be larger than a memtable.
	Large bool
	// LongKeys makes one key in three so long that what the manifest says of a table
	// does not fit into a sector.
	LongKeys bool
	// SyncOneIn makes one batch in so many a synced one; zero means none.
	SyncOneIn int
	// Merges is the number of merges in a batch, on average. They come after its other
	// operations, which do not depend on how many there are.
	Merges int
}

// Ordinary is the shape of histories for power cuts: every mechanism is reached, and at
// any moment a few batches are not synced.
func Ordinary(batches int) Shape {
	return Shape{
		Batches: batches, FlushEvery: 25, CompactEvery: 60, Reopens: 2, HoldEvery: 40,
		Large: true, SyncOneIn: 3, Merges: 1,
	}
}

// NewHistory returns the steps of a history. Equal arguments give equal steps. What the
// store's background work does meanwhile, and so the order of file operations, may
// differ from one playing to the next.
func NewHistory(seed uint64, shape Shape) []Step {
	if shape.Keys == 0 {
		shape.Keys = 120
	}
	m := maker{rnd: rand.New(rand.NewPCG(seed, 2)), merges: rand.New(rand.NewPCG(seed, 4)), shape: shape}
	var steps []Step
	for i := range shape.Batches {
		if i > 0 {
			steps = m.between(steps, i)
		}
		steps = append(steps, m.apply())
	}
	for ; m.held > 0; m.held-- {
		steps = append(steps, Step{Kind: Release})
	}
	return append(steps, Step{Kind: Validate})
}

// maker makes histories.
type maker struct {
	rnd    *rand.Rand
	merges *rand.Rand
	shape  Shape
	held   int
}

// between appends what happens between batches.
func (m *maker) between(steps []Step, i int) []Step {
	if n := m.shape.Reopens; n > 0 && i%(m.shape.Batches/(n+1)+1) == 0 {
		for ; m.held > 0; m.held-- {
			steps = append(steps, Step{Kind: Release})
		}
		steps = append(steps, Step{Kind: Reopen})
	}
	if m.oneIn(m.shape.FlushEvery) {
		steps = append(steps, Step{Kind: Flush})
	}
	if m.oneIn(m.shape.CompactEvery) {
		s := Step{Kind: Compact}
		if m.rnd.IntN(3) > 0 {
			s.Lower, s.Upper = m.key(), m.key()
			if s.Lower > s.Upper {
				s.Lower, s.Upper = s.Upper, s.Lower
			}
		}
		steps = append(steps, s)
		if m.rnd.IntN(2) == 0 {
			steps = append(steps, Step{Kind: Validate})
		}
	}
	if m.oneIn(m.shape.HoldEvery) {
		if m.held == 4 {
			steps = append(steps, Step{Kind: Release})
			m.held--
		}
		steps = append(steps, Step{Kind: Hold})
		m.held++
	}
	return steps
}

func (m *maker) oneIn(n int) bool { return n > 0 && m.rnd.IntN(n) == 0 }

// apply makes a batch: mostly a few small operations, sometimes none at all (the
// batch's number is added by the ledger), sometimes many.
func (m *maker) apply() Step {
	s := Step{Kind: Apply, Sync: m.oneIn(m.shape.SyncOneIn)}
	n := m.rnd.IntN(6)
	if m.rnd.IntN(20) == 0 {
		n = m.rnd.IntN(60)
	}
	for range n {
		if m.rnd.IntN(24) == 0 {
			s.Ops = append(s.Ops, m.deleteRange())
			continue
		}
		op := Op{Key: m.key()}
		if op.Delete = m.rnd.IntN(4) == 0; !op.Delete {
			op.Value = m.value()
		}
		op.Mortal = mortality(&op)
		s.Ops = append(s.Ops, op)
	}
	if m.shape.Large && m.rnd.IntN(100) == 0 {
		s.Ops = append(s.Ops, Op{Key: m.key(), Value: m.text(8<<10 + m.rnd.IntN(4<<10))})
	}
	if n := m.shape.Merges; n > 0 {
		for range m.merges.IntN(2*n + 1) {
			s.Ops = append(s.Ops, m.merge())
		}
	}
	return s
}

// deleteRange deletes a few neighbours, or sometimes as good as everything.
func (m *maker) deleteRange() Op {
	lower, upper := m.key(), m.key()
	if m.rnd.IntN(8) > 0 {
		lower = lower[:max(1, len(lower)-1-m.rnd.IntN(2))]
		upper = lower + "\xff"
	}
	if lower >= upper {
		lower, upper = upper, lower+"\xff"
	}
	return Op{Key: lower, Upper: upper}
}

// key prefers a few hot keys, so that versions, and tombstones above older data, pile up.
func (m *maker) key() string {
	n := m.rnd.IntN(m.shape.Keys)
	if m.rnd.IntN(2) == 0 {
		n = m.rnd.IntN(m.shape.Keys/8 + 1)
	}
	if m.shape.LongKeys && n%3 == 0 {
		return fmt.Sprintf("key-%04d-%s", n, strings.Repeat("long", 100))
	}
	switch n % 4 {
	case 0:
		return fmt.Sprintf("shared/prefix/%04d", n)
	case 1:
		return fmt.Sprintf("k%d", n) + string(make([]byte, n%3))
	}
	return fmt.Sprintf("key-%04d", n)
}

func (m *maker) value() string {
	switch m.rnd.IntN(8) {
	case 0:
		return ""
	case 1:
		return m.text(m.rnd.IntN(600))
	}
	return m.text(m.rnd.IntN(80))
}

// text returns n bytes that compress to about half.
func (m *maker) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(m.rnd.IntN(16))
	}
	return string(b)
}
