package state

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/loamdb/loam/state/scopefile"
)

// ExportOptions say what Export may write.
type ExportOptions struct {
	// Sensitive has values of class Sensitive, and those of a sealed scope, written as well, in the clear.
	// Otherwise an export that meets one is ErrSensitive.
	Sensitive bool
}

// Export writes the scope to w, as of now or of the handle's snapshot, and returns how many values and
// documents that are: JSON Lines that Import reads, here or in another store, with types, classes,
// times, expiries and correlations, and the scope's rule of retention, which a view's principal must be an admin of
// the scope for (docs/formats/scope-file.md). What is missing: values of class Ephemeral,
// versions, which are a store's own, and entries of indexes, which are made anew.
//
// It reads while it writes, and keeps one value in memory. A view must be allowed to read and list the
// whole scope. The hooks at the points of hook.OpExport run once. Values that are protected stay so:
// what was tokenised or encrypted can be revealed in this store only.
//
// ErrNotFound: the scope is not there. ErrSensitive: see ExportOptions. With an error, w's among them,
// what was written is no whole file, and Import tells.
func (s *Scope) Export(ctx context.Context, w io.Writer, o ExportOptions) (int64, error) {
	inner, err := s.pass(ctx, access.OpExport, "")
	var n int64
	if err == nil {
		// Reading a rule takes the verb admin, of which nobody has asked here.
		n, err = inner.export(ctx, w, &exporting{ExportOptions: o, rule: s.guard == nil || s.guard.may(access.OpSettings, "")})
	}
	if err != nil {
		return 0, s.fail("export", "", err)
	}
	return n, nil
}

// exporting says what an export may write.
type exporting struct {
	ExportOptions
	rule bool
	end  func() error // is asked before the end is written, without which the file is not whole
}

func (s *Scope) export(ctx context.Context, w io.Writer, o *exporting) (int64, error) {
	err := s.whole(ctx)
	if err == nil {
		err = s.askWhole(ctx, hook.OpExport, scope.Scope{})
	}
	if err != nil {
		return 0, err
	}
	c, entered := &s.store.counters[0], false
	defer func() {
		if entered {
			s.store.leave(c)
		}
	}()
	o.end = func() error { // or nobody would be told of it
		err := s.store.enter(ctx, c)
		entered = err == nil
		return err
	}
	var n int64
	if s.mode == atSnapshot {
		n, err = s.writeTo(ctx, s.snap.engine, w, o)
	} else {
		n, err = s.writeNow(ctx, w, o)
	}
	if err != nil {
		return 0, err
	}
	s.tellWhole(ctx, hook.OpExport, scope.Scope{}, s.unsyncedWhole(nil))
	return n, nil
}

// writeNow writes what the scope has now.
func (s *Scope) writeNow(ctx context.Context, w io.Writer, o *exporting) (int64, error) {
	snap, err := s.store.engine.begin(nil)
	if err != nil {
		return 0, err
	}
	defer snap.close() // fails for a store that was closed, as the reads below then have
	at := s.store.scopeIn(snap, s.name)
	at.witness = s.witness
	return at.writeTo(ctx, snap, w, o)
}

// writeTo writes what the scope has in e, in which the handle is.
func (s *Scope) writeTo(ctx context.Context, e *engine, w io.Writer, o *exporting) (int64, error) {
	if s.err != nil { // the store was closed since e was made
		return 0, s.err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	x := exporter{scope: s, o: o}
	var err error
	if x.sealed, err = s.sealedIn(e); err != nil {
		return 0, err
	}
	head := scopefile.Header{Scope: s.name}
	if o.rule {
		r, err := readRule(s.space)
		if err != nil {
			return 0, err
		}
		head.Retention = r.inFile()
	}
	if x.file, err = scopefile.NewWriter(out, head); err != nil {
		return 0, err
	}
	docs := []byte{index.Reserved, areaDocuments}
	if err = x.part(ctx, docs, prefixEnd(docs)); err == nil {
		err = x.part(ctx, []byte(firstKey), nil)
	}
	if err == nil && x.entries == 0 {
		err = s.there(e)
	}
	if err == nil {
		err = o.end()
	}
	if err == nil {
		err = x.file.Close()
	}
	if err == nil {
		err = out.Flush()
	}
	return x.entries, err
}

// exporter writes the entries of a scope.
type exporter struct {
	// Constant.
	scope *Scope
	o     *exporting
	file  *scopefile.Writer

	sealed    bool // every value of the scope is
	entries   int64
	sensitive bool // a value of the class is among them
	found     found
	entry     scopefile.Entry
}

// part writes the values or documents between two stored keys.
func (x *exporter) part(ctx context.Context, lower, upper []byte) error {
	var failed error
	err := scan(x.scope.space, lower, upper, false, func(key, value []byte, i info) bool {
		if failed = ctx.Err(); failed == nil {
			if failed = i.unread; failed != nil {
				failed = x.scope.fail("export", nameIn(splitName(key)), failed)
			} else if failed = x.write(ctx, key, value, i); failed != nil {
				failed = x.scope.fail("export", nameIn(splitName(key)), failed)
			}
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// write writes one of them.
func (x *exporter) write(ctx context.Context, key, value []byte, i info) error {
	f, e := &x.found, &x.entry
	if err := f.open(value); err != nil {
		return err
	}
	h := &f.header
	if h.Class == Sensitive || x.sealed {
		// The one place where what is sensitive leaves the store in a file.
		if !x.o.Sensitive {
			return fmt.Errorf("%w: ExportOptions.Sensitive", ErrSensitive)
		}
		if !x.sensitive {
			if err := x.scope.seen(ctx, access.OpExport, "", 1); err != nil {
				return err
			}
			x.sensitive = true
		}
	}
	v, err := codec.Decode(f.payload, &stored)
	if err != nil {
		return err
	}
	collection, name := splitName(key)
	*e = scopefile.Entry{
		Collection: collection, Key: name, Value: v, Class: h.Class,
		Created: h.Created, Updated: h.Updated, Expires: envelope.Millis(i.expires), Correlation: string(h.Correlation),
	}
	if err := x.file.Write(e); err != nil {
		return err
	}
	x.entries++
	return nil
}

// splitName returns the collection and the key of what is stored under a document's or a user's key.
func splitName(key []byte) (collection, name string) {
	if rest, ok := bytes.CutPrefix(key, []byte{index.Reserved, areaDocuments}); ok {
		c, k, _ := bytes.Cut(rest, []byte{0})
		return string(c), string(k)
	}
	return "", string(key)
}

// nameIn returns what errors call a document of a collection, or with none a key.
func nameIn(collection, name string) string {
	if collection != "" {
		return collection + "/" + name
	}
	return name
}

// there returns ErrNotFound if there is no such scope, which one without values may be.
func (s *Scope) there(e *engine) error {
	for name, err := range e.scopes(s.name.Kind(), s.name.ID()) {
		if err != nil || name == s.name {
			return err
		}
	}
	return ErrNotFound
}
