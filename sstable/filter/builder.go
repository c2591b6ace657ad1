package filter

// Builder collects the hashes of a table's keys and writes its filter, whose size
// depends on their number. The zero value is empty. It keeps eight bytes per key, and
// its memory on Reset. It is not safe for concurrent use.
type Builder struct {
	hashes []uint64
}

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset() { b.hashes = b.hashes[:0] }

// Add adds a hash. Equal hashes in a row count once.
func (b *Builder) Add(h uint64) {
	if n := len(b.hashes); n > 0 && b.hashes[n-1] == h {
		return
	}
	b.hashes = append(b.hashes, h)
}

// Len returns how many hashes were added.
func (b *Builder) Len() int { return len(b.hashes) }

// Lines returns how many lines a filter for n keys has: none for no keys or no bits,
// else at least one.
func Lines(n, bitsPerKey int) int {
	return int((uint64(n)*uint64(bitsPerKey) + LineBytes*8 - 1) / (LineBytes * 8))
}

// AppendTo appends the filter of everything added to dst: Lines(b.Len(), bitsPerKey)
// lines, which the caller cuts into chunks of ChunkBytes. It may be called again.
func (b *Builder) AppendTo(dst []byte, bitsPerKey int) []byte {
	lines := Lines(len(b.hashes), bitsPerKey)
	start := len(dst)
	dst = append(dst, make([]byte, lines*LineBytes)...)
	filter := dst[start:]
	if lines == 0 {
		return dst
	}
	for _, h := range b.hashes {
		chunk, off := Locate(h, lines)
		set(filter[chunk*ChunkBytes+off:], h)
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
