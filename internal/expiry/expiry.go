package expiry

import "math/bits"

// Step is one of Steps: Bytes expire by By, besides those of the steps before it.
type Step struct {
	By    int64 // milliseconds since 1970
	Bytes uint64
}

// Steps say how many bytes have expired by when. nil is nothing that expires.
type Steps []Step

// BytesBy returns how many bytes have expired by t, or a little later: at least so many
// have by then.
func (s Steps) BytesBy(t int64) uint64 {
	var n uint64
	for _, step := range s {
		if step.By > t {
			break
		}
		n += step.Bytes
	}
	return n
}

// Bytes returns how many bytes expire at all.
func (s Steps) Bytes() uint64 {
	var n uint64
	for _, step := range s {
		n += step.Bytes
	}
	return n
}

// Last returns when the last byte expires, 0 if none does.
func (s Steps) Last() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].By
}

// Reaches returns by when at least want bytes have expired; false: so many never do.
func (s Steps) Reaches(want uint64) (by int64, ok bool) {
	var n uint64
	for _, step := range s {
		if n += step.Bytes; n >= want {
			return step.By, true
		}
	}
	return 0, false
}

// maxSteps is how many steps a Builder has: times up to 2^63 ms ahead.
const maxSteps = 64

// Builder collects what expires. Those who have as long to live, up to a factor of two, seen
// from one moment, make one step: what has expired is known to the last half of a life. It
// is for one goroutine. The zero Builder is none.
type Builder struct {
	from  int64
	n     uint64
	steps [maxSteps]Step
}

// NewBuilder returns an empty Builder, seen from a moment: that of writing, mostly.
func NewBuilder(from int64) *Builder { return &Builder{from: from} }

// Add counts so many bytes, above zero, that expire at a time.
func (b *Builder) Add(at int64, bytes int) {
	at = max(at, 1)
	s := &b.steps[bits.Len64(uint64(max(at-b.from, 0)))]
	s.By = max(s.By, at)
	s.Bytes += uint64(bytes)
	b.n++
}

// Entries returns how often Add was called.
func (b *Builder) Entries() uint64 { return b.n }

// Steps returns what was collected.
func (b *Builder) Steps() Steps {
	var out Steps
	for _, s := range b.steps {
		if s.Bytes > 0 {
			out = append(out, s)
		}
	}
	return out
}
