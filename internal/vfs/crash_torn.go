package vfs

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// sectorBytes is what a device writes whole or not at all, if anything.
const sectorBytes = 512

// substitute runs fn with another operation in the place of a pending one.
func (g *generator) substitute(i int, o op, fn func()) {
	p := &g.e.pend[i]
	original := p.op
	p.op = &o
	fn()
	p.op = original
}

// part is the operation that writes only data[from:to] of o.
func part(o *op, from, to int) op {
	c := *o
	c.data, c.off = o.data[from:to], o.off+int64(from)
	return c
}

// lastWrite returns the index in free of the newest write, or -1.
func (g *generator) lastWrite() int {
	for n := len(g.free) - 1; n >= 0; n-- {
		if g.e.pend[g.free[n]].op.kind == opWrite {
			return n
		}
	}
	return -1
}

// torn yields the newest write in parts.
func (g *generator) torn() {
	n := g.lastWrite()
	if n < 0 {
		return
	}
	i := g.free[n]
	p := &g.e.pend[i]
	o := p.op
	alone := g.fresh < 0 || g.fresh == n
	try := func(from, to int) {
		g.substitute(i, part(o, from, to), func() {
			what := func(rest string) func() string {
				return func() string { return fmt.Sprintf("%s torn to [%d,%d) of %s", rest, from, to, g.e.Describe(p.at)) }
			}
			g.emit(g.with(g.all, p, everything), what("everything,"))
			if alone {
				g.emit(g.with(g.none, p, just(p, mainHalf)), what("only"))
			}
		})
	}
	for _, at := range sectorCuts(o, g.o.Cuts) {
		try(0, at)
		try(at, len(o.data))
	}
	for _, at := range []int{1, len(o.data) / 4, len(o.data) / 2, len(o.data) * 3 / 4, len(o.data) - 1} {
		if at > 0 && at < len(o.data) {
			try(0, at)
		}
	}
}

// sectorCuts returns where sector boundaries cut a write, at most limit of them.
func sectorCuts(o *op, limit int) []int {
	first := sectorBytes - int(o.off%sectorBytes)
	if first >= len(o.data) {
		return nil
	}
	var out []int
	for _, n := range spread((len(o.data)-first-1)/sectorBytes+1, limit) {
		out = append(out, first+n*sectorBytes)
	}
	return out
}

// rubbish is what may stand in a block that was allocated and never written.
type rubbish uint8

const (
	zeros rubbish = iota
	noise
	foreign
	rubbishKinds
)

func (r rubbish) String() string { return [...]string{"zeros", "noise", "another file's bytes"}[r] }

// unwritten yields states in which files have grown for writes whose bytes did not
// arrive: for each such write alone, and for all at once.
func (g *generator) unwritten() {
	sample := g.sample()
	for kind := range rubbishKinds {
		var lost []lostWrite
		for n, wanted := range sample {
			p := &g.e.pend[g.free[n]]
			if !wanted && n != g.fresh {
				continue
			}
			if o, ok := g.unwrittenOp(p, kind); ok {
				lost = append(lost, lostWrite{g.free[n], &o})
			}
		}
		for _, l := range lost {
			if g.stop {
				return
			}
			p := &g.e.pend[l.at]
			g.substitute(l.at, *l.rubbish, func() {
				g.emit(g.with(g.all, p, everything), func() string {
					return "everything, with " + kind.String() + " for " + g.e.Describe(p.at)
				})
			})
		}
		g.allUnwritten(kind, lost)
	}
}

// lostWrite is a write, by its index in pend, and what stands in its place.
type lostWrite struct {
	at      int
	rubbish *op
}

// allUnwritten yields the state in which several new blocks were not written.
func (g *generator) allUnwritten(kind rubbish, lost []lostWrite) {
	swap := func() {
		for i := range lost {
			p := &g.e.pend[lost[i].at]
			lost[i].rubbish, p.op = p.op, lost[i].rubbish
		}
	}
	im := g.all.clone()
	swap()
	for _, l := range lost {
		p := &g.e.pend[l.at]
		if !g.e.repage(im, p, everything) {
			g.e.rebuild(im, everything, p.objects()...)
		}
	}
	swap()
	g.emit(im, func() string { return "everything, with " + kind.String() + " in new blocks" })
}

// unwrittenOp returns the operation that leaves rubbish where a pending write needed
// new blocks: from its first byte beyond the durable length, or in a hole, to its end.
// ok is false when it needed none.
func (g *generator) unwrittenOp(p *pending, kind rubbish) (o op, ok bool) {
	if p.op.kind != opWrite {
		return op{}, false
	}
	n := g.none.inodes[p.op.ino]
	if n == nil {
		return op{}, false
	}
	off, end := p.op.off, p.op.off+int64(len(p.op.data))
	for off < end && n.data.backed(off) {
		off = min((off/pageBytes+1)*pageBytes, n.data.size)
	}
	if off >= end {
		return op{}, false
	}
	o = part(p.op, int(off-p.op.off), len(p.op.data))
	o.data = make([]byte, len(o.data))
	switch kind {
	case noise:
		randomBytes(o.data, mix(g.o.Seed)^uint64(p.at))
	case foreign:
		from := g.otherFile(p)
		if from == nil {
			return op{}, false
		}
		// The same place of the other file, if it is that long: whole blocks move.
		at := off
		if at >= from.data.size {
			at = off % pageBytes
		}
		from.data.readAt(o.data, at)
	}
	return o, true
}

// otherFile chooses a file whose bytes stand where p's did not arrive.
func (g *generator) otherFile(p *pending) *inode {
	var inos []uint64
	for ino, n := range g.none.inodes {
		if n != nil && ino != p.op.ino && n.data.size > 0 {
			inos = append(inos, ino)
		}
	}
	if len(inos) == 0 {
		return nil
	}
	slices.Sort(inos)
	return g.none.inodes[inos[(mix(g.o.Seed)^mix(uint64(p.at)))%uint64(len(inos))]]
}

// random yields subsets chosen by seed and point; in some of them the newest chosen
// write is torn.
func (g *generator) random() {
	for round := range g.o.Random {
		if g.stop || len(g.free) == 0 {
			return
		}
		rnd := rand.New(rand.NewPCG(g.o.Seed, uint64(g.e.k)<<20+uint64(round)))
		chosen := map[int]uint8{}
		last := -1
		for _, i := range g.free {
			p := &g.e.pend[i]
			switch rnd.IntN(5) {
			case 0, 1:
			case 2:
				chosen[p.at] = mainHalf
			default:
				chosen[p.at] = mainHalf | leaveHalf
			}
			if chosen[p.at] != 0 && p.op.kind == opWrite && len(p.op.data) > 1 {
				last = i
			}
		}
		yield := func() {
			im := g.e.build(func(p *pending) uint8 { return chosen[p.at] })
			g.emit(im, func() string { return fmt.Sprintf("random subset %d of seed %d", round, g.o.Seed) })
		}
		if last >= 0 && rnd.IntN(2) == 0 {
			o := g.e.pend[last].op
			g.substitute(last, part(o, 0, 1+rnd.IntN(len(o.data)-1)), yield)
		} else {
			yield()
		}
	}
}
