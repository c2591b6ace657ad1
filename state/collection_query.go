package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
)

// Result is a page of the documents that a query asks for.
type Result[T any] struct {
	// Docs are the documents, in the order of the query.
	Docs []Doc[T]
	// Next is for index.Query.After, to have the page behind this one; empty if there is none. The
	// page behind a full one may be empty. It stays good whatever is written meanwhile.
	Next index.Token
}

// Query returns the first page of the documents that q asks for, or the one behind q.After, all of
// one moment. Pages that follow each other are of different moments: a document that nobody writes is
// on one of them, once. What cannot be read is among them, whatever q asks of its values. Errors: index.ErrQuery, ErrToken, ErrDisagrees, and ErrType or ErrOverflow
// for a document that does not go into a T.
//
//	page, err := users.Query(ctx, index.Query{
//		Where: []index.Cond{index.Eq("team", "red"), index.Ge("age", 18)},
//		Order: []index.Order{index.Desc("age")},
//		Limit: 20,
//	})
func (c *Collection[T]) Query(ctx context.Context, q index.Query) (Result[T], error) {
	var r Result[T]
	reader := codec.NewReader[T](&stored)
	err := c.c.view(ctx, func(src *docSource) (err error) {
		r.Docs = []Doc[T]{}
		r.Next, err = runPage(ctx, src, &q, reader, func(key, doc []byte) error {
			n := len(r.Docs)
			if n == cap(r.Docs) {
				r.Docs = slices.Grow(r.Docs, 16)
			}
			r.Docs = r.Docs[:n+1] // zero, as all that was not used yet
			return r.Docs[n].read(src, reader, key, doc)
		})
		return err
	})
	if err != nil {
		return Result[T]{}, c.c.scope.fail("query", c.Name(), err)
	}
	return r, nil
}

// All yields every document that q asks for, in order, as of the first step, or as many as
// q.Limit says if that is not 0. The loop may write. An order that no index has is made in memory,
// 10,000 documents at a time, each time over all of them. An error is yielded once, with a zero
// Doc, and ends the loop; but one that is ErrShredded or ErrNoScopeKey comes with the key of a document that
// cannot be read, and the loop goes on.
func (c *Collection[T]) All(ctx context.Context, q index.Query) iter.Seq2[Doc[T], error] {
	return func(yield func(Doc[T], error) bool) {
		reader := codec.NewReader[T](&stored)
		left, limit := false, q.Limit
		var d Doc[T] // of which the loop gets copies
		q := q
		if limit == 0 {
			q.Limit = index.MaxLimit
		}
		err := c.c.view(ctx, func(src *docSource) error {
			for {
				next, err := runPage(ctx, src, &q, reader, func(key, doc []byte) error {
					d = Doc[T]{}
					if err := d.read(src, reader, key, doc); err != nil {
						return err
					}
					if left = !yield(d, d.Err); left {
						return errLeft
					}
					return nil
				})
				if err != nil || next == "" || limit != 0 {
					return err
				}
				q.After = next
			}
		})
		if err != nil && !left {
			yield(Doc[T]{}, c.c.scope.fail("query", c.Name(), err))
		}
	}
}

// errLeft ends a query or scan whose loop was left.
var errLeft = fmt.Errorf("state: the loop was left")

// Explain says how Query would answer q now: by which index, what is filtered and what is sorted.
func (c *Collection[T]) Explain(ctx context.Context, q index.Query) (index.Explain, error) {
	var e index.Explain
	err := c.c.view(ctx, func(src *docSource) error {
		p, err := src.plan(ctx, &q)
		if err == nil {
			e = p.Explain()
		}
		return err
	})
	if err != nil {
		return index.Explain{}, c.c.scope.fail("explain", c.Name(), err)
	}
	return e, nil
}

// expecter is the part of a codec.Reader that does not depend on what it reads.
type expecter interface{ Expect(key, text string) bool }

// runPage runs a query once.
func runPage(ctx context.Context, src *docSource, q *index.Query, reader expecter, add func(key, doc []byte) error) (index.Token, error) {
	p, err := src.plan(ctx, q)
	if err != nil {
		return "", err
	}
	src.left = nil
	if key, text, ok := p.Told(); ok && reader.Expect(key, text) {
		p.Leave()
		src.left = p
	}
	return p.Run(src, func(key, doc []byte) error {
		if doc == nil || src.b.found.header.Class == Sensitive { // it was read last
			src.sensitive++
		}
		return add(key, doc)
	})
}

// read makes d the document under key, which src has read last.
func (d *Doc[T]) read(src *docSource, reader *codec.Reader[T], key, doc []byte) error {
	if doc == nil {
		d.Key = string(key)
		d.Err = src.c.fail("query", d.Key, src.unread)
		return nil
	}
	err := reader.Read(doc, &d.Value)
	if src.left != nil && !(err == nil && reader.Met(&d.Value)) {
		if err := src.left.Prove(src, key, doc); err != nil {
			return err
		}
	}
	d.Key = reader.Text(key) // behind it
	if err == nil {
		return nil
	}
	if malformed := (*codec.FormatError)(nil); errors.As(err, &malformed) {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return fmt.Errorf("document %q: %w", key, err)
}

// view calls fn with the documents and entries of one moment, of those that whoever the handle is for may
// see.
func (c *collection) view(ctx context.Context, fn func(src *docSource) error) error {
	c, filter, err := c.passSome(ctx, access.OpScan)
	if err != nil {
		return err
	}
	s := c.scope
	if s.err != nil {
		return s.err
	}
	b := s.store.borrowDocs()
	defer s.store.giveBackDocs(b)
	src := &b.source
	*src = docSource{c: c, space: s.space, b: b, filter: filter}
	if s.mode == live {
		snap, err := s.store.engine.begin(nil)
		if err != nil {
			return err
		}
		defer snap.close() // fails for a store that was closed, as the reads below then have
		if src.space, err = snap.space(s.name); err != nil {
			return err
		}
	}
	err = fn(src)
	if src.sensitive > 0 {
		if failed := s.seen(ctx, access.OpScan, c.logical(""), src.sensitive); err == nil {
			err = failed
		}
	}
	return err
}

// docSource is what queries read of a collection: an index.Source.
type docSource struct {
	c     *collection
	ctx   context.Context
	space space
	b     *docScratch

	filter    *access.Filter // nil: all documents may be seen
	sensitive uint64         // how many of that class were handed out
	unread    error          // why the document that was read last cannot be
	left      *index.Plan    // whose proofs are left to whoever decodes the documents, or nil
}

// hides reports whether a document is as if it were not there.
func (src *docSource) hides(key []byte) bool {
	return src.filter != nil && !src.filter.Allows(src.c.logical(string(key))) && !(mutant.Enabled && mutant.Is(mutant.ShowHiddenDocuments))
}

// plan makes the plan of a query that is run on src right away.
func (src *docSource) plan(ctx context.Context, q *index.Query) (*index.Plan, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	src.ctx = ctx
	cat, err := src.catalog()
	if err != nil {
		return nil, err
	}
	return src.c.set.Plan(q, cat.list.Ready)
}

// catalog returns the record as it is in the source, which is decoded once for each of its versions.
func (src *docSource) catalog() (*catalog, error) {
	b := src.b
	var i info
	var err error
	b.old, i, err = src.space.get(b.old[:0], src.c.record)
	known := src.c.known.Load()
	if err == nil && known != nil && known.version == i.version && i.version != Absent { // not a transaction's own
		return known, nil
	}
	cat, err := decodeCatalog(b.old, i, err)
	if err == nil && cat.there && src.c.scope.mode == live && (known == nil || known.version < cat.version) {
		src.c.known.CompareAndSwap(known, cat)
	}
	return cat, err
}

// Entries implements index.Source.
func (src *docSource) Entries(lower, upper []byte, reverse bool) iter.Seq2[index.Entry, error] {
	return src.scan(lower, upper, reverse, func(key, value []byte, unread error) (index.Entry, error) {
		return index.Entry{Key: key, Value: value}, unread
	})
}

// Docs implements index.Source.
func (src *docSource) Docs(lower, upper []byte, reverse bool) iter.Seq2[index.Entry, error] {
	prefix := src.c.prefix
	lower = append(bytes.Clone(prefix), lower...)
	if upper != nil {
		upper = append(bytes.Clone(prefix), upper...)
	} else {
		upper = prefixEnd(prefix)
	}
	return src.scan(lower, upper, reverse, func(key, value []byte, unread error) (index.Entry, error) {
		if key = key[len(prefix):]; src.hides(key) {
			return index.Entry{}, index.ErrHidden
		}
		if unread != nil {
			return index.Entry{Key: key}, src.cannotRead(unread)
		}
		payload, err := src.payload(value)
		return index.Entry{Key: key, Value: payload}, err
	})
}

// scan yields what of makes of the stored entries within bounds.
func (src *docSource) scan(lower, upper []byte, reverse bool, of func(key, value []byte, unread error) (index.Entry, error)) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		left := false
		err := src.space.scan(lower, upper, reverse, func(key, value []byte, i info) bool {
			e, err := of(key, value, i.unread)
			if failed := src.ctx.Err(); failed != nil {
				err = failed
			}
			if err == index.ErrHidden { // returned bare
				return true
			}
			left = !yield(e, err) || err != nil && err != index.ErrUnread // bare
			return !left
		})
		if err != nil && !left {
			yield(index.Entry{}, err)
		}
	}
}

// Doc implements index.Source.
func (src *docSource) Doc(key []byte) ([]byte, error) {
	if src.hides(key) {
		return nil, index.ErrHidden
	}
	b := src.b
	b.counters.reads.Add(1)
	b.key = append(append(b.key[:0], src.c.prefix...), key...)
	var err error
	if b.old, _, err = src.space.get(b.old[:0], b.key); err != nil {
		if err == ErrNotFound { // returned bare
			return nil, nil
		}
		return nil, src.cannotRead(err)
	}
	return src.payload(b.old)
}

// Check implements index.Source.
func (src *docSource) Check(doc []byte) error { return checkPayload(doc) }

// cannotRead returns the error of a document that is there and cannot be read, which ends no query, as what it
// is to the index.
func (src *docSource) cannotRead(err error) error {
	if !unread(err) {
		return err
	}
	src.unread = err
	return index.ErrUnread
}

// payload returns the value's part of what is stored of a document, which nobody has validated.
func (src *docSource) payload(p []byte) ([]byte, error) {
	f := &src.b.found
	if err := f.open(p); err != nil {
		return nil, err
	}
	return f.payload, nil
}

// soundPayload returns the value's part of what is stored of a document, found to be sound. It uses f.
func soundPayload(f *found, p []byte) ([]byte, error) {
	err := f.open(p)
	if err == nil {
		err = checkPayload(f.payload)
	}
	if err != nil {
		return nil, err
	}
	return f.payload, nil
}

// checkPayload returns ErrMalformed if a document is no encoding of a value.
func checkPayload(p []byte) error {
	if err := codec.Validate(p, &stored); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
