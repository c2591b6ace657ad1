package state

import "github.com/loamdb/loam/lsm"

// operators are those of blind changes.
var operators = []lsm.Operator{operatorOf(opIncrement), operatorOf(opPatch), operatorOf(opAppend)}

func operatorOf(name string) lsm.Operator {
	return lsm.Operator{
		Name:  name,
		Check: checkOperand,
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			return foldOperands(name, dst, value, operands)
		},
	}
}
