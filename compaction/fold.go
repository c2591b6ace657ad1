package compaction

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// folder holds back the versions of a key from its newest merge operand on, until the key
// ends, and makes fewer of them. What the dropper has left out it never sees.
//
// Operands are folded with each other and with what lies right below them within one group:
// between two snapshots, and between two fences besides. The result has the number of the
// newest of them (C7), and takes the place of what it was made of: a reader of that group
// sees the newest only, and all others see what they saw. Where the base is in another group, out of
// sight, or in no table of the merge, operands stay, combined as far as their operator can.
// Chains of more than fold.MaxChain of them are folded into a full value all the same, beside
// the older versions that others need: into what the store had at the number below them.
//
// What cannot be folded stays as it was.
type folder struct {
	ops     *fold.Operators
	env     *Env
	fences  []keys.SeqNum // ascending
	drop    *dropper      // for the stripes
	chain   fold.Chain
	version []version // of the key, newest first
	text    []byte    // their values, and those that were made of them
	failed  uint64    // groups that could not be folded

	// While resolving, from the oldest version to the newest.
	out   []version // oldest first
	below below
}

// version is a version of the key that is held back.
type version struct {
	t     keys.Trailer
	value []byte
	held  bool // only a snapshot keeps it
	group foldGroup
}

// foldGroup is where a number lies among snapshots and among fences.
type foldGroup struct{ stripe, fence int }

// below is what lies under the next version.
type below struct {
	base  fold.Base
	known bool      // base is what the key is there
	bound bool      // it is in group; if not, in the group of whoever asks
	group foldGroup // of the base
	seq   keys.SeqNum
	since int // the oldest operand above the base
	depth int // operands put out above it
	stuck bool
}

func newFolder(env *Env, drop *dropper) *folder {
	if env.Operators == nil {
		return nil
	}
	f := &folder{ops: env.Operators, env: env, fences: slices.Clone(env.FoldFences), drop: drop}
	slices.Sort(f.fences)
	return f
}

// pending reports whether versions are held back.
func (f *folder) pending() bool { return f != nil && len(f.version) > 0 }

// takes reports whether a version of this kind is to be held back.
func (f *folder) takes(kind keys.Kind) bool {
	return f != nil && (len(f.version) > 0 || fold.IsOperand(kind))
}

// add holds back a version, which is copied.
func (f *folder) add(t keys.Trailer, value []byte, held bool) {
	at := len(f.text)
	f.text = append(f.text, value...)
	f.version = append(f.version, version{t: t, value: f.text[at:len(f.text):len(f.text)], held: held, group: f.groupOf(t.SeqNum())})
}

func (f *folder) groupOf(seq keys.SeqNum) foldGroup {
	if mutant.Enabled && mutant.Is(mutant.FoldAcrossSnapshots) {
		return foldGroup{}
	}
	i, _ := slices.BinarySearch(f.fences, seq)
	return foldGroup{f.drop.stripe(seq), i}
}

// reset forgets what was held back.
func (f *folder) reset() {
	if cap(f.text) > maxFoldText {
		f.text, f.version, f.out = nil, nil, nil
	}
	f.version, f.text = f.version[:0], f.text[:0]
}

// maxFoldText keeps one giant value from being held to the end of a merge.
const maxFoldText = 1 << 20

// resolve returns the versions that take the place of those held back, newest first. over
// are the range tombstones over the key, newest first; bottom says that no older version of
// the key is anywhere.
func (f *folder) resolve(key []byte, over []keys.SeqNum, bottom bool) []version {
	last := len(f.version) - 1
	f.out, f.below = f.out[:0], below{known: bottom, since: last}
	lower := keys.SeqNum(0)
	for i := last; i >= 0; {
		v := &f.version[i]
		seq := v.t.SeqNum()
		if n := newestBetween(over, lower, seq); n > 0 {
			f.below = below{known: true, bound: true, group: f.groupOf(n), since: i}
		}
		lower = seq
		switch {
		case !fold.IsOperand(v.t.Kind()):
			f.out = append(f.out, *v)
			f.below = below{bound: true, group: v.group, seq: seq, since: i - 1}
			f.below.base, f.below.known = fold.BaseOf(v.t.Kind(), v.value)
			i--
		case seq == f.below.seq:
			f.below.since = i - 1 // the version below is the fold of this operand
			i--
		default:
			j := i
			for j > 0 && f.joins(j, over) {
				j--
			}
			f.operands(key, i, j)
			lower = f.version[j].t.SeqNum()
			i = j - 1
		}
	}
	slices.Reverse(f.out)
	return f.out
}

// newestBetween returns the greatest of the numbers within (lower, upper), or 0.
func newestBetween(over []keys.SeqNum, lower, upper keys.SeqNum) keys.SeqNum {
	for _, n := range over {
		if n < upper {
			if n > lower {
				return n
			}
			return 0
		}
	}
	return 0
}

// joins reports whether the version above the j-th is an operand of the same group, with
// nothing between.
func (f *folder) joins(j int, over []keys.SeqNum) bool {
	a, b := &f.version[j], &f.version[j-1]
	return fold.IsOperand(b.t.Kind()) && a.group == b.group && newestBetween(over, a.t.SeqNum(), b.t.SeqNum()) == 0
}

// operands puts out what becomes of the operands from the i-th to the j-th, which are of one
// group.
func (f *folder) operands(key []byte, i, j int) {
	b, g := &f.below, f.version[i].group
	if b.known && (!b.bound || b.group == g) && f.full(j) {
		return
	}
	n := len(f.out)
	if b.known && b.bound && b.group.stripe != g.stripe && !b.stuck {
		for k := range f.out {
			f.out[k].held = true // without the snapshot they would be in the fold
		}
	}
	f.combine(i, j)
	if b.depth += len(f.out) - n; b.depth <= fold.MaxChain || b.stuck {
		return
	}
	if !b.known && !f.lookUp(key) {
		return
	}
	operands := slices.Clone(f.out[n:])
	if f.out = f.out[:n]; !f.full(j) {
		f.out = append(f.out, operands...)
	}
}

// combine puts out the operands from the i-th to the j-th, in as few as possible.
func (f *folder) combine(i, j int) {
	n := len(f.out)
	for ; i >= j; i-- {
		v := f.version[i]
		if k := len(f.out); k > n && v.t.Kind() == keys.KindMerge && f.out[k-1].t.Kind() == keys.KindMerge {
			at := len(f.text)
			if text, ok := f.ops.Combine(f.text, f.out[k-1].value, v.value, f.env.ExpiresWithin); ok {
				f.text, v.value = text, text[at:len(text):len(text)]
				f.out[k-1] = v
				continue
			}
		}
		f.out = append(f.out, v)
	}
}

// lookUp finds out what lies below the oldest operand that has no base here.
func (f *folder) lookUp(key []byte) bool {
	b := &f.below
	if f.env.ValueAt == nil {
		return false
	}
	base, err := f.env.ValueAt(key, f.version[b.since].t.SeqNum()-1)
	if err != nil {
		b.stuck = true
		f.failed++
		return false // whoever reads the key meets it
	}
	b.base, b.known, b.bound, b.group, b.seq = base, true, true, foldGroup{-1, -1}, 0
	return true
}

// full puts out the fold of the base and of all operands above it down to the j-th, in the
// place of what nobody sees under it, and makes it the base. It is false if that fails.
func (f *folder) full(j int) bool {
	b := &f.below
	if b.stuck {
		return false
	}
	f.chain.Reset(true)
	f.chain.SetBase(0, b.base)
	for k := b.since; k >= j; k-- {
		if f.version[k].t.Kind() != keys.KindMerge {
			b.stuck = true // its operand lies elsewhere
			return false
		}
		f.chain.Add(f.version[k].t.SeqNum(), f.version[k].value)
	}
	_, result, err := f.chain.Fold(f.ops, nil)
	if err != nil {
		b.stuck = true
		f.failed++
		return false
	}
	v := f.version[j]
	at := len(f.text)
	kind, text := result.AppendEntry(f.text)
	f.text, v.value = text, text[at:len(text):len(text)]
	v.t = keys.MakeTrailer(v.t.SeqNum(), kind)
	for n := len(f.out); n > 0 && f.out[n-1].group.stripe == v.group.stripe; n-- {
		f.out = f.out[:n-1]
	}
	f.out = append(f.out, v)
	*b = below{known: true, bound: true, group: v.group, seq: v.t.SeqNum(), since: j - 1}
	b.base, _ = fold.BaseOf(kind, v.value)
	return true
}

// settle writes what becomes of the versions that were held back.
func (w *RunWriter) settle() error {
	f, s := w.fold, &w.drop.stats
	out := f.resolve(w.drop.key, w.drop.over, w.drop.gone != nil && w.drop.gone(w.drop.key))
	folded := uint64(len(f.version) - len(out))
	s.kept -= folded
	s.folded += folded
	for i := range out {
		if err := w.write(w.drop.key, out[i].t, out[i].value, out[i].held); err != nil {
			return err
		}
	}
	f.reset()
	return nil
}

// settleBefore settles the key before, if there is one and key is another.
func (w *RunWriter) settleBefore(key []byte) error {
	if !w.fold.pending() || key != nil && bytes.Equal(w.drop.key, key) {
		return nil
	}
	return w.settle()
}
