// Package codec holds what every on-disk decoder shares: the checksum and a reader of
// little-endian fields whose first error sticks.
//
// Decoders in this project never panic on bytes from disk and never size an
// allocation by a number they have not compared with what remains.
package codec

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum extends the CRC-32C seed by p. A fresh sum starts from seed 0; sums chain:
// Checksum(Checksum(s, a), b) is the sum of a followed by b.
func Checksum(seed uint32, p []byte) uint32 { return crc32.Update(seed, castagnoli, p) }

// ChecksumWords extends the sum seed by a and b, eight bytes each, little endian. It
// is for seeds: a slice given to Checksum escapes to the heap, 16 bytes of garbage for
// each block read, because the standard library picks the instructions at run time.
func ChecksumWords(seed uint32, a, b uint64) uint32 {
	sum := ^seed
	for range 8 {
		sum = castagnoli[byte(sum)^byte(a)] ^ sum>>8
		a >>= 8
	}
	for range 8 {
		sum = castagnoli[byte(sum)^byte(b)] ^ sum>>8
		b >>= 8
	}
	return ^sum
}

// ErrTruncated is the error of a Decoder that was asked for more than remains.
var ErrTruncated = errors.New("codec: input ends inside a field")

// ErrMalformed is the error of a Decoder that met an encoding no encoder produces.
var ErrMalformed = errors.New("codec: malformed field")

// Decoder reads fields from the front of a byte slice. After its first error every
// method returns zero values; check Err once at the end. The zero Decoder is empty.
type Decoder struct {
	rest []byte
	err  error
}

// NewDecoder returns a Decoder over p, which it does not copy: slices it returns
// alias p.
func NewDecoder(p []byte) Decoder { return Decoder{rest: p} }

// Err returns the first error, or nil.
func (d *Decoder) Err() error { return d.err }

// Len returns how many bytes remain.
func (d *Decoder) Len() int { return len(d.rest) }

// Fail makes err the decoder's error unless it has one.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

// Bytes returns the next n bytes.
func (d *Decoder) Bytes(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.Fail(ErrTruncated)
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

// Uint8 reads one byte.
func (d *Decoder) Uint8() uint8 {
	if p := d.Bytes(1); p != nil {
		return p[0]
	}
	return 0
}

// Uint16 reads two bytes.
func (d *Decoder) Uint16() uint16 {
	if p := d.Bytes(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

// Uint32 reads four bytes.
func (d *Decoder) Uint32() uint32 {
	if p := d.Bytes(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// Uint64 reads eight bytes.
func (d *Decoder) Uint64() uint64 {
	if p := d.Bytes(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// Uvarint reads an unsigned varint. Only the shortest encoding is accepted, so that
// equal values have equal bytes.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	switch {
	case n == 0:
		d.Fail(ErrTruncated)
		return 0
	case n < 0, n > 1 && d.rest[n-1] == 0:
		d.Fail(ErrMalformed)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// LengthPrefixed reads a varint length and that many bytes. The length is compared
// with what remains before it is used.
func (d *Decoder) LengthPrefixed() []byte {
	n := d.Uvarint()
	if n > uint64(len(d.rest)) {
		d.Fail(ErrTruncated)
		return nil
	}
	return d.Bytes(int(n))
}

// AppendLengthPrefixed appends what LengthPrefixed reads.
func AppendLengthPrefixed(dst, p []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p)))
	return append(dst, p...)
}
