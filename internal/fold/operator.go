package fold

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// ID stands for an operator in entries. Zero is none.
type ID uint32

// IDOf returns the id of the operator with the given name: the low 32 bits of its XXH64 with
// seed 0. Ids are on disk, so that this never changes (O1).
func IDOf(name string) ID { return ID(xxhash.Sum64String(name)) }

// MaxNameLen is the longest name of an operator, in bytes.
const MaxNameLen = 255

// Operator says what operands mean. Its functions are called from many goroutines at once,
// must be deterministic, keep none of the slices they are given, and change only dst.
type Operator struct {
	// Name is what the operator is known by.
	Name string
	// Fold appends to dst what value becomes under the operands, oldest first, of which there
	// is at least one. A nil value means that there is none; an empty one is not nil.
	Fold func(dst, value []byte, operands [][]byte) ([]byte, error)
	// Combine, if set, appends one operand that does what older and then newer do, whatever
	// they meet.
	Combine func(dst, older, newer []byte) ([]byte, error)
	// Check, if set, refuses what is no operand.
	Check func(operand []byte) error
	// Inline says that Fold takes some nanoseconds and that its results, however many operands
	// there are, are no longer than an operand: who applies commits may call it.
	Inline bool
}

// Operators are those that can be folded, by name and id. It is immutable.
type Operators struct {
	byID map[ID]*Operator
}

// ErrOperators: NewOperators was given operators that cannot stand beside each other.
var ErrOperators = errors.New("fold: unusable operators")

// NewOperators returns the built-in operators and those given. The error matches
// ErrOperators: a name is missing, too long or taken, has the same id as another, which
// of two names one in four billion pairs does, or Fold is not set.
func NewOperators(more []Operator) (*Operators, error) {
	o := &Operators{byID: make(map[ID]*Operator, len(builtin)+len(more))}
	for i := range builtin {
		o.byID[IDOf(builtin[i].Name)] = &builtin[i]
	}
	for i := range more {
		op := more[i]
		id := IDOf(op.Name)
		switch other := o.byID[id]; {
		case op.Name == "" || len(op.Name) > MaxNameLen:
			return nil, fmt.Errorf("%w: a name of %d bytes is not within 1 and %d", ErrOperators, len(op.Name), MaxNameLen)
		case op.Fold == nil:
			return nil, fmt.Errorf("%w: %q cannot fold", ErrOperators, op.Name)
		case other != nil && other.Name == op.Name:
			return nil, fmt.Errorf("%w: %q is there twice", ErrOperators, op.Name)
		case other != nil || id == 0:
			return nil, fmt.Errorf("%w: %q has the id of another one", ErrOperators, op.Name)
		}
		o.byID[id] = &op
	}
	return o, nil
}

// Named returns the operator with the name, or nil.
func (o *Operators) Named(name string) *Operator {
	if op := o.ByID(IDOf(name)); op != nil && op.Name == name {
		return op
	}
	return nil
}

// ByID returns the operator with the id, or nil.
func (o *Operators) ByID(id ID) *Operator {
	if o == nil {
		return nil
	}
	return o.byID[id]
}

// Names calls f for each name.
func (o *Operators) Names(f func(name string)) {
	for _, op := range o.byID {
		f(op.Name)
	}
}

// UnknownError: an operand's operator is not among those that can be folded.
type UnknownError struct{ ID ID }

// Error implements error.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("fold: operator with the id %08x is not known", uint32(e.ID))
}

// OperatorError is what an operator refused to do.
type OperatorError struct {
	// Operator is its name.
	Operator string
	// Err is its reason.
	Err error
}

// Error implements error.
func (e *OperatorError) Error() string {
	return fmt.Sprintf("fold: operator %s: %v", e.Operator, e.Err)
}

// Unwrap returns Err.
func (e *OperatorError) Unwrap() error { return e.Err }
