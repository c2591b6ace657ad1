package envelope

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Decode reads the header at the front of p and returns it with what follows, the payload.
// Correlation and payload are slices of p. It allocates nothing. Errors are ErrTooNew,
// ErrMalformed, ErrTruncated, ErrCodec, ErrClass and ErrFlags; p is then not to be touched.
func Decode(p []byte) (Header, []byte, error) {
	d := decoder{rest: p}
	var h Header
	if d.header(&h); d.err != nil {
		return Header{}, nil, d.err
	}
	return h, d.rest, nil
}

// decoder reads fields from the front of rest. Its first error sticks.
type decoder struct {
	rest []byte
	err  error
}

// header reads into h, which is zero.
func (d *decoder) header(h *Header) {
	switch version := d.byte(); {
	case d.err != nil:
		return
	case version == 0:
		d.fail(ErrMalformed)
		return
	case version > Version:
		d.fail(fmt.Errorf("%w: %d, and %d is known", ErrTooNew, version, Version))
		return
	}
	kinds, there := d.byte(), d.byte()
	h.Class, h.Codec = Class(kinds&classMask), Codec(kinds>>codecShift&codecMask)
	switch {
	case d.err != nil:
		return
	case kinds>>(2*codecShift) != 0 || there&^knownFields != 0:
		d.fail(fmt.Errorf("%w: bits %02x %02x", ErrFlags, kinds, there))
		return
	case !h.Class.Valid():
		d.fail(fmt.Errorf("%w: %d", ErrClass, h.Class))
	case h.Codec != MessagePack:
		d.fail(fmt.Errorf("%w: %d", ErrCodec, h.Codec))
	}
	if there&hasSchema != 0 {
		h.Schema = SchemaID(d.uvarint(1, math.MaxUint64))
		h.SchemaVersion = SchemaVersion(d.uvarint(1, math.MaxUint32))
	}
	if there&hasKey != 0 {
		h.Key = d.key()
	}
	if there&hasFlags != 0 {
		h.Flags = Flags(d.uvarint(1, math.MaxUint64))
		if h.Flags&^knownFlags != 0 {
			d.fail(fmt.Errorf("%w: %x", ErrFlags, uint64(h.Flags)))
		}
	}
	if there&hasCreated != 0 {
		h.Created = Millis(d.uvarint(1, uint64(MaxMillis)))
	}
	switch {
	case there&hasUpdated == 0:
	case h.Created != 0:
		h.Updated = d.after(h.Created)
	default:
		h.Updated = Millis(d.uvarint(1, uint64(MaxMillis)))
	}
	if there&hasCorrelation != 0 {
		h.Correlation = d.text(MaxCorrelationLen)
	}
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.rest = err, nil
	}
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail(ErrTruncated)
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

// uvarint reads a number within least and most, in as few bytes as it needs.
func (d *decoder) uvarint(least, most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	switch {
	case n == 0:
		d.fail(ErrTruncated)
	case n < 0 || n > 1 && d.rest[n-1] == 0 || v < least || v > most:
		d.fail(ErrMalformed)
	default:
		d.rest = d.rest[n:]
		return v
	}
	return 0
}

func (d *decoder) key() KeyID {
	var id KeyID
	if len(d.rest) < len(id) {
		d.fail(ErrTruncated)
		return id
	}
	d.rest = d.rest[copy(id[:], d.rest):]
	if id == (KeyID{}) {
		d.fail(ErrMalformed)
	}
	return id
}

// after reads an instant as the difference from another one.
func (d *decoder) after(m Millis) Millis {
	u := d.uvarint(0, math.MaxUint64)
	diff := int64(u>>1) ^ -int64(u&1) // zigzag
	switch {
	case d.err != nil:
	case diff < int64(1-m) || diff > int64(MaxMillis-m):
		d.fail(ErrMalformed)
	default:
		return m + Millis(diff)
	}
	return 0
}

func (d *decoder) text(most int) []byte {
	n := int(d.uvarint(1, uint64(most)))
	switch {
	case d.err != nil:
		return nil
	case n > len(d.rest):
		d.fail(ErrTruncated)
		return nil
	}
	text := d.rest[:n:n]
	if !utf8.Valid(text) {
		d.fail(ErrMalformed)
		return nil
	}
	d.rest = d.rest[n:]
	return text
}
