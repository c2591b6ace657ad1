package block

import "errors"

// Errors of opening a sealed block and of decoding. They say what is wrong with the
// bytes; the caller adds file and offset.
var (
	// ErrTruncated: fewer bytes than the trailer takes.
	ErrTruncated = errors.New("block: shorter than its trailer")
	// ErrChecksum: the bytes are not those that were sealed, or not those that were
	// sealed for this file and place.
	ErrChecksum = errors.New("block: wrong checksum")
	// ErrCodec: a codec, dictionary or flag that this code does not know.
	ErrCodec = errors.New("block: unknown codec")
	// ErrTooLong: a length that is above MaxPayloadLen, or that the caller refused.
	ErrTooLong = errors.New("block: payload too long")
	// ErrMalformed: the checksum is right, but no writer produces these bytes.
	ErrMalformed = errors.New("block: malformed")
)
