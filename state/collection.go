package state

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
)

// Errors of collections. Those of package index have their details in its types.
var (
	// ErrUnique: another document has the same values in a unique index. Nothing was written. The
	// type is *index.UniqueError.
	ErrUnique = index.ErrUnique
	// ErrToken: a page token is damaged, or of another query. The type is *index.TokenError.
	ErrToken = index.ErrToken
	// ErrDisagrees: an index has an entry that its document does not have; Rebuild mends it. The type
	// is *index.DisagreeError.
	ErrDisagrees = index.ErrDisagrees
	// ErrReopen: the collection has other indexes than the handle was opened with. OpenCollection
	// makes them those that it is given.
	ErrReopen = errors.New("state: the collection has other indexes than this handle")
	// ErrSensitive: a value of class Sensitive or of a sealed scope, or a field whose name says that it
	// holds a secret, was to be indexed; or a value of the class or of such a scope was to be exported,
	// which nobody has asked for.
	ErrSensitive = errors.New("state: what is sensitive is never indexed, and exported only if asked for")
)

// Collection is documents of one Go type under keys of their own in a scope, with indexes to find
// them by. It is a handle, which need not be closed, and may be used from any number of
// goroutines, as long as the scope's handle may.
//
// To hooks, events, rules of access and the audit a document is a key of the scope, called by the name of
// the collection, a slash, and its key.
//
// A document and its index entries are written in one commit: whatever happens, they agree.
// Documents are apart from the scope's other keys: no operation on these shows or touches them,
// and what is done to the whole scope is done to them. Beyond what Scope says, operations fail with
// ErrReopen, and when writing with index.ErrValue, ErrUnique and ErrSensitive. The key of a *Error
// is the name of the collection, a slash, and the document's key.
type Collection[T any] struct {
	c       *collection
	readers *sync.Pool // of *pageReader[T]; of all handles that In has made of one
}

// Doc is a document with its key.
type Doc[T any] struct {
	// Key is the document's key.
	Key string
	// Value is the document, the caller's own.
	Value T
	// Err is why a query has found the document and cannot read it, ErrShredded or ErrNoScopeKey: then Value is
	// the zero T; else nil.
	Err error
}

// OpenCollection returns the collection of a name in a scope, with exactly the indexes that are
// declared. Neither scope nor collection need exist: they come into being with the first
// document. If there are documents, indexes that are new are built, and those that are not
// declared any more are deleted, before it returns; others may use the collection meanwhile. A build
// that ends early begins anew with the next OpenCollection.
//
// On a scope of a snapshot, or of a store that is read only, indexes that are missing are not
// used. Within a transaction it is ErrReopen if there are others than declared. On a handle of a view,
// whose principal must be allowed to list some of the documents, changing indexes takes an admin of the
// scope.
//
// Errors: index.ErrDef for declarations, which includes paths that lead to no field of a T, ErrSensitive, ErrUnique and index.ErrValue for documents
// that do not fit a new index.
func OpenCollection[T any](ctx context.Context, s *Scope, name string, indexes ...index.Def) (*Collection[T], error) {
	c, err := newCollection(s, name, indexes, codec.ShapeOf[T](), func(v any) error {
		_, err := as[T](v, &stored)
		return err
	})
	if err == nil {
		err = c.indexable()
	}
	if err == nil {
		err = c.open(ctx)
	}
	if err != nil {
		return nil, s.fail("open collection", name, err)
	}
	return &Collection[T]{c, &sync.Pool{}}, nil
}

// IndexFunc makes of a function over documents one that index.Def.Func takes. It computes any number
// of entries, each with a value for each of the index's fields.
func IndexFunc[T any](fn func(doc T) [][]any) index.Func {
	return func(p []byte) ([][]any, error) {
		doc, err := codec.FromNode[T](codec.NodeOf(p))
		if err != nil {
			return nil, err
		}
		return fn(doc), nil
	}
}

// In returns the same collection, with the same indexes, in another scope, snapshot or transaction.
// Nothing is read, written or built: where there are documents and other indexes, operations fail
// with ErrReopen.
//
//	err := store.Transact(ctx, func(tx *state.Txn) error {
//		return users.In(tx.Scope(scope.Global())).Set(ctx, "ada", ada)
//	})
func (c *Collection[T]) In(s *Scope) *Collection[T] {
	return &Collection[T]{c.c.on(s), c.readers}
}

// Name returns the collection's name.
func (c *Collection[T]) Name() string { return c.c.set.Collection() }

// Set writes a document under key, whatever is there. Options are those of Scope.Set, but for class
// Ephemeral.
func (c *Collection[T]) Set(ctx context.Context, key string, doc T, opts ...Option) error {
	value := any(doc) // made once
	w := docWrite{op: access.OpSet, key: key, o: join(opts), change: func(*found) (any, bool, error) { return value, true, nil }}
	if _, err := c.c.write(ctx, w); err != nil {
		return c.c.fail("set", key, err)
	}
	return nil
}

// Get returns the document under key, or ErrNotFound.
func (c *Collection[T]) Get(ctx context.Context, key string) (T, error) {
	store := c.c.scope.store
	b := store.borrowDocs()
	defer store.giveBackDocs(b)
	err := c.c.read(ctx, b, key)
	if err == nil {
		var doc T
		if doc, err = codec.Unmarshal[T](b.found.payload, &stored); err == nil {
			return doc, nil
		}
	}
	var zero T
	return zero, c.c.fail("get", key, err)
}

// Update makes the document under key what fn returns for it, and returns what was
// stored, as the function Update does for a value.
func (c *Collection[T]) Update(ctx context.Context, key string, fn func(old T, found bool) (T, error), opts ...Option) (T, error) {
	var result, zero T
	w := docWrite{op: access.OpUpdate, key: key, o: join(opts), keep: true, change: func(f *found) (any, bool, error) {
		var old T
		var err error
		if f != nil {
			if old, err = codec.Unmarshal[T](f.payload, &stored); err != nil {
				return nil, false, err
			}
		}
		result, err = fn(old, f != nil)
		return result, true, err
	}, accept: func(v any) (err error) {
		result, err = as[T](v, &stored)
		return err
	}}
	if _, err := c.c.write(ctx, w); err != nil {
		return zero, c.c.fail("update", key, err)
	}
	return result, nil
}

// Delete removes the document under key and reports whether there was one. One that cannot be read, or
// not be indexed any more, is removed too, but within a transaction: then all indexes are gone through as
// by Rebuild, and while other documents are in the way of that none is used.
func (c *Collection[T]) Delete(ctx context.Context, key string, opts ...Option) (bool, error) {
	w := docWrite{op: access.OpDelete, key: key, o: join(opts), purge: true, change: func(*found) (any, bool, error) { return nil, false, nil }}
	existed, err := c.c.write(ctx, w)
	if err != nil {
		return false, c.c.fail("delete", key, err)
	}
	return existed, nil
}

// Rebuild goes through the indexes of the given names, or all if there are none: entries that their
// documents do not have are deleted, and those that are missing are made. Others may use the
// collection meanwhile: queries then read without these indexes.
func (c *Collection[T]) Rebuild(ctx context.Context, indexes ...string) error {
	if err := c.c.rebuild(ctx, indexes); err != nil {
		return c.c.scope.fail("rebuild", c.Name(), err)
	}
	return nil
}

// collection is a Collection without its type.
type collection struct {
	// Constant.
	scope  *Scope
	set    *index.Set
	prefix []byte          // of the keys of documents
	record []byte          // the key of the catalog
	fits   func(any) error // whether what a hook puts in a document's place is one
	inner  *collection     // of a view's handle: the one behind its guard, which acts

	known   atomic.Pointer[catalog] // the catalog as it was read last, nil if it has to be read
	unbuilt atomic.Uint64           // the Version of one whose indexes could not be built
}

// What the store keeps of collections in a scope, docs/formats/index.md:
//
//	00 · 63 · name            the catalog: which indexes there are
//	00 · 64 · name · 00 · key a document, as an envelope
//	00 · 69 · …               entries, package index
const (
	areaCatalogs  = 'c'
	areaDocuments = 'd'
)

func newCollection(s *Scope, name string, defs []index.Def, shape codec.Shape, fits func(any) error) (*collection, error) {
	set, err := index.NewSet(name, defs...)
	if err != nil {
		return nil, err
	}
	for _, ix := range set.Indexes() {
		for _, n := range ix.Names() {
			if privacy.SensitiveName(n) {
				return nil, fmt.Errorf("%w: index %s, field %q", ErrSensitive, ix.Name(), n)
			}
		}
	}
	if set, err = set.Of(shape); err != nil {
		return nil, err
	}
	s.store.sweeper.know(set)
	c := collectionOf(s, set)
	c.fits = fits
	return c.on(s), nil
}

// on returns the same collection on a handle.
func (c *collection) on(s *Scope) *collection {
	on := &collection{scope: s, set: c.set, prefix: c.prefix, record: c.record, fits: c.fits}
	if s.guard != nil {
		on.inner = on.on(s.guard.inner)
	}
	return on
}

// indexable returns ErrSensitive if there are indexes and the scope is sealed: keys of their entries, which
// have values of documents in them, are not.
func (c *collection) indexable() error {
	if c.set.Len() == 0 || c.scope.err != nil {
		return nil
	}
	sealed, err := c.scope.sealedIn(c.scope.store.engine)
	if err == nil && sealed {
		err = fmt.Errorf("%w: the scope is sealed", ErrSensitive)
	}
	return err
}

// usable returns the error of an operation on key that has no chance. A document's key is one if
// what the rest of the store calls it is.
func (c *collection) usable(ctx context.Context, key, logical string) error {
	if key == "" {
		return codec.CheckKey(key)
	}
	return c.scope.usable(ctx, logical)
}

// logical returns the name by which the rest of the store knows a document.
func (c *collection) logical(key string) string { return c.set.Collection() + "/" + key }

// userKey returns the name by which the rest of the store knows what lies under a stored key: a key, or a
// document. Nothing else has one.
func userKey(stored []byte) (string, bool) {
	if string(stored) >= firstKey {
		return string(stored), true
	}
	doc, ok := bytes.CutPrefix(stored, []byte{index.Reserved, areaDocuments})
	name, key, found := bytes.Cut(doc, []byte{0})
	return string(name) + "/" + string(key), ok && found
}

// ofUser reports whether what lies under a stored key is a key's value or a document, and nothing that the store keeps
// beside them.
func ofUser(stored []byte) bool {
	return len(stored) == 0 || stored[0] != index.Reserved || bytes.HasPrefix(stored, documentsFirst)
}

func (c *collection) fail(op, key string, err error) error {
	return c.scope.fail(op, c.logical(key), err)
}

// find looks a document up. ErrNotFound is returned bare.
func (c *collection) find(b *docScratch, key string, f *found) error {
	b.counters.reads.Add(1)
	b.key = append(append(b.key[:0], c.prefix...), key...)
	var err error
	if b.old, err = c.scope.space.get(b.old[:0], b.key, &f.info); err != nil {
		return err
	}
	return f.open(b.old)
}

// read finds a document for whoever the handle is for.
func (c *collection) read(ctx context.Context, b *docScratch, key string) error {
	c, err := c.pass(ctx, access.OpGet, key)
	if err != nil {
		return err
	}
	if err := c.usable(ctx, key, c.logical(key)); err != nil {
		return err
	}
	err = c.find(b, key, &b.found)
	if unread(err) || err == nil && b.found.header.Class == Sensitive {
		err = cmp.Or(c.scope.seen(ctx, access.OpGet, c.logical(key), 1), err)
	}
	return err
}

// docScratch is the memory that one call works with.
type docScratch struct {
	*scratch
	old     []byte // what was read
	change  index.Change
	ws      []write
	found   found
	kept    found // what stays of it
	pending pending
	o       Option
	source  docSource
}

var docScratches = sync.Pool{New: func() any { return &docScratch{change: index.Change{Check: checkPayload}} }}

func (s *Store) borrowDocs() *docScratch {
	b := docScratches.Get().(*docScratch)
	b.scratch = s.borrowFor(timedDocument)
	return b
}

func (s *Store) giveBackDocs(b *docScratch) {
	s.giveBack(b.scratch)
	clear(b.ws)
	b.scratch, b.found, b.pending = nil, found{}, pending{}
	if b.source.c != nil { // not of most calls: it is long
		b.source = docSource{}
	}
	if cap(b.old) <= maxPooledBytes && cap(b.ws) <= 64 {
		docScratches.Put(b)
	}
}
