package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// A manifest file; docs/formats/manifest.md is canonical.
//
//	header, 112 bytes                      record, at a multiple of 8
//	  0 magic "loam.man"                    0 CRC of bytes 4–24, seeded
//	  8 format version                      4 CRC of what is stored of the body
//	 12 zero                                8 length of that
//	 16 store UID                          12 type: 1 edit
//	 32 manifest UID                       16 record number, from 1
//	 48 file length                        24 body (seal.go), zeros up to a multiple of 8
//	 56 salt
//	 88 data-key id, 0: in clear           mark, the last 16 bytes of the file
//	 96 number in the file's name           0 CRC of bytes 4–16, seeded
//	104 zero                                4 zero
//	108 CRC of bytes 0–108, seeded          8 number of a record known to be synced
//
// Seeded CRCs are seeded with the file's UID and with the place in it. A record's header
// is checked by itself, so that a whole one can be recognised behind a damaged record.
// The mark is written when a record was synced, and not synced itself: it tells damage
// to the last record from a torn write. It stands far from the records, so that one
// damaged page does not take both.
const (
	fileMagic     = "loam.man"
	fileVersion   = 1
	fileHeaderLen = 112
	recordLen     = 24 // of the header alone
	recordAlign   = 8

	markLen = 16

	typeEdit = 1

	// maxFileLen bounds what is read into memory at once. A snapshot of a million
	// tables takes about 100 MiB.
	maxFileLen = 1 << 30
)

// fileHeader is the start of a manifest file.
type fileHeader struct {
	store, uid fileid.UID
	length     int64
	salt       seal.Salt // zero where the file is in clear
	key        seal.KeyID
	num        uint64
}

func (h *fileHeader) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, fileVersion)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = append(dst, h.store[:]...)
	dst = append(dst, h.uid[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.length))
	dst = append(dst, h.salt[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.key))
	dst = binary.LittleEndian.AppendUint64(dst, h.num)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	sum := fileid.NewSeed(fileid.KindManifest, h.uid).Checksum(0, dst[start:])
	return binary.LittleEndian.AppendUint32(dst, sum)
}

// decodeFileHeader decodes the first bytes of a manifest.
func decodeFileHeader(p []byte) (h fileHeader, err error) {
	if len(p) < fileHeaderLen {
		return h, errLength
	}
	p = p[:fileHeaderLen]
	if string(p[:8]) != fileMagic {
		return h, errMagic
	}
	d := codec.NewDecoder(p[8:])
	version, zero := d.Uint32(), d.Uint32()
	h.store, h.uid = decodeUID(&d), decodeUID(&d)
	length := d.Uint64()
	copy(h.salt[:], d.Bytes(len(h.salt)))
	h.key, h.num = seal.KeyID(d.Uint64()), d.Uint64()
	zero2 := d.Uint32()
	if d.Uint32() != fileid.NewSeed(fileid.KindManifest, h.uid).Checksum(0, p[:fileHeaderLen-4]) {
		return h, errChecksum // a version is believed only if the checksum fits
	}
	if version > fileVersion {
		return h, fmt.Errorf("%w: manifest version %d", ErrTooNew, version)
	}
	if version != fileVersion || zero != 0 || zero2 != 0 || length > maxFileLen || h.key == 0 && h.salt != (seal.Salt{}) {
		return h, errMagic
	}
	h.length = int64(length)
	return h, nil
}

// record is one record.
type record struct {
	kind   uint32
	number uint64
	body   []byte // as stored after decodeRecord, until guard.open
}

// paddedLen returns the length in the file of a record with a body of n bytes.
func paddedLen(n int) int64 {
	return recordLen + (int64(n)+recordAlign-1)&^(recordAlign-1)
}

// append appends the record, which will stand at offset, its body sealed if the file is
// encrypted.
func (r *record) append(dst []byte, seed fileid.Seed, offset int64, g *guard) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.body)+g.overhead()))
	dst = binary.LittleEndian.AppendUint32(dst, r.kind)
	dst = binary.LittleEndian.AppendUint64(dst, r.number)
	dst, err := g.seal(dst, r, offset)
	if err != nil {
		return nil, err
	}
	p := dst[start:]
	binary.LittleEndian.PutUint32(p[4:], codec.Checksum(0, p[recordLen:]))
	binary.LittleEndian.PutUint32(p[0:], seed.Checksum(offset, p[4:recordLen]))
	for (len(dst)-start)%recordAlign != 0 {
		dst = append(dst, 0)
	}
	return dst, nil
}

// decodeRecordHeader decodes the header of a record at offset and the length of its
// body; it reports whether a header is there.
func decodeRecordHeader(p []byte, seed fileid.Seed, offset int64) (r record, bodyLen, bodySum uint32, ok bool) {
	if len(p) < recordLen {
		return r, 0, 0, false
	}
	d := codec.NewDecoder(p[:recordLen])
	if d.Uint32() != seed.Checksum(offset, p[4:recordLen]) {
		return r, 0, 0, false
	}
	bodySum, bodyLen = d.Uint32(), d.Uint32()
	r.kind, r.number = d.Uint32(), d.Uint64()
	return r, bodyLen, bodySum, true
}

// decodeRecord decodes the record at the start of p, which stands at offset; it reports
// whether a whole one is there. The body aliases p.
func decodeRecord(p []byte, seed fileid.Seed, offset int64) (record, bool) {
	r, bodyLen, bodySum, ok := decodeRecordHeader(p, seed, offset)
	if !ok || int64(bodyLen) > int64(len(p)) || paddedLen(int(bodyLen)) > int64(len(p)) {
		return record{}, false
	}
	r.body = p[recordLen : recordLen+int(bodyLen) : recordLen+int(bodyLen)]
	for _, b := range p[recordLen+int64(bodyLen) : paddedLen(int(bodyLen))] {
		if b != 0 {
			return record{}, false
		}
	}
	return r, codec.Checksum(0, r.body) == bodySum
}

// appendMark appends the mark that record number is synced; it will stand at offset.
func appendMark(dst []byte, number uint64, seed fileid.Seed, offset int64) []byte {
	var m [markLen]byte
	binary.LittleEndian.PutUint64(m[8:], number)
	binary.LittleEndian.PutUint32(m[0:], seed.Checksum(offset, m[4:]))
	return append(dst, m[:]...)
}

// decodeMark returns the number in the mark that fills p, or 0 when there is none.
func decodeMark(p []byte, seed fileid.Seed, offset int64) uint64 {
	d := codec.NewDecoder(p)
	sum, zero, number := d.Uint32(), d.Uint32(), d.Uint64()
	if d.Err() != nil || zero != 0 || sum != seed.Checksum(offset, p[4:]) {
		return 0
	}
	return number
}

// readWhole reads a file of at most limit bytes. A longer one is errLength.
func readWhole(f vfs.File, limit int64) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes", errLength, size)
	}
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return p, nil
}
