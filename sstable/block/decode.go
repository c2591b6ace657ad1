package block

import (
	"fmt"

	"github.com/loamdb/loam/internal/keys"
)

// Decode checks every length, offset, distance and kind in p, and returns a view of it.
// The error is ErrMalformed with what is wrong. Order is not checked. The Block keeps p.
func Decode(p []byte) (Block, error) {
	b, err := decodeFrame(p)
	if err != nil {
		return Block{}, err
	}
	if err := b.checkRows(); err != nil {
		return Block{}, err
	}
	if err := b.checkTrailers(); err != nil {
		return Block{}, err
	}
	return b, nil
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// View returns a view of p, which Decode has accepted before; anything else may panic.
// Its time does not depend on the length of p. The Block keeps p.
func View(p []byte) (b Block) {
	b.view(p)
	return b
}

// view sets every field. Locals, because what was stored to a field would be loaded
// again by the next line: 16 → 9 ns.
func (b *Block) view(p []byte) {
	h := (*[narrowHeaderLen]byte)(p)
	flags := le.Uint16(h[8:])
	w, prefix := uint32(2), uint32(narrowHeaderLen)
	n, prefixLen, suffix := uint32(le.Uint16(h[10:])), uint32(le.Uint16(h[12:])), uint32(le.Uint16(h[14:]))
	if flags&flagWide != 0 {
		w, prefix = 4, wideHeaderLen
		n, prefixLen, suffix = le.Uint32(p[12:]), le.Uint32(p[16:]), le.Uint32(p[20:])
	}
	heads := prefix + prefixLen
	lens := heads + n*headLen
	offs := lens + n*(1<<(flags>>lenWidthShift&3)>>1) // 0, 1, 2 or 4
	seqs, stride := offs+(n+1)*w, uint32(0)
	if flags&flagFixedRows != 0 {
		seqs = offs + w
		stride = uint32(le.Uint16(p[offs:]))
		if w == 4 {
			stride = le.Uint32(p[offs:])
		}
	}
	kinds := seqs + n*uint32(flags>>seqWidthShift&7)
	rows := kinds + n*uint32(flags>>kindsShift&1)
	_ = p[rows:] // bytes that changed since Decode shall panic here, not be searched
	b.p, b.top, b.flags, b.n = p, keys.Trailer(le.Uint64(h[:])), flags, n
	b.prefix, b.heads, b.lens, b.offs, b.seqs, b.kinds, b.rows = prefix, heads, lens, offs, seqs, kinds, rows
	b.suffix, b.rest, b.stride = suffix, max(suffix, headLen)-headLen, stride
}

// decodeFrame checks that header and columns fit in p.
func decodeFrame(p []byte) (Block, error) {
	if len(p) < narrowHeaderLen || len(p) > maxWide {
		return Block{}, malformed("length")
	}
	flags := le.Uint16(p[8:])
	header, w := uint64(narrowHeaderLen), uint64(2)
	if flags&flagWide != 0 {
		header, w = wideHeaderLen, 4
	}
	if flags&^knownFlags != 0 {
		return Block{}, malformed("flags")
	}
	if wide := flags&flagWide != 0; wide != (len(p) > maxNarrow) || wide && le.Uint16(p[10:]) != 0 {
		return Block{}, malformed("width")
	}
	var n, prefix, suffix uint64
	if w == 4 {
		n, prefix, suffix = uint64(le.Uint32(p[12:])), uint64(le.Uint32(p[16:])), uint64(le.Uint32(p[20:]))
	} else {
		n, prefix, suffix = uint64(le.Uint16(p[10:])), uint64(le.Uint16(p[12:])), uint64(le.Uint16(p[14:]))
	}
	lenWidth, seqWidth := uint64(lenWidths[flags>>lenWidthShift&3]), uint64(flags>>seqWidthShift&7)
	offsets := (n + 1) * w
	if flags&flagFixedRows != 0 {
		offsets = w
		if lenWidth != 0 {
			return Block{}, malformed("rows of one length, keys of several")
		}
	}
	columns := header + prefix + n*(headLen+lenWidth+seqWidth) + offsets
	if flags&flagKinds != 0 {
		columns += n
	}
	if n == 0 || columns > uint64(len(p)) {
		return Block{}, malformed("columns")
	}
	if prefix+suffix > keys.MaxKeyLen || lenWidth != 0 && suffix != 0 {
		return Block{}, malformed("key length")
	}
	return View(p), nil
}

// checkRows checks that each row lies within the block and holds its part of the key.
func (b *Block) checkRows() error {
	size := uint64(len(b.p)) - uint64(b.rows)
	maxSuffix := keys.MaxKeyLen - int(b.heads-b.prefix)
	if b.flags&flagFixedRows != 0 {
		if uint64(b.n)*uint64(b.stride) != size || b.rest > b.stride {
			return malformed("length of rows")
		}
		if b.stride-b.rest > keys.MaxValueLen {
			return malformed("value length")
		}
		return b.checkPadding()
	}
	from := b.offset(0)
	if from != 0 || b.offset(int(b.n)) != size {
		return malformed("ends of rows")
	}
	for i := range int(b.n) {
		to := b.offset(i + 1)
		n := b.suffixLen(i)
		rest := uint64(max(n-headLen, 0))
		if to < from || to > size || rest > to-from {
			return malformed("row")
		}
		if n > maxSuffix || to-from-rest > keys.MaxValueLen {
			return malformed("key or value length")
		}
		from = to
	}
	return b.checkPadding()
}

// checkPadding checks that heads of shorter keys are padded with zeros: a comparison
// of heads would differ from one of keys otherwise.
func (b *Block) checkPadding() error {
	if b.flags&lenWidthMask == 0 && b.suffix >= headLen {
		return nil
	}
	for i := range int(b.n) {
		if n := b.suffixLen(i); n < headLen && b.head(i)<<(8*n) != 0 {
			return malformed("padding of a head")
		}
	}
	return nil
}

// offset returns where row i begins, from the first.
func (b *Block) offset(i int) uint64 {
	if b.flags&flagWide != 0 {
		return uint64(le.Uint32(b.p[int(b.offs)+i*4:]))
	}
	return uint64(le.Uint16(b.p[int(b.offs)+i*2:]))
}

// checkTrailers checks that each entry has a valid kind, with a value that is long
// enough for it, and no negative number.
func (b *Block) checkTrailers() error {
	if b.flags&flagKinds != 0 && b.top.Kind() != 0 {
		return malformed("two kinds")
	}
	for i := range int(b.n) {
		k := b.top.Kind()
		if b.flags&flagKinds != 0 {
			k = keys.Kind(b.p[int(b.kinds)+i])
		}
		if !k.Valid() {
			return malformed("kind")
		}
		if n := k.MinValueLen(); n > 0 && len(b.Value(i)) < n {
			return malformed("value of a kind that has a header")
		}
		if b.flags&flagKinds == 0 && k.MinValueLen() == 0 {
			break // all are like the first
		}
	}
	if b.flags&seqWidthMask == 0 {
		return nil
	}
	for i := range int(b.n) {
		if b.distance(i) > uint64(b.top.SeqNum()) {
			return malformed("sequence number")
		}
	}
	return nil
}
