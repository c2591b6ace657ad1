package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Version is the version of the format that Append writes.
const Version = 1

// MaxHeaderLen is the longest header, and MaxCorrelationLen the longest correlation id, in
// bytes.
const (
	MaxHeaderLen      = 179
	MaxCorrelationLen = 128
)

// Codec says how a payload is encoded. The numbers are on disk.
type Codec uint8

// MessagePack is the codec of package codec, and the only one there is.
const MessagePack Codec = 1

// Flags of an envelope.
type Flags uint64

// Protected says that the rules of privacy have been applied to the payload, which must not
// happen twice.
const Protected Flags = 1

const knownFlags = Protected

// SchemaID is the number of a schema within its store. Zero is none.
type SchemaID uint64

// SchemaVersion is the version of a schema, from 1 on.
type SchemaVersion uint32

// KeyID names a scope key, everywhere: it is random, as package crypto has it. Zero is none.
type KeyID [16]byte

// Millis is an instant, in milliseconds since 1970. Zero is unknown.
type Millis int64

// MaxMillis is the last instant: the end of the year 9999.
const MaxMillis Millis = 253402300799999

// MillisOf returns t, its parts of a millisecond left out. Instants outside the range become the
// nearest one within it, 1 or MaxMillis; the zero time is unknown.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return min(max(Millis(t.UnixMilli()), 1), MaxMillis)
}

// Time returns the instant in UTC, or the zero time for an unknown one.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// Header is what an envelope says of its payload.
type Header struct {
	// Schema and SchemaVersion are the stamp of the record; both are zero when it has none.
	Schema        SchemaID
	SchemaVersion SchemaVersion
	// Key is the scope key that the payload is sealed with, or zero.
	Key KeyID
	// Flags are the flags set.
	Flags Flags
	// Created and Updated say when the value was first written, and last; zero when unknown.
	Created, Updated Millis
	// Correlation is the id of what the value was written for, at most MaxCorrelationLen bytes of
	// valid UTF-8, or empty.
	Correlation []byte
	// Class is the value's class, and Codec how the payload is encoded. Both are set.
	Class Class
	Codec Codec
}

// Errors, for errors.Is.
var (
	// ErrHeader: Append was given a header with a field out of its range.
	ErrHeader = errors.New("envelope: invalid header")
	// ErrMalformed: the bytes are no envelope.
	ErrMalformed = errors.New("envelope: malformed")
	// ErrTruncated: the bytes end within the header.
	ErrTruncated = fmt.Errorf("%w: ends within the header", ErrMalformed)
	// ErrTooNew: a version that this code does not know.
	ErrTooNew = errors.New("envelope: version too new")
	// ErrCodec, ErrClass and ErrFlags: a codec, class, flag or field that this code does not know.
	ErrCodec = errors.New("envelope: unknown codec")
	ErrClass = errors.New("envelope: unknown class")
	ErrFlags = errors.New("envelope: unknown flags")
)

// The layout, docs/formats/envelope.md:
//
//	version | class, codec | fields there | schema id, version | key | flags |
//	created | updated | length, correlation | payload …
const (
	hasSchema = 1 << iota
	hasKey
	hasFlags
	hasCreated
	hasUpdated
	hasCorrelation

	knownFields = hasCorrelation<<1 - 1
)

const codecShift, classMask, codecMask = 3, 7, 7

// Append appends the header to dst and returns the extended slice; the payload is to follow. It
// allocates nothing beyond dst and keeps nothing of h. A field out of its range is ErrHeader, and
// dst is returned as it was.
func Append(dst []byte, h *Header) ([]byte, error) {
	if err := h.check(); err != nil {
		return dst, err
	}
	dst = append(dst, Version, byte(h.Class)|byte(h.Codec)<<codecShift, h.present())
	if h.Schema != 0 {
		dst = binary.AppendUvarint(dst, uint64(h.Schema))
		dst = binary.AppendUvarint(dst, uint64(h.SchemaVersion))
	}
	if h.Key != (KeyID{}) {
		dst = append(dst, h.Key[:]...)
	}
	if h.Flags != 0 {
		dst = binary.AppendUvarint(dst, uint64(h.Flags))
	}
	if h.Created != 0 {
		dst = binary.AppendUvarint(dst, uint64(h.Created))
	}
	switch {
	case h.Updated == 0:
	case h.Created != 0:
		dst = binary.AppendVarint(dst, int64(h.Updated-h.Created))
	default:
		dst = binary.AppendUvarint(dst, uint64(h.Updated))
	}
	if len(h.Correlation) != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(h.Correlation)))
		dst = append(dst, h.Correlation...)
	}
	return dst, nil
}

// present returns which fields are there.
func (h *Header) present() byte {
	bit := func(there bool, b byte) byte {
		if there {
			return b
		}
		return 0
	}
	return bit(h.Schema != 0, hasSchema) | bit(h.Key != (KeyID{}), hasKey) | bit(h.Flags != 0, hasFlags) |
		bit(h.Created != 0, hasCreated) | bit(h.Updated != 0, hasUpdated) | bit(len(h.Correlation) != 0, hasCorrelation)
}

func (h *Header) check() error {
	var what string
	switch {
	case !h.Class.Valid():
		what = "class"
	case h.Codec != MessagePack:
		what = "codec"
	case (h.Schema == 0) != (h.SchemaVersion == 0):
		what = "schema without version, or the other way round"
	case h.Flags&^knownFlags != 0:
		what = "flags"
	case h.Created < 0 || h.Created > MaxMillis:
		what = "created"
	case h.Updated < 0 || h.Updated > MaxMillis:
		what = "updated"
	case len(h.Correlation) > MaxCorrelationLen:
		what = "a correlation id that is too long"
	case !utf8.Valid(h.Correlation):
		what = "a correlation id that is not UTF-8"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrHeader, what)
}
