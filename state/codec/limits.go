package codec

import (
	"errors"
	"fmt"
)

// Limits on one value. Nil means the defaults everywhere, and so does a field that is zero.
type Limits struct {
	// MaxBytes is the longest encoding: 16 MiB unless set, at most 1 GiB.
	MaxBytes int
	// MaxDepth is how deep lists and maps may lie in each other: 128 unless set, at most
	// 10,000. A value that is neither has depth 0, an empty list 1.
	MaxDepth int
	// MaxNodes is how many values there may be within one, itself and the keys of its maps
	// included: 1,048,576 unless set. It bounds the memory of a decoded value: at most some
	// 120 bytes for each node beyond its own bytes, which maps of one key take.
	MaxNodes int
}

// Defaults of Limits.
const (
	DefaultMaxBytes = 16 << 20
	DefaultMaxDepth = 128
	DefaultMaxNodes = 1 << 20
)

// Upper bounds of Limits.
const (
	maxMaxBytes = 1 << 30
	maxMaxDepth = 10_000
)

// ErrLimits: Limits hold a number out of its range.
var ErrLimits = errors.New("codec: limits out of range")

// Validate reports every field that is out of its range, in one error that matches ErrLimits.
// Where nobody calls it, a field that is out of range counts as the nearest allowed number.
func (l *Limits) Validate() error {
	var errs []error
	check := func(name string, n, most int) {
		if n < 0 || n > most {
			errs = append(errs, fmt.Errorf("%w: %s is %d, not within 0 and %d", ErrLimits, name, n, most))
		}
	}
	if l != nil {
		check("MaxBytes", l.MaxBytes, maxMaxBytes)
		check("MaxDepth", l.MaxDepth, maxMaxDepth)
		check("MaxNodes", l.MaxNodes, maxMaxBytes)
	}
	return errors.Join(errs...)
}

// WithDefaults returns the limits that l stands for: none of their fields is zero or out of range.
func (l *Limits) WithDefaults() Limits {
	out := Limits{MaxBytes: DefaultMaxBytes, MaxDepth: DefaultMaxDepth, MaxNodes: DefaultMaxNodes}
	if l == nil {
		return out
	}
	if l.MaxBytes != 0 {
		out.MaxBytes = min(max(l.MaxBytes, 1), maxMaxBytes)
	}
	if l.MaxDepth != 0 {
		out.MaxDepth = min(max(l.MaxDepth, 1), maxMaxDepth)
	}
	if l.MaxNodes != 0 {
		out.MaxNodes = min(max(l.MaxNodes, 1), maxMaxBytes)
	}
	return out
}
