package lsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
)

// ErrInvalidPosition: bytes or a text are no Position, or a position is ahead of where it
// was to be used.
var ErrInvalidPosition = errors.New("lsm: not a position")

// Position is a place in the history of a store that may leave the process: where a backup
// ended, what a watcher has seen. It names the opening of the store that gave out the number,
// so that after a power cut, or in a copy of the directory, it is not taken for a place in
// another history. It is a small value, comparable, and can be the key of a map. The zero
// Position is the beginning, when the store was empty.
//
// Its binary and its text form carry a checksum; docs/formats/position.md describes them.
type Position struct {
	open fileid.UID
	seq  keys.SeqNum
}

// positionVersion begins both forms of a position.
const positionVersion = 1

// positionLen is the length of the binary form:
//
//	0 version u8    1 opening [16]byte    17 sequence number u64    25 CRC-32C of what precedes u32
const positionLen = 1 + 16 + 8 + 4

// IsZero reports whether p is the beginning of every store.
func (p Position) IsZero() bool { return p == Position{} }

// AppendBinary appends the binary form, 29 bytes. The error is always nil.
func (p Position) AppendBinary(dst []byte) ([]byte, error) {
	from := len(dst)
	dst = append(append(dst, positionVersion), p.open[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.seq))
	return binary.LittleEndian.AppendUint32(dst, codec.Checksum(0, dst[from:])), nil
}

// MarshalBinary returns the binary form. The error is always nil.
func (p Position) MarshalBinary() ([]byte, error) { return p.AppendBinary(nil) }

// UnmarshalBinary sets p to what MarshalBinary has encoded. Anything else is
// ErrInvalidPosition, the form of a newer version ErrTooNew.
func (p *Position) UnmarshalBinary(b []byte) error {
	if len(b) > 0 && b[0] > positionVersion {
		return fmt.Errorf("%w: position of version %d", ErrTooNew, b[0])
	}
	if len(b) != positionLen || b[0] != positionVersion {
		return fmt.Errorf("%w: %d bytes", ErrInvalidPosition, len(b))
	}
	d := codec.NewDecoder(b[1:])
	var q Position
	copy(q.open[:], d.Bytes(len(q.open)))
	q.seq = keys.SeqNum(d.Uint64())
	switch {
	case d.Uint32() != codec.Checksum(0, b[:positionLen-4]):
		return fmt.Errorf("%w: checksum", ErrInvalidPosition)
	case q.seq > keys.MaxSeqNum, (q.seq == 0) != (q.open == fileid.UID{}):
		return fmt.Errorf("%w: no store gives it out", ErrInvalidPosition)
	}
	*p = q
	return nil
}

// String returns the text form: version, opening, sequence number and checksum, separated by
// hyphens.
func (p Position) String() string {
	b, _ := p.AppendBinary(nil) // its error is nil
	return fmt.Sprintf("%d-%s-%d-%08x", positionVersion, p.open, uint64(p.seq), binary.LittleEndian.Uint32(b[positionLen-4:]))
}

// MarshalText returns the text form. The error is always nil.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText sets p to what MarshalText has written. Anything else is ErrInvalidPosition,
// the form of a newer version ErrTooNew.
func (p *Position) UnmarshalText(text []byte) error {
	fields := bytes.Split(text, []byte{'-'})
	version, err := strconv.ParseUint(string(fields[0]), 10, 8)
	switch {
	case err != nil || version == 0:
		return fmt.Errorf("%w: text", ErrInvalidPosition)
	case version > positionVersion:
		return fmt.Errorf("%w: position of version %d", ErrTooNew, version)
	case len(fields) != 4:
		return fmt.Errorf("%w: text of %d parts", ErrInvalidPosition, len(fields))
	}
	var q Position
	seq, err := strconv.ParseUint(string(fields[2]), 10, 64)
	if n, hexErr := hex.Decode(q.open[:], fields[1][:min(len(fields[1]), 2*len(q.open))]); err != nil || hexErr != nil || n != len(q.open) {
		return fmt.Errorf("%w: text", ErrInvalidPosition)
	}
	q.seq = keys.SeqNum(seq)
	// One spelling only, and with it the checksum.
	if q.String() != string(text) {
		return fmt.Errorf("%w: text", ErrInvalidPosition)
	}
	b, _ := q.AppendBinary(nil) // its error is nil
	return p.UnmarshalBinary(b) // which knows what a position may be
}

// ParsePosition returns the position of which text is the text form. Errors are those of
// UnmarshalText.
func ParsePosition(text string) (Position, error) {
	var p Position
	err := p.UnmarshalText([]byte(text))
	return p, err
}
