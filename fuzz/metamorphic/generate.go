package metamorphic

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// generator makes the operations of a history. It knows nothing of what they do.
type generator struct {
	rnd    *rand.Rand
	values int    // how many values were made
	again  []text // keys to come to again, while a transaction is made
}

// Generate returns the operations of a history. Equal arguments give equal operations, as
// long as no kind of them is added or changed.
func Generate(seed uint64, n int) []Op {
	g := &generator{rnd: rand.New(rand.NewPCG(seed, 18))}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	ops := make([]Op, 0, n)
	for len(ops) < n {
		at := g.rnd.IntN(total)
		for _, k := range kinds {
			if at -= k.weight; at < 0 {
				ops = append(ops, k.make(g))
				break
			}
		}
	}
	return ops
}

func (g *generator) oneIn(n int) bool { return g.rnd.IntN(n) == 0 }

// slots is how many snapshots, iterators and versions are kept of each.
const slots = 4

// slot chooses one, from 1 on: 0 is none where an operation can do without.
func (g *generator) slot() int { return 1 + g.rnd.IntN(slots) }

// snap chooses a snapshot to read, or mostly none.
func (g *generator) snap() int {
	if g.oneIn(4) {
		return g.slot()
	}
	return 0
}

// key prefers a few hot keys, so that versions, and tombstones above older data, pile up.
func (g *generator) key() text {
	if len(g.again) > 0 && g.oneIn(3) {
		return g.again[g.rnd.IntN(len(g.again))]
	}
	n := g.rnd.IntN([]int{160, 160, 20, 6}[g.rnd.IntN(4)])
	switch n % 6 {
	case 0:
		return text(fmt.Sprintf("shared/prefix/of/some/length/%04d", n))
	case 1:
		return text(strings.Repeat("\xff", n%7))
	case 4:
		return text(fmt.Sprintf("%s%04d", counters, n))
	case 2:
		return text("k" + strconv.Itoa(n) + strings.Repeat("\x00", n%3))
	}
	return text(fmt.Sprintf("key-%04d", n))
}

// bounds returns a range, mostly a narrow one; an empty upper bound is none.
func (g *generator) bounds() (lower, upper text) {
	lower, upper = g.key(), g.key()
	if !g.oneIn(4) {
		lower = lower[:max(0, len(lower)-1)]
		upper = lower + "\xfe"
	}
	if lower > upper {
		lower, upper = upper, lower
	}
	if g.oneIn(12) {
		lower = ""
	}
	if g.oneIn(12) {
		upper = ""
	}
	return lower, upper
}

// Scopes: agents, and steps of two workflows, whose names begin alike.
const scopeNames = 9

// scope chooses a scope that is not the root.
func (g *generator) scope() text {
	switch n := g.rnd.IntN([]int{scopeNames, scopeNames, 2}[g.rnd.IntN(3)]); {
	case n < 5:
		return text("agent:a" + strconv.Itoa(n))
	default:
		return text("workflow:w" + strconv.Itoa(n%2) + ":step:s" + strconv.Itoa(n))
	}
}

// place chooses the root, as often as not, or a scope.
func (g *generator) place() text {
	if g.oneIn(2) {
		return ""
	}
	return g.scope()
}

// sync reports whether a write shall be synced.
func (g *generator) sync() bool { return g.oneIn(5) }

// value is a value by its number in the history and the length of what follows that; of a
// negative one it is empty. So large values are short in print, and no two are alike.
type value struct{ N, Len int }

func (g *generator) value() value {
	g.values++
	v := value{N: g.values, Len: g.rnd.IntN(60)}
	switch g.rnd.IntN(80) {
	case 0, 1:
		v.Len = -1
	case 2, 3, 4:
		v.Len = g.rnd.IntN(1200)
	case 5:
		v.Len = g.rnd.IntN(len(filler)) // larger than a block, a table, a memtable
	}
	return v
}

// filler is text that compresses to about half.
var filler = func() string {
	rnd := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, 24<<10)
	for i := range b {
		b[i] = 'a' + byte(rnd.IntN(16))
	}
	return string(b)
}()

// text returns the value itself.
func (v value) text() string {
	if v.Len < 0 {
		return ""
	}
	n := min(v.Len, len(filler))
	from := v.N * 131 % (len(filler) - n + 1)
	return strconv.Itoa(v.N) + ":" + filler[from:from+n]
}
