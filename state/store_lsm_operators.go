package state

import (
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/state/codec"
)

// operatorsWithin returns the operators of blind changes, which make no value beyond the limits.
func operatorsWithin(l *codec.Limits) []lsm.Operator {
	return []lsm.Operator{operatorOf(opIncrement, l), operatorOf(opPatch, l), operatorOf(opAppend, l)}
}

func operatorOf(name string, l *codec.Limits) lsm.Operator {
	return lsm.Operator{
		Name:  name,
		Check: checkOperand,
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			return foldOperands(name, l, dst, value, operands)
		},
	}
}
