package state

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/edit"
)

// The typed API: Go types in place of any. docs/values.md says how Go types become values, and when
// a value does not go into a type, which is ErrType or ErrOverflow.

// Get returns the value of key as a T, or ErrNotFound.
func Get[T any](ctx context.Context, s *Scope, key string) (T, error) {
	b := s.store.borrowFor(timedGet)
	defer s.store.giveBack(b)
	var f found
	err := s.find(ctx, key, b, &f)
	if err == nil {
		var v T
		if v, err = codec.Unmarshal[T](f.payload, &stored); err == nil {
			return v, nil
		}
	}
	var zero T
	return zero, s.fail("get", key, err)
}

// Set writes value to key, as Scope.Set does.
func Set[T any](ctx context.Context, s *Scope, key string, value T, opts ...Option) error {
	return s.Set(ctx, key, value, opts...)
}

// Update makes the value of key what fn returns for it, and returns what was stored, as Scope.Update does. fn
// is given the zero T and false where there is no value.
func Update[T any](ctx context.Context, s *Scope, key string, fn func(old T, found bool) (T, error), opts ...Option) (T, error) {
	var result T
	_, err := s.modify(ctx, key, join(opts), func(f *found) (any, error) {
		var old T
		var err error
		if f != nil {
			if old, err = codec.Unmarshal[T](f.payload, &stored); err != nil {
				return nil, err
			}
		}
		if result, err = fn(old, f != nil); err != nil {
			return nil, err
		}
		return result, nil
	}, func(v any) (err error) {
		result, err = as[T](v, &s.store.limits)
		return err
	})
	if err != nil {
		var zero T
		return zero, s.fail("update", key, err)
	}
	return result, nil
}

// as returns a value, which was put in the place of another, as a T.
func as[T any](v any, l *codec.Limits) (T, error) {
	p, err := codec.Append(nil, v, l)
	if err != nil {
		var zero T
		return zero, err
	}
	return codec.Unmarshal[T](p, l)
}

// Key is a key whose values are of one Go type. It is a small value; a program declares its keys
// once and uses them on any scope.
//
//	var theme = state.NewKey[string]("theme")
//
//	err := theme.Set(ctx, sc, "dark")
//	name, err := theme.Get(ctx, sc)
type Key[T any] struct {
	name string
	opts []Option
}

// NewKey returns the key of a name. The options count for every write, before those of the call.
func NewKey[T any](name string, opts ...Option) Key[T] { return Key[T]{name, opts} }

// Name returns the key's name.
func (k Key[T]) Name() string { return k.name }

// Get returns the key's value in a scope, or ErrNotFound.
func (k Key[T]) Get(ctx context.Context, s *Scope) (T, error) { return Get[T](ctx, s, k.name) }

// Set writes the key's value in a scope.
func (k Key[T]) Set(ctx context.Context, s *Scope, value T, opts ...Option) error {
	return s.Set(ctx, k.name, value, k.with(opts)...)
}

// Update changes the key's value in a scope, as the function Update does.
func (k Key[T]) Update(ctx context.Context, s *Scope, fn func(old T, found bool) (T, error), opts ...Option) (T, error) {
	return Update(ctx, s, k.name, fn, k.with(opts)...)
}

// Delete removes the key from a scope and reports whether it had a value.
func (k Key[T]) Delete(ctx context.Context, s *Scope, opts ...Option) (bool, error) {
	return s.Delete(ctx, k.name, k.with(opts)...)
}

func (k Key[T]) with(opts []Option) []Option {
	if len(opts) == 0 {
		return k.opts
	}
	return append(k.opts[:len(k.opts):len(k.opts)], opts...)
}

// Increment adds delta to the number that key has, 0 if it has none, as Scope.Increment does, and
// returns the sum as a T. A sum that is no T is ErrOverflow, and is not written.
func Increment[T int | int64 | uint64 | float64](ctx context.Context, s *Scope, key string, delta T, opts ...Option) (T, error) {
	var result T
	_, err := s.modify(ctx, key, join(opts), func(f *found) (any, error) {
		old, err := valueOf(f)
		if err != nil {
			return nil, err
		}
		sum, err := edit.Increment(old, delta)
		if err != nil {
			return nil, err
		}
		var ok bool
		if result, ok = numberAs[T](sum); !ok {
			return nil, fmt.Errorf("%w: the sum is no %T", ErrOverflow, result)
		}
		return sum, nil
	}, func(v any) (err error) {
		result, err = as[T](v, &s.store.limits)
		return err
	})
	if err != nil {
		return 0, s.fail("increment", key, err)
	}
	return result, nil
}

// numberAs returns a number that edit.Increment has made as a T, and whether it is one.
func numberAs[T int | int64 | uint64 | float64](sum any) (T, bool) {
	switch n := sum.(type) {
	case int64:
		return T(n), int64(T(n)) == n && (T(n) < 0) == (n < 0)
	case uint64:
		return T(n), uint64(T(n)) == n && T(n) >= 0
	case float64:
		switch any(T(0)).(type) {
		case float64:
			return T(n), true
		case uint64:
			return T(n), n < 1<<64 && float64(T(n)) == n
		}
		return T(n), n < 1<<63 && float64(T(n)) == n // where what does not fit becomes the greatest, too
	}
	return 0, false
}
