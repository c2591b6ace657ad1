package fuzz

import (
	"fmt"

	"github.com/loamdb/loam/lsm"
)

// Merges in histories: sums under keys of their own, and texts that grow under any key. What
// the store must make of them is computed here.

// merged returns what a merge makes of a value.
func merged(op Op, old string, had bool) string {
	if op.Merge == lsm.BytesAppend {
		return old + op.Value
	}
	if !had {
		return op.Value
	}
	a, b := integer(old), integer(op.Value)
	switch op.Merge {
	case lsm.Int64Max:
		a = max(a, b)
	case lsm.Int64Min:
		a = min(a, b)
	default:
		a += b
	}
	return string(lsm.Int64Bytes(a))
}

// integer returns what lsm.Int64Bytes made a value of.
func integer(v string) int64 {
	n, err := lsm.Int64Of([]byte(v))
	if err != nil {
		panic(fmt.Sprintf("fuzz: the history has no integer there: %v", err))
	}
	return n
}

// merge makes a merge of a few hot keys, of which some are counters: chains get long.
func (m *maker) merge() Op {
	m = &maker{rnd: m.merges, shape: m.shape}
	if m.rnd.IntN(3) == 0 {
		return Op{Merge: lsm.BytesAppend, Key: m.key(), Value: m.text(m.rnd.IntN(40))}
	}
	op := []string{lsm.Int64Add, lsm.Int64Add, lsm.Int64Max, lsm.Int64Min}[m.rnd.IntN(4)]
	n := int64(m.rnd.IntN(2000)) - 1000
	return Op{Merge: op, Key: fmt.Sprintf("count/%d", m.rnd.IntN(5)), Value: string(lsm.Int64Bytes(n))}
}
