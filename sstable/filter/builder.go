package filter

import "sync"

// Builder collects the hashes of a table's keys and writes its filter, whose size
// depends on their number. The zero value is empty. It keeps eight bytes per key, in
// pieces that builders share: in one slice that append lets grow, every table left five
// times as much to the collector. It is not safe for concurrent use.
type Builder struct {
	pieces []*piece // all full but the last
	n      int
}

type piece [pieceLen]uint64

const pieceLen = 8 << 10

var pieces = sync.Pool{New: func() any { return new(piece) }}

// Reset empties the builder and gives its pieces back.
func (b *Builder) Reset() {
	for i, p := range b.pieces {
		pieces.Put(p)
		b.pieces[i] = nil
	}
	b.pieces, b.n = b.pieces[:0], 0
}

// Add adds a hash. Equal hashes in a row count once.
func (b *Builder) Add(h uint64) {
	at := b.n % pieceLen
	if b.n > 0 {
		last := b.n - 1
		if b.pieces[last/pieceLen][last%pieceLen] == h {
			return
		}
	}
	if at == 0 {
		b.pieces = append(b.pieces, pieces.Get().(*piece))
	}
	b.pieces[len(b.pieces)-1][at] = h
	b.n++
}

// Len returns how many hashes were added.
func (b *Builder) Len() int { return b.n }

// Lines returns how many lines a filter for n keys has: none for no keys or no bits,
// else at least one.
func Lines(n, bitsPerKey int) int {
	return int((uint64(n)*uint64(bitsPerKey) + LineBytes*8 - 1) / (LineBytes * 8))
}

// AppendTo appends the filter of everything added to dst: Lines(b.Len(), bitsPerKey)
// lines, which the caller cuts into chunks of ChunkBytes. It may be called again.
func (b *Builder) AppendTo(dst []byte, bitsPerKey int) []byte {
	lines := Lines(b.n, bitsPerKey)
	start := len(dst)
	dst = append(dst, make([]byte, lines*LineBytes)...)
	filter := dst[start:]
	if lines == 0 {
		return dst
	}
	left := b.n
	for _, p := range b.pieces {
		for _, h := range p[:min(left, pieceLen)] {
			chunk, off := Locate(h, lines)
			set(filter[chunk*ChunkBytes+off:], h)
		}
		left -= pieceLen
	}
	return dst
}

// set sets the bits of h in its line.
func set(line []byte, h uint64) {
	l := (*[LineBytes]byte)(line)
	x := h * spread
	for range probes {
		l[x>>58] |= 1 << (x >> 55 & 7)
		x <<= 9
	}
}
