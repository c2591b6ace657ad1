package fold

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/keys"
)

// Header begins the value of a merge entry; the operand follows. Canonical description:
// docs/formats/keys.md.
//
//	0 commit time i64 (unix ms)   8 operator id u32   12 schema stamp u32   16 operand
type Header struct {
	// Time is when the operand was committed, in milliseconds since 1970. In the log it is 0:
	// there the record has it.
	Time int64
	// Operator is the operator's id.
	Operator ID
	// Stamp is the schema that the operand is written in; 0: none.
	Stamp uint32
}

// AppendOperand appends the value of a merge entry.
func AppendOperand(dst []byte, h Header, operand []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Time))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Operator))
	dst = binary.LittleEndian.AppendUint32(dst, h.Stamp)
	return append(dst, operand...)
}

// Split takes the value of a merge entry apart. It must be as long as its kind needs, which
// whoever reads entries from a file has checked.
func Split(value []byte) (h Header, operand []byte) {
	h.Time = int64(binary.LittleEndian.Uint64(value))
	h.Operator = ID(binary.LittleEndian.Uint32(value[8:]))
	h.Stamp = binary.LittleEndian.Uint32(value[12:])
	return h, value[keys.MergeHeaderLen:]
}

// SetTime sets the time in the value of a merge entry.
func SetTime(value []byte, t int64) { binary.LittleEndian.PutUint64(value, uint64(t)) }
