package metamorphic

import (
	"errors"
	"reflect"
	"slices"
)

// shrinker makes a history that fails shorter.
type shrinker struct {
	set  *Set
	best *Failure
	left int // operations that may still be played
}

// shrinkTries is how often a history is played that may fail only sometimes, because of what
// background work does.
const shrinkTries = 3

// runCost is to how many operations opening and closing a store comes.
const runCost = 20

// Shrink returns a failure of the same option set whose history is as short as can be made
// by leaving out operations, and parts of batches and transactions, without playing more than
// so many operations.
func Shrink(f *Failure, patience int) *Failure {
	s := &shrinker{set: &f.Set, best: f, left: patience}
	if errors.Is(f.Err, errLate) {
		return f // every try would take as long
	}
	seed := f.Seed
	s.try(f.Ops[:min(f.At+1, len(f.Ops))])
	for before := -1; before != len(s.best.Ops); {
		before = len(s.best.Ops)
		for size := max(before/2, 1); ; size /= 2 {
			s.leaveOut(size)
			if size == 1 {
				break
			}
		}
	}
	s.simplify()
	s.best.Seed = seed
	return s.best
}

// try plays a history, and keeps it if it fails too.
func (s *shrinker) try(ops []Op) bool {
	if len(ops) == 0 {
		return false
	}
	ref := consult(ops)
	for range shrinkTries {
		if s.left -= len(ops) + runCost; s.left < 0 {
			return false
		}
		_, failure := play(s.set, ref)
		if failure != nil && errors.Is(failure.Err, errLate) {
			s.left = 0 // every further try may take as long
			return false
		}
		if failure != nil {
			failure.Ops = ops[:min(failure.At+1, len(ops))]
			s.best = failure
			return true
		}
	}
	return false
}

// leaveOut leaves out each run of so many operations that is not needed.
func (s *shrinker) leaveOut(size int) {
	for from := 0; from < len(s.best.Ops); {
		ops := s.best.Ops
		to := min(from+size, len(ops))
		if !s.try(slices.Concat(ops[:from], ops[to:])) {
			from = to
		}
	}
}

// simplify leaves out parts of operations that have any.
func (s *shrinker) simplify() {
	for i := 0; i < len(s.best.Ops); i++ {
		for part := 0; i < len(s.best.Ops); {
			less := without(s.best.Ops[i], part)
			if less == nil {
				break
			}
			ops := slices.Clone(s.best.Ops)
			if ops[i] = less; !s.try(ops) {
				part++
			}
		}
	}
}

// without returns an operation without one of the elements of its slices, counted through all
// of them; nil if there is none of that number.
func without(op Op, part int) Op {
	less := reflect.New(reflect.TypeOf(op).Elem())
	less.Elem().Set(reflect.ValueOf(op).Elem())
	for i := range less.Elem().NumField() {
		f := less.Elem().Field(i)
		switch {
		case f.Kind() != reflect.Slice:
		case part >= f.Len():
			part -= f.Len()
		default:
			rest := f.Slice(part+1, f.Len())
			f.Set(reflect.AppendSlice(f.Slice3(0, part, part), rest)) // a copy
			return less.Interface().(Op)
		}
	}
	return nil
}
