package vfs

import (
	"fmt"
	"iter"
)

const (
	defaultPending = 16
	defaultCuts    = 8
)

// given is what States has yielded so far.
type given struct {
	seen   map[uint64]struct{}
	expect uint64
	next   int // one more than the point of the last States that ran to its end
}

// generator produces the states of one point.
type generator struct {
	e     *Explorer
	o     StateOptions
	yield func(State) bool
	stop  bool
	free  []int // indices in pend of what a power cut may drop
	fresh int   // index in free of the operation that alone is new; -1: all are
	none  *image
	all   *image
}

// States yields the states that a power cut at this point may leave, each content
// once. P are the pending operations:
//
//   - none of P; all of P;
//   - every prefix of P in log order, and with a rename as its last member also the
//     state in which both names are there;
//   - all of P but one; only one of P; a rename also with both names;
//   - P's operations on directories without those on content, and the reverse;
//   - the last write of P torn, with and without the rest of P: after each sector
//     boundary, only the sectors after it, and after single bytes;
//   - for a write beyond the length that is durable, all of P where the length grew
//     but the new bytes did not arrive: zeros, rubbish, bytes of another file;
//     the same for all such writes at once;
//   - random subsets of P, some with a torn write.
//
// Where the options bound a family, or say that equal states of earlier points are not
// wanted, some are left out. The loop's body must not advance e.
func (e *Explorer) States(o StateOptions) iter.Seq[State] {
	if o.Pending <= 0 {
		o.Pending = defaultPending
	}
	if o.Cuts <= 0 {
		o.Cuts = defaultCuts
	}
	return func(yield func(State) bool) {
		g := &generator{e: e, o: o, yield: yield}
		if !g.prepare() {
			return
		}
		for _, family := range []func(){
			g.ends, g.prefixes, g.single, g.kinds, g.torn, g.unwritten, g.random,
		} {
			if family(); g.stop {
				return
			}
		}
		e.given.next = e.k + 1
	}
}

// prepare finds what is free and what can be new, and reports whether anything can. A
// point whose last operation only added to P repeats the states of the point before,
// and adds those that contain the operation: with thousands of pending writes the rest
// would cost their square.
func (g *generator) prepare() bool {
	e := g.e
	follows := g.o.Expect != 0 && g.o.Expect == e.given.expect
	if !follows {
		e.given = given{seen: map[uint64]struct{}{}, expect: g.o.Expect}
	}
	for i := range e.pend {
		if e.pend[i].free() != 0 {
			g.free = append(g.free, i)
		}
	}
	g.fresh = -1
	if follows && e.plain && e.k > 0 && e.given.next == e.k {
		g.fresh = len(g.free) - 1
		if g.fresh < 0 || e.pend[g.free[g.fresh]].at != e.k-1 {
			e.given.next = e.k + 1
			return false // it concerned a file that no state can reach
		}
	}
	g.none = e.build(nothing)
	// What is durable came before what is pending on the same inode, or was held back
	// with it, so all that was applied in the order of the log is everything.
	if g.all = e.live; e.dropped {
		g.all = e.build(everything)
	}
	g.all = g.all.clone()
	return true
}

// Choices of halves of pending operations.
func nothing(*pending) uint8    { return 0 }
func everything(*pending) uint8 { return mainHalf | leaveHalf }

// build returns the image with what is durable and what is chosen.
func (e *Explorer) build(chosen func(*pending) uint8) *image {
	im := e.base.clone()
	for i := range e.pend {
		p := &e.pend[i]
		e.applyHalves(im, p, p.forced|p.halves&chosen(p))
	}
	return im
}

// applyHalves does some halves of an operation.
func (e *Explorer) applyHalves(im *image, p *pending, halves uint8) {
	for _, half := range [...]uint8{mainHalf, leaveHalf} {
		if halves&half != 0 {
			im.apply(p.op, half)
		}
	}
}

// emit yields im unless its content was yielded before. im may be changed afterwards.
func (g *generator) emit(im *image, what func() string) {
	if g.stop {
		return
	}
	sum := im.hash()
	if _, again := g.e.given.seen[sum]; again {
		return
	}
	g.e.given.seen[sum] = struct{}{}
	g.stop = !g.yield(State{point: g.e.k, what: what(), sum: sum, image: im.clone()})
}

// say is emit with a fixed description.
func (g *generator) say(im *image, what string) { g.emit(im, func() string { return what }) }

// with returns a copy of from with other halves of p chosen, which is all in which
// chosen may differ from what made from.
func (g *generator) with(from *image, p *pending, chosen func(*pending) uint8) *image {
	im := from.clone()
	if !g.e.repage(im, p, chosen) {
		g.e.rebuild(im, chosen, p.objects()...)
	}
	return im
}

// repage is rebuild of the pages that a write covers, and reports whether that will
// do: a truncation among the pending operations decides about all pages. It keeps the
// cost of a state from growing with the number of writes that are pending.
func (e *Explorer) repage(im *image, p *pending, chosen func(*pending) uint8) bool {
	o := &e.ops[p.at] // p.op may be a part of it
	durable := e.base.inodes[o.ino]
	if o.kind != opWrite || durable == nil {
		return false
	}
	size := durable.data.size
	for i := range e.pend {
		q := &e.pend[i]
		if !q.op.isData(o.ino) {
			continue
		}
		if q.op.kind == opTruncate {
			return false
		}
		if q.forced|chosen(q)&mainHalf != 0 {
			size = max(size, q.op.off+int64(len(q.op.data)))
		}
	}
	lo, hi := int(o.off/pageBytes), pageCount(o.off+int64(len(o.data)))
	start, end := int64(lo)*pageBytes, int64(hi)*pageBytes
	n := im.edit(o.ino)
	n.sum = 0
	n.data.restore(&durable.data, lo, hi, size)
	for i := range e.pend {
		q := &e.pend[i]
		if !q.op.isData(o.ino) || q.forced|chosen(q)&mainHalf == 0 {
			continue
		}
		first := max(q.op.off, start)
		if last := min(q.op.off+int64(len(q.op.data)), end); first < last {
			n.data.writeAt(q.op.data[first-q.op.off:last-q.op.off], first)
		}
	}
	return true
}

// objects returns the inodes that an operation changes.
func (p *pending) objects() []uint64 {
	out := []uint64{p.op.object(mainHalf)}
	if p.op.kind == opRename && p.op.from != p.op.dir {
		out = append(out, p.op.from)
	}
	return out
}

// but chooses everything, and of one operation only some halves.
func but(p *pending, halves uint8) func(*pending) uint8 {
	return func(q *pending) uint8 {
		if q.at == p.at {
			return halves
		}
		return mainHalf | leaveHalf
	}
}

// just chooses nothing but some halves of one operation.
func just(p *pending, halves uint8) func(*pending) uint8 {
	return func(q *pending) uint8 {
		if q.at == p.at {
			return halves
		}
		return 0
	}
}

// ends yields none and all, and what readers saw where a failed sync took that apart.
func (g *generator) ends() {
	g.say(g.none, "nothing pending")
	g.say(g.all, "everything")
	if g.e.dropped {
		g.say(g.e.live, "everything but what a failed sync dropped")
	}
}

// prefixes yields every prefix of P. A prefix in which a later operation is durable
// cannot be made by applying one more: the later ones come behind it, so the inode is
// rebuilt.
func (g *generator) prefixes() {
	if g.fresh >= 0 {
		return // all but the longest were there before, and the longest is "everything"
	}
	e := g.e
	held := false // something durable lies behind something pending
	for i := range e.pend {
		held = held || e.pend[i].forced != 0
	}
	wanted := g.sample()
	im := g.none.clone()
	for n, i := range g.free {
		p := &e.pend[i]
		prefix := func(last uint8) func(*pending) uint8 {
			return func(q *pending) uint8 {
				switch {
				case q.at < p.at:
					return mainHalf | leaveHalf
				case q.at == p.at:
					return last
				}
				return 0
			}
		}
		extend := func(halves uint8) {
			if held {
				e.rebuild(im, prefix(halves), p.objects()...)
			} else {
				e.applyHalves(im, p, p.free()&halves)
			}
		}
		if wanted[n] && p.free() == mainHalf|leaveHalf {
			extend(mainHalf)
			g.emit(im, func() string { return fmt.Sprintf("prefix %d/%d, both names", n+1, len(g.free)) })
			extend(leaveHalf | mainHalf)
		} else {
			extend(mainHalf | leaveHalf)
		}
		if wanted[n] {
			g.emit(im, func() string { return fmt.Sprintf("prefix %d/%d", n+1, len(g.free)) })
		}
		if g.stop {
			return
		}
	}
}

// single yields all but one, and only one.
func (g *generator) single() {
	for n, wanted := range g.sample() {
		if !wanted && n != g.fresh || g.stop {
			continue
		}
		p := &g.e.pend[g.free[n]]
		what := func(how string) func() string {
			return func() string { return how + " " + g.e.Describe(p.at) }
		}
		both := p.free() == mainHalf|leaveHalf
		g.emit(g.with(g.all, p, but(p, 0)), what("all but"))
		if both {
			g.emit(g.with(g.all, p, but(p, mainHalf)), what("all, both names of"))
		}
		if g.fresh >= 0 && n != g.fresh {
			continue
		}
		g.emit(g.with(g.none, p, just(p, p.free())), what("only"))
		if both {
			g.emit(g.with(g.none, p, just(p, mainHalf)), what("only, both names of"))
		}
	}
}

// kinds yields names without content and content without names.
func (g *generator) kinds() {
	choose := func(data bool) func(*pending) uint8 {
		return func(p *pending) uint8 {
			if p.op.isData(p.op.ino) == data {
				return everything(p)
			}
			return 0
		}
	}
	g.say(g.e.build(choose(false)), "names without content")
	g.say(g.e.build(choose(true)), "content without names")
}

// sample says which of the free operations the families take.
func (g *generator) sample() []bool {
	out := make([]bool, len(g.free))
	var data, names []int
	for n, i := range g.free {
		if op := g.e.pend[i].op; op.isData(op.ino) {
			data = append(data, n)
		} else {
			names = append(names, n)
		}
	}
	for _, of := range [][]int{data, names} {
		for _, n := range spread(len(of), g.o.Pending) {
			out[of[n]] = true
		}
	}
	return out
}

// spread returns at most limit indices of n things: the newest half, and the others
// evenly from the oldest on.
func spread(n, limit int) []int {
	var out []int
	if n <= limit {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	newest := limit / 2
	old, older := n-newest, limit-newest
	for i := range older {
		out = append(out, i*old/older)
	}
	for i := old; i < n; i++ {
		out = append(out, i)
	}
	return out
}
