package state

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
)

// The explicit form of every operation on a scope: store.Get(ctx, s, key) is store.Scope(s).Get(ctx, key).
// Whoever stays in a scope keeps its handle, which saves making it.

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

// Reveal returns the value of a key in a scope with what protection has replaced, as Scope.Reveal does.
func (s *Store) Reveal(ctx context.Context, name scope.Scope, key string) (any, error) {
	return s.Scope(name).Reveal(ctx, key)
}

// All yields the entries of a scope, as Scope.All does.
func (s *Store) All(ctx context.Context, name scope.Scope, prefix string) iter.Seq2[Entry, error] {
	return s.Scope(name).All(ctx, prefix)
}

// Keys yields the keys of a scope, as Scope.Keys does.
func (s *Store) Keys(ctx context.Context, name scope.Scope, prefix string) iter.Seq2[string, error] {
	return s.Scope(name).Keys(ctx, prefix)
}

// History yields the recorded events of a key in a scope, as Scope.History does.
func (s *Store) History(ctx context.Context, name scope.Scope, key string) iter.Seq2[hook.Event, error] {
	return s.Scope(name).History(ctx, key)
}

// Diff yields what has changed in a scope since a position, as Scope.Diff does.
func (s *Store) Diff(ctx context.Context, name scope.Scope, from Position) iter.Seq2[Change, error] {
	return s.Scope(name).Diff(ctx, from)
}

// Watch returns a watcher of a scope, as Scope.Watch does.
func (s *Store) Watch(ctx context.Context, name scope.Scope, prefix string, from *Position) (*Watcher, error) {
	return s.Scope(name).Watch(ctx, prefix, from)
}

// AcquireLease takes the lease of a name in a scope, as Scope.AcquireLease does.
func (s *Store) AcquireLease(ctx context.Context, name scope.Scope, lease, holder string, ttl time.Duration, opts ...Option) (*Lease, error) {
	return s.Scope(name).AcquireLease(ctx, lease, holder, ttl, opts...)
}

// LeaseInfo tells who has the lease of a name in a scope, as Scope.LeaseInfo does.
func (s *Store) LeaseInfo(ctx context.Context, name scope.Scope, lease string) (LeaseInfo, error) {
	return s.Scope(name).LeaseInfo(ctx, lease)
}

// Stats returns how much a scope holds, as Scope.Stats does.
func (s *Store) Stats(ctx context.Context, name scope.Scope) (Stats, error) {
	return s.Scope(name).Stats(ctx)
}

// Drop removes a scope with all that it holds, as Scope.Drop does.
func (s *Store) Drop(ctx context.Context, name scope.Scope, opts ...Option) error {
	return s.Scope(name).Drop(ctx, opts...)
}

// Move gives a scope another name, as Scope.Move does.
func (s *Store) Move(ctx context.Context, name, to scope.Scope, opts ...Option) error {
	return s.Scope(name).Move(ctx, to, opts...)
}

// Copy makes a scope with all that another one holds, as Scope.Copy does.
func (s *Store) Copy(ctx context.Context, name, to scope.Scope, opts ...Option) (int64, error) {
	return s.Scope(name).Copy(ctx, to, opts...)
}

// Fork copies a scope and returns a handle to the copy, as Scope.Fork does.
func (s *Store) Fork(ctx context.Context, name, to scope.Scope, opts ...Option) (*Scope, error) {
	return s.Scope(name).Fork(ctx, to, opts...)
}

// Export writes a scope, as Scope.Export does.
func (s *Store) Export(ctx context.Context, name scope.Scope, w io.Writer, o ExportOptions) (int64, error) {
	return s.Scope(name).Export(ctx, w, o)
}

// Import takes a file into a scope, as Scope.Import does.
func (s *Store) Import(ctx context.Context, name scope.Scope, r io.Reader, o ImportOptions, opts ...Option) (Imported, error) {
	return s.Scope(name).Import(ctx, r, o, opts...)
}

// SetRetention makes a rule of what a scope keeps, as Scope.SetRetention does.
func (s *Store) SetRetention(ctx context.Context, name scope.Scope, r Retention, opts ...Option) error {
	return s.Scope(name).SetRetention(ctx, r, opts...)
}

// Retention returns the rule of what a scope keeps, as Scope.Retention does.
func (s *Store) Retention(ctx context.Context, name scope.Scope) (Retention, error) {
	return s.Scope(name).Retention(ctx)
}

// Seal makes a scope as one in which every value is sealed, as Scope.Seal does.
func (s *Store) Seal(ctx context.Context, name scope.Scope, opts ...Option) error {
	return s.Scope(name).Seal(ctx, opts...)
}

// Sealed reports whether a scope is one that Seal has made, as Scope.Sealed does.
func (s *Store) Sealed(ctx context.Context, name scope.Scope) (bool, error) {
	return s.Scope(name).Sealed(ctx)
}

// Shred makes what is sealed in a scope unreadable for ever, as Scope.Shred does.
func (s *Store) Shred(ctx context.Context, name scope.Scope) (*ShredReport, error) {
	return s.Scope(name).Shred(ctx)
}

// ScanPrivacy yields what is personal in a scope, as Scope.ScanPrivacy does.
func (s *Store) ScanPrivacy(ctx context.Context, name scope.Scope, policy *privacy.Policy) iter.Seq2[privacy.Report, error] {
	return s.Scope(name).ScanPrivacy(ctx, policy)
}
