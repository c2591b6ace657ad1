package lsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/manifest"
)

// Names of the operators that every store has, for Merge. An absent value is what the first
// operand makes of it: itself. docs/merge.md has the encodings.
const (
	// Int64Add adds integers of 64 bits, Int64Max and Int64Min keep the greatest and the
	// least. Values and operands are as Int64Bytes makes them; a sum that overflows wraps.
	Int64Add = fold.Int64Add
	Int64Max = fold.Int64Max
	Int64Min = fold.Int64Min
	// BytesAppend appends the operand to the value.
	BytesAppend = fold.BytesAppend
)

// Operator says what the operands of DB.Merge do to values. Its functions are called from
// many goroutines, by reads, writes and background work, with the store's internals held:
// they must not call the store, block or panic. They must be deterministic, and do for ever
// what they did when an operand was written: who changes what they do gives them another name.
// They must not keep or change the slices that they are given, but for dst.
type Operator struct {
	// Name is what Merge calls the operator by, and what the store remembers: 1 to 255 bytes.
	Name string
	// Fold appends to dst what value becomes under the operands, oldest first, of which there
	// is at least one, and returns the extended slice. A nil value means that there is none;
	// an empty one is not nil. Its error becomes a *MergeError of whoever reads the key.
	Fold func(dst, value []byte, operands [][]byte) ([]byte, error)
	// Combine, if set, appends to dst one operand that does what older and then newer do, on
	// any value and on none. Chains of operands then stay short without being read.
	Combine func(dst, older, newer []byte) ([]byte, error)
	// Check, if set, refuses what is no operand: Merge then writes nothing and returns the
	// error in a *MergeError.
	Check func(operand []byte) error
}

// Int64Bytes returns n as the operators on integers have it: 8 bytes, little endian.
func Int64Bytes(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// Int64Of returns the integer that Int64Bytes made b of. The error, for bytes of another
// length, matches ErrMerge.
func Int64Of(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: an integer has 8 bytes, not %d", ErrMerge, len(b))
	}
	return int64(binary.LittleEndian.Uint64(b)), nil
}

// ErrMerge: an operand, or the value that it is to be folded into, is not what its operator
// works on. From Merge it means that nothing was written; from a read that the key cannot be
// read until it is Set, or deleted: value and operands are kept as they are. Details:
// *MergeError.
var ErrMerge = errors.New("lsm: cannot be merged")

// MergeError says which operator refused. It matches ErrMerge.
type MergeError struct {
	// Operator is its name.
	Operator string
	// Err is its reason.
	Err error
}

// Error implements error.
func (e *MergeError) Error() string {
	return fmt.Sprintf("lsm: cannot be merged: operator %s: %v", e.Operator, e.Err)
}

// Unwrap returns the reason.
func (e *MergeError) Unwrap() error { return e.Err }

// Is reports whether target is ErrMerge.
func (e *MergeError) Is(target error) bool { return target == ErrMerge }

// UnknownOperatorError: an operator is not among Options.Operators. Merge writes nothing then.
// A read, or an iterator, that meets an operand of it cannot tell the value. Everything else
// passes its operands on untouched: the store can be used, compacted, copied and salvaged.
type UnknownOperatorError struct {
	// Name is the operator's name, "" if the store does not know it.
	Name string
	// ID is what stands for it in entries: the low 32 bits of the name's XXH64.
	ID uint32
}

// Error implements error.
func (e *UnknownOperatorError) Error() string {
	return fmt.Sprintf("lsm: merge operator %q (%08x) is not among the options' operators", e.Name, e.ID)
}

// operators are those that the store can fold, and those that it has operands of.
type operators struct {
	known  *fold.Operators // nil before the store is open: nothing is folded
	byName map[string]*operator
	names  map[fold.ID]string // of the manifest at Open
}

// operator is one that can be folded.
type operator struct {
	*fold.Operator
	id       fold.ID
	recorded atomic.Bool // its name is in the manifest
}

// foldOperators returns the operators of the options.
func (o *Options) foldOperators() (*fold.Operators, error) {
	var more []fold.Operator
	for _, op := range o.Operators {
		more = append(more, fold.Operator{Name: op.Name, Fold: op.Fold, Combine: op.Combine, Check: op.Check})
	}
	return fold.NewOperators(more)
}

// init takes the operators of the options, and the names that the manifest has. An operator
// that has the id of another one whose operands the store may hold is ErrInvalidOptions.
func (s *operators) init(o *Options, names []string) error {
	known, err := o.foldOperators()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidOptions, err)
	}
	s.known, s.byName, s.names = known, map[string]*operator{}, map[fold.ID]string{}
	for _, name := range names {
		id := fold.IDOf(name)
		if op := known.ByID(id); op != nil && op.Name != name {
			return fmt.Errorf("%w: operator %q has the id of %q, which the store has operands of", ErrInvalidOptions, op.Name, name)
		}
		s.names[id] = name
	}
	known.Names(func(name string) {
		op := &operator{Operator: known.Named(name), id: fold.IDOf(name)}
		op.recorded.Store(s.names[op.id] != "")
		s.byName[name] = op
	})
	return nil
}

// named returns the operator with the name.
func (s *operators) named(name string) (*operator, error) {
	if op := s.byName[name]; op != nil {
		return op, nil
	}
	return nil, &UnknownOperatorError{Name: name, ID: uint32(fold.IDOf(name))}
}

// error turns an error of package fold into the public one.
func (s *operators) error(err error) error {
	var unknown *fold.UnknownError
	if errors.As(err, &unknown) {
		return &UnknownOperatorError{Name: s.names[unknown.ID], ID: uint32(unknown.ID)}
	}
	var refused *fold.OperatorError
	if errors.As(err, &refused) {
		return &MergeError{Operator: refused.Operator, Err: refused.Err}
	}
	return err
}

// unfolded reports whether an error says that operands could not be folded into a value, which is there.
func unfolded(err error) bool {
	var unknown *UnknownOperatorError
	return err != nil && (errors.Is(err, ErrMerge) || errors.As(err, &unknown))
}

// recordOperator makes the operator's name durable. It comes before the first operand, so that
// whoever finds one without the operator can say whose it is.
func (d *DB) recordOperator(op *operator) error {
	if op.recorded.Load() {
		return nil
	}
	err := d.install(func(*manifest.Version) (*manifest.Edit, error) {
		return &manifest.Edit{Operators: []string{op.Name}}, nil
	}, nil)
	switch {
	case err != nil && d.closed.Load():
		return ErrClosed
	case err != nil:
		return fmt.Errorf("lsm: record operator %s: %w", op.Name, err)
	}
	op.recorded.Store(true)
	return nil
}
