package sstable

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/loamdb/loam/internal/keys"
)

// partitionBytes is the size at which a partition is ended: large enough that a table
// of 64 MiB has a handful, small enough for the cache's largest frame of 65 KiB.
const partitionBytes = 60 << 10

// indexBuilder collects the entries of data blocks into partitions. The zero
// indexBuilder is ready; reset makes it so again.
type indexBuilder struct {
	done    []builtPartition
	bytes   int64 // of the payloads in done
	limit   int   // partitionBytes, smaller in tests
	base    int64
	offs    []int64 // of each block, and the end of the last
	seqs    []keys.SeqNum
	seps    []byte
	sepOffs []uint32 // len(seqs)+1 when any
}

type builtPartition struct {
	payload []byte
	blocks  int
	last    []byte // separator of the last block
}

// add appends a block at [off, end) whose separator is sep. sep is copied.
func (b *indexBuilder) add(sep []byte, at span, maxSeq keys.SeqNum) {
	if len(b.seqs) == 0 {
		b.base = at.off
		b.offs = append(b.offs[:0], at.off)
		b.sepOffs = append(b.sepOffs[:0], 0)
	}
	b.offs = append(b.offs, at.end())
	b.seqs = append(b.seqs, maxSeq)
	b.seps = append(b.seps, sep...)
	b.sepOffs = append(b.sepOffs, uint32(len(b.seps)))
	if b.pendingBytes() >= b.limit {
		b.cut()
	}
}

// pendingBytes estimates the payload of the partition under construction.
func (b *indexBuilder) pendingBytes() int {
	if len(b.seqs) == 0 {
		return 0
	}
	return partitionHeaderLen + len(b.seqs)*24 + len(b.seps)
}

// estimatedBytes is about what all partitions take.
func (b *indexBuilder) estimatedBytes() int64 { return b.bytes + int64(b.pendingBytes()) }

// cut ends the partition under construction, if it has a block.
func (b *indexBuilder) cut() {
	n := len(b.seqs)
	if n == 0 {
		return
	}
	sep := func(i int) []byte { return b.seps[b.sepOffs[i]:b.sepOffs[i+1]] }
	prefix := commonPrefix(sep(0), sep(n-1))
	if n == 1 {
		prefix = 0 // so that the head of a lone separator says something
	}
	w := 4
	if b.offs[n]-b.base > math.MaxUint32 {
		w = 8
	}
	baseSeq, maxSeq := slices.Min(b.seqs), slices.Max(b.seqs)
	q := deltaWidth(uint64(maxSeq - baseSeq))
	sepBytes := len(b.seps) - n*prefix

	le := binary.LittleEndian
	p := make([]byte, partitionHeaderLen, partitionHeaderLen+n*8+(n+1)*w+n*q+(n+1)*4+prefix+sepBytes)
	le.PutUint32(p[0:], uint32(n))
	le.PutUint32(p[4:], uint32(prefix))
	p[8], p[9] = byte(w), byte(q)
	le.PutUint32(p[12:], uint32(sepBytes))
	le.PutUint64(p[16:], uint64(b.base))
	le.PutUint64(p[24:], uint64(baseSeq))
	for i := range n {
		p = le.AppendUint64(p, head(sep(i)[prefix:]))
	}
	for _, off := range b.offs {
		p = appendFixed(p, uint64(off-b.base), w)
	}
	for _, s := range b.seqs {
		p = appendFixed(p, uint64(s-baseSeq), q)
	}
	for i, off := range b.sepOffs {
		p = le.AppendUint32(p, off-uint32(i*prefix))
	}
	p = append(p, sep(0)[:prefix]...)
	for i := range n {
		p = append(p, sep(i)[prefix:]...)
	}
	b.done = append(b.done, builtPartition{p, n, slices.Clone(sep(n - 1))})
	b.bytes += int64(len(p))
	b.offs, b.seqs, b.seps, b.sepOffs = b.offs[:0], b.seqs[:0], b.seps[:0], b.sepOffs[:0]
}

// appendFixed appends the low width bytes of v.
func appendFixed(dst []byte, v uint64, width int) []byte {
	for range width {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}

// deltaWidth returns how many bytes a column of deltas up to v needs: none when all
// are zero.
func deltaWidth(v uint64) int {
	switch {
	case v == 0:
		return 0
	case v <= math.MaxUint8:
		return 1
	case v <= math.MaxUint16:
		return 2
	case v <= math.MaxUint32:
		return 4
	}
	return 8
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// appendSeparator appends the shortest key found that is not below a and below b,
// where a <= b; a itself when they are equal.
func appendSeparator(dst, a, b []byte) []byte {
	c := commonPrefix(a, b)
	if c == len(a) {
		return append(dst, a...)
	}
	if a[c]+1 < b[c] {
		dst = append(dst, a[:c+1]...)
		dst[len(dst)-1]++
		return dst
	}
	if len(b) > c+1 {
		return append(dst, b[:c+1]...)
	}
	for i := c + 1; i < len(a); i++ {
		if a[i] != 0xff {
			dst = append(dst, a[:i+1]...)
			dst[len(dst)-1]++
			return dst
		}
	}
	return append(dst, a...)
}
