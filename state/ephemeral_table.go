package state

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"github.com/loamdb/loam/scope"
)

// ephemeralTable finds values of class Ephemeral by scope and key. One goroutine at a time changes it, any
// number search it meanwhile without a lock: links are never changed, lists of them are replaced, and so is
// the table when it has become too small.
type ephemeralTable struct {
	seed  maphash.Seed
	slots atomic.Pointer[[]ephemeralSlot]
	count int
}

// ephemeralSlot is the list of the values that fall into one place of the table: one as a rule.
type ephemeralSlot = atomic.Pointer[ephemeralLink]

type ephemeralLink struct {
	value *ephemeral
	next  *ephemeralLink
}

const leastEphemeralSlots = 64 // a power of two, as all sizes are

func (t *ephemeralTable) init() {
	t.seed = maphash.MakeSeed()
	t.clear()
}

func (t *ephemeralTable) clear() {
	slots := make([]ephemeralSlot, leastEphemeralSlots)
	t.slots.Store(&slots)
	t.count = 0
}

func (t *ephemeralTable) slot(slots []ephemeralSlot, name scope.Scope, key string) *ephemeralSlot {
	h := maphash.String(t.seed, key) ^ bits.RotateLeft64(maphash.String(t.seed, name.ID()), 1)
	if step := name.StepName(); step != "" {
		h ^= bits.RotateLeft64(maphash.String(t.seed, step), 2)
	}
	return &slots[h&uint64(len(slots)-1)]
}

// find returns the value of a key, expired or not, or nil.
func (t *ephemeralTable) find(name scope.Scope, key string) *ephemeral {
	for l := t.slot(*t.slots.Load(), name, key).Load(); l != nil; l = l.next {
		if v := l.value; v.key == key && v.in.name == name {
			return v
		}
	}
	return nil
}

// put makes v, whose link is used for it, the value of its key, at one moment, and returns the one that
// was there, nil for none.
func (t *ephemeralTable) put(v *ephemeral) (old *ephemeral) {
	slot := t.slot(*t.slots.Load(), v.in.name, v.key)
	v.link.value = v
	v.link.next, old = slot.Load().without(v.in.name, v.key)
	slot.Store(&v.link)
	if old == nil {
		if t.count++; t.count > len(*t.slots.Load()) {
			t.grow()
		}
	}
	return old
}

// remove takes out a value that is in the table.
func (t *ephemeralTable) remove(v *ephemeral) {
	slot := t.slot(*t.slots.Load(), v.in.name, v.key)
	rest, _ := slot.Load().without(v.in.name, v.key)
	slot.Store(rest)
	t.count--
}

// without returns a list without the value of a key, and that value.
func (l *ephemeralLink) without(name scope.Scope, key string) (rest *ephemeralLink, value *ephemeral) {
	switch {
	case l == nil:
		return nil, nil
	case l.value.key == key && l.value.in.name == name:
		return l.next, l.value
	}
	if rest, value = l.next.without(name, key); value == nil {
		return l, nil
	}
	return &ephemeralLink{l.value, rest}, value
}

// grow doubles the table.
func (t *ephemeralTable) grow() {
	from := *t.slots.Load()
	to := make([]ephemeralSlot, 2*len(from))
	for i := range from {
		for l := from[i].Load(); l != nil; l = l.next {
			slot := t.slot(to, l.value.in.name, l.value.key)
			slot.Store(&ephemeralLink{l.value, slot.Load()})
		}
	}
	t.slots.Store(&to)
}
