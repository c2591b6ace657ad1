package block

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
)

// Builder collects entries and makes a data block of them. The zero value is empty.
// It is not safe for concurrent use.
type Builder struct {
	// data holds key and value of each entry, back to back: the prefix that is common
	// to all is known only at the end. What goes into a row lies in one piece.
	data    []byte
	entries []entry
	out     []byte

	prefix         int // length that all keys share
	keyBytes       int
	minKey, maxKey int
	minVal, maxVal int
	minSeq, maxSeq keys.SeqNum
	kinds          bool // kinds differ
	repeats        bool // a user key occurs twice
}

// entry is one entry's place in Builder.data; its value ends where the next begins.
type entry struct {
	key     uint32
	keyLen  uint32
	trailer keys.Trailer
}

// keptBytes is how large a buffer may be for Reset to keep it.
const keptBytes = 4 << 20

// Reset empties the builder. It keeps its memory, unless that became large.
func (b *Builder) Reset() {
	data, entries, out := b.data, b.entries, b.out
	if cap(data) > keptBytes || cap(out) > keptBytes {
		data, out = nil, nil
	}
	*b = Builder{data: data[:0], entries: entries[:0], out: out[:0]}
}

// Add appends an entry, which must sort after the one before it. It copies key and
// value. The caller keeps keys and values within the limits of package keys, and a
// block of several entries below 1 GiB.
func (b *Builder) Add(key []byte, t keys.Trailer, value []byte) {
	seq := t.SeqNum()
	if len(b.entries) == 0 {
		b.prefix = len(key)
		b.minKey, b.maxKey, b.minVal, b.maxVal = len(key), len(key), len(value), len(value)
		b.minSeq, b.maxSeq = seq, seq
	} else {
		last := b.LastKey()
		if invariants.Enabled && keys.Compare(last, b.entries[len(b.entries)-1].trailer, key, t) >= 0 {
			panic("block: entries out of order")
		}
		b.repeats = b.repeats || bytes.Equal(last, key)
		b.prefix = commonPrefix(b.data[:b.prefix], key)
		b.minKey, b.maxKey = min(b.minKey, len(key)), max(b.maxKey, len(key))
		b.minVal, b.maxVal = min(b.minVal, len(value)), max(b.maxVal, len(value))
		b.minSeq, b.maxSeq = min(b.minSeq, seq), max(b.maxSeq, seq)
		b.kinds = b.kinds || t.Kind() != b.entries[0].trailer.Kind()
	}
	b.entries = append(b.entries, entry{uint32(len(b.data)), uint32(len(key)), t})
	b.data = append(append(b.data, key...), value...)
	b.keyBytes += len(key)
}

// commonPrefix returns how long the common prefix of a and b is.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// Len returns how many entries there are.
func (b *Builder) Len() int { return len(b.entries) }

// FirstKey returns the first entry's user key, valid until Reset or the next Add.
// There must be one.
func (b *Builder) FirstKey() []byte { return b.data[:b.entries[0].keyLen] }

// LastKey returns the last entry's user key, valid until Reset or the next Add. There
// must be one.
func (b *Builder) LastKey() []byte {
	e := &b.entries[len(b.entries)-1]
	return b.data[e.key : e.key+e.keyLen]
}

// MaxSeqNum returns the greatest sequence number, 0 without entries.
func (b *Builder) MaxSeqNum() keys.SeqNum { return b.maxSeq }

// MinSeqNum returns the least sequence number, 0 without entries.
func (b *Builder) MinSeqNum() keys.SeqNum { return b.minSeq }

// EstimatedSize returns the length in bytes of what Finish would return now, or a
// little more: at most four bytes for each key that ends within its head.
func (b *Builder) EstimatedSize() int {
	if len(b.entries) == 0 {
		return 0
	}
	rows := len(b.data) - len(b.entries)*b.prefix
	if b.minKey >= b.prefix+headLen {
		rows -= len(b.entries) * headLen
	}
	s := b.shape(rows)
	return s.size()
}
