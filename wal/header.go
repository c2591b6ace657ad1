package wal

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// The segment header, 4,096 bytes, little endian. docs/formats/wal.md is canonical.
//
//	  0  magic "loam.wal"         8
//	  8  format version           4
//	 12  zero                     4
//	 16  store UID               16
//	 32  segment UID             16
//	 48  segment number           8
//	 56  segment bytes            8
//	 64  salt                    32
//	 96  data-key id              8   zero: records are in clear
//	104  zero                 3,988
//	4092 CRC-32C of the rest      4   seeded with the segment's UID and offset 0
const (
	headerSize    = 4096
	headerSumAt   = headerSize - 4
	formatVersion = 1
)

var headerMagic = [8]byte{'l', 'o', 'a', 'm', '.', 'w', 'a', 'l'}

// header is the decoded header of a segment.
type header struct {
	store fileid.UID
	uid   fileid.UID
	num   SegmentNum
	bytes int64
	salt  seal.Salt
	keyID seal.KeyID
}

// encode returns the header page.
func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	copy(p, headerMagic[:])
	le := binary.LittleEndian
	le.PutUint32(p[8:], formatVersion)
	copy(p[16:], h.store[:])
	copy(p[32:], h.uid[:])
	le.PutUint64(p[48:], uint64(h.num))
	le.PutUint64(p[56:], uint64(h.bytes))
	copy(p[64:], h.salt[:])
	le.PutUint64(p[96:], uint64(h.keyID))
	le.PutUint32(p[headerSumAt:], fileid.NewSeed(fileid.KindWAL, h.uid).Checksum(0, p[:headerSumAt]))
	return p
}

// decodeHeader reads a header page. Errors: errMagic, ErrTooNew, errLength,
// errChecksum.
func decodeHeader(p []byte) (header, error) {
	var h header
	if len(p) < headerSize {
		return h, errLength
	}
	d := codec.NewDecoder(p[:headerSumAt])
	if [8]byte(d.Bytes(8)) != headerMagic {
		return h, errMagic
	}
	version := d.Uint32()
	d.Bytes(4)
	copy(h.store[:], d.Bytes(len(h.store)))
	copy(h.uid[:], d.Bytes(len(h.uid)))
	h.num = SegmentNum(d.Uint64())
	bytes := d.Uint64()
	copy(h.salt[:], d.Bytes(len(h.salt)))
	h.keyID = seal.KeyID(d.Uint64())
	sum := fileid.NewSeed(fileid.KindWAL, h.uid).Checksum(0, p[:headerSumAt])
	sound := binary.LittleEndian.Uint32(p[headerSumAt:]) == sum
	// A later version may seal its header differently, but a flipped bit in the version
	// of a header whose checksum still would not fit must not send the user looking for
	// newer software: only an intact page is believed.
	switch {
	case version != formatVersion && sound:
		return h, ErrTooNew
	case !sound:
		return h, errChecksum
	case bytes < 2*headerSize || bytes > maxSegmentBytes || bytes%headerSize != 0 || h.num == 0:
		return h, errLength
	}
	h.bytes = int64(bytes)
	return h, nil
}
