package wal

import (
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// Records of an encrypted segment; docs/formats/wal.md is canonical. What is stored of a
// payload is
//
//	ciphertext · tag 16
//
// and the payload's checksum covers these, so that damage and torn writes are told without a
// key, as in any other segment. The nonce's ordinal is the record's offset / 8. Associated
// data are the file's kind and UID, ordinal, offset and length, the record's header from byte
// 8 on, and for the record at offset 4,096, the link, the segment's header too.

// boundBytes is how much of a segment's header is bound by its link record: all that is not
// zero, without the checksum.
const boundBytes = 104

// maxSealed is how much of a payload one sealed record takes. Longer batches are fragments
// within their segment too: a record is sealed in the log's buffer.
const maxSealed = bufferBytes - recordHeaderSize - seal.Overhead - recordAlign

// placeOf is where a record belongs that begins at off with the header p; bound is the start
// of the segment's header.
func placeOf(off int64, p, bound []byte) seal.Place {
	header := p[8:recordHeaderSize]
	// Killed by TestForgedHeadersAreRefused.
	if mutant.Enabled && mutant.Is(mutant.UnboundHeader) {
		header = nil
	}
	if off == headerSize {
		header = append(slices.Clone(header), bound[:boundBytes]...)
	}
	return seal.Place{Ordinal: uint64(off) / recordAlign, Offset: off, Header: header}
}

// derivedFrom is what the cipher of a segment is derived from beside the data key: never the
// same for two lives of a slot.
func derivedFrom(h *header) (fileid.UID, seal.Salt) {
	// Killed by TestNoNonceIsUsedTwiceUnderAKey.
	if mutant.Enabled && mutant.Is(mutant.ReuseLogKey) {
		return fileid.UID{}, seal.Salt{}
	}
	return h.uid, h.salt
}

// newSealer gives a new segment its cipher, and its header the data key's id. It is nil where
// the log is in clear.
func (o *Options) newSealer(h *header) (*seal.Sealer, error) {
	if o.NewCipher == nil {
		return nil, nil
	}
	uid, salt := derivedFrom(h)
	c, id, err := o.NewCipher(fileid.KindWAL, uid, salt)
	if err == nil && id == 0 {
		err = fmt.Errorf("%w: a cipher without a data key", ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("cipher of segment %d: %w", h.num, err)
	}
	h.keyID = id
	return seal.NewSealer(c, fileid.KindWAL, h.uid), nil
}

// opener opens the records of one segment. The nil opener is that of a segment in clear.
type opener struct {
	blocks *seal.Opener
	bound  []byte // the start of the segment's header
}

// newOpener returns the opener of a segment whose header is h, decoded from page. Errors:
// ErrSealed, and those of open.
func newOpener(open seal.OpenCipher, h *header, page []byte) (*opener, error) {
	switch {
	case h.keyID == 0:
		return nil, nil
	case open == nil:
		return nil, ErrSealed
	}
	uid, salt := derivedFrom(h)
	c, err := open(h.keyID, fileid.KindWAL, uid, salt)
	if err != nil {
		return nil, err
	}
	return &opener{seal.NewOpener(c, fileid.KindWAL, h.uid), slices.Clone(page[:boundBytes])}, nil
}

// open appends to dst the payload of the record that begins at off and is p: its header and
// what is stored. Error: seal.ErrAuth.
func (o *opener) open(dst, p []byte, off int64) ([]byte, error) {
	payload, err := o.blocks.Open(dst, p[recordHeaderSize:], placeOf(off, p, o.bound))
	// Killed by TestPlainRecordsAreRefused.
	if mutant.Enabled && mutant.Is(mutant.AcceptPlainRecord) && err != nil {
		return append(dst, p[recordHeaderSize:]...), nil
	}
	if err != nil {
		return dst, fmt.Errorf("record: %w", err)
	}
	return payload, nil
}

// opener returns the opener of a segment that begins with p. Where the header is damaged, only
// the salt must be what it was: the rest is known from the list.
func (s *salvager) opener(g *salvagedSegment, p []byte) (*opener, error) {
	h := header{store: fileid.UID(p[16:32]), uid: g.UID, num: g.Num, bytes: g.Bytes + g.missing, salt: seal.Salt(p[64:96]), keyID: g.Key}
	if g.sound || g.guessed {
		return newOpener(s.o.OpenCipher, &h, p)
	}
	if (s.o.Store != fileid.UID{}) {
		h.store = s.o.Store
	}
	return newOpener(s.o.OpenCipher, &h, h.encode())
}
