package audit

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/scope"
)

// Bounds of the texts of a record, in bytes.
const (
	MaxNameLen = access.MaxNameLen // of principal and correlation id
	MaxKeyLen  = 256               // of a key
)

// Record says what was asked and answered.
type Record struct {
	// Seq is the record's number, given by the Log, as is Time.
	Seq uint64
	// Time is when it was asked, by the Log's clock, which may have been put back.
	Time time.Time
	// Principal is who asked.
	Principal access.Principal
	// Op is what was asked.
	Op access.Op
	// Scope is the scope, the zero Scope for operations on the rules.
	Scope scope.Scope
	// Key is the key, for OpList, OpScan and OpWatch the prefix, and empty for other
	// operations on more than one key.
	Key string
	// Allowed is the answer.
	Allowed bool
	// Rule and Policy are the rule that decided, 0 if none did, and the version of the rules.
	Rule   access.RuleID
	Policy access.Version
	// Sensitive is whether it was about a value of class Sensitive.
	Sensitive bool
	// Keys is how many keys a scan has yielded.
	Keys uint64
	// Correlation is the id of the whole that the request belongs to.
	Correlation string
	// Dropped is how many records were lost since the one before, given by the Log.
	Dropped uint64
}

// Of returns the record of a request and its answer.
func Of(r access.Request, d access.Decision) Record {
	return Record{Principal: r.Principal, Op: r.Op, Scope: r.Scope, Key: r.Key, Allowed: d.Allowed, Rule: d.Rule, Policy: d.Version}
}

// The encoding of a record. Canonical description: docs/formats/audit.md.
//
//	format u8 · flags u8 · op u8 · time i64 · rule uvarint · version uvarint
//	keys uvarint · dropped uvarint · scope · principal · key · correlation, each a text
const format = 1

const (
	flagAllowed   = 1
	flagSensitive = 2
	allFlags      = flagAllowed | flagSensitive
)

// Encode appends the encoding of a record to dst, without its number. The error matches
// ErrInvalid.
func Encode(dst []byte, r *Record) ([]byte, error) {
	if err := check(r); err != nil {
		return nil, fmt.Errorf("%w: record: %w", ErrInvalid, err)
	}
	var flags byte
	if r.Allowed {
		flags |= flagAllowed
	}
	if r.Sensitive {
		flags |= flagSensitive
	}
	dst = append(dst, format, flags, byte(r.Op))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Time.UnixNano()))
	for _, n := range []uint64{uint64(r.Rule), uint64(r.Policy), r.Keys, r.Dropped} {
		dst = binary.AppendUvarint(dst, n)
	}
	var name []byte
	if r.Scope.Kind() != scope.AnyKind {
		name = scope.AppendKey(nil, r.Scope)
	}
	dst = codec.AppendLengthPrefixed(dst, name)
	for _, s := range []string{string(r.Principal), r.Key, r.Correlation} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst, nil
}

// Decode returns the record of an encoding, of which it keeps nothing. Errors match ErrTooNew
// or ErrMalformed.
func Decode(p []byte) (Record, error) {
	d := codec.NewDecoder(p)
	if v := d.Uint8(); d.Err() == nil && v > format {
		return Record{}, fmt.Errorf("%w: record of format %d", ErrTooNew, v)
	} else if d.Err() == nil && v != format {
		return Record{}, fmt.Errorf("%w: record of format %d", ErrMalformed, v)
	}
	flags := d.Uint8()
	if flags&^allFlags != 0 {
		d.Fail(codec.ErrMalformed)
	}
	r := Record{Allowed: flags&flagAllowed != 0, Sensitive: flags&flagSensitive != 0}
	r.Op = access.Op(d.Uint8())
	r.Time = time.Unix(0, int64(d.Uint64())).UTC()
	r.Rule, r.Policy = access.RuleID(d.Uvarint()), access.Version(d.Uvarint())
	r.Keys, r.Dropped = d.Uvarint(), d.Uvarint()
	if name := d.LengthPrefixed(); len(name) > 0 {
		s, err := scope.ParseKey(name)
		if err != nil {
			d.Fail(err)
		}
		r.Scope = s
	}
	r.Principal = access.Principal(d.LengthPrefixed())
	r.Key, r.Correlation = string(d.LengthPrefixed()), string(d.LengthPrefixed())
	err := d.Err()
	switch {
	case err != nil:
	case d.Len() > 0:
		err = fmt.Errorf("%d bytes behind it", d.Len())
	default:
		err = check(&r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: record: %w", ErrMalformed, err)
	}
	return r, nil
}

// check returns which rule of records this one breaks.
func check(r *Record) error {
	if r.Scope.Kind() != scope.AnyKind {
		if err := r.Scope.Validate(); err != nil {
			return err
		}
	}
	switch {
	case !r.Op.Valid():
		return fmt.Errorf("no such operation: %d", uint8(r.Op))
	case len(r.Principal) > MaxNameLen || len(r.Correlation) > MaxNameLen:
		return fmt.Errorf("principal or correlation id exceed %d bytes", MaxNameLen)
	case len(r.Key) > MaxKeyLen:
		return fmt.Errorf("the key exceeds %d bytes", MaxKeyLen)
	case !r.Time.Equal(time.Unix(0, r.Time.UnixNano())):
		return fmt.Errorf("the time is not within the years 1678 to 2262")
	}
	return nil
}
