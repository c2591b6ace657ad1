package engine

import (
	"encoding/binary"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleAdder is how operands are merged: a store has one such rule, for all its keys.
var pebbleAdder = &pebble.Merger{
	Name: "lsmbench.add",
	Merge: func(_, value []byte) (pebble.ValueMerger, error) {
		s := &pebbleSum{}
		return s, s.add(value)
	},
}

// pebbleSum is a sum of operands, whose order does not matter.
type pebbleSum struct{ sum uint64 }

func (s *pebbleSum) add(value []byte) error {
	n, err := numberOf(value)
	s.sum += n
	return err
}

func (s *pebbleSum) MergeNewer(value []byte) error { return s.add(value) }
func (s *pebbleSum) MergeOlder(value []byte) error { return s.add(value) }

func (s *pebbleSum) Finish(bool) ([]byte, io.Closer, error) {
	return binary.LittleEndian.AppendUint64(nil, s.sum), nil, nil
}

func (s *pebbleSession) Add(key []byte, delta int64) error {
	s.operand = binary.LittleEndian.AppendUint64(s.operand[:0], uint64(delta))
	return s.db.Merge(key, s.operand, pebble.NoSync)
}
