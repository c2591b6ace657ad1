package state

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
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

// What a file that is imported is refused for. The type is *scopefile.LineError, with the line.
var (
	// ErrFormat: the file is no exported scope, or not as an export writes it.
	ErrFormat = scopefile.ErrFormat
	// ErrTruncated: the file ends too early.
	ErrTruncated = scopefile.ErrTruncated
	// ErrChecksum: the file has been changed.
	ErrChecksum = scopefile.ErrChecksum
)

// Existing says what becomes of an imported value whose key the scope has.
type Existing uint8

// What may become of it.
const (
	// ExistingFail imports nothing if the scope has any of the keys: ErrConflict.
	ExistingFail Existing = iota
	// ExistingSkip leaves what the scope has as it is.
	ExistingSkip
	// ExistingReplace puts the imported value in its place.
	ExistingReplace
)

// ImportOptions say what Import does with what it reads.
type ImportOptions struct {
	// Existing is about values whose keys the scope has.
	Existing Existing
	// MaxEntries is how many entries a file may have: any number unless set.
	MaxEntries int64
	// Retention gives the scope the rule of retention that the file has, if it has one, in the place of its
	// own: what that does not keep goes, imported values by their times of writing among it. Otherwise the scope's
	// rule stays as it is. A view must be allowed to administer the scope, and to delete all of it.
	Retention bool
}

// Imported is what Import has done.
type Imported struct {
	// Entries counts the values and documents that were written, Skipped those that ExistingSkip has left
	// out, and Expired those whose time was over.
	Entries, Skipped, Expired int64
	// Retention is the rule that the file has, which the scope has got if ImportOptions say so.
	Retention Retention
}

// Import writes what an Export has written, of whichever scope and store, into this scope: all of it at
// once, when the whole file has been read and found to be right, or with an error nothing. Values are checked
// and protected as those of Set are, by the class that they had, and keep their times and expiries;
// they get versions of this store. The hooks at the points of hook.OpImport run once, those of single
// values do not. A view must be allowed to read and write the whole scope. Of the options those on syncing
// count.
//
// The file is written to a place of its own as it is read, in small commits that nobody sees. Where the
// scope is not there, that place becomes the scope, whatever its size. Where it is, one commit takes
// the entries over, for which they are all in memory, and ErrTooLarge if they exceed 4 GiB; it is tried
// again while others write their keys. Indexes of the collections that get documents are then built anew
// by OpenCollection, and not used before.
//
// Errors of the file are *scopefile.LineError: ErrFormat, ErrTooNew, ErrTruncated, ErrChecksum, and for
// values those of Set, with the key. ErrConflict: see ExistingFail, and if the scope was sealed (Seal) while the file
// was read: imported again it is staged sealed. Others are r's, and those of Move.
func (s *Scope) Import(ctx context.Context, r io.Reader, o ImportOptions, opts ...Option) (Imported, error) {
	inner, err := s.pass(ctx, access.OpImport, "")
	if err == nil && o.Retention {
		if _, err = s.pass(ctx, access.OpSettings, ""); err == nil {
			_, err = s.pass(ctx, access.OpDrop, "")
		}
	}
	var done Imported
	if err == nil {
		done, err = inner.importFrom(ctx, r, &o, inner.unsyncedWhole(opts))
	}
	if err != nil {
		return Imported{}, s.fail("import", "", err)
	}
	return done, nil
}

func (o *ImportOptions) validate() error {
	if o.Existing > ExistingReplace || o.MaxEntries < 0 {
		return fmt.Errorf("%w: of Import: existing %d, at most %d entries", ErrOption, o.Existing, o.MaxEntries)
	}
	return nil
}

func (s *Scope) importFrom(ctx context.Context, r io.Reader, o *ImportOptions, unsynced bool) (Imported, error) {
	err := s.wholeToWrite(ctx)
	if err == nil && s.store.readOnly {
		err = s.readOnly()
	}
	if err == nil {
		err = o.validate()
	}
	if err == nil {
		err = s.askWhole(ctx, hook.OpImport, scope.Scope{})
	}
	if err != nil {
		return Imported{}, err
	}
	m, err := s.newImporter(o)
	if err != nil {
		return Imported{}, err
	}
	if err = m.stage(ctx, r); err == nil {
		c := &s.store.counters[0]
		if err = s.store.enter(ctx, c); err == nil {
			defer s.store.leave(c)
			err = m.publish(ctx, unsynced && !m.sensitive)
		}
	}
	if !m.moved && m.staged {
		s.store.dropNowOrLater(m.place)
	}
	if err != nil {
		return Imported{}, err
	}
	s.tellWhole(ctx, hook.OpImport, scope.Scope{}, unsynced)
	return m.done, nil
}

// importer takes a file into a scope.
type importer struct {
	// Constant.
	scope *Scope
	o     *ImportOptions
	place space // where the file is staged

	now        int64
	ws         []write // of the next commit
	bytes      int     // of these
	collection string  // the last one that got a document
	staged     bool    // something was
	sealed     bool    // the scope is, and so the place
	sensitive  bool    // values of the class are in the file
	recorded   bool    // and that they are is
	moved      bool    // the place is the scope now
	done       Imported
}

func (s *Scope) newImporter(o *ImportOptions) (*importer, error) {
	var random [16]byte
	rand.Read(random[:]) // never fails
	place, err := s.store.engine.space(scope.Custom(importScopes + hex.EncodeToString(random[:])))
	m := &importer{scope: s, o: o, place: place, now: s.store.engine.now()}
	if err == nil {
		m.sealed, err = s.sealedIn(s.store.engine)
	}
	return m, err
}

// stage writes what the file has to the place, and returns an error unless all of it is right.
func (m *importer) stage(ctx context.Context, r io.Reader) error {
	file, err := scopefile.NewReader(r, &m.scope.store.limits)
	if err != nil {
		return asTooNew(err)
	}
	m.done.Retention = retentionOf(file.Header().Retention)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := file.Next()
		if err == io.EOF { // returned bare
			if m.ruled() {
				m.ws = append(m.ws, m.rule(m.place))
			}
			return m.commit()
		}
		if err != nil {
			return err
		}
		if err = m.add(e); err != nil {
			return m.scope.fail("import", nameIn(e.Collection, e.Key), &scopefile.LineError{Line: file.Line(), Err: err})
		}
		if m.sensitive && !m.recorded {
			if err := m.scope.seen(ctx, access.OpImport, "", 1); err != nil {
				return err
			}
			m.recorded = true
		}
		if len(m.ws) >= stretchLen || m.bytes >= stretchBytes {
			if err := m.commit(); err != nil {
				return err
			}
		}
	}
}

// asTooNew gives an error of the form of a file the name that it has here.
func asTooNew(err error) error {
	if errors.Is(err, scopefile.ErrTooNew) {
		return fmt.Errorf("%w: %w", ErrTooNew, err)
	}
	return err
}

func (m *importer) commit() error {
	if len(m.ws) == 0 {
		return nil
	}
	if m.sealed && !m.staged {
		if _, err := m.place.change(context.Background(), wholeSeal, scope.Scope{}, true); err != nil {
			return err
		}
	}
	m.staged = true
	_, err := m.scope.store.commit(m.ws, true)
	clear(m.ws)
	m.ws, m.bytes = m.ws[:0], 0
	return err
}

// add adds an entry to the next commit.
func (m *importer) add(e *scopefile.Entry) error {
	s := m.scope
	if m.o.MaxEntries > 0 && m.done.Entries+m.done.Expired == m.o.MaxEntries {
		return fmt.Errorf("%w: the file has more than %d entries", ErrTooLarge, m.o.MaxEntries)
	}
	key, err := m.keyOf(e)
	if err != nil {
		return err
	}
	class, err := s.classOf(e.Key, e.Class, 0)
	if err == nil && class == Ephemeral {
		err = fmt.Errorf("%w: values of class %v are not imported", ErrUnsupported, class)
	}
	if err != nil {
		return err
	}
	if e.Expires != 0 && int64(e.Expires) <= m.now {
		m.done.Expired++
		return nil
	}
	p := pending{key: nameIn(e.Collection, e.Key), value: e.Value, header: envelope.Header{
		Codec: envelope.MessagePack, Class: class, Created: e.Created, Updated: e.Updated, Correlation: []byte(e.Correlation),
	}}
	if p.header.Created == 0 {
		p.header.Created = envelope.Millis(m.now)
	}
	value, err := s.encode(nil, &p)
	if err != nil {
		return err
	}
	if e.Collection != "" && e.Collection != m.collection {
		m.ws = append(m.ws, m.catalog(e.Collection))
		m.collection = e.Collection
	}
	m.ws = append(m.ws, imported(m.place, key, value, int64(e.Expires)))
	m.sensitive = m.sensitive || class == Sensitive
	m.bytes += len(key) + len(value)
	m.done.Entries++
	return nil
}

// imported returns the write of an imported entry, in the place or in the scope: value is what is stored
// of it.
func imported(sp space, key, value []byte, expires int64) write {
	h, _, _ := envelope.Decode(value) // the zero Header with an error
	return write{space: sp, key: key, value: value, expires: expires, sealed: h.Class == Sensitive}
}

// keyOf returns the key under which an entry is stored.
func (m *importer) keyOf(e *scopefile.Entry) ([]byte, error) {
	if e.Collection == "" {
		return []byte(e.Key), codec.CheckKey(e.Key)
	}
	if e.Collection != m.collection { // else it is known to be one
		if _, err := index.NewSet(e.Collection); err != nil {
			return nil, err
		}
	}
	if e.Key == "" {
		return nil, codec.CheckKey(e.Key)
	}
	key := append([]byte{index.Reserved, areaDocuments}, e.Collection...)
	return append(append(key, 0), e.Key...), codec.CheckKey(nameIn(e.Collection, e.Key))
}

// catalog returns the write of the record that a collection without indexes has.
func (m *importer) catalog(name string) write {
	key := append([]byte{index.Reserved, areaCatalogs}, name...)
	return write{space: m.place, key: key, value: index.AppendCatalog(nil, nil)}
}

// ruled reports whether the scope gets the file's rule.
func (m *importer) ruled() bool { return m.o.Retention && m.done.Retention != (Retention{}) }

// rule returns the write of the file's rule.
func (m *importer) rule(sp space) write {
	r := rule{m.done.Retention, m.now}
	return write{space: sp, key: ruleKey, value: r.encode()}
}

// publish makes what is staged part of the scope.
func (m *importer) publish(ctx context.Context, unsynced bool) error {
	if !m.staged {
		return nil
	}
	s := m.scope
	if m.ruled() {
		if err := s.store.sweeper.list(s.name, unsynced); err != nil {
			return err
		}
		defer func() { s.store.sweeper.settle(s.store.engine.now(), s.name) }()
	}
	for {
		err := ErrScopeExists
		if s.store.ephemeral.countIn(s.name, s.store.engine.now) == 0 {
			entered := s.store.sweeper.enter()
			_, err = m.place.change(ctx, wholeMove, s.name, unsynced)
			s.store.sweeper.leave(entered)
		}
		switch {
		case err == nil:
			m.moved = true
			s.store.ephemeral.clear(s.name)
			s.store.counters[0].writes.Add(m.done.Entries)
			return nil
		case !errors.Is(err, ErrScopeExists):
			return err
		}
		err = m.merge(ctx, unsynced)
		if !errors.Is(err, errAgain) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.store.counters[0].conflicts.Add(1)
	}
}
