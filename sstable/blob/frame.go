package blob

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

// FormatVersion is the version of the format that this package writes, and the newest that
// it reads.
const FormatVersion = 1

// Kinds of block trailers. A file has tags if, and only if, its header names a data key.
const (
	trailerChecksum = 1 // a seeded CRC-32C
	trailerTag      = 2 // an authentication tag
)

// The header, 80 bytes at offset 0 (docs/formats/blob.md), has the layout of a table's:
//
//	 0 magic "LOAMblob"     8 version u16    10 file kind u8   11 trailer kind u8
//	12 zero u32            16 UID           32 salt 32         64 data-key id u64
//	72 zero u32            76 CRC-32C of bytes 0-75, seeded with file and offset 0
const (
	headerLen   = 80
	headerMagic = "LOAMblob"
)

// The footer, the last 88 bytes, or, encrypted, 104:
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

type header struct {
	uid   fileid.UID
	salt  seal.Salt
	keyID seal.KeyID // 0: not encrypted
}

// newHeader makes the header of a new file, and the guard that seals its blocks.
func newHeader(o *WriterOptions) (header, block.Guard, error) {
	h := header{uid: o.UID, salt: o.Salt}
	g := block.Guard{Seed: fileid.NewSeed(fileid.KindBlob, o.UID)}
	if o.NewCipher == nil {
		return h, g, nil
	}
	c, id, err := o.NewCipher(fileid.KindBlob, o.UID, o.Salt)
	if err == nil && id == 0 {
		err = errNoKeyID
	}
	if err != nil {
		return h, g, fmt.Errorf("blob: cipher of a new file: %w", err)
	}
	h.keyID, g.Sealer = id, seal.NewSealer(c, fileid.KindBlob, o.UID)
	return h, g, nil
}

var errNoKeyID = errors.New("no key id")

// guard returns what opens the blocks of the file that begins with h.
func (h *header) guard(open seal.OpenCipher) (block.Guard, error) {
	g := block.Guard{Seed: fileid.NewSeed(fileid.KindBlob, h.uid)}
	switch {
	case h.keyID == 0:
		return g, nil
	case open == nil:
		return g, fmt.Errorf("under key %d: %w", h.keyID, ErrSealed)
	}
	c, err := open(h.keyID, fileid.KindBlob, h.uid, h.salt)
	if err != nil {
		return g, fmt.Errorf("key %d: %w", h.keyID, err)
	}
	g.Opener = seal.NewOpener(c, fileid.KindBlob, h.uid)
	return g, nil
}

// agrees compares a header with the file that is asked for, and with the data key of which it
// is known that the file has it, if it is known.
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
	le.PutUint16(b[8:], FormatVersion)
	b[10], b[11] = byte(fileid.KindBlob), h.trailer()
	copy(b[16:], h.uid[:])
	copy(b[32:], h.salt[:])
	le.PutUint64(b[64:], uint64(h.keyID))
	le.PutUint32(b[76:], fileid.NewSeed(fileid.KindBlob, h.uid).Checksum(0, b[:76]))
	return append(dst, b[:]...)
}

// decodeHeader reads a header. Magic, version and checksum keep their place in later
// versions, so that those are recognised rather than called damaged.
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
	if v := le.Uint16(b[8:]); v > FormatVersion {
		return h, fmt.Errorf("header: version %d: %w", v, ErrTooNew)
	}
	copy(h.uid[:], b[16:])
	if b[11] > trailerTag {
		return h, fmt.Errorf("header: block trailer %d: %w", b[11], ErrTooNew)
	}
	copy(h.salt[:], b[32:])
	h.keyID = seal.KeyID(le.Uint64(b[64:]))
	if le.Uint16(b[8:]) != FormatVersion || b[10] != byte(fileid.KindBlob) || b[11] != h.trailer() ||
		le.Uint32(b[12:]) != 0 || le.Uint32(b[72:]) != 0 {
		return h, fmt.Errorf("header: %w", errMalformed)
	}
	return h, nil
}

// headerSum reports whether the checksum of a header's bytes fits.
func headerSum(b []byte) bool {
	return fileid.NewSeed(fileid.KindBlob, fileid.UID(b[16:32])).Checksum(0, b[:76]) == le.Uint32(b[76:])
}

type footer struct {
	uid     fileid.UID
	fileLen int64
	keyID   seal.KeyID
	dirOff  int64 // where the values end
	dirLen  int64
	values  uint64
	bytes   uint64 // of all values
	codec   block.Codec
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
	copy(b[0:], f.uid[:])
	for i, v := range [...]uint64{uint64(f.fileLen), uint64(f.keyID), uint64(f.dirOff), uint64(f.dirLen), f.values, f.bytes} {
		le.PutUint64(b[16+8*i:], v)
	}
	b[64], b[68], b[69] = byte(f.codec), h.trailer(), byte(fileid.KindBlob)
	le.PutUint16(b[72:], FormatVersion)
	le.PutUint16(b[74:], footerLen)
	le.PutUint32(b[76:], fileid.NewSeed(fileid.KindBlob, f.uid).Checksum(f.fileLen-h.footerSpace(), b[:76]))
	copy(b[80:], footerMagic)
	return append(dst, b[:]...)
}

// decodeFooter reads the footer of a file of fileLen bytes, and checks that it is that of
// header h.
func decodeFooter(b []byte, fileLen int64, h *header) (footer, error) {
	var f footer
	if len(b) != footerLen || fileLen < headerLen+h.footerSpace() {
		return f, fmt.Errorf("footer: %w", errLength)
	}
	if string(b[80:]) != footerMagic {
		return f, fmt.Errorf("footer: %w", errMagic)
	}
	copy(f.uid[:], b)
	if fileid.NewSeed(fileid.KindBlob, f.uid).Checksum(fileLen-h.footerSpace(), b[:76]) != le.Uint32(b[76:]) {
		return f, fmt.Errorf("footer: %w", errChecksum)
	}
	if v := le.Uint16(b[72:]); v > FormatVersion {
		return f, fmt.Errorf("footer: version %d: %w", v, ErrTooNew)
	}
	if f.uid != h.uid {
		return f, fmt.Errorf("footer: UID %s instead of %s: %w", f.uid, h.uid, ErrForeign)
	}
	f.fileLen, f.keyID = int64(le.Uint64(b[16:])), seal.KeyID(le.Uint64(b[24:]))
	f.dirOff, f.dirLen = int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:]))
	f.values, f.bytes, f.codec = le.Uint64(b[48:]), le.Uint64(b[56:]), block.Codec(b[64])
	if b[68] > trailerTag {
		return f, fmt.Errorf("footer: block trailer %d: %w", b[68], ErrTooNew)
	}
	if f.fileLen != fileLen || f.dirOff < headerLen || f.dirLen < minBlock || f.dirOff > fileLen ||
		f.dirLen != fileLen-h.footerSpace()-f.dirOff || f.values == 0 || f.values > uint64(f.dirOff-headerLen)/minBlock ||
		b[65] != 0 || le.Uint16(b[66:]) != 0 || b[68] != h.trailer() || f.keyID != h.keyID || b[69] != byte(fileid.KindBlob) ||
		le.Uint16(b[70:]) != 0 || le.Uint16(b[72:]) != FormatVersion || le.Uint16(b[74:]) != footerLen {
		return f, fmt.Errorf("footer: %w", errMalformed)
	}
	return f, nil
}
