package block

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/keys"
)

// Iter walks one block, both ways. The zero Iter is ready for Init and keeps its key
// buffer from one Init to the next. It is not safe for concurrent use.
//
// Moves return whether the iterator is at an entry; Key, Trailer and Value may be
// called only then. A Next from the last entry moves past the end, from where Prev
// comes back to it, and likewise at the front.
type Iter struct {
	b     Block
	i     int
	key   []byte
	built int // the entry of which key is the key; -1: none
}

// keySlack is what the key buffer has room for beyond the prefix, at least.
const keySlack = 64

// Init makes it an iterator over b, before the first entry. It copies b, not b's bytes.
func (it *Iter) Init(b *Block) {
	it.b = *b
	it.i, it.built = -1, -1
	prefix := b.sharedPrefix()
	if cap(it.key) < len(prefix)+keySlack {
		it.key = make([]byte, 0, len(prefix)+keySlack)
	}
	it.key = append(it.key[:0], prefix...)
}

// Valid reports whether the iterator is at an entry.
func (it *Iter) Valid() bool { return uint(it.i) < uint(it.b.n) }

// Index returns the entry's index.
func (it *Iter) Index() int { return it.i }

// First moves to the first entry.
func (it *Iter) First() bool {
	it.i = 0
	return true
}

// Last moves to the last entry.
func (it *Iter) Last() bool {
	it.i = int(it.b.n) - 1
	return true
}

// Next moves to the following entry.
func (it *Iter) Next() bool {
	if it.i < int(it.b.n) {
		it.i++
	}
	return it.i < int(it.b.n)
}

// NextInside moves to the following entry, if there is one, and otherwise stays.
func (it *Iter) NextInside() bool {
	if it.i+1 >= int(it.b.n) {
		return false
	}
	it.i++
	return true
}

// NextBelow is NextInside for a following entry whose key is below a bound, and otherwise stays. It does not build that key:
// callers may have a slice of the current one.
func (it *Iter) NextBelow(bound []byte) bool {
	if it.i+1 >= int(it.b.n) || it.b.CompareKey(it.i+1, bound) >= 0 {
		return false
	}
	it.i++
	return true
}

// Prev moves to the preceding entry.
func (it *Iter) Prev() bool {
	if it.i >= 0 {
		it.i--
	}
	return it.i >= 0
}

// SeekGE moves to the first entry that does not sort before key and t.
func (it *Iter) SeekGE(key []byte, t keys.Trailer) bool {
	it.i = it.b.Search(key, t)
	return it.i < int(it.b.n)
}

// SeekLT moves to the last entry whose user key is below key.
func (it *Iter) SeekLT(key []byte) bool {
	it.i = it.b.Search(key, keys.SeekTrailer(keys.MaxSeqNum)) - 1
	return it.i >= 0
}

// Key returns the entry's user key, in the iterator's buffer, valid until the next
// move or Init. It is put together when it is asked for, once.
func (it *Iter) Key() []byte {
	if it.built != it.i {
		it.build()
	}
	return it.key
}

// build puts the key together behind the prefix, which the buffer holds already.
func (it *Iter) build() {
	b := &it.b
	it.built = it.i
	at := int(b.heads - b.prefix)
	n := b.suffixLen(it.i)
	from, _ := b.row(it.i)
	// Moving 16 bytes whatever the length is, where there are 16, takes one load and one
	// store instead of a call: 18 → 9 ns for each entry scanned.
	if n >= headLen && n <= headLen+16 && from+16 <= len(b.p) {
		key := it.key[:at+headLen+16]
		binary.BigEndian.PutUint32(key[at:], b.head(it.i))
		*(*[16]byte)(key[at+headLen:]) = [16]byte(b.p[from:])
		it.key = key[:at+n]
		return
	}
	it.key = b.appendSuffix(it.key[:at], it.i)
}

// Trailer returns the entry's sequence number and kind.
func (it *Iter) Trailer() keys.Trailer { return it.b.Trailer(it.i) }

// Value returns the entry's value, a slice of the block.
func (it *Iter) Value() []byte { return it.b.Value(it.i) }
