package blob

import (
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/sstable/block"
)

// FormatVersion is the version of the format that this package writes, and the newest that
// it reads.
const FormatVersion = 1

// trailerChecksum is the kind of block trailer that this package writes: a seeded CRC-32C.
// Kind 2 is reserved for an authentication tag.
const trailerChecksum = 1

// The header, 80 bytes at offset 0 (docs/formats/blob.md), has the layout of a table's:
//
//	 0 magic "LOAMblob"     8 version u16    10 file kind u8   11 trailer kind u8
//	12 zero u32            16 UID           32 salt 32         64 data-key id u64
//	72 zero u32            76 CRC-32C of bytes 0-75, seeded with file and offset 0
const (
	headerLen   = 80
	headerMagic = "LOAMblob"
)

// The footer, the last 88 bytes:
//
//	 0 UID 16               16 file length u64      24 data-key id u64
//	32 directory: offset u64, length u64            48 values u64   56 their bytes u64
//	64 codec u8             65 zero 3               68 trailer kind u8   69 file kind u8
//	70 zero u16             72 version u16          74 footer length u16
//	76 CRC-32C of bytes 0-75                        80 magic "loamBLOB"
const (
	footerLen   = 88
	footerMagic = "loamBLOB"
)

var le = binary.LittleEndian

func appendHeader(dst []byte, uid fileid.UID, salt [32]byte) []byte {
	var b [headerLen]byte
	copy(b[0:], headerMagic)
	le.PutUint16(b[8:], FormatVersion)
	b[10], b[11] = byte(fileid.KindBlob), trailerChecksum
	copy(b[16:], uid[:])
	copy(b[32:], salt[:])
	le.PutUint32(b[76:], fileid.NewSeed(fileid.KindBlob, uid).Checksum(0, b[:76]))
	return append(dst, b[:]...)
}

// decodeHeader reads a header. Magic, version and checksum keep their place in later
// versions, so that those are recognised rather than called damaged.
func decodeHeader(b []byte) (uid fileid.UID, keyID uint64, err error) {
	if len(b) != headerLen {
		return uid, 0, fmt.Errorf("header: %w", errLength)
	}
	if string(b[:8]) != headerMagic {
		return uid, 0, fmt.Errorf("header: %w", errMagic)
	}
	if v := le.Uint16(b[8:]); v > FormatVersion {
		return uid, 0, fmt.Errorf("header: version %d: %w", v, ErrTooNew)
	}
	copy(uid[:], b[16:])
	if fileid.NewSeed(fileid.KindBlob, uid).Checksum(0, b[:76]) != le.Uint32(b[76:]) {
		return uid, 0, fmt.Errorf("header: %w", errChecksum)
	}
	if b[11] > trailerChecksum {
		return uid, 0, fmt.Errorf("header: block trailer %d: %w", b[11], ErrTooNew)
	}
	if le.Uint16(b[8:]) != FormatVersion || b[10] != byte(fileid.KindBlob) || b[11] != trailerChecksum ||
		le.Uint32(b[12:]) != 0 || le.Uint32(b[72:]) != 0 {
		return uid, 0, fmt.Errorf("header: %w", errMalformed)
	}
	return uid, le.Uint64(b[64:]), nil
}

type footer struct {
	uid     fileid.UID
	fileLen int64
	keyID   uint64
	dirOff  int64 // where the values end
	dirLen  int64
	values  uint64
	bytes   uint64 // of all values
	codec   block.Codec
}

func (f *footer) append(dst []byte) []byte {
	var b [footerLen]byte
	copy(b[0:], f.uid[:])
	for i, v := range [...]uint64{uint64(f.fileLen), f.keyID, uint64(f.dirOff), uint64(f.dirLen), f.values, f.bytes} {
		le.PutUint64(b[16+8*i:], v)
	}
	b[64], b[68], b[69] = byte(f.codec), trailerChecksum, byte(fileid.KindBlob)
	le.PutUint16(b[72:], FormatVersion)
	le.PutUint16(b[74:], footerLen)
	le.PutUint32(b[76:], fileid.NewSeed(fileid.KindBlob, f.uid).Checksum(f.fileLen-footerLen, b[:76]))
	copy(b[80:], footerMagic)
	return append(dst, b[:]...)
}

// decodeFooter reads the last footerLen bytes of a file of fileLen bytes, and checks that
// they are the footer of the file want, or of any when want is zero.
func decodeFooter(b []byte, fileLen int64, want fileid.UID) (footer, error) {
	var f footer
	if len(b) != footerLen || fileLen < headerLen+footerLen {
		return f, fmt.Errorf("footer: %w", errLength)
	}
	if string(b[80:]) != footerMagic {
		return f, fmt.Errorf("footer: %w", errMagic)
	}
	if v := le.Uint16(b[72:]); v > FormatVersion {
		return f, fmt.Errorf("footer: version %d: %w", v, ErrTooNew)
	}
	copy(f.uid[:], b)
	if fileid.NewSeed(fileid.KindBlob, f.uid).Checksum(fileLen-footerLen, b[:76]) != le.Uint32(b[76:]) {
		return f, fmt.Errorf("footer: %w", errChecksum)
	}
	if want != (fileid.UID{}) && f.uid != want {
		return f, fmt.Errorf("footer: UID %s instead of %s: %w", f.uid, want, ErrForeign)
	}
	f.fileLen, f.keyID = int64(le.Uint64(b[16:])), le.Uint64(b[24:])
	f.dirOff, f.dirLen = int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:]))
	f.values, f.bytes, f.codec = le.Uint64(b[48:]), le.Uint64(b[56:]), block.Codec(b[64])
	if b[68] > trailerChecksum {
		return f, fmt.Errorf("footer: block trailer %d: %w", b[68], ErrTooNew)
	}
	if f.fileLen != fileLen || f.dirOff < headerLen || f.dirLen < minBlock || f.dirOff > fileLen ||
		f.dirLen != fileLen-footerLen-f.dirOff || f.values == 0 || f.values > uint64(f.dirOff-headerLen)/minBlock ||
		b[65] != 0 || le.Uint16(b[66:]) != 0 || b[68] != trailerChecksum || b[69] != byte(fileid.KindBlob) ||
		le.Uint16(b[70:]) != 0 || le.Uint16(b[72:]) != FormatVersion || le.Uint16(b[74:]) != footerLen {
		return f, fmt.Errorf("footer: %w", errMalformed)
	}
	return f, nil
}
