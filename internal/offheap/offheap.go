package offheap

import (
	"fmt"

	"github.com/loamdb/loam/internal/invariants"
)

// Region is one allocation. It is zeroed when fresh. A Region is owned by its
// creator, which must call Free exactly once, after the last reader is gone.
type Region struct {
	bytes  []byte
	mapped bool
}

// New allocates n bytes, n > 0, aligned to at least 64.
func New(n int) (*Region, error) {
	if n <= 0 {
		return nil, fmt.Errorf("offheap: region of %d bytes", n)
	}
	return allocate(n)
}

// Bytes returns the region's memory, valid until Free.
func (r *Region) Bytes() []byte { return r.bytes }

// poison is what the memory holds under invariants when it must not be used.
const poison = 0xDB

// Poison overwrites the memory under invariants, and does nothing otherwise. An owner
// that keeps the region for another use calls it in between: a reader that stayed on
// then finds bytes that make no sense, and the race detector a write beside its read.
func (r *Region) Poison() {
	if invariants.Enabled && len(r.bytes) > 0 {
		r.bytes[0] = poison
		for n := 1; n < len(r.bytes); n *= 2 {
			copy(r.bytes[n:], r.bytes[:n])
		}
	}
}

// Free returns the memory to the system. The slices handed out by Bytes must not be
// used again: doing so is a fault when the region was mapped, and meets poison under
// invariants.
func (r *Region) Free() error {
	r.Poison()
	p := r.bytes
	r.bytes = nil
	if p == nil || !r.mapped {
		return nil
	}
	return unmap(p)
}
