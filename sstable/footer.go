package sstable

import (
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

// The footer, the last 128 bytes, or, encrypted, 144 (docs/formats/table.md):
//
//	  0 UID 16          16 file length u64   24 data-key id u64
//	 32 range tombstones: offset u64, length u64
//	 48 filter offset u64     56 partitions offset u64
//	 64 top index: offset u64, length u64    80 properties: offset u64, length u64
//	 96 data blocks u32      100 partitions u32     104 filter chunks u32
//	108 trailer kind u8      109 file kind u8       110 zero u16
//	112 version u16          114 footer length u16  116 CRC-32C of bytes 0-115
//	120 magic "loamTABL"
const (
	footerLen   = 128
	footerMagic = "loamTABL"
)

// span is a sealed block's place in a file: [off, off+len).
type span struct {
	off int64
	len int64
}

func (s span) end() int64 { return s.off + s.len }

type footer struct {
	uid        fileid.UID
	fileLen    int64
	keyID      seal.KeyID
	ranges     span // len 0: none; off is where data blocks end
	filterOff  int64
	indexOff   int64
	top        span
	props      span
	blocks     uint32
	partitions uint32
	chunks     uint32
}

// footerSpace returns how many bytes the footer takes in the file.
func (h *header) footerSpace() int64 {
	if h.keyID != 0 {
		return footerLen + seal.Overhead
	}
	return footerLen
}

// footerPlace is where an encrypted footer belongs. The header is part of it, so that nobody
// can change that either.
func (h *header) footerPlace(fileLen int64) seal.Place {
	off := fileLen - h.footerSpace()
	return seal.Place{Ordinal: uint64(off), Offset: off, Header: h.append(nil)}
}

// appendFooter appends what ends the file of header h.
func (h *header) appendFooter(dst []byte, g *block.Guard, f *footer) ([]byte, error) {
	start := len(dst)
	dst = f.append(dst)
	if g.Sealer == nil {
		return dst, nil
	}
	return g.Sealer.Seal(dst[:start], dst[start:], h.footerPlace(f.fileLen))
}

// openFooter reads the footer of the file of header h, of which b is the end, in place.
func (h *header) openFooter(b []byte, g *block.Guard, fileLen int64) (footer, error) {
	if g.Opener != nil {
		var err error
		if b, err = g.Opener.Open(b[:0], b, h.footerPlace(fileLen)); err != nil {
			return footer{}, fmt.Errorf("footer: %w", err)
		}
	}
	return decodeFooter(b, fileLen, h)
}

func (f *footer) append(dst []byte) []byte {
	h := header{uid: f.uid, keyID: f.keyID}
	var b [footerLen]byte
	le := binary.LittleEndian
	copy(b[0:], f.uid[:])
	for i, v := range [...]int64{f.fileLen, int64(f.keyID), f.ranges.off, f.ranges.len, f.filterOff,
		f.indexOff, f.top.off, f.top.len, f.props.off, f.props.len} {
		le.PutUint64(b[16+8*i:], uint64(v))
	}
	le.PutUint32(b[96:], f.blocks)
	le.PutUint32(b[100:], f.partitions)
	le.PutUint32(b[104:], f.chunks)
	b[108] = h.trailer()
	b[109] = byte(fileid.KindTable)
	le.PutUint16(b[112:], FormatVersion)
	le.PutUint16(b[114:], footerLen)
	sum := fileid.NewSeed(fileid.KindTable, f.uid).Checksum(f.fileLen-h.footerSpace(), b[:116])
	le.PutUint32(b[116:], sum)
	copy(b[120:], footerMagic)
	return append(dst, b[:]...)
}

// decodeFooter reads the footer of a file of fileLen bytes, and checks that it is that of
// header h. Magic, version and checksum keep their
// place in later versions, so that those are recognised rather than called damaged.
func decodeFooter(b []byte, fileLen int64, h *header) (footer, error) {
	var f footer
	if len(b) != footerLen || fileLen < headerLen+h.footerSpace() {
		return f, fmt.Errorf("footer: %w", errLength)
	}
	le := binary.LittleEndian
	if string(b[120:]) != footerMagic {
		return f, fmt.Errorf("footer: %w", errMagic)
	}
	copy(f.uid[:], b)
	sum := fileid.NewSeed(fileid.KindTable, f.uid).Checksum(fileLen-h.footerSpace(), b[:116])
	if sum != le.Uint32(b[116:]) {
		return f, fmt.Errorf("footer: %w", errChecksum)
	}
	if v := le.Uint16(b[112:]); v > FormatVersion {
		return f, fmt.Errorf("footer: version %d: %w", v, ErrTooNew)
	}
	if f.uid != h.uid {
		return f, fmt.Errorf("footer: UID %s instead of %s: %w", f.uid, h.uid, ErrForeign)
	}
	f.keyID = seal.KeyID(le.Uint64(b[24:]))
	for at, p := range map[int]*int64{16: &f.fileLen, 32: &f.ranges.off, 40: &f.ranges.len, 48: &f.filterOff,
		56: &f.indexOff, 64: &f.top.off, 72: &f.top.len, 80: &f.props.off, 88: &f.props.len} {
		*p = int64(le.Uint64(b[at:]))
	}
	f.blocks = le.Uint32(b[96:])
	f.partitions = le.Uint32(b[100:])
	f.chunks = le.Uint32(b[104:])
	if f.fileLen != fileLen {
		return f, fmt.Errorf("footer: %w", errLength)
	}
	if b[108] > trailerTag {
		return f, fmt.Errorf("footer: block trailer %d: %w", b[108], ErrTooNew)
	}
	if le.Uint16(b[112:]) != FormatVersion || le.Uint16(b[114:]) != footerLen || b[108] != h.trailer() || f.keyID != h.keyID ||
		b[109] != byte(fileid.KindTable) || le.Uint16(b[110:]) != 0 || !f.contiguous() {
		return f, fmt.Errorf("footer: %w", errMalformed)
	}
	return f, nil
}

// end is where the footer begins.
func (f *footer) end() int64 {
	h := header{keyID: f.keyID}
	return f.fileLen - h.footerSpace()
}

// contiguous reports whether the parts follow each other from the header to the
// footer (S2), with counts that their lengths allow.
func (f *footer) contiguous() bool {
	lengths := [...]int64{f.ranges.off - headerLen, f.ranges.len, f.filterOff - f.ranges.end(), f.indexOff - f.filterOff,
		f.top.off - f.indexOff, f.top.len, f.props.off - f.top.end(), f.props.len, f.end() - f.props.end()}
	for _, n := range lengths {
		if n < 0 || n > f.fileLen {
			return false
		}
	}
	fits := func(count uint32, bytes int64) bool {
		return (count == 0) == (bytes == 0) && int64(count)*minSealed <= bytes
	}
	return lengths[2] == 0 && lengths[6] == 0 && lengths[8] == 0 && f.top.len >= minSealed && f.props.len >= minSealed &&
		(f.ranges.len == 0 || f.ranges.len >= minSealed) && (f.blocks == 0) == (f.partitions == 0) &&
		f.partitions <= f.blocks &&
		fits(f.blocks, lengths[0]) && fits(f.chunks, lengths[3]) && fits(f.partitions, lengths[4])
}

// minSealed is the least length of a sealed block: an empty payload and its trailer. Those of
// encrypted tables are longer, which opening them checks.
const minSealed = block.TrailerLen
