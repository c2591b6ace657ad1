package state

import (
	"bytes"
	"cmp"
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
	r := c.borrowReader()
	defer c.giveBack(r)
	var next index.Token
	src, err := c.c.view(ctx)
	if err == nil {
		defer src.close()
		r.docs = []Doc[T]{}
		next, err = r.page(src, &q, r.keep)
		err = src.seen(err)
	}
	if err != nil {
		return Result[T]{}, c.c.scope.fail("query", c.Name(), err)
	}
	return Result[T]{r.docs, next}, nil
}

// All yields every document that q asks for, in order, as of the first step, or as many as
// q.Limit says if that is not 0. The loop may write. An order that no index has is made in memory,
// 10,000 documents at a time, each time over all of them. An error is yielded once, with a zero
// Doc, and ends the loop; but one that is ErrShredded or ErrNoScopeKey comes with the key of a document that
// cannot be read, and the loop goes on.
func (c *Collection[T]) All(ctx context.Context, q index.Query) iter.Seq2[Doc[T], error] {
	return func(yield func(Doc[T], error) bool) {
		err := c.each(ctx, q, yield)
		if err != nil && err != errLeft {
			yield(Doc[T]{}, c.c.scope.fail("query", c.Name(), err))
		}
	}
}

// each is All, but for the error that ends it, which is errLeft if the loop was left.
func (c *Collection[T]) each(ctx context.Context, q index.Query, yield func(Doc[T], error) bool) error {
	src, err := c.c.view(ctx)
	if err != nil {
		return err
	}
	defer src.close()
	r := c.borrowReader()
	defer c.giveBack(r)
	var d Doc[T] // of which the loop gets copies
	show := func(key, doc []byte) error {
		d = Doc[T]{}
		err := r.fill(&d, key, doc)
		if err == nil {
			err = src.seenInLoop(d.Key)
		}
		if err == nil && !yield(d, d.Err) {
			err = errLeft
		}
		return err
	}
	pages := q.Limit == 0
	if pages {
		q.Limit = index.MaxLimit
	}
	for more := true; more && err == nil; more = pages && q.After != "" {
		q.After, err = r.page(src, &q, show)
	}
	return src.seen(err)
}

// errLeft ends a query or scan whose loop was left.
var errLeft = fmt.Errorf("state: the loop was left")

// Explain says how Query would answer q now: by which index, what is filtered and what is sorted.
func (c *Collection[T]) Explain(ctx context.Context, q index.Query) (index.Explain, error) {
	var e index.Explain
	src, err := c.c.view(ctx)
	if err == nil {
		defer src.close()
		var p *index.Plan
		if p, err = src.plan(&q); err == nil {
			e = p.Explain()
		}
	}
	if err != nil {
		return index.Explain{}, c.c.scope.fail("explain", c.Name(), err)
	}
	return e, nil
}

// pageReader reads the documents of pages. It is kept from one query to the next, and with it what is left of the
// memory for strings and lists.
type pageReader[T any] struct {
	*codec.Reader[T]
	src  *docSource
	plan *index.Plan // whose proofs are left to fill, or nil
	docs []Doc[T]
	keep func(key, doc []byte) error // made once
}

func (c *Collection[T]) borrowReader() *pageReader[T] {
	if r, ok := c.readers.Get().(*pageReader[T]); ok {
		return r
	}
	r := &pageReader[T]{Reader: codec.NewReader[T](&stored)}
	r.keep = func(key, doc []byte) error {
		n := len(r.docs)
		if n == cap(r.docs) {
			r.docs = slices.Grow(r.docs, 16)
		}
		r.docs = r.docs[:n+1] // zero, as all that was not used yet
		err := r.fill(&r.docs[n], key, doc)
		if r.src.secret {
			r.src.sensitive++
		}
		return err
	}
	return r
}

func (c *Collection[T]) giveBack(r *pageReader[T]) {
	r.src, r.plan, r.docs = nil, nil, nil
	c.readers.Put(r)
}

// page runs a query once. It calls add with each document, which has it filled in.
func (r *pageReader[T]) page(src *docSource, q *index.Query, add func(key, doc []byte) error) (index.Token, error) {
	p, err := src.plan(q)
	if err != nil {
		return "", err
	}
	r.src, r.plan = src, nil
	if key, text, ok := p.Told(); ok && r.Expect(key, text) {
		p.Leave()
		r.plan = p
	}
	return p.Run(src, add)
}

// fill makes d, which is zero, the document under key, which the source has read last.
func (r *pageReader[T]) fill(d *Doc[T], key, doc []byte) error {
	src := r.src
	src.secret = doc == nil || src.b.found.header.Class == Sensitive
	if doc == nil {
		d.Key = string(key)
		d.Err = src.c.fail("query", d.Key, src.unread)
		return nil
	}
	err := r.Read(doc, &d.Value)
	if r.plan != nil && !(err == nil && r.Met(&d.Value)) {
		if err := r.plan.Prove(src, key, doc); err != nil {
			return err
		}
	}
	d.Key = r.Text(key) // behind it
	if err == nil {
		return nil
	}
	if malformed := (*codec.FormatError)(nil); errors.As(err, &malformed) {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return fmt.Errorf("document %q: %w", key, err)
}

// view returns the documents and entries of one moment, of those that whoever the handle is for may see. It must be
// closed.
func (c *collection) view(ctx context.Context) (*docSource, error) {
	c, filter, err := c.passSome(ctx, access.OpScan)
	if err != nil {
		return nil, err
	}
	s := c.scope
	if s.err != nil {
		return nil, s.err
	}
	b := s.store.borrowDocs()
	src := &b.source
	*src = docSource{c: c, ctx: ctx, space: s.space, b: b, filter: filter}
	if s.mode == live {
		if src.snap, err = s.store.engine.begin(nil); err == nil {
			src.space, err = src.snap.space(s.name)
		}
	}
	if err != nil {
		src.close()
		return nil, err
	}
	return src, nil
}

// docSource is what queries read of a collection: an index.Source.
type docSource struct {
	c     *collection
	ctx   context.Context
	space space
	snap  *engine // nil: space is of one moment
	b     *docScratch
	at    docCursor

	filter    *access.Filter // nil: all documents may be seen
	secret    bool           // the document that was read last is of class Sensitive, or cannot be read
	sensitive uint64         // how many such seen is to record
	unread    error          // why the document that was read last cannot be
}

func (src *docSource) close() {
	if src.snap != nil {
		_ = src.snap.close() // fails for a store that was closed, as the reads have then
	}
	src.c.scope.store.giveBackDocs(src.b) // and with it src
}

// seen records the sensitive documents that were found, those of a page before it is shown. It returns err, or why that
// has failed.
func (src *docSource) seen(err error) error {
	if src.sensitive == 0 {
		return err
	}
	return cmp.Or(err, src.c.scope.seen(src.ctx, access.OpScan, src.c.logical(""), src.sensitive))
}

// seenInLoop records the document that was read last, where that must be done before it is shown; else it is left to seen.
func (src *docSource) seenInLoop(key string) error {
	if !src.secret {
		return nil
	}
	return src.c.scope.seenInLoop(src.ctx, src.c.logical(key), &src.sensitive)
}

// hides reports whether a document is as if it were not there.
func (src *docSource) hides(key []byte) bool {
	return src.filter != nil && !src.filter.Allows(src.c.logical(string(key))) && !(mutant.Enabled && mutant.Is(mutant.ShowHiddenDocuments))
}

// plan makes the plan of a query.
func (src *docSource) plan(q *index.Query) (*index.Plan, error) {
	if err := src.ctx.Err(); err != nil {
		return nil, err
	}
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
	b.old, err = src.space.get(b.old[:0], src.c.record, &i)
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
func (src *docSource) Entries(lower, upper []byte, reverse bool) (index.Cursor, error) {
	return src.open(lower, upper, reverse, false)
}

// Docs implements index.Source.
func (src *docSource) Docs(lower, upper []byte, reverse bool) (index.Cursor, error) {
	prefix := src.c.prefix
	lower = append(bytes.Clone(prefix), lower...)
	if upper != nil {
		upper = append(bytes.Clone(prefix), upper...)
	} else {
		upper = prefixEnd(prefix)
	}
	return src.open(lower, upper, reverse, true)
}

func (src *docSource) open(lower, upper []byte, reverse, docs bool) (index.Cursor, error) {
	c, err := src.space.entries(lower, upper, reverse)
	if err != nil {
		return nil, err
	}
	src.at = docCursor{src, c, docs}
	return &src.at, nil
}

// docCursor is an index.Cursor.
type docCursor struct {
	src *docSource
	cursor
	docs bool // else entries
}

// Next implements index.Cursor.
func (c *docCursor) Next() (e index.Entry, ok bool, err error) {
	src := c.src
	for {
		if ok, err := c.next(); !ok {
			return e, false, err
		}
		if err := src.ctx.Err(); err != nil {
			return e, false, err
		}
		e = index.Entry{Key: c.key, Value: c.value}
		if !c.docs {
			return e, c.unread == nil, c.unread
		}
		if e.Key = c.key[len(src.c.prefix):]; !src.hides(e.Key) {
			break
		}
	}
	if c.unread != nil {
		err = src.cannotRead(c.unread)
		return e, err == index.ErrUnread, err // returned bare
	}
	e.Value, err = src.payload(c.value)
	return e, err == nil, err
}

// Close implements index.Cursor.
func (c *docCursor) Close() error { return c.close() }

// Doc implements index.Source.
func (src *docSource) Doc(key []byte) ([]byte, error) {
	if src.hides(key) {
		return nil, index.ErrHidden
	}
	b := src.b
	b.counters.reads.Add(1)
	b.key = append(append(b.key[:0], src.c.prefix...), key...)
	var err error
	if b.old, err = src.space.get(b.old[:0], b.key, nil); err != nil {
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
