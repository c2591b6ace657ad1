package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
)

// The way of a value into the store. Whatever writes values, single or several, plain or
// depending on what was read, takes these steps in this order, each in one place:
//
//	ready     prepare: the key, the class, the options: header, expiry, whether to wait for the device
//	          ask: the before-hooks (hooks.go)
//	          encode: header and value become bytes; limits are checked
//	commit    one conditional commit of all of them, or a part of a transaction; with the events of
//	          it, which after-hooks are then told of (notice.go)

// pending is a value on its way.
type pending struct {
	key string
	// collection is that of the document which key names, or empty.
	collection string
	value      any
	operator   string // value is an operand of it; "": it is the value
	header     envelope.Header
	now        int64         // when it is written
	since      time.Duration // the same, since Store.hookEpoch, if the clock was just read; else 0
	interest   hook.Interest // of hooks

	expires  int64 // milliseconds since 1970; 0: never
	unsynced bool

	// Of what was read, where the write depends on it.
	conditional bool
	before      *found // nil: the key must be absent, or is not asked about
	version     Version
	asOf        Version // of info

	accept func(any) error // is told what a hook, or protection, has put in the value's place, if not nil

	payload int // once ready: how much of what is stored the value's encoding is, at its end
}

// prepare finds out how p's value is to be written, at the time now.
func (s *Scope) prepare(ctx context.Context, p *pending, o *Option, now int64) error {
	if err := s.usable(ctx, p.key); err != nil {
		return err
	}
	if s.mode == atSnapshot || s.store.readOnly {
		return s.readOnly()
	}
	if err := s.store.writable(ctx); err != nil {
		return err
	}
	trace := hook.TraceOf(ctx)
	if trace.Simulated() {
		return hook.ErrSimulated
	}
	h := &p.header
	h.Codec, h.Created = envelope.MessagePack, envelope.Millis(now)
	var class Class
	var expires int64
	if p.before != nil {
		before := &p.before.header
		class, expires = before.Class, p.before.expires
		if before.Created != 0 {
			h.Created, h.Updated = before.Created, envelope.Millis(now)
		}
	}
	var err error
	if h.Class, err = s.classOf(p.key, o.class, class); err != nil {
		return err
	}
	correlation := o.correlation
	if correlation == "" {
		correlation = trace.Correlation
	}
	if correlation != "" {
		h.Correlation = []byte(correlation)
	}
	p.unsynced, p.now = s.unsynced(h.Class, o), now
	p.expires, err = o.expiry(now, expires)
	return err
}

// unsynced reports whether a write of a class does not wait for the device.
func (s *Scope) unsynced(c Class, o *Option) bool {
	if s.store.memory {
		return true
	}
	if c == Sensitive {
		return false
	}
	if o.sync == syncByClass {
		return c == Trusted || s.store.noSync
	}
	return o.sync == unsynced
}

// encode appends what is stored of p to dst.
func (s *Scope) encode(dst []byte, p *pending) ([]byte, error) {
	limits := &s.store.limits
	if p.header.Class == External {
		limits = &s.store.strict
	}
	if err := s.protect(p, limits); err != nil {
		return dst, err
	}
	out, err := envelope.Append(dst, &p.header)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrOption, err) // of the correlation id: all else is known to be right
	}
	head := len(out)
	if p.header.Class == Ephemeral { // nobody compares its bytes
		out, err = codec.AppendUnordered(out, p.value, limits)
	} else {
		out, err = codec.Append(out, p.value, limits)
	}
	if err != nil {
		return dst, err
	}
	p.payload = len(out) - head
	return out, nil
}

// ready takes p's value through everything but the commit, at the time now, and appends what is to
// be stored to dst.
func (s *Scope) ready(ctx context.Context, dst []byte, p *pending, o *Option, now int64) ([]byte, error) {
	if err := s.prepare(ctx, p, o, now); err != nil {
		return dst, err
	}
	if err := s.ask(ctx, p); err != nil {
		return dst, err
	}
	out, err := s.encode(dst, p)
	if err == nil && p.header.Class == Sensitive && !(mutant.Enabled && mutant.Is(mutant.ForgetSensitive)) {
		err = s.seen(ctx, access.OpSet, p.key, 1)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// sealed reports whether the value is to be sealed.
func (p *pending) sealed() bool {
	return p.header.Class == Sensitive && !(mutant.Enabled && mutant.Is(mutant.StoreUnsealed))
}

// put writes one value.
func (s *Scope) put(ctx context.Context, p *pending, o *Option) (Version, error) {
	s, err := s.pass(ctx, access.OpSet, p.key)
	if err != nil {
		return 0, err
	}
	b := s.store.borrowFor(timedSet)
	defer s.store.giveBack(b)
	if s.err != nil {
		return 0, s.err
	}
	var now int64
	now, p.since = nowSince(s.store.engine)
	if b.buf, err = s.ready(ctx, b.buf[:0], p, o, now); err != nil {
		return 0, err
	}
	if p.header.Class == Ephemeral {
		if p.conditional || s.mode != live {
			return 0, errEphemeralPart
		}
		return 0, s.putEphemeral(ctx, b, p.key, b.buf, p.expires, displaced{}, o)
	}
	b.key = append(b.key[:0], p.key...)
	b.one[0] = write{
		space: s.space, key: b.key, value: b.buf, operator: p.operator, expires: p.expires, sealed: p.sealed(),
		conditional: p.conditional, version: p.version, asOf: p.asOf,
		tell: s.noticeOfSet(&b.notice, p, o),
	}
	return s.commit(ctx, b, b.one[:], p.unsynced)
}

// commit makes all of the writes or, with an error, none, or makes them part of the transaction, and
// tells of them.
func (s *Scope) commit(ctx context.Context, b *scratch, ws []write, unsynced bool) (Version, error) {
	if s.tx != nil {
		if err := s.tx.hear(ctx, s, ws); err != nil {
			return 0, err
		}
		s.tx.note(s, ws, unsynced)
		return s.store.commit(ws, unsynced)
	}
	for i := range ws {
		if ws[i].tell != nil {
			return s.commitTold(ctx, b, ws, unsynced)
		}
	}
	return s.commitWrites(ctx, b, ws, ws, unsynced)
}

// commitWrites makes all of the writes or, with an error, none. all are the writes with what the
// store keeps of them in scopes of its own.
func (s *Scope) commitWrites(ctx context.Context, b *scratch, ws, all []write, unsynced bool) (Version, error) {
	room, err := s.store.sweeper.admitWrites(ctx, ws)
	if err != nil {
		return 0, err
	}
	defer room.end()
	if ofDocuments(ws) { // never Ephemeral, and counted elsewhere
		return s.store.commit(all, unsynced)
	}
	e := &s.store.ephemeral
	var h held
	for i := range ws {
		h.add(e, ws[i].key)
	}
	e.share(&h)
	defer e.unshare(&h)
	for i := range ws {
		w := &ws[i]
		depends := w.conditional && !(w.tell != nil && w.tell.pinned)
		if (depends && w.value != nil || w.operator != "") && e.count.Load() > 0 && e.has(s.name, string(w.key), s.store.engine.now) {
			return 0, errEphemeralPart
		}
	}
	if mutant.Enabled && len(all) > len(ws) && mutant.Is(mutant.RecordApart) {
		for i := range all[:len(all)-1] {
			if _, err := s.store.commit(all[i:i+1], unsynced); err != nil {
				return 0, err
			}
		}
		all = all[len(all)-1:]
	}
	v, err := s.store.commit(all, unsynced)
	if err == nil {
		b.counters.writes.Add(int64(len(ws)))
		e.supersede(s.name, ws)
	}
	return v, err
}

// ofDocuments reports whether no write is of a key of the scope itself. Those of an import are of both kinds.
func ofDocuments(ws []write) bool {
	for i := range ws {
		if k := ws[i].key; len(k) == 0 || k[0] >= firstKey[0] {
			return false
		}
	}
	return true
}

// Set writes value to key, whatever is there. When it returns the value is on the device, unless
// its class or an option says otherwise.
func (s *Scope) Set(ctx context.Context, key string, value any, opts ...Option) error {
	p, o := pending{key: key, value: value}, join(opts)
	if _, err := s.put(ctx, &p, &o); err != nil {
		return s.fail("set", key, err)
	}
	return nil
}

// SetWithTTL writes value to key for as long as ttl says, which is positive, to the millisecond,
// rounded up: then the key is absent. It is Set with the option WithTTL.
func (s *Scope) SetWithTTL(ctx context.Context, key string, value any, ttl time.Duration, opts ...Option) error {
	p, o := pending{key: key, value: value}, join(opts)
	o.life, o.ttl = lifeTTL, ttl
	if _, err := s.put(ctx, &p, &o); err != nil {
		return s.fail("set with TTL", key, err)
	}
	return nil
}

// CompareAndSet writes value to key if the key has a version: that of an Entry or of GetWithMeta, or
// Absent. It returns the version that it has written. Otherwise it is ErrConflict, and nothing is
// written. Within a transaction the version that it returns is not known yet, and is 0.
func (s *Scope) CompareAndSet(ctx context.Context, key string, version Version, value any, opts ...Option) (Version, error) {
	v, err := s.putIf(ctx, key, version, value, join(opts))
	if err != nil {
		return 0, s.fail("compare and set", key, err)
	}
	return v, nil
}

// SetIfAbsent writes value to key if the key has no value, and reports whether it did.
func (s *Scope) SetIfAbsent(ctx context.Context, key string, value any, opts ...Option) (bool, error) {
	_, err := s.putIf(ctx, key, Absent, value, join(opts))
	switch {
	case lost(err):
		return false, nil
	case err != nil:
		return false, s.fail("set if absent", key, err)
	}
	return true, nil
}

func (s *Scope) putIf(ctx context.Context, key string, version Version, value any, o Option) (Version, error) {
	s, err := s.pass(ctx, access.OpUpdate, key)
	if err != nil {
		return 0, err
	}
	p := pending{key: key, value: value, conditional: true, version: version}
	if s.mode == inTransaction {
		p.conditional = false // but read now, on which the whole transaction depends
		b := s.store.borrow()
		defer s.store.giveBack(b)
		var f found
		err := s.locate(ctx, key, b, &f)
		if err != nil && err != ErrNotFound && !unread(err) { // returned bare
			return 0, err
		}
		if f.version != version || version == Absent && err == nil {
			return 0, ErrConflict
		}
	}
	return s.put(ctx, &p, &o)
}

// Delete removes key and reports whether it had a value, which need not be readable. It waits for
// the device as the write of that value would have.
func (s *Scope) Delete(ctx context.Context, key string, opts ...Option) (bool, error) {
	o := join(opts)
	existed, err := s.remove(ctx, key, &o)
	if err != nil {
		return false, s.fail("delete", key, err)
	}
	return existed, nil
}

func (s *Scope) remove(ctx context.Context, key string, o *Option) (bool, error) {
	s, err := s.pass(ctx, access.OpDelete, key)
	if err == nil {
		err = s.removable(ctx)
	}
	if err != nil {
		return false, err
	}
	b := s.store.borrowFor(timedDelete)
	defer s.store.giveBack(b)
	var f found
	for {
		err := s.locate(ctx, key, b, &f)
		unreadable := errors.Is(err, ErrMerge)
		switch {
		case err == ErrNotFound: // returned bare
			return false, nil
		case unreadable: // it is there, in a version that nobody is told
			b.buf = b.buf[:0]
		case err != nil && !unread(err):
			return false, err
		}
		class := b.classUnless(err)
		if class == Ephemeral {
			if s.removeEphemeral(key) {
				return true, nil
			}
			continue // it has gone, or is stored meanwhile
		}
		if class == Sensitive {
			if err := s.seen(ctx, access.OpDelete, key, 1); err != nil {
				return false, err
			}
		}
		if err = s.askToDelete(ctx, "", key, class); err != nil {
			return false, err
		}
		b.one[0] = write{
			space: s.space, key: b.key, conditional: s.mode == live && !unreadable, version: f.version, asOf: f.asOf,
			tell: s.noticeOfDelete(&b.notice, key, class, o),
		}
		_, err = s.commit(ctx, b, b.one[:], s.unsynced(class, o))
		if !overtaken(err) {
			return err == nil, err
		}
		b.counters.conflicts.Add(1)
	}
}

// readOnly returns the error of a write to a handle that takes none.
func (s *Scope) readOnly() error {
	if s.store.closed.Load() {
		return ErrClosed
	}
	return ErrReadOnly
}

// removable returns the error of a delete that has no chance.
func (s *Scope) removable(ctx context.Context) error {
	switch {
	case s.err != nil:
		return s.err
	case s.mode == atSnapshot || s.store.readOnly:
		return s.readOnly()
	case hook.Simulated(ctx):
		return hook.ErrSimulated
	}
	return s.store.writable(ctx)
}

// write is one operation of a commit.
type write struct {
	space   space
	key     []byte
	value   []byte // nil: the key is deleted
	upper   []byte // not nil: every key of [key, upper) is deleted
	expires int64  // milliseconds since 1970; 0: never
	sealed  bool   // the value is to be sealed
	plain   bool   // the scope must not be sealed: errSealedSince

	operator string // value is an operand of it; "": it is the value

	// conditional: the key must have this version. With requires nothing else is asked of it.
	conditional, requires bool
	version               Version
	asOf                  Version // of info, if it was read

	tell *notice // who is told of it; nil: nobody
}

// info is what is known of an entry besides key and value.
type info struct {
	version Version // 0: written by this very transaction
	expires int64   // milliseconds since 1970; 0: never
	// asOf is the version of the last write that readers saw then; 0: nobody knows. As long as that
	// is the last one nobody has to look again whether the key has this version.
	asOf   Version
	unread error // why its value cannot be read; nil: it can
}

// millisOf returns an expiry in milliseconds; the zero Time is never.
func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
