package block

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/keys"
)

// A data block (docs/formats/block.md). w is 2, or 4 in a wide block:
//
//	0 greatest seq<<8|kind u64   8 flags u16   (10 zero u16 if wide)   count w
//	prefix length w   suffix length w
//	prefix
//	heads     count × u32     first four bytes after the prefix, as a number
//	lengths   count × 0|1|2|4 of keys after the prefix, unless all are equal
//	offsets   (count+1) × w   of rows; one w, the length of a row, if all are equal
//	distances count × 0…7     greatest sequence number less this one
//	kinds     count × 0|1     unless all are equal
//	rows      key after prefix and head, value
const (
	narrowHeaderLen = 16
	wideHeaderLen   = 24
	headLen         = 4
)

// Flags of a data block.
const (
	flagWide      = 1 << 0 // lengths and offsets take four bytes
	flagFixedRows = 1 << 1 // rows are equally long
	kindsShift    = 2
	flagKinds     = 1 << kindsShift // there is a column of kinds
	flagUnique    = 1 << 3          // no user key occurs twice

	lenWidthShift = 4 // two bits: width of a key length, 0, 1, 2 or 4 as 0…3
	lenWidthMask  = 3 << lenWidthShift
	seqWidthShift = 8 // three bits: width of a distance
	seqWidthMask  = 7 << seqWidthShift

	knownFlags = flagWide | flagFixedRows | flagKinds | flagUnique | lenWidthMask | seqWidthMask
)

// Limits of a data block's length in bytes.
const (
	maxNarrow = 1<<16 - 1
	maxWide   = MaxPayloadLen
)

// Block is a view of a data block's bytes. It is a value; copies are equal views. Its
// methods may be called from any number of goroutines. Indexes are in [0, Count()).
type Block struct {
	p      []byte
	top    keys.Trailer // greatest sequence number, and the kind if all have it
	n      uint32
	prefix uint32 // where each column begins in p
	heads  uint32
	lens   uint32
	offs   uint32
	seqs   uint32
	kinds  uint32
	rows   uint32
	suffix uint32 // length of a key after the prefix, if all are equal
	rest   uint32 // of it, what is in the row
	stride uint32 // length of a row, if all are equal
	flags  uint16
}

var le = binary.LittleEndian

// lenWidths are the widths that the two bits of the flags stand for.
var lenWidths = [4]uint8{0, 1, 2, 4}
