package lsm

import (
	"encoding/binary"
	"slices"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// The records of expiry in the system scope. Canonical description: docs/formats/directory.md.
//
//	key: system scope id · 4 · expiry u64 BE · key              value: 1
//	key: system scope id · 5 · expiry u64 BE · number u64 BE    value: 1 · form, length-prefixed · user key
//
// The first kind is the index: the entry with that key (scope id and user key) and expiry is an
// event when it expires. It is written in the entry's batch. The second kind is an event that
// nobody has acknowledged; the number is the one that the entry had. The key form is that of the
// scope, empty for the root.

const (
	expiryKeyLen = 1 + 8                             // of an index record, besides the entry's key
	maxEventKey  = keys.MaxKeyLen - expiryKeyLen - 1 // of an entry, behind its scope's id
	eventKeyLen  = 1 + 8 + 8
)

func appendExpiryKey(dst []byte, expires int64, key []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, byte(recordExpiry)), uint64(expires))
	return append(dst, key...)
}

// decodeExpiryKey returns the expiry and the key of the entry that an index record is for.
func decodeExpiryKey(p []byte) (expires int64, key []byte, err error) {
	if len(p) < expiryKeyLen || recordKind(p[0]) != recordExpiry {
		return 0, nil, directoryError(codec.ErrTruncated)
	}
	expires, key = int64(binary.BigEndian.Uint64(p[1:])), p[expiryKeyLen:]
	if _, _, err := scope.DecodeID(key); err != nil || expires <= 0 {
		return 0, nil, directoryError(codec.ErrMalformed)
	}
	return expires, key, nil
}

// decodeScopeForm returns the scope of a key form; an empty one is the root's, the zero Scope.
func decodeScopeForm(p []byte) (scope.Scope, error) {
	if len(p) == 0 {
		return scope.Scope{}, nil
	}
	s, err := scope.ParseKey(p)
	if err != nil {
		return scope.Scope{}, directoryError(err)
	}
	return s, nil
}

func appendEventKey(dst []byte, expires int64, number keys.SeqNum) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, byte(recordEvent)), uint64(expires))
	return binary.BigEndian.AppendUint64(dst, uint64(number))
}

func appendEventValue(dst, form, userKey []byte) []byte {
	return append(codec.AppendLengthPrefixed(append(dst, recordVersion), form), userKey...)
}

// decodeEvent returns the event of a record. It keeps nothing of key and value.
func decodeEvent(key, value []byte) (ExpiryEvent, error) {
	rest, err := checkRecord(value)
	if err != nil {
		return ExpiryEvent{}, err
	}
	if len(key) != eventKeyLen || recordKind(key[0]) != recordEvent {
		return ExpiryEvent{}, directoryError(codec.ErrMalformed)
	}
	d := codec.NewDecoder(rest)
	form := d.LengthPrefixed()
	userKey := d.Bytes(d.Len())
	expires, number := int64(binary.BigEndian.Uint64(key[1:])), binary.BigEndian.Uint64(key[9:])
	if expires <= 0 || number == 0 || number > uint64(keys.MaxSeqNum) || len(userKey) > keys.MaxUserKeyLen {
		d.Fail(codec.ErrMalformed)
	}
	if d.Err() != nil {
		return ExpiryEvent{}, directoryError(d.Err())
	}
	s, err := decodeScopeForm(form)
	return ExpiryEvent{Scope: s, Key: slices.Clone(userKey), Expiry: expiryTime(expires), Version: Version(number)}, err
}

// indexExpiries adds, behind each operation of r that writes an entry which expires, the index
// record that makes the expiry an event.
func (d *DB) indexExpiries(r *request) error {
	r.indexed = true
	var out []byte
	from := 0 // of what is not in out yet
	for ops := r.operations(); ops.next(); {
		if !ops.kind.Expires() {
			continue
		}
		id, n, err := scope.DecodeID(ops.key)
		if err != nil || id == scope.System {
			continue
		}
		if len(ops.key) > maxEventKey {
			return &LimitError{What: "key", Bytes: int64(len(ops.key) - n), Limit: int64(maxEventKey - n)}
		}
		end := len(r.payload) - len(ops.rest)
		out = append(out, r.payload[from:end]...)
		from = end
		key := appendExpiryKey(nil, expiryOf(ops.value), ops.key)
		out = appendOp(out, keys.KindSet, systemKeys.prefix, key, flagValue)
		r.ops++
		r.bytes += int64(len(systemKeys.prefix) + len(key) + len(flagValue))
	}
	if out == nil {
		return nil
	}
	if size := memtableBytesFor(r.ops, r.bytes); size > maxBatchBytes {
		return &LimitError{What: "batch", Bytes: size, Limit: maxBatchBytes}
	}
	r.payload = append(out, r.payload[from:]...)
	return nil
}
