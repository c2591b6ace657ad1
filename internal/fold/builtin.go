package fold

import (
	"encoding/binary"
	"fmt"
)

// Names of the built-in operators. They are on disk.
const (
	Int64Add    = "int64.add"
	Int64Max    = "int64.max"
	Int64Min    = "int64.min"
	BytesAppend = "bytes.append"
)

// builtin are the operators that every store has. Integers are 8 bytes, little endian, in
// two's complement.
var builtin = [...]Operator{
	integers(Int64Add, func(a, b int64) int64 { return a + b }),
	integers(Int64Max, func(a, b int64) int64 { return max(a, b) }),
	integers(Int64Min, func(a, b int64) int64 { return min(a, b) }),
	{
		Name: BytesAppend,
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			dst = append(dst, value...)
			for _, o := range operands {
				dst = append(dst, o...)
			}
			return dst, nil
		},
		Combine: func(dst, older, newer []byte) ([]byte, error) {
			return append(append(dst, older...), newer...), nil
		},
	},
}

// integers returns the operator that joins integers by an associative function. An absent
// value becomes what the operands make by themselves.
func integers(name string, join func(a, b int64) int64) Operator {
	return Operator{
		Name: name,
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			if value == nil {
				value, operands = operands[0], operands[1:]
			}
			n, err := integer(value)
			for i := 0; err == nil && i < len(operands); i++ {
				var m int64
				m, err = integer(operands[i])
				n = join(n, m)
			}
			if err != nil {
				return dst, err
			}
			return binary.LittleEndian.AppendUint64(dst, uint64(n)), nil
		},
		Combine: func(dst, older, newer []byte) ([]byte, error) {
			a, err := integer(older)
			if err != nil {
				return dst, err
			}
			b, err := integer(newer)
			if err != nil {
				return dst, err
			}
			return binary.LittleEndian.AppendUint64(dst, uint64(join(a, b))), nil
		},
		Check: func(operand []byte) error {
			_, err := integer(operand)
			return err
		},
		Inline: true,
	}
}

func integer(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("an integer has 8 bytes, not %d", len(b))
	}
	return int64(binary.LittleEndian.Uint64(b)), nil
}
