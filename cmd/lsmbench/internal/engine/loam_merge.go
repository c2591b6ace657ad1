package engine

import (
	"encoding/binary"

	"github.com/loamdb/loam/lsm"
)

func (s *loamSession) Add(key []byte, delta int64) error {
	s.operand = binary.LittleEndian.AppendUint64(s.operand[:0], uint64(delta))
	return s.db.Merge(lsm.Int64Add, key, s.operand, lsm.NoSync)
}
