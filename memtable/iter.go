package memtable

import (
	"github.com/loamdb/loam/internal/keys"
)

// Iter walks the entries in the order of keys.Compare. It is a value that holds no
// resources: copies are independent. One Iter is used by one goroutine at a time; any
// number may run beside the writer. Entries added meanwhile may or may not be met;
// those added before the Iter was positioned are.
//
// First, Last, SeekGE, SeekLT, Next and Prev report whether the Iter is at an entry.
type Iter struct {
	m    *Memtable
	node nodeRef // the head when not at an entry
}

// Iter returns an iterator that is not at an entry yet.
func (m *Memtable) Iter() Iter { return Iter{m: m} }

// At returns an iterator at the newest entry of key whose sequence number is at most seq, and
// whether there is one. hash is keys.Hash(key). It costs what Get does.
func (m *Memtable) At(key []byte, hash uint64, seq keys.SeqNum) (Iter, bool) {
	if m.Empty() {
		return Iter{m: m}, false
	}
	n, sure := m.find(key, hash)
	if n == head && !sure || n != head && m.trailer(n).SeqNum() > seq {
		n = head // the newest version is too new, or the index does not know
		if p := m.seek(key, keys.SeekTrailer(seq)); p.same {
			n = p.after
		}
	}
	return Iter{m: m, node: n}, n != head
}

// First moves to the first entry.
func (it *Iter) First() bool { return it.at(nodeRef(it.m.link(head, 0) & offsetMask)) }

// Last moves to the last entry.
func (it *Iter) Last() bool { return it.at(it.m.prev(head)) }

// SeekGE moves to the first entry that does not sort before (key, t).
func (it *Iter) SeekGE(key []byte, t keys.Trailer) bool { return it.at(it.m.seek(key, t).after) }

// SeekLT moves to the last entry whose user key is less than key: the oldest version
// of the user key before it.
func (it *Iter) SeekLT(key []byte) bool { return it.at(it.m.seek(key, ^keys.Trailer(0)).before) }

// Next moves to the next entry. The Iter must be at one.
func (it *Iter) Next() bool { return it.at(nodeRef(it.m.link(it.node, 0) & offsetMask)) }

// Prev moves to the previous entry. The Iter must be at one.
func (it *Iter) Prev() bool { return it.at(it.m.prev(it.node)) }

func (it *Iter) at(n nodeRef) bool {
	it.node = n
	return n != head
}

// Valid reports whether the Iter is at an entry.
func (it *Iter) Valid() bool { return it.node != head }

// Key returns the user key of the entry. It aliases the region.
func (it *Iter) Key() []byte { return it.m.key(it.node) }

// Trailer returns the trailer of the entry.
func (it *Iter) Trailer() keys.Trailer { return it.m.trailer(it.node) }

// Value returns the value of the entry. It aliases the region.
func (it *Iter) Value() []byte { return it.m.value(it.node) }
