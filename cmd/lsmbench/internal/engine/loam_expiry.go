package engine

import (
	"time"

	"github.com/loamdb/loam/lsm"
)

func (s *loamSession) SetWithTTL(key, value []byte, ttl time.Duration) error {
	return s.db.SetWithTTL(key, value, ttl, lsm.NoSync)
}
