package state

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
)

// docWrite is a write of one document.
type docWrite struct {
	op      access.Op // OpSet, OpUpdate or OpDelete
	key     string
	logical string // what the rest of the store calls it
	o       Option
	keep    bool // class and expiry of the document before, unless an option says otherwise
	purge   bool // delete what is there, even if it cannot be read
	// change makes of the document that is there, nil for none, the new one, and reports whether
	// there is to be one. It may be called several times.
	change func(old *found) (doc any, there bool, err error)
	// accept is told what has been put in the document's place; nil: only whether it fits is asked.
	accept func(any) error
}

// write carries out a write, if whoever the handle is for may do that, and reports whether there was a
// document before.
func (c *collection) write(ctx context.Context, w docWrite) (existed bool, err error) {
	in, err := c.pass(ctx, w.op, w.key)
	if err != nil {
		return false, err
	}
	existed, err = in.carryOut(ctx, w)
	if in != c {
		c.hideHolder(err)
	}
	return existed, err
}

// carryOut carries out a write, all over again while others write the same document.
func (c *collection) carryOut(ctx context.Context, w docWrite) (existed bool, err error) {
	w.logical = c.logical(w.key)
	if err := c.usable(ctx, w.key, w.logical); err != nil {
		return false, err
	}
	s := c.scope
	if s.mode == atSnapshot || s.store.readOnly {
		return false, s.readOnly()
	}
	if hook.Simulated(ctx) {
		return false, hook.ErrSimulated
	}
	if err := s.store.writable(ctx); err != nil {
		return false, err
	}
	b := s.store.borrowDocs()
	defer s.store.giveBackDocs(b)
	for {
		cat, err := c.agreed()
		if err != nil {
			return false, err
		}
		existed, err := c.attempt(ctx, b, cat, w)
		if w.purge && s.mode == live && (errors.Is(err, ErrMalformed) || errors.Is(err, index.ErrValue) || unread(err)) {
			existed, err = true, c.purge(ctx, b, cat, w.logical)
		}
		if !lost(err) && !c.misled(ctx, err) {
			return existed, err
		}
		b.counters.conflicts.Add(1)
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
}

// attempt carries out a write once. ErrConflict: another attempt may succeed.
func (c *collection) attempt(ctx context.Context, b *docScratch, cat *catalog, w docWrite) (existed bool, err error) {
	old := &b.found
	switch err := c.find(b, w.key, old); {
	case err == ErrNotFound: // returned bare
		old = nil
	case err != nil:
		return false, err
	}
	if old != nil && old.header.Class == Sensitive {
		if err := c.met(ctx, &w); err != nil {
			return false, err
		}
	}
	doc, there, err := w.change(old)
	if err != nil || !there && old == nil {
		return false, err
	}
	unsynced, err := c.assemble(ctx, b, cat, w, old, doc, there)
	if err == nil {
		err = c.commit(ctx, b, cat, w.key, unsynced)
	}
	if lost(err) {
		if found := c.conflict(b, cat, w.key); found != nil {
			err = found
		}
	}
	return old != nil, err
}

// met records that a principal changes or removes a document of class Sensitive.
func (c *collection) met(ctx context.Context, w *docWrite) error {
	switch w.op {
	case access.OpUpdate:
		return c.scope.seen(ctx, access.OpGet, w.logical, 1)
	case access.OpDelete:
		return c.scope.seen(ctx, access.OpDelete, w.logical, 1)
	}
	return nil
}

// purge deletes the document that was found, although it cannot be told which entries it has: all
// indexes are built in the same commit's wake, which deletes those.
func (c *collection) purge(ctx context.Context, b *docScratch, cat *catalog, logical string) error {
	s, class := c.scope, b.found.header.Class
	if err := s.askToDelete(ctx, c.set.Collection(), logical, class); err != nil {
		return err
	}
	list := slices.Clone(cat.list)
	for i := range list {
		list[i].State = index.Building
	}
	_, err := c.send(ctx, b, []write{
		{space: s.space, key: c.record, value: index.AppendCatalog(nil, list), conditional: true, version: cat.version},
		{space: s.space, key: b.key, conditional: true, version: b.found.version, tell: c.ofDocument(s.noticeOfDelete(&b.notice, logical, class, &b.o))},
	}, s.unsynced(Standard, &b.o))
	if errors.Is(err, ErrConflict) {
		if _, failed := c.reload(); failed != nil {
			return failed
		}
	}
	if err == nil {
		// The document is deleted, whatever comes of the indexes: none of them is used until one
		// of its builds ends well.
		_ = c.open(ctx)
	}
	return err
}

// assemble makes, in b, the operations that write a document, or delete it, with its entries, on
// the condition that neither the document nor the catalog is written in between.
func (c *collection) assemble(ctx context.Context, b *docScratch, cat *catalog, w docWrite, old *found, doc any, there bool) (unsynced bool, err error) {
	s := c.scope
	dw := write{space: s.space, key: b.key, conditional: true, asOf: b.found.asOf}
	var before, after []byte
	var expires int64
	if old != nil {
		dw.version, before, expires = old.version, old.payload, old.expires
	}
	b.o = w.o
	if there {
		b.pending = pending{key: w.logical, collection: c.set.Collection(), value: doc}
		p := &b.pending
		if p.accept = w.accept; p.accept == nil {
			p.accept = c.fits
		}
		switch {
		case w.keep:
			p.before = old
		case old != nil: // of which only this is kept
			b.kept = found{header: envelope.Header{Created: old.header.Created}}
			p.before = &b.kept
		}
		if after, err = c.ready(ctx, b, p); err != nil {
			return false, err
		}
		dw.value, dw.expires, dw.sealed, unsynced = b.buf, p.expires, p.sealed(), p.unsynced
		dw.tell = c.ofDocument(s.noticeOfSet(&b.notice, p, &b.o))
	} else {
		unsynced = s.unsynced(old.header.Class, &b.o)
	}
	if err := c.set.Change(&b.change, w.key, before, after, there && old != nil && expires != dw.expires); err != nil {
		return false, err
	}
	if !there {
		if err := s.askToDelete(ctx, c.set.Collection(), w.logical, old.header.Class); err != nil {
			return false, err
		}
		dw.tell = c.ofDocument(s.noticeOfDelete(&b.notice, w.logical, old.header.Class, &b.o))
	}
	b.ws = c.appendEntries(append(b.ws[:0], cat.condition(c)), &b.change, dw.expires)
	b.ws = append(b.ws, dw)
	return unsynced, nil
}

// ofDocument says of a notice, if there is one, that it is of a document of the collection.
func (c *collection) ofDocument(n *notice) *notice {
	if n != nil {
		n.event.Collection = c.set.Collection()
	}
	return n
}

// ready makes what is stored of a document in b, and returns its value's part.
func (c *collection) ready(ctx context.Context, b *docScratch, p *pending) (payload []byte, err error) {
	var now int64
	now, p.since = nowSince(c.scope.store.engine)
	if b.buf, err = c.scope.ready(ctx, b.buf[:0], p, &b.o, now); err != nil {
		return nil, err
	}
	switch class := p.header.Class; {
	case class == Ephemeral:
		return nil, fmt.Errorf("%w: documents of class %v", ErrUnsupported, class)
	case class == Sensitive && c.set.Len() > 0:
		return nil, fmt.Errorf("%w: the document's class", ErrSensitive)
	}
	if err = c.indexable(); err != nil {
		return nil, err
	}
	return b.buf[len(b.buf)-p.payload:], nil
}

// noBytes is the value of most entries.
var noBytes = []byte{}

// appendEntries appends the operations of a change, whose entries are to expire with the document.
func (c *collection) appendEntries(ws []write, ch *index.Change, expires int64) []write {
	for _, key := range ch.Delete {
		ws = append(ws, write{})
		w := &ws[len(ws)-1] // a write is long to copy
		w.space, w.key = c.scope.space, key
	}
	for i := range ch.Put {
		p := &ch.Put[i]
		ws = append(ws, write{})
		w := &ws[len(ws)-1]
		w.space, w.key, w.value, w.expires, w.conditional = c.scope.space, p.Key, p.Value, expires, p.Absent // version: Absent
		if w.value == nil {
			w.value = noBytes
		}
	}
	return ws
}

// commit makes all operations of b or none, or makes them part of the transaction.
func (c *collection) commit(ctx context.Context, b *docScratch, cat *catalog, key string, unsynced bool) error {
	s := c.scope
	if s.tx != nil {
		// What was read is a condition already, but for what is not there in unique indexes.
		if own, err := c.taken(b, key); err != nil {
			return err
		} else if own != "" {
			return &index.DisagreeError{Index: own, Key: key}
		}
		if err := s.tx.hear(ctx, s, b.ws); err != nil {
			return err
		}
		s.tx.note(s, b.ws[len(b.ws)-1:], unsynced)
		_, err := s.store.commit(b.ws, unsynced)
		return err
	}
	if mutant.Enabled && mutant.Is(mutant.SplitIndexCommit) {
		last := len(b.ws) - 1
		if _, err := s.store.commit(b.ws[:last:last], unsynced); err != nil {
			return err
		}
		b.ws = b.ws[last:]
	}
	version, err := c.send(ctx, b, b.ws, unsynced)
	if err == nil {
		b.counters.writes.Add(1)
		cat.asOf.Store(uint64(version))
		if !cat.there {
			c.known.Store(nil) // it is there now
		}
	}
	return err
}

// send commits writes of which the last is a document's, tells of that one, and returns its version.
func (c *collection) send(ctx context.Context, b *docScratch, ws []write, unsynced bool) (Version, error) {
	if s := c.scope; ws[len(ws)-1].tell != nil && !(mutant.Enabled && mutant.Is(mutant.ForgetDocuments)) {
		return s.commitTold(ctx, b.scratch, ws, unsynced)
	}
	room, err := c.scope.store.sweeper.admitWrites(ctx, ws)
	if err != nil {
		return 0, err
	}
	defer room.end()
	return c.scope.store.commit(ws, unsynced)
}

// conflict finds out what a commit has met that cannot be tried again: values that another
// document has, an index that disagrees, a catalog that cannot be read. Document and entries are those of
// one moment.
func (c *collection) conflict(b *docScratch, cat *catalog, key string) error {
	now, err := c.reload()
	if err != nil || now.version != cat.version {
		return err
	}
	snap, err := c.scope.store.engine.begin(nil)
	if err != nil {
		return err
	}
	defer snap.close() // fails for a store that was closed, as the reads below then have
	at := &collection{scope: c.scope.store.scopeIn(snap, c.scope.name), set: c.set, prefix: c.prefix}
	if at.scope.err != nil { // the store was closed since snap was made
		return at.scope.err
	}
	own, err := at.taken(b, key)
	if err != nil || own == "" {
		return err
	}
	// The document has the entry that it was to get: somebody has written it meanwhile, or it has
	// had it all the time, for no value of its own.
	before := b.ws[len(b.ws)-1].version
	switch err := at.find(b, key, &b.found); {
	case err != nil && err != ErrNotFound: // returned bare
		return err
	case b.found.version != before:
		return nil
	}
	return &index.DisagreeError{Index: own, Key: key}
}

// taken returns a *index.UniqueError if another document than the one under key has the values of
// an entry that b is to put. If the document itself has them it returns the index's name.
func (c *collection) taken(b *docScratch, key string) (own string, err error) {
	for i := range b.change.Put {
		p := &b.change.Put[i]
		if !p.Absent {
			continue
		}
		switch holder, err := c.holder(p, nil); {
		case err != nil:
			return "", err
		case holder == key:
			own = p.Index.Name()
		case holder != "":
			return "", &index.UniqueError{Index: p.Index.Name(), Key: key, Holder: holder}
		}
	}
	return own, nil
}

// holder returns the key of the document that has the values of an entry of a unique index, or ""
// if none has. It reads into buf.
func (c *collection) holder(p *index.Put, buf []byte) (string, error) {
	value, err := c.scope.space.get(buf, p.Key, nil)
	if err == ErrNotFound { // returned bare
		return "", nil
	}
	if err != nil {
		return "", err
	}
	holder, err := p.Index.Holder(index.Entry{Key: p.Key, Value: value})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return holder, nil
}
