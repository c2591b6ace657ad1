package conformance

import (
	"iter"

	"github.com/loamdb/loam/lsm"
)

// verbs are what a store and a scope have in common.
type verbs interface {
	Get(key []byte) ([]byte, error)
	Has(key []byte) (bool, error)
	Set(key, value []byte, w *lsm.WriteOptions) error
	Delete(key []byte, w *lsm.WriteOptions) error
	DeleteRange(lower, upper []byte, w *lsm.WriteOptions) error
	NewIter(o *lsm.IterOptions) (*lsm.Iterator, error)
	Scan(lower, upper []byte) iter.Seq2[lsm.Entry, error]
	NewBatch() *lsm.Batch
	Apply(b *lsm.Batch, w *lsm.WriteOptions) error
}

func (h *home) verbs() verbs {
	if h.sc != nil {
		return h.sc
	}
	return h.db
}

// prefixEnd returns the smallest key behind all that begin with prefix, nil if there is none.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for n := len(end); n > 0; n-- {
		if end[n-1]++; end[n-1] != 0 {
			return end[:n]
		}
	}
	return nil
}
