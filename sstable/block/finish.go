package block

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
)

// shape is what the header of a block says, and the length of its rows.
type shape struct {
	n, prefix, suffix  int
	rows               int
	lenWidth, seqWidth int
	flags              uint16
}

// shape returns the shape of a block of n entries of this extent.
func (e *extent) shape(n int) shape {
	s := shape{n: n, prefix: e.prefix, rows: e.rows(n)}
	if e.minKey == e.maxKey {
		s.suffix = e.maxKey - e.prefix
		if e.minVal == e.maxVal {
			s.flags |= flagFixedRows
		}
	} else {
		code := uint16(1)
		for s.lenWidth = 1; (e.maxKey-e.prefix)>>(8*s.lenWidth) != 0; s.lenWidth *= 2 {
			code++
		}
		s.flags |= code << lenWidthShift
	}
	for d := e.maxSeq - e.minSeq; d != 0; d >>= 8 {
		s.seqWidth++
	}
	s.flags |= uint16(s.seqWidth) << seqWidthShift
	if e.kinds {
		s.flags |= flagKinds
	}
	if !e.repeats {
		s.flags |= flagUnique
	}
	if s.size() > maxNarrow {
		s.flags |= flagWide
	}
	return s
}

// size returns the length of the block in bytes.
func (s *shape) size() int {
	header, w := narrowHeaderLen, 2
	if s.flags&flagWide != 0 {
		header, w = wideHeaderLen, 4
	}
	offsets := (s.n + 1) * w
	if s.flags&flagFixedRows != 0 {
		offsets = w
	}
	perEntry := headLen + s.lenWidth + s.seqWidth
	if s.flags&flagKinds != 0 {
		perEntry++
	}
	return header + s.prefix + s.n*perEntry + offsets + s.rows
}

// Finish returns the block, valid until Reset or the next Add. There must be an entry.
func (b *Builder) Finish() []byte {
	if len(b.entries) == 0 {
		if invariants.Enabled {
			panic("block: finish without entries")
		}
		return nil
	}
	s := b.shape(len(b.entries))
	size := s.size()
	if cap(b.out) < size {
		b.out = make([]byte, size)
	}
	out := b.out[:size]
	b.putColumns(out, b.putHeader(out, &s), &s)
	b.out = out
	return out
}

// putHeader writes header and prefix and returns where the heads begin.
func (b *Builder) putHeader(out []byte, s *shape) int {
	top := keys.MakeTrailer(b.maxSeq, 0)
	if !b.kinds {
		top |= keys.Trailer(b.kind)
	}
	le.PutUint64(out, uint64(top))
	le.PutUint16(out[8:], s.flags)
	at := narrowHeaderLen
	if s.flags&flagWide != 0 {
		le.PutUint16(out[10:], 0)
		le.PutUint32(out[12:], uint32(s.n))
		le.PutUint32(out[16:], uint32(s.prefix))
		le.PutUint32(out[20:], uint32(s.suffix))
		at = wideHeaderLen
	} else {
		le.PutUint16(out[10:], uint16(s.n))
		le.PutUint16(out[12:], uint16(s.prefix))
		le.PutUint16(out[14:], uint16(s.suffix))
	}
	return at + copy(out[at:], b.data[:s.prefix])
}

// putColumns writes columns and rows; the heads begin at at.
func (b *Builder) putColumns(out []byte, at int, s *shape) {
	heads := out[at : at+s.n*headLen]
	at += len(heads)
	lens := out[at : at+s.n*s.lenWidth]
	at += len(lens)
	w := 2
	if s.flags&flagWide != 0 {
		w = 4
	}
	offs := out[at:]
	if s.flags&flagFixedRows != 0 {
		putUint(offs, w, s.rows/s.n)
		at += w
		offs = nil
	} else {
		at += (s.n + 1) * w
		putUint(offs[s.n*w:], w, s.rows)
	}
	seqs := out[at : at+s.n*s.seqWidth]
	at += len(seqs)
	var kinds []byte
	if s.flags&flagKinds != 0 {
		kinds = out[at : at+s.n]
		at += s.n
	}
	rows := out[at:]
	row := 0
	for i := range b.entries {
		e := &b.entries[i]
		end := len(b.data)
		if i+1 < len(b.entries) {
			end = int(b.entries[i+1].key)
		}
		from := int(e.key) + s.prefix
		suffix := int(e.keyLen) - s.prefix
		le.PutUint32(heads[i*headLen:], head(b.data[from:from+suffix]))
		if s.lenWidth != 0 {
			putUint(lens[i*s.lenWidth:], s.lenWidth, suffix)
		}
		if offs != nil {
			putUint(offs[i*w:], w, row)
		}
		if s.seqWidth != 0 {
			d := uint64(b.maxSeq - e.trailer.SeqNum())
			for j := range s.seqWidth {
				seqs[i*s.seqWidth+j] = byte(d >> (8 * j))
			}
		}
		if kinds != nil {
			kinds[i] = byte(e.trailer.Kind())
		}
		row += copy(rows[row:], b.data[from+min(headLen, suffix):end])
	}
}

func putUint(p []byte, width, v int) {
	switch width {
	case 1:
		p[0] = byte(v)
	case 2:
		le.PutUint16(p, uint16(v))
	case 4:
		le.PutUint32(p, uint32(v))
	}
}

// head returns the first four bytes of a key without its prefix, padded with zeros, as
// a big-endian number: heads order as their keys do, but for ties.
func head(suffix []byte) uint32 {
	if len(suffix) >= headLen {
		return binary.BigEndian.Uint32(suffix)
	}
	return shortHead(suffix)
}

func shortHead(suffix []byte) uint32 {
	var h uint32
	for i, c := range suffix {
		h |= uint32(c) << (24 - 8*i)
	}
	return h
}
