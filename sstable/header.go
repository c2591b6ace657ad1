package sstable

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

// FormatVersion is the version of the table format that this package writes, and the
// newest that it reads.
const FormatVersion = 1

// Kinds of block trailers. A table has tags if, and only if, its header names a data key.
const (
	trailerChecksum = 1 // a seeded CRC-32C
	trailerTag      = 2 // an authentication tag
)

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
	salt  seal.Salt
	keyID seal.KeyID // 0: not encrypted
}

// newHeader makes the header of a new table, and the guard that seals its blocks.
func newHeader(o *WriterOptions) (header, block.Guard, error) {
	h := header{uid: o.UID, salt: o.Salt}
	g := block.Guard{Seed: fileid.NewSeed(fileid.KindTable, o.UID)}
	if o.NewCipher == nil {
		return h, g, nil
	}
	c, id, err := o.NewCipher(fileid.KindTable, o.UID, o.Salt)
	if err == nil && id == 0 {
		err = errNoKeyID
	}
	if err != nil {
		return h, g, fmt.Errorf("sstable: cipher of a new table: %w", err)
	}
	h.keyID, g.Sealer = id, seal.NewSealer(c, fileid.KindTable, o.UID)
	return h, g, nil
}

var errNoKeyID = errors.New("no key id")

// guard returns what opens the blocks of the table that begins with h.
func (h *header) guard(open seal.OpenCipher) (block.Guard, error) {
	g := block.Guard{Seed: fileid.NewSeed(fileid.KindTable, h.uid)}
	switch {
	case h.keyID == 0:
		return g, nil
	case open == nil:
		return g, fmt.Errorf("under key %d: %w", h.keyID, ErrSealed)
	}
	c, err := open(h.keyID, fileid.KindTable, h.uid, h.salt)
	if err != nil {
		return g, fmt.Errorf("key %d: %w", h.keyID, err)
	}
	g.Opener = seal.NewOpener(c, fileid.KindTable, h.uid)
	return g, nil
}

// agrees compares a header with the table that is asked for, and with the data key of which
// it is known that the table has it, if it is known.
func (h *header) agrees(uid fileid.UID, keyID seal.KeyID) error {
	if h.uid != uid {
		return fmt.Errorf("header: UID %s instead of %s: %w", h.uid, uid, ErrForeign)
	}
	if keyID != 0 && h.keyID != keyID {
		return fmt.Errorf("header: key %d instead of %d: %w", h.keyID, keyID, seal.ErrAuth)
	}
	return nil
}

// trailer returns the kind of block trailers.
func (h *header) trailer() byte {
	if h.keyID != 0 {
		return trailerTag
	}
	return trailerChecksum
}

func (h *header) append(dst []byte) []byte {
	var b [headerLen]byte
	copy(b[0:], headerMagic)
	binary.LittleEndian.PutUint16(b[8:], FormatVersion)
	b[10] = byte(fileid.KindTable)
	b[11] = h.trailer()
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
	if !headerSum(b) {
		return h, fmt.Errorf("header: %w", errChecksum)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v > FormatVersion {
		return h, fmt.Errorf("header: version %d: %w", v, ErrTooNew)
	}
	copy(h.uid[:], b[16:])
	if b[11] > trailerTag {
		return h, fmt.Errorf("header: block trailer %d: %w", b[11], ErrTooNew)
	}
	copy(h.salt[:], b[32:])
	h.keyID = seal.KeyID(binary.LittleEndian.Uint64(b[64:]))
	if binary.LittleEndian.Uint16(b[8:]) != FormatVersion || b[10] != byte(fileid.KindTable) || b[11] != h.trailer() ||
		binary.LittleEndian.Uint32(b[12:]) != 0 || binary.LittleEndian.Uint32(b[72:]) != 0 {
		return h, fmt.Errorf("header: %w", errMalformed)
	}
	return h, nil
}

// headerSum reports whether the checksum of a header's bytes fits.
func headerSum(b []byte) bool {
	sum := fileid.NewSeed(fileid.KindTable, fileid.UID(b[16:32])).Checksum(0, b[:76])
	return sum == binary.LittleEndian.Uint32(b[76:])
}
