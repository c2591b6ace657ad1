package metamorphic

import (
	"iter"

	"github.com/cespare/xxhash/v2"
)

// tree is an ordered map that is never changed: each change makes a new one, which shares
// with the old one what they have in common. So the model keeps what the store held after
// each operation of a history, and a snapshot or an iterator of it is a pointer. nil is the
// empty tree.
//
// It is a treap: a search tree by key, a heap by a hash of the key.
type tree struct {
	key, value string
	expires    int // the hour from which on it is absent, 0: never
	id         int // tells the writes of a key apart, as versions do
	left       *tree
	right      *tree
	priority   uint64
	count      int
	sum        uint64 // of the hashes of all entries; the order does not matter
	// firstExpiry is the hour at which the first of them expires, 0: none does.
	firstExpiry int
}

// entryHash identifies a key with its value.
func entryHash(key, value string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(key) // never fails
	_, _ = d.Write([]byte{0})
	_, _ = d.WriteString(value)
	return d.Sum64()
}

// mortalHash identifies a key with its value and its expiry.
func mortalHash(key, value string, expires int) uint64 {
	return entryHash(key, value) + 0x9e3779b97f4a7c15*uint64(expires)
}

func (t *tree) len() int {
	if t == nil {
		return 0
	}
	return t.count
}

func (t *tree) hash() uint64 {
	if t == nil {
		return 0
	}
	return t.sum
}

// join returns t's entry between two trees.
func (t *tree) join(left, right *tree) *tree {
	n := *t
	n.left, n.right = left, right
	n.count = left.len() + 1 + right.len()
	n.sum = left.hash() + mortalHash(t.key, t.value, t.expires) + right.hash()
	n.firstExpiry = sooner(t.expires, sooner(left.soonest(), right.soonest()))
	return &n
}

// split returns the entries below key and those from it on.
func (t *tree) split(key string) (below, from *tree) {
	switch {
	case t == nil:
		return nil, nil
	case t.key < key:
		below, from = t.right.split(key)
		return t.join(t.left, below), from
	}
	below, from = t.left.split(key)
	return below, t.join(from, t.right)
}

// concat returns the entries of two trees, of which a's come first.
func concat(a, b *tree) *tree {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		return a.join(a.left, concat(a.right, b))
	}
	return b.join(concat(a, b.left), b.right)
}

// soonest returns the hour at which the first of t's entries expires, 0 if none does.
func (t *tree) soonest() int {
	if t == nil {
		return 0
	}
	return t.firstExpiry
}

// sooner returns the earlier of two hours, of which 0 is never.
func sooner(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// alive returns t without what has expired by an hour.
func (t *tree) alive(hour int) *tree {
	if first := t.soonest(); first == 0 || first > hour {
		return t
	}
	left, right := t.left.alive(hour), t.right.alive(hour)
	if t.expires != 0 && t.expires <= hour {
		return concat(left, right)
	}
	return t.join(left, right)
}

// next is the smallest key above key.
func next(key string) string { return key + "\x00" }

// set returns t with an entry set, which is absent from the hour expires on; 0: never.
func (t *tree) set(key, value string, id, expires int) *tree {
	below, from := t.split(key)
	_, above := from.split(next(key))
	one := &tree{key: key, value: value, id: id, expires: expires, priority: xxhash.Sum64String(key)}
	return concat(concat(below, one.join(nil, nil)), above)
}

// remove returns t without the keys of [lower, upper); upper "" is no bound.
func (t *tree) remove(lower, upper string) *tree {
	below, from := t.split(lower)
	if upper == "" {
		return below
	}
	_, above := from.split(upper)
	return concat(below, above)
}

// within returns the entries of [lower, upper); upper "" is no bound.
func (t *tree) within(lower, upper string) *tree {
	_, from := t.split(lower)
	if upper == "" {
		return from
	}
	below, _ := from.split(upper)
	return below
}

// get returns the entry of key, nil if there is none.
func (t *tree) get(key string) *tree {
	for t != nil && t.key != key {
		if t.key < key {
			t = t.right
		} else {
			t = t.left
		}
	}
	return t
}

// seekGE returns the first entry at or after key, nil if there is none.
func (t *tree) seekGE(key string) (found *tree) {
	for t != nil {
		if t.key < key {
			t = t.right
		} else {
			found, t = t, t.left
		}
	}
	return found
}

// seekLT returns the last entry before key, nil if there is none.
func (t *tree) seekLT(key string) (found *tree) {
	for t != nil {
		if t.key < key {
			found, t = t, t.right
		} else {
			t = t.left
		}
	}
	return found
}

// first and last return the entry at an end, nil of an empty tree.
func (t *tree) first() *tree { return t.seekGE("") }

func (t *tree) last() (found *tree) {
	for t != nil {
		found, t = t, t.right
	}
	return found
}

// all yields the entries in order.
func (t *tree) all() iter.Seq[*tree] {
	return func(yield func(*tree) bool) { t.walk(yield) }
}

func (t *tree) walk(yield func(*tree) bool) bool {
	return t == nil || t.left.walk(yield) && yield(t) && t.right.walk(yield)
}

// backward yields them last one first.
func (t *tree) backward() iter.Seq[*tree] {
	return func(yield func(*tree) bool) { t.walkBackward(yield) }
}

func (t *tree) walkBackward(yield func(*tree) bool) bool {
	return t == nil || t.right.walkBackward(yield) && yield(t) && t.left.walkBackward(yield)
}

// renewed returns t with every entry written anew by one write.
func (t *tree) renewed(id int) *tree {
	if t == nil {
		return nil
	}
	n := *t
	n.id, n.left, n.right = id, t.left.renewed(id), t.right.renewed(id)
	return &n
}
