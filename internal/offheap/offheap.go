package offheap

import "fmt"

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

// Free returns the memory to the system. The slices handed out by Bytes must not be
// used again: doing so is a fault when the region was mapped.
func (r *Region) Free() error {
	p := r.bytes
	r.bytes = nil
	if p == nil || !r.mapped {
		return nil
	}
	return unmap(p)
}
