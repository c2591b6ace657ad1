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

	extent
}

// extent is what the size of a block follows from, beside the number of its entries.
type extent struct {
	prefix         int // length that all keys share
	dataBytes      int // keys and values
	minKey, maxKey int
	minVal, maxVal int
	minSeq, maxSeq keys.SeqNum
	kind           keys.Kind // of the first entry
	kinds          bool      // kinds differ
	repeats        bool      // a user key occurs twice

	// short counts the keys of minKey bytes, of one more, and so on: of those that may
	// end within their heads, whatever becomes of the prefix, which is no longer than
	// the shortest key.
	short [headLen]int
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
	if invariants.Enabled && len(b.entries) > 0 && keys.Compare(b.LastKey(), b.entries[len(b.entries)-1].trailer, key, t) >= 0 {
		panic("block: entries out of order")
	}
	b.extend(b, key, t, len(value))
	b.entries = append(b.entries, entry{uint32(len(b.data)), uint32(len(key)), t})
	b.data = append(append(b.data, key...), value...)
}

// extend makes e, the extent of b's entries, that of one entry more.
func (e *extent) extend(b *Builder, key []byte, t keys.Trailer, valueLen int) {
	n, seq := len(key), t.SeqNum()
	if len(b.entries) == 0 {
		*e = extent{prefix: n, minKey: n, maxKey: n, minVal: valueLen, maxVal: valueLen, minSeq: seq, maxSeq: seq, kind: t.Kind()}
	} else {
		e.repeats = e.repeats || bytes.Equal(b.LastKey(), key)
		e.prefix = commonPrefix(b.data[:e.prefix], key)
		e.maxKey = max(e.maxKey, n)
		e.minVal, e.maxVal = min(e.minVal, valueLen), max(e.maxVal, valueLen)
		e.minSeq, e.maxSeq = min(e.minSeq, seq), max(e.maxSeq, seq)
		e.kinds = e.kinds || t.Kind() != e.kind
	}
	if n < e.minKey {
		e.shorten(n)
	}
	if d := uint(n - e.minKey); d < headLen {
		e.short[d]++
	}
	e.dataBytes += n + valueLen
}

// shorten makes n, which is less, the length of the shortest key.
func (e *extent) shorten(n int) {
	d := e.minKey - n
	e.minKey = n
	for i := headLen - 1; i >= 0; i-- {
		e.short[i] = 0
		if i >= d {
			e.short[i] = e.short[i-d]
		}
	}
}

// rows returns the length of the rows of n entries: of what remains of keys and values
// without the prefix and the heads.
func (e *extent) rows(n int) int {
	rows := e.dataBytes - n*(e.prefix+headLen)
	if e.minKey >= e.prefix+headLen {
		return rows
	}
	for i, count := range e.short {
		rows += count * max(0, headLen-(e.minKey+i-e.prefix))
	}
	return rows
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

// Size returns the length in bytes of what Finish would return now.
func (b *Builder) Size() int {
	if len(b.entries) == 0 {
		return 0
	}
	s := b.shape(len(b.entries))
	return s.size()
}

// SizeWith returns what Size would return after Add of an entry. A key that shares less
// with the others than they do makes the block longer by much more than itself: all
// that the prefix loses, times the number of entries.
func (b *Builder) SizeWith(key []byte, t keys.Trailer, valueLen int) int {
	e := b.extent
	e.extend(b, key, t, valueLen)
	s := e.shape(len(b.entries) + 1)
	return s.size()
}

// RawSize returns the length in bytes of all keys and values, which Builder keeps.
func (b *Builder) RawSize() int { return b.dataBytes }
