package block

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"github.com/loamdb/loam/internal/keys"
)

// Count returns how many entries the block has, at least one.
func (b *Block) Count() int { return int(b.n) }

// Size returns the length of the block in bytes.
func (b *Block) Size() int { return len(b.p) }

// Touch reads a byte of every cache line of the block, in order, so that the processor has them. The
// sum means nothing.
func (b *Block) Touch() (sum byte) {
	for i := 0; i < len(b.p); i += 64 {
		sum += b.p[i]
	}
	return sum
}

// MaxSeqNum returns the greatest sequence number in the block.
func (b *Block) MaxSeqNum() keys.SeqNum { return b.top.SeqNum() }

// Unique reports that no user key occurs twice in the block: steps within it need not compare
// keys. Verify checks it.
func (b *Block) Unique() bool { return b.flags&flagUnique != 0 }

// Trailer returns entry i's sequence number and kind.
func (b *Block) Trailer(i int) keys.Trailer {
	if b.flags&(seqWidthMask|flagKinds) == 0 {
		return b.top
	}
	return b.trailerOf(i)
}

// trailerOf is Trailer where there is a column to look at.
func (b *Block) trailerOf(i int) keys.Trailer {
	t := b.top
	if b.flags&seqWidthMask != 0 {
		t -= keys.Trailer(b.distance(i)) << 8
	}
	if b.flags&flagKinds != 0 {
		t |= keys.Trailer(b.p[int(b.kinds)+i])
	}
	return t
}

// distance returns how far entry i's sequence number is below the greatest.
func (b *Block) distance(i int) uint64 {
	w := int(b.flags >> seqWidthShift & 7)
	at := int(b.seqs) + i*w
	if p := b.p[at:]; len(p) >= 8 {
		return le.Uint64(p) & (1<<(8*w) - 1)
	}
	var d uint64
	for j := range w {
		d |= uint64(b.p[at+j]) << (8 * j)
	}
	return d
}

// row returns where entry i's row lies in p.
func (b *Block) row(i int) (from, to int) {
	if b.flags&flagFixedRows != 0 {
		from = int(b.rows) + i*int(b.stride)
		return from, from + int(b.stride)
	}
	return b.variableRow(i)
}

// variableRow is row where there are offsets.
func (b *Block) variableRow(i int) (from, to int) {
	if b.flags&flagWide != 0 {
		o := b.p[int(b.offs)+i*4:][:8]
		return int(b.rows + le.Uint32(o)), int(b.rows + le.Uint32(o[4:]))
	}
	o := b.p[int(b.offs)+i*2:][:4]
	return int(b.rows) + int(le.Uint16(o)), int(b.rows) + int(le.Uint16(o[2:]))
}

// suffixLen returns the length of entry i's key after the prefix.
func (b *Block) suffixLen(i int) int {
	switch b.flags >> lenWidthShift & 3 {
	case 0:
		return int(b.suffix)
	case 1:
		return int(b.p[int(b.lens)+i])
	case 2:
		return int(le.Uint16(b.p[int(b.lens)+i*2:]))
	}
	return int(le.Uint32(b.p[int(b.lens)+i*4:]))
}

// restLen returns the length of entry i's key after prefix and head.
func (b *Block) restLen(i int) int {
	if b.flags&lenWidthMask == 0 {
		return int(b.rest)
	}
	return max(b.suffixLen(i)-headLen, 0)
}

func (b *Block) head(i int) uint32 { return le.Uint32(b.p[int(b.heads)+i*headLen:]) }

// sharedPrefix returns the prefix of all keys.
func (b *Block) sharedPrefix() []byte { return b.p[b.prefix:b.heads] }

// Value returns entry i's value, a slice of the block.
func (b *Block) Value(i int) []byte {
	from, to := b.row(i)
	return b.p[from+b.restLen(i) : to : to]
}

// AppendKey appends entry i's user key to dst.
func (b *Block) AppendKey(dst []byte, i int) []byte {
	dst = append(dst, b.sharedPrefix()...)
	return b.appendSuffix(dst, i)
}

// appendSuffix appends what entry i's key has after the prefix.
func (b *Block) appendSuffix(dst []byte, i int) []byte {
	n := b.suffixLen(i)
	if n >= headLen {
		dst = binary.BigEndian.AppendUint32(dst, b.head(i))
		from, _ := b.row(i)
		return append(dst, b.p[from:from+n-headLen]...)
	}
	var h [headLen]byte
	binary.BigEndian.PutUint32(h[:], b.head(i))
	return append(dst, h[:n]...)
}

// CompareKey compares entry i's user key with key, as bytes.Compare does.
func (b *Block) CompareKey(i int, key []byte) int {
	prefix := b.sharedPrefix()
	if !bytes.HasPrefix(key, prefix) {
		return bytes.Compare(prefix, key)
	}
	return b.compareSuffix(i, key[len(prefix):])
}

// compareSuffix compares what entry i's key has after the prefix with suffix.
func (b *Block) compareSuffix(i int, suffix []byte) int {
	if c := cmp.Compare(b.head(i), head(suffix)); c != 0 {
		return c
	}
	return b.compareRest(i, suffix)
}

// compareRest compares entry i's key with suffix, when their heads are equal.
func (b *Block) compareRest(i int, suffix []byte) int {
	n := b.suffixLen(i)
	if n < headLen || len(suffix) < headLen {
		// Equal heads of which one is padded: the shorter is a prefix of the longer.
		return cmp.Compare(n, len(suffix))
	}
	from, _ := b.row(i)
	return bytes.Compare(b.p[from:from+n-headLen], suffix[headLen:])
}
