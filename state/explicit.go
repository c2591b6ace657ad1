package state

import (
	"context"
	"time"

	"github.com/loamdb/loam/scope"
)

// The explicit form of the operations on values: store.Get(ctx, s, key) is
// store.Scope(s).Get(ctx, key). Whoever stays in a scope keeps its handle, which saves making it.

// Get returns the value of a key in a scope, as Scope.Get does.
func (s *Store) Get(ctx context.Context, name scope.Scope, key string) (any, error) {
	return s.Scope(name).Get(ctx, key)
}

// GetWithMeta returns the value of a key in a scope with what the store knows of it, as Scope.GetWithMeta does.
func (s *Store) GetWithMeta(ctx context.Context, name scope.Scope, key string) (any, Meta, error) {
	return s.Scope(name).GetWithMeta(ctx, key)
}

// GetInherited returns the value of a key in a scope or an ancestor, as Scope.GetInherited does.
func (s *Store) GetInherited(ctx context.Context, name scope.Scope, key string) (any, scope.Scope, error) {
	return s.Scope(name).GetInherited(ctx, key)
}

// Has reports whether a key in a scope has a value, as Scope.Has does.
func (s *Store) Has(ctx context.Context, name scope.Scope, key string) (bool, error) {
	return s.Scope(name).Has(ctx, key)
}

// List returns a page of a scope, as Scope.List does.
func (s *Store) List(ctx context.Context, name scope.Scope, o ListOptions) (Page, error) {
	return s.Scope(name).List(ctx, o)
}

// GetMany returns the values of those of the keys of a scope that have one, as Scope.GetMany does.
func (s *Store) GetMany(ctx context.Context, name scope.Scope, keys ...string) (map[string]any, error) {
	return s.Scope(name).GetMany(ctx, keys...)
}

// Set writes a value to a key in a scope, as Scope.Set does.
func (s *Store) Set(ctx context.Context, name scope.Scope, key string, value any, opts ...Option) error {
	return s.Scope(name).Set(ctx, key, value, opts...)
}

// SetWithTTL writes a value to a key in a scope for a while, as Scope.SetWithTTL does.
func (s *Store) SetWithTTL(ctx context.Context, name scope.Scope, key string, value any, ttl time.Duration, opts ...Option) error {
	return s.Scope(name).SetWithTTL(ctx, key, value, ttl, opts...)
}

// SetMany writes all of the values to their keys in a scope or none, as Scope.SetMany does.
func (s *Store) SetMany(ctx context.Context, name scope.Scope, values map[string]any, opts ...Option) error {
	return s.Scope(name).SetMany(ctx, values, opts...)
}

// Delete removes a key from a scope and reports whether it had a value, as Scope.Delete does.
func (s *Store) Delete(ctx context.Context, name scope.Scope, key string, opts ...Option) (bool, error) {
	return s.Scope(name).Delete(ctx, key, opts...)
}

// DeleteMany removes all of the keys from a scope or none, as Scope.DeleteMany does.
func (s *Store) DeleteMany(ctx context.Context, name scope.Scope, keys []string, opts ...Option) (int, error) {
	return s.Scope(name).DeleteMany(ctx, keys, opts...)
}

// CompareAndSet writes a value to a key in a scope if the key has a version, as Scope.CompareAndSet does.
func (s *Store) CompareAndSet(ctx context.Context, name scope.Scope, key string, version Version, value any, opts ...Option) (Version, error) {
	return s.Scope(name).CompareAndSet(ctx, key, version, value, opts...)
}

// SetIfAbsent writes a value to a key in a scope if the key has none, as Scope.SetIfAbsent does.
func (s *Store) SetIfAbsent(ctx context.Context, name scope.Scope, key string, value any, opts ...Option) (bool, error) {
	return s.Scope(name).SetIfAbsent(ctx, key, value, opts...)
}

// Update changes the value of a key in a scope by a function, as Scope.Update does.
func (s *Store) Update(ctx context.Context, name scope.Scope, key string, fn func(old any, found bool) (any, error), opts ...Option) (any, error) {
	return s.Scope(name).Update(ctx, key, fn, opts...)
}

// Increment adds to the number of a key in a scope, as Scope.Increment does.
func (s *Store) Increment(ctx context.Context, name scope.Scope, key string, delta any, opts ...Option) (any, error) {
	return s.Scope(name).Increment(ctx, key, delta, opts...)
}

// Append adds an element to the list of a key in a scope, as Scope.Append does.
func (s *Store) Append(ctx context.Context, name scope.Scope, key string, element any, opts ...Option) ([]any, error) {
	return s.Scope(name).Append(ctx, key, element, opts...)
}

// Patch merges a patch into the value of a key in a scope, as Scope.Patch does.
func (s *Store) Patch(ctx context.Context, name scope.Scope, key string, patch any, opts ...Option) (any, error) {
	return s.Scope(name).Patch(ctx, key, patch, opts...)
}

// IncrementBlind adds to the number of a key in a scope without reading it, as Scope.IncrementBlind
// does.
func (s *Store) IncrementBlind(ctx context.Context, name scope.Scope, key string, delta any, opts ...Option) error {
	return s.Scope(name).IncrementBlind(ctx, key, delta, opts...)
}

// PatchBlind merges a patch into the value of a key in a scope without reading it, as
// Scope.PatchBlind does.
func (s *Store) PatchBlind(ctx context.Context, name scope.Scope, key string, patch any, opts ...Option) error {
	return s.Scope(name).PatchBlind(ctx, key, patch, opts...)
}

// AppendBlind adds an element to the list of a key in a scope without reading it, as
// Scope.AppendBlind does.
func (s *Store) AppendBlind(ctx context.Context, name scope.Scope, key string, element any, opts ...Option) error {
	return s.Scope(name).AppendBlind(ctx, key, element, opts...)
}
