package wal

import (
	"encoding/binary"
	"math"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// A record starts at a multiple of 8 and is padded to one with zeros; little endian.
// docs/formats/wal.md is canonical.
//
//	 0  header CRC        4   of bytes 4–40, seeded with segment UID and offset
//	 4  payload CRC       4   CRC-32C of what is stored of the payload, unseeded
//	 8  payload length    4
//	12  type              1   1 link, 2 batch, 3 claim mark, 4 close
//	13  fragment          1   1 full, 2 first, 3 middle, 4 last
//	14  claim: segments   2   how many numbers back the synced position lies
//	16  claim: offset/8   4   0: nothing is claimed
//	20  operations        4
//	24  first number      8
//	32  commit time       8   unix ms
//	40  payload, zeros up to a multiple of 8
const (
	recordHeaderSize = 40
	recordAlign      = 8
)

// Types of records. 5 and 6 are reserved for sealed groups and for ingests; a reader
// that meets them answers ErrTooNew.
const (
	typeLink    = 1
	typeBatch   = 2
	typeMark    = 3
	typeClose   = 4
	maxTypeSeen = 6 // greatest type that format version 1 reserves
)

// Fragments of a batch.
const (
	fragFull   = 1
	fragFirst  = 2
	fragMiddle = 3
	fragLast   = 4
)

// record is the decoded header of a record.
type record struct {
	payloadCRC uint32
	payloadLen uint32
	kind       uint8
	fragment   uint8
	claimBack  uint16
	claimUnits uint32
	count      uint32
	first      keys.SeqNum
	time       uint64
}

// recordSeed is the seed of the record checksums of one life of a slot (W2).
func recordSeed(uid fileid.UID) fileid.Seed {
	// Killed by TestRecycledSlotNeverShowsAnEarlierLife.
	if mutant.Enabled && mutant.Is(mutant.AcceptStaleRecord) {
		return 0
	}
	return fileid.NewSeed(fileid.KindWAL, uid)
}

// checksummer computes the checksums of record headers: fileid.Seed.Checksum, in one call
// over memory of its own. That function allocates 16 bytes per record, because what a
// checksum reads is moved to the heap, and makes two calls.
type checksummer struct {
	seed  fileid.Seed
	bytes [16 + recordHeaderSize - 4]byte // offset, length, then what is summed
}

// sum returns the checksum of the header in p, its first four bytes left out, as it
// must be at offset off.
func (s *checksummer) sum(off int64, p []byte) uint32 {
	binary.LittleEndian.PutUint64(s.bytes[0:], uint64(off))
	binary.LittleEndian.PutUint64(s.bytes[8:], recordHeaderSize-4)
	copy(s.bytes[16:], p[4:recordHeaderSize])
	return codec.Checksum(uint32(s.seed), s.bytes[:])
}

// put writes the header of the record that starts at offset off of its segment into
// p, which has at least recordHeaderSize bytes.
func (r *record) put(p []byte, sums *checksummer, off int64) {
	p = p[:recordHeaderSize:recordHeaderSize]
	r.putFields(p)
	binary.LittleEndian.PutUint32(p[4:], r.payloadCRC)
	binary.LittleEndian.PutUint32(p[0:], sums.sum(off, p))
}

// putFields writes what the header says beside its checksums, from byte 8 on.
func (r *record) putFields(p []byte) {
	p = p[:recordHeaderSize:recordHeaderSize]
	le := binary.LittleEndian
	le.PutUint32(p[8:], r.payloadLen)
	p[12], p[13] = r.kind, r.fragment
	le.PutUint16(p[14:], r.claimBack)
	le.PutUint32(p[16:], r.claimUnits)
	le.PutUint32(p[20:], r.count)
	le.PutUint64(p[24:], uint64(r.first))
	le.PutUint64(p[32:], r.time)
}

// parseRecord reads the header at the front of p, which lies at offset off of segment
// num; end is the segment's length. It is false for bytes that are no record header
// of this segment at this place: the cheap comparisons come first, because the search
// past damage asks at every eighth byte of what may be 64 MiB.
func parseRecord(p []byte, sums *checksummer, num SegmentNum, off, end int64) (record, bool) {
	p = p[:recordHeaderSize:recordHeaderSize]
	if uint8(p[12]-1) >= maxTypeSeen || uint8(p[13]-1) >= fragLast {
		return record{}, false
	}
	le := binary.LittleEndian
	r := record{
		payloadCRC: le.Uint32(p[4:]),
		payloadLen: le.Uint32(p[8:]),
		kind:       p[12],
		fragment:   p[13],
		claimBack:  le.Uint16(p[14:]),
		claimUnits: le.Uint32(p[16:]),
		count:      le.Uint32(p[20:]),
		first:      keys.SeqNum(le.Uint64(p[24:])),
		time:       le.Uint64(p[32:]),
	}
	if int64(r.payloadLen) > end-off-recordHeaderSize || r.first > keys.MaxSeqNum {
		return record{}, false
	}
	if le.Uint32(p) != sums.sum(off, p) {
		return record{}, false
	}
	// No writer claims what lies at or beyond the record itself.
	back, units := SegmentNum(r.claimBack), int64(r.claimUnits)
	if back >= num || back == 0 && units > off/recordAlign {
		return record{}, false
	}
	return r, true
}

// claim returns the synced position that the record, of segment num, names; the zero
// Position if none.
func (r *record) claim(num SegmentNum) Position {
	if r.claimUnits == 0 {
		return Position{}
	}
	return Position{Segment: num - SegmentNum(r.claimBack), Offset: int64(r.claimUnits) * recordAlign}
}

// setClaim is the inverse of claim. A position too far back to be named is not
// claimed, which weakens what recovery can prove and harms nothing else.
func (r *record) setClaim(num SegmentNum, at Position) {
	back := uint64(num - at.Segment)
	if at.Segment == 0 || back > math.MaxUint16 {
		r.claimBack, r.claimUnits = 0, 0
		return
	}
	r.claimBack, r.claimUnits = uint16(back), uint32(at.Offset/recordAlign)
}

// mayBeLink reports whether the record can be the first one of a segment.
func (r *record) mayBeLink() bool {
	return r.kind == typeLink && r.payloadLen <= linkSize+maxLinkExtra+seal.Overhead
}

// last returns the sequence number of the record's last operation.
func (r *record) last() keys.SeqNum { return r.first + keys.SeqNum(r.count) - 1 }

// recordSize returns the bytes that a record with n bytes of payload takes.
func recordSize(n int64) int64 { return recordHeaderSize + (n+recordAlign-1)&^(recordAlign-1) }

// Sizes of the payloads that the log writes for itself.
const (
	linkSize  = 40
	closeSize = 8
	// maxLinkExtra is how many further bytes a link may have. They are reserved: nobody
	// writes any yet, and a reader passes them over.
	maxLinkExtra = 2048
)

// appendLink appends the payload of a link record: number, UID, length and last
// sequence number of the predecessor.
func appendLink(dst []byte, l Link) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(l.Num))
	dst = append(dst, l.UID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(l.Length))
	return binary.LittleEndian.AppendUint64(dst, uint64(l.LastSeqNum))
}

// decodeLink reads what appendLink wrote.
func decodeLink(p []byte) (l Link, err error) {
	d := codec.NewDecoder(p)
	l.Num = SegmentNum(d.Uint64())
	copy(l.UID[:], d.Bytes(len(l.UID)))
	length := d.Uint64()
	l.LastSeqNum = keys.SeqNum(d.Uint64())
	if d.Err() != nil || length > maxSegmentBytes || length%recordAlign != 0 || l.LastSeqNum > keys.MaxSeqNum || d.Len() > maxLinkExtra {
		return Link{}, errLink
	}
	l.Length = int64(length)
	return l, nil
}
