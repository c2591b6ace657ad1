package sstable

import (
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
)

// The footer, the last 128 bytes (docs/formats/table.md):
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
	keyID      KeyID
	ranges     span // len 0: none; off is where data blocks end
	filterOff  int64
	indexOff   int64
	top        span
	props      span
	blocks     uint32
	partitions uint32
	chunks     uint32
}

func (f *footer) append(dst []byte) []byte {
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
	b[108] = trailerChecksum
	b[109] = byte(fileid.KindTable)
	le.PutUint16(b[112:], FormatVersion)
	le.PutUint16(b[114:], footerLen)
	sum := fileid.NewSeed(fileid.KindTable, f.uid).Checksum(f.fileLen-footerLen, b[:116])
	le.PutUint32(b[116:], sum)
	copy(b[120:], footerMagic)
	return append(dst, b[:]...)
}

// decodeFooter reads the last footerLen bytes of a file of fileLen bytes, and checks
// that they are the footer of the table want. Magic, version and checksum keep their
// place in later versions, so that those are recognised rather than called damaged.
func decodeFooter(b []byte, fileLen int64, want fileid.UID) (footer, error) {
	var f footer
	if len(b) != footerLen || fileLen < headerLen+footerLen {
		return f, fmt.Errorf("footer: %w", errLength)
	}
	le := binary.LittleEndian
	if string(b[120:]) != footerMagic {
		return f, fmt.Errorf("footer: %w", errMagic)
	}
	if v := le.Uint16(b[112:]); v > FormatVersion {
		return f, fmt.Errorf("footer: version %d: %w", v, ErrTooNew)
	}
	copy(f.uid[:], b)
	sum := fileid.NewSeed(fileid.KindTable, f.uid).Checksum(fileLen-footerLen, b[:116])
	if sum != le.Uint32(b[116:]) {
		return f, fmt.Errorf("footer: %w", errChecksum)
	}
	if f.uid != want {
		return f, fmt.Errorf("footer: UID %s instead of %s: %w", f.uid, want, ErrForeign)
	}
	f.keyID = KeyID(le.Uint64(b[24:]))
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
	if b[108] > trailerChecksum {
		return f, fmt.Errorf("footer: block trailer %d: %w", b[108], ErrTooNew)
	}
	if le.Uint16(b[112:]) != FormatVersion || le.Uint16(b[114:]) != footerLen || b[108] != trailerChecksum ||
		b[109] != byte(fileid.KindTable) || le.Uint16(b[110:]) != 0 || !f.contiguous() {
		return f, fmt.Errorf("footer: %w", errMalformed)
	}
	return f, nil
}

// contiguous reports whether the parts follow each other from the header to the
// footer (S2), with counts that their lengths allow.
func (f *footer) contiguous() bool {
	lengths := [...]int64{f.ranges.off - headerLen, f.ranges.len, f.filterOff - f.ranges.end(), f.indexOff - f.filterOff,
		f.top.off - f.indexOff, f.top.len, f.props.off - f.top.end(), f.props.len, f.fileLen - footerLen - f.props.end()}
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

// minSealed is the least length of a sealed block: an empty payload and its trailer.
const minSealed = 8
