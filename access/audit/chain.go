package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/codec"
)

// The keys and values of the log. Canonical description: docs/formats/audit.md.
//
//	01                          head: segment · first · number · hash · MAC
//	02                          anchor: segment · first · number · hash · MAC
//	03 · segment u64 · seq u64  record · hash, big endian so that they are in order
var (
	headKey   = []byte{1}
	anchorKey = []byte{2}
)

const (
	kindRecord = 3
	hashLen    = sha256.Size
	headLen    = 3*8 + 2*hashLen
)

// Head is a place in the chain: a record, and with it everything before. The zero Head is
// that before the first record.
type Head struct {
	// Seq is the record's number.
	Seq uint64
	// Hash is the chain's at this record.
	Hash [hashLen]byte

	segment uint64 // in which the record is
	first   uint64 // number of the first record of that segment
}

func recordKey(segment, seq uint64) []byte {
	p := binary.BigEndian.AppendUint64([]byte{kindRecord}, segment)
	return binary.BigEndian.AppendUint64(p, seq)
}

func parseRecordKey(key []byte) (segment, seq uint64, err error) {
	if len(key) != 17 || key[0] != kindRecord {
		return 0, 0, fmt.Errorf("%w: key %x", ErrMalformed, key)
	}
	return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), nil
}

// link returns the hash of a record that follows one with the hash before.
func (o *Options) link(before [hashLen]byte, segment, seq uint64, record []byte) [hashLen]byte {
	h := hmac.New(sha256.New, o.Key)
	h.Write(before[:])
	h.Write(recordKey(segment, seq))
	h.Write(record)
	return [hashLen]byte(h.Sum(nil))
}

// encodeHead returns the value of a head; that of an anchor is the same with another MAC.
func (o *Options) encodeHead(h Head) []byte { return o.encodePlace(headKey, h) }

func (o *Options) encodePlace(key []byte, h Head) []byte {
	p := make([]byte, 0, headLen)
	for _, n := range []uint64{h.segment, h.first, h.Seq} {
		p = binary.LittleEndian.AppendUint64(p, n)
	}
	p = append(p, h.Hash[:]...)
	return append(p, o.mac(key, p)...)
}

func (o *Options) mac(key, place []byte) []byte {
	h := hmac.New(sha256.New, o.Key)
	h.Write(key)
	h.Write(place)
	return h.Sum(nil)
}

// readHead returns the head of a store, the zero Head if it has none.
func (o *Options) readHead(ctx context.Context, s Store) (Head, error) {
	return o.readPlace(ctx, s, headKey)
}

func (o *Options) readPlace(ctx context.Context, s Store, key []byte) (Head, error) {
	p, ok, err := s.Get(ctx, key)
	switch {
	case err != nil:
		return Head{}, fmt.Errorf("audit: get: %w", err)
	case !ok:
		return Head{}, nil
	}
	return o.decodePlace(key, p)
}

// decodePlace returns the head or anchor of a value. Errors match ErrMalformed, or
// ErrBroken if it was not written with the options' key.
func (o *Options) decodePlace(key, p []byte) (Head, error) {
	if len(p) != headLen {
		return Head{}, fmt.Errorf("%w: head or anchor of %d bytes", ErrMalformed, len(p))
	}
	body := p[:headLen-hashLen]
	d := codec.NewDecoder(body)
	h := Head{segment: d.Uint64(), first: d.Uint64(), Seq: d.Uint64()}
	copy(h.Hash[:], d.Bytes(hashLen))
	if !hmac.Equal(o.mac(key, body), p[len(body):]) {
		return Head{}, &BrokenError{Seq: h.Seq, Reason: "head or anchor were changed, or the key is another one"}
	}
	return h, nil
}

// recordOf returns the record of an entry with the hash that stands behind it, and its
// encoding.
func recordOf(e Entry) (r Record, hash [hashLen]byte, encoded []byte, err error) {
	if len(e.Value) < hashLen {
		return r, hash, nil, fmt.Errorf("%w: record of %d bytes", ErrMalformed, len(e.Value))
	}
	encoded = e.Value[:len(e.Value)-hashLen]
	copy(hash[:], e.Value[len(encoded):])
	if r, err = Decode(encoded); err != nil {
		return r, hash, nil, err
	}
	_, r.Seq, err = parseRecordKey(e.Key)
	return r, hash, encoded, err
}
