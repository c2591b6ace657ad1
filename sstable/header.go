package sstable

import (
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
)

// FormatVersion is the version of the table format that this package writes, and the
// newest that it reads.
const FormatVersion = 1

// KeyID names a data key of the keyring; 0 is no encryption. It is on disk.
type KeyID uint64

// trailerChecksum is the kind of block trailer that this package writes: a seeded
// CRC-32C. Kind 2 is reserved for an authentication tag.
const trailerChecksum = 1

// The header, 80 bytes at offset 0 (docs/formats/table.md):
//
//	 0 magic "LOAMtabl"     8 version u16    10 file kind u8   11 trailer kind u8
//	12 zero u32            16 UID           32 salt 32         64 data-key id u64
//	72 zero u32            76 CRC-32C of bytes 0-75, seeded with file and offset 0
const (
	headerLen   = 80
	headerMagic = "LOAMtabl"
)

type header struct {
	uid   fileid.UID
	salt  [32]byte
	keyID KeyID
}

func (h *header) append(dst []byte) []byte {
	var b [headerLen]byte
	copy(b[0:], headerMagic)
	binary.LittleEndian.PutUint16(b[8:], FormatVersion)
	b[10] = byte(fileid.KindTable)
	b[11] = trailerChecksum
	copy(b[16:], h.uid[:])
	copy(b[32:], h.salt[:])
	binary.LittleEndian.PutUint64(b[64:], uint64(h.keyID))
	sum := fileid.NewSeed(fileid.KindTable, h.uid).Checksum(0, b[:76])
	binary.LittleEndian.PutUint32(b[76:], sum)
	return append(dst, b[:]...)
}

// decodeHeader reads a header. The order of checks is that of the footer.
func decodeHeader(b []byte) (header, error) {
	var h header
	if len(b) != headerLen {
		return h, fmt.Errorf("header: %w", errLength)
	}
	if string(b[:8]) != headerMagic {
		return h, fmt.Errorf("header: %w", errMagic)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v > FormatVersion {
		return h, fmt.Errorf("header: version %d: %w", v, ErrTooNew)
	}
	copy(h.uid[:], b[16:])
	sum := fileid.NewSeed(fileid.KindTable, h.uid).Checksum(0, b[:76])
	if sum != binary.LittleEndian.Uint32(b[76:]) {
		return h, fmt.Errorf("header: %w", errChecksum)
	}
	if b[11] > trailerChecksum {
		return h, fmt.Errorf("header: block trailer %d: %w", b[11], ErrTooNew)
	}
	if binary.LittleEndian.Uint16(b[8:]) != FormatVersion || b[10] != byte(fileid.KindTable) || b[11] != trailerChecksum ||
		binary.LittleEndian.Uint32(b[12:]) != 0 || binary.LittleEndian.Uint32(b[72:]) != 0 {
		return h, fmt.Errorf("header: %w", errMalformed)
	}
	copy(h.salt[:], b[32:])
	h.keyID = KeyID(binary.LittleEndian.Uint64(b[64:]))
	return h, nil
}
