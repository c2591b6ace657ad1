package blob

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// ChunkBytes is the length of the blocks of a value that has several.
const ChunkBytes = 1 << 20

const (
	// chainHead precedes each block of a chain: its length, u32.
	chainHead = 4
	// MaxHeadLen is the longest beginning of a value that stays in the table.
	MaxHeadLen = 255
	// MaxFiles is how many blob files one table can name.
	MaxFiles = 1 << 24
	// maxOffset bounds what is accepted of a reference before the file is known.
	maxOffset = 1 << 62
	// minBlock is the least length of a sealed block that holds anything. Those of encrypted
	// files are longer, which opening them checks.
	minBlock = block.TrailerLen + 1
)

// Ref says where a value is. In a table it takes the value's place:
//
//	head length uvarint, head · file uvarint · ordinal uvarint · offset uvarint · stored uvarint · length uvarint
type Ref struct {
	// Head is the beginning of the value, which stays in the table. It is for what has to be
	// seen without reading the rest; values of raw stores have none.
	Head []byte
	// File is the ordinal of the blob file in the table's list of them.
	File int
	// Ordinal counts the values of the file from 0. The value is known by it in the cache.
	Ordinal int64
	// Offset is where the body begins in the file, Stored how many bytes it takes there.
	Offset, Stored int64
	// Length is the length of the body: of the value without its head.
	Length int64
}

// ValueLen returns the length of the whole value.
func (r *Ref) ValueLen() int { return len(r.Head) + int(r.Length) }

// Within reports whether a file with so many bytes of values may have what r names.
func (r *Ref) Within(data int64) bool {
	return r.Offset >= headerLen && r.Stored <= data && r.Offset-headerLen <= data-r.Stored
}

// Append appends the reference's encoding to dst.
func (r *Ref) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.Head)))
	dst = append(dst, r.Head...)
	dst = binary.AppendUvarint(dst, uint64(r.File))
	dst = binary.AppendUvarint(dst, uint64(r.Ordinal))
	dst = binary.AppendUvarint(dst, uint64(r.Offset))
	dst = binary.AppendUvarint(dst, uint64(r.Stored))
	return binary.AppendUvarint(dst, uint64(r.Length))
}

// DecodeRef decodes what Append appended, and nothing else. The head aliases p. The result
// promises that Length is at most what Stored bytes can hold, and a value; whether the file
// has them is for its Reader.
func DecodeRef(p []byte) (Ref, error) {
	var r Ref
	n, p, ok := uvarint(p)
	if !ok || n > MaxHeadLen || n > uint64(len(p)) {
		return Ref{}, ErrMalformedRef
	}
	if n > 0 {
		r.Head, p = p[:n:n], p[n:]
	}
	var f [5]uint64
	for i := range f {
		if f[i], p, ok = uvarint(p); !ok {
			return Ref{}, ErrMalformedRef
		}
	}
	if len(p) > 0 || f[0] >= MaxFiles || f[1] > maxOffset/minBlock || f[2] < headerLen || f[2] > maxOffset ||
		f[4]+n > keys.MaxValueLen || f[3] > maxStored(f[4], block.TagTrailerLen) || f[3] < minStored(f[4]) || f[4] == 0 {
		return Ref{}, ErrMalformedRef
	}
	r.File, r.Ordinal, r.Offset, r.Stored, r.Length = int(f[0]), int64(f[1]), int64(f[2]), int64(f[3]), int64(f[4])
	return r, nil
}

// uvarint takes a number from the front of p. Only the shortest encoding is one.
func uvarint(p []byte) (uint64, []byte, bool) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), p[1:], true
	}
	v, n := binary.Uvarint(p)
	if n <= 0 || n > 1 && p[n-1] == 0 {
		return 0, nil, false
	}
	return v, p[n:], true
}

// chunks returns how many blocks a body of n bytes has, n at most MaxValueLen.
func chunks(n uint64) uint64 { return (n + ChunkBytes - 1) / ChunkBytes }

// maxStored is the most that a body of n bytes takes in a file with such trailers: blocks that
// are not compressed.
func maxStored(n uint64, trailer int) uint64 {
	if n <= ChunkBytes {
		return n + uint64(trailer)
	}
	return n + chunks(n)*(uint64(trailer)+chainHead)
}

// minStored is the least that a body of n bytes takes in the file.
func minStored(n uint64) uint64 {
	if n <= ChunkBytes {
		return minBlock
	}
	return chunks(n) * (minBlock + chainHead)
}
