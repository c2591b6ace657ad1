package lsm

import (
	"bytes"
	"encoding/binary"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/wal"
)

// The payload of a log record, and the inside of a Batch: operations one after the
// other. Canonical description: docs/formats/batch.md.
//
//	operation = kind u8 · key length uvarint · key · [value length uvarint · value]
//	            DELETE has no value; every other kind has one
//	            SETEXP: the value begins with the expiry
//	            SETSEALED: the value is sealed; in a Batch it is in clear
//	            RANGEDEL: the key is the lower bound, the value the upper one, a key too
//	key       = scope id · user key
//
// The number of operations and the first one's sequence number stand in the record's
// header; operation i carries the first number plus i.

// appendOp appends one operation. The key is given in two parts so that no caller has
// to join scope and user key first.
func appendOp(dst []byte, kind keys.Kind, scopePrefix, key, value []byte) []byte {
	dst = append(dst, byte(kind))
	dst = binary.AppendUvarint(dst, uint64(len(scopePrefix)+len(key)))
	dst = append(dst, scopePrefix...)
	dst = append(dst, key...)
	if kind == keys.KindDelete {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// longValue is the length from which a value given to Set is not copied behind its operation:
// it goes from the caller's memory to the log and to the memtable.
const longValue = 1 << 20

// appendLongOp appends an operation of which the value follows elsewhere.
func appendLongOp(dst []byte, kind keys.Kind, scopePrefix, key, value []byte) []byte {
	dst = append(dst, byte(kind))
	dst = binary.AppendUvarint(dst, uint64(len(scopePrefix)+len(key)))
	dst = append(dst, scopePrefix...)
	dst = append(dst, key...)
	return binary.AppendUvarint(dst, uint64(len(value)))
}

// opReader walks the operations of a payload that this process has encoded or that
// checkPayload has accepted.
type opReader struct {
	rest  []byte
	tail  []byte // the value of the last operation, where it does not stand in rest
	kind  keys.Kind
	key   []byte
	value []byte
}

// next steps to the next operation. Key and value alias the payload.
func (r *opReader) next() bool {
	if len(r.rest) == 0 {
		return false
	}
	r.kind = keys.Kind(r.rest[0])
	n, w := binary.Uvarint(r.rest[1:])
	p := r.rest[1+w:]
	r.key, p = p[:n:n], p[n:]
	r.value = nil
	if r.kind != keys.KindDelete {
		n, w = binary.Uvarint(p)
		if p = p[w:]; r.tail != nil && len(p) == 0 {
			r.value = r.tail
		} else {
			r.value, p = p[:n:n], p[n:]
		}
	}
	r.rest = p
	return true
}

// sumUp takes the checksum of what r writes, which a log that seals does without.
func (d *DB) sumUp(r *request) {
	if d.wal.Seals() {
		return
	}
	r.crc = wal.PayloadChecksum(r.payload)
	if r.tail != nil {
		r.crc = wal.ExtendChecksum(r.crc, r.tail)
	}
}

// payloadStats are what a commit needs to know of a payload.
type payloadStats struct {
	ops    int
	ranges int   // operations that delete a range
	bytes  int64 // keys and values
}

// checkPayload walks a payload from disk and refuses whatever appendOp cannot have
// written.
func checkPayload(p []byte) (payloadStats, error) {
	var s payloadStats
	d := codec.NewDecoder(p)
	for d.Len() > 0 {
		kind := keys.Kind(d.Uint8())
		switch kind {
		case keys.KindSet, keys.KindDelete, keys.KindRangeDelete, keys.KindSetWithExpiry, keys.KindMerge,
			keys.KindSetSealed, keys.KindSetSealedExpiry:
		default:
			if kind.Valid() {
				return s, ErrTooNew
			}
			d.Fail(codec.ErrMalformed)
			return s, d.Err()
		}
		key := d.LengthPrefixed()
		if _, _, err := scope.DecodeID(key); err != nil || len(key) > keys.MaxKeyLen {
			d.Fail(codec.ErrMalformed)
		}
		var value []byte
		if kind != keys.KindDelete {
			value = d.LengthPrefixed()
		}
		if len(value) > keys.MaxValueLen || len(value) < kind.MinValueLen() || kind == keys.KindRangeDelete && !validRange(key, value) ||
			kind.Expires() && !validExpiring(value) || kind.IsSealed() && len(value) < kind.MinValueLen()+crypto.ValueOverhead {
			d.Fail(codec.ErrMalformed)
		}
		s.ops++
		if kind == keys.KindRangeDelete {
			s.ranges++
		}
		s.bytes += int64(len(key) + len(value))
	}
	return s, d.Err()
}

// validRange reports whether [lower, upper) is a range that a delete can have: not empty,
// and within one scope.
func validRange(lower, upper []byte) bool {
	if len(upper) > keys.MaxKeyLen || bytes.Compare(lower, upper) >= 0 {
		return false
	}
	id, n, err := scope.DecodeID(lower)
	if err != nil {
		return false
	}
	return bytes.HasPrefix(upper, lower[:n]) || bytes.Equal(upper, scope.AppendUpperBound(nil, id))
}
