package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// The engine under the state layer. This and the files named after it alone know package lsm; another store
// can take its place by doing what these fifteen methods do:
//
//	engine  now space scopes snapshot position begin commit metrics
//	space   get scan stats rename copy diff watch
//
// and, for values that are sealed, these four:
//
//	engine  sealed shreds
//	space   seal shred
//
// besides openEngine and close, expired and acknowledge, which tell what has expired, and what begin and
// watch return. Keys and values are bytes here; errors are those of this package.

// EngineOptions are the settings of the storage engine: how much memory it takes, how it
// compresses, where it takes its time from.
type EngineOptions = lsm.Options

// EngineMetrics are the figures of the storage engine.
type EngineMetrics = lsm.Metrics

// Position is a place in the history of a store, which may leave the process.
type Position = lsm.Position

// Errors of the engine that are errors of a store as they are.
var (
	// ErrLocked: another process, or another handle of this one, has the directory open.
	ErrLocked = lsm.ErrLocked
	// ErrNotExist: there is no store in the directory, and none may be made.
	ErrNotExist = lsm.ErrNotExist
	// ErrTooNew: a newer version of the code has written the store. Nothing was changed.
	ErrTooNew = lsm.ErrTooNew
	// ErrCorrupt: stored bytes are not what was written.
	ErrCorrupt = lsm.ErrCorrupt
	// ErrNoSpace: the device is full. Nothing was written, reads go on.
	ErrNoSpace = lsm.ErrNoSpace
	// ErrPoisoned: an earlier write or sync failed; nothing further is acknowledged. Reads go on;
	// reopening recovers.
	ErrPoisoned = lsm.ErrPoisoned
	// ErrInUse: Close found snapshots, transactions or iterators that were still open.
	ErrInUse = lsm.ErrInUse
	// ErrDiverged: a position is not on the history of this store.
	ErrDiverged = lsm.ErrDiverged
	// ErrHistoryGone: what was deleted since a position is not known any more.
	ErrHistoryGone = lsm.ErrHistoryGone
	// ErrInvalidPosition: bytes or a text are no position, or one is ahead of the store.
	ErrInvalidPosition = lsm.ErrInvalidPosition
	// ErrMerge: a value cannot be read, because a blind change of it could not be made; Set and Delete
	// put an end to that. Loops get it with the key, and go on.
	ErrMerge = lsm.ErrMerge
	// ErrClock: the machine's clock is far ahead of the store.
	ErrClock = lsm.ErrClock
)

// named are the errors of the engine that have another name here.
var named = []struct{ theirs, ours error }{
	{lsm.ErrNotFound, ErrNotFound},
	{lsm.ErrConflict, ErrConflict},
	{lsm.ErrClosed, ErrClosed},
	{lsm.ErrReadOnly, ErrReadOnly},
	{lsm.ErrScopeExists, ErrScopeExists},
	{lsm.ErrScopeDropped, ErrScopeDropped},
	{lsm.ErrTooLarge, ErrTooLarge},
	{lsm.ErrInvalidExpiry, ErrInvalidExpiry},
	{lsm.ErrInvalidOptions, ErrInvalidOptions},
}

// translate returns an error of the engine as one of this package.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, n := range named {
		if err == n.theirs {
			return n.ours // most of them, and nothing to add
		}
		if errors.Is(err, n.theirs) {
			if n.theirs == lsm.ErrNotFound {
				return n.ours // what was not found stands in the *Error
			}
			return fmt.Errorf("%w: %w", n.ours, err)
		}
	}
	if errors.Is(err, lsm.ErrScopeSealed) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// engine is a store of bytes in scopes, as of now or, where snap is set, as of a snapshot.
type engine struct {
	db      *lsm.DB
	snap    *lsm.Snapshot
	batches *sync.Pool // of *lsm.Batch
	sweeper *sweeper   // is told what was committed; nil: there is none

	encrypted bool // values can be sealed
}

func openEngine(dir string, o *EngineOptions, l *codec.Limits) (*engine, error) {
	settings := *o
	settings.ExpiryEvents = !o.ReadOnly
	settings.Operators = slices.Concat(o.Operators, operatorsWithin(l))
	db, err := lsm.Open(dir, &settings)
	if err != nil {
		return nil, translate(err)
	}
	return &engine{db: db, batches: &sync.Pool{New: func() any { return db.NewBatch() }}, encrypted: o.Encryption != nil}, nil
}

// expiry is that of an entry, which the engine tells of until the telling is taken away.
type expiry = lsm.ExpiryEvent

// expired waits for values that have expired, and returns some of them. They are told of again unless a
// commit takes the telling away.
func (e *engine) expired(ctx context.Context) ([]expiry, error) {
	const together = 256
	gone, err := e.db.AwaitExpiryEvents(ctx, together)
	return gone, translate(err)
}

// acknowledge commits writes and, in the same commit, takes the telling of expiries away. It returns the
// version of the last operation.
func (e *engine) acknowledge(gone []expiry, ws []write) (Version, error) {
	return e.apply(ws, lsm.NoSync, gone...)
}

// close ends the store, or the snapshot.
func (e *engine) close() error {
	if e.snap != nil {
		return translate(e.snap.Close())
	}
	return translate(e.db.Close())
}

// now returns the store's time, by which entries expire, in milliseconds since 1970.
func (e *engine) now() int64 { return e.db.Now().UnixMilli() }

func (e *engine) metrics() EngineMetrics { return e.db.Metrics() }

// space returns where a scope's keys are. The scope need not exist.
func (e *engine) space(name scope.Scope) (space, error) {
	var sc *lsm.Scope
	var err error
	if e.snap != nil {
		sc, err = e.snap.Scope(name)
	} else {
		sc, err = e.db.Scope(name)
	}
	return space{sc: sc}, translate(err)
}

// scopes yields the scopes of a kind whose ids begin with prefix, in order.
func (e *engine) scopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	list := e.db.ListScopes
	if e.snap != nil {
		list = e.snap.ListScopes
	}
	return func(yield func(scope.Scope, error) bool) {
		for name, err := range list(kind, prefix) {
			if !yield(name, translate(err)) {
				return
			}
		}
	}
}

// snapshot returns the store as of now. It must be closed.
func (e *engine) snapshot() (*engine, error) {
	snap, err := e.db.NewSnapshot()
	if err != nil {
		return nil, translate(err)
	}
	return &engine{db: e.db, snap: snap, batches: e.batches, encrypted: e.encrypted}, nil
}

// position returns where in the history the snapshot is.
func (e *engine) position() (Position, error) {
	p, err := e.snap.Position()
	return p, translate(err)
}

// commit makes all of the writes or, with an error, none. ErrConflict: a condition does not hold.
// It returns the version of the last one where it knows it: of several, and of one that is
// conditional or of which somebody is told. Within a transaction it only adds them to that, and
// there are no conditions.
func (e *engine) commit(ws []write, unsynced bool) (Version, error) {
	if tx := ws[0].space.tx; tx != nil {
		return 0, translate(e.enlist(tx, ws))
	}
	entered := e.sweeper.enter()
	v, err := e.write(ws, unsynced)
	if err == nil {
		e.sweeper.note(ws)
	}
	e.sweeper.leave(entered)
	return v, err
}

// write is commit outside of transactions, without telling the sweeper.
func (e *engine) write(ws []write, unsynced bool) (Version, error) {
	o := syncOf(unsynced)
	switch w := &ws[0]; {
	case len(ws) == 1 && w.tell != nil && w.value != nil && !w.conditional && w.operator == "" && w.expires == 0 && !w.sealed:
		v, err := w.space.sc.SetVersion(w.key, w.value, o)
		return Version(v), translate(err)
	case len(ws) > 1 || w.conditional || w.tell != nil || w.sealed:
		return e.apply(ws, o)
	case w.value == nil:
		return 0, translate(w.space.sc.Delete(w.key, o))
	case w.operator != "":
		return 0, translate(w.space.sc.Merge(w.operator, w.key, w.value, o))
	case w.expires != 0:
		return 0, translate(w.space.sc.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires), o))
	default:
		return 0, translate(w.space.sc.Set(w.key, w.value, o))
	}
}

// enlist makes writes part of their spaces' transaction.
func (e *engine) enlist(tx *inTxn, ws []write) error {
	if err := tx.whole.alive(); err != nil {
		return err
	}
	counted := e.sweeper.active()
	for i := range ws {
		if err := ws[i].enlist(); err != nil {
			return err
		}
		if counted {
			t := tallyOf(&ws[i])
			t.key = bytes.Clone(t.key)
			tx.whole.wrote = append(tx.whole.wrote, t)
		} else {
			tx.whole.uncounted = true
		}
	}
	return nil
}

func syncOf(unsynced bool) *lsm.WriteOptions {
	if unsynced {
		return lsm.NoSync
	}
	return lsm.Sync
}

// enlist makes the write part of its space's transaction.
func (w *write) enlist() error {
	switch {
	case w.requires:
		return nil
	case w.upper != nil:
		return w.space.tx.DeleteRange(w.key, w.upper)
	case w.value == nil:
		return w.space.tx.Delete(w.key)
	case w.operator != "":
		return w.space.tx.Merge(w.operator, w.key, w.value)
	case w.sealed && w.expires != 0:
		return w.space.tx.SetSealedWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
	case w.sealed:
		return w.space.tx.SetSealed(w.key, w.value)
	case w.expires != 0:
		return w.space.tx.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
	}
	return w.space.tx.Set(w.key, w.value)
}

// apply commits the writes as one batch, in which events of expiries are taken away.
func (e *engine) apply(ws []write, o *lsm.WriteOptions, gone ...expiry) (Version, error) {
	b := e.batches.Get().(*lsm.Batch)
	for i := range ws {
		w := &ws[i]
		b.In(w.space.sc)
		if w.conditional {
			b.RequireAsOf(w.key, lsm.Version(w.version), lsm.Version(w.asOf))
		}
		switch {
		case w.requires:
		case w.upper != nil:
			b.DeleteRange(w.key, w.upper)
		case w.value == nil:
			b.Delete(w.key)
		case w.operator != "":
			b.Merge(w.operator, w.key, w.value)
		case w.sealed && w.expires != 0:
			b.SetSealedWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
		case w.sealed:
			b.SetSealed(w.key, w.value)
		case w.expires != 0:
			b.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
		default:
			b.Set(w.key, w.value)
		}
	}
	if len(gone) > 0 {
		b.AckExpiryEvents(gone...)
	}
	err := e.db.Apply(b, o)
	version := Version(b.LastVersion())
	if b.Bytes() <= maxPooledBytes {
		b.Reset()
		e.batches.Put(b)
	}
	return version, translate(err)
}

// space is where the keys of one scope are: in the store as of now or at a snapshot, or, where tx
// is set, within a transaction. It may be used by many goroutines, but within a transaction.
type space struct {
	sc *lsm.Scope
	tx *inTxn
}

// name returns the scope.
func (sp space) name() scope.Scope {
	if sp.tx != nil {
		return sp.tx.name
	}
	return sp.sc.Name()
}

// get appends the value of key to dst, or returns dst and ErrNotFound. With an error that is unread it
// tells what else is known of the entry.
func (sp space) get(dst, key []byte) ([]byte, info, error) {
	var i lsm.EntryInfo
	var err error
	if sp.tx != nil {
		if err = sp.tx.whole.alive(); err == nil {
			dst, i, err = sp.tx.AppendGetInfo(dst, key)
		}
	} else {
		dst, i, err = sp.sc.AppendGetInfo(dst, key)
	}
	if err != nil && !unread(err) {
		return dst, info{asOf: Version(i.AsOf)}, translate(err)
	}
	return dst, info{version: Version(i.Version), expires: millisOf(i.Expiry), asOf: Version(i.AsOf), unread: err}, err
}

// cursor is what the engine's two kinds of iterators have in common.
type cursor interface {
	First() bool
	Next() bool
	Last() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Unreadable() error
	Version() lsm.Version
	Expiry() time.Time
	Err() error
	Close() error
}

func (sp space) cursor(o *lsm.IterOptions) (cursor, error) {
	if sp.tx == nil {
		return sp.sc.NewIter(o)
	}
	if err := sp.tx.whole.alive(); err != nil {
		return nil, err
	}
	return sp.tx.NewIter(o)
}

// scan yields the entries of [lower, upper) in order, or backwards, until yield returns false. Key and
// value are valid within the call. What cannot be read is yielded without a value.
func (sp space) scan(lower, upper []byte, reverse bool, yield func(key, value []byte, i info) bool) error {
	it, err := sp.cursor(&lsm.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return translate(err)
	}
	ok, step := false, it.Next
	if reverse {
		ok, step = it.Last(), it.Prev
	} else {
		ok = it.First()
	}
	for ; ok; ok = step() {
		i := info{version: Version(it.Version()), expires: millisOf(it.Expiry()), unread: it.Unreadable()}
		var value []byte
		if i.unread == nil {
			value = it.Value()
		}
		if it.Err() != nil {
			break
		}
		if !yield(it.Key(), value, i) {
			break
		}
	}
	return translate(it.Close())
}

// stats returns how much the scope holds, what the store keeps in it for itself included.
func (sp space) stats() (entries, bytes int64, exact bool, err error) {
	st, err := sp.sc.Stats()
	return st.Entries, st.Bytes, st.Exact, translate(err)
}

// rename gives the scope another name, with all that it holds; with the zero Scope it is dropped,
// which of a scope that is not there is no error.
func (sp space) rename(to scope.Scope, unsynced bool) error {
	o := syncOf(unsynced)
	if to == (scope.Scope{}) {
		return translate(sp.sc.Drop(o))
	}
	return translate(sp.sc.Move(to, o))
}

// copy makes a scope with all that this one holds and returns how many entries that are.
func (sp space) copy(ctx context.Context, to scope.Scope, unsynced bool) (int64, error) {
	o := syncOf(unsynced)
	n, err := sp.sc.Copy(ctx, to, o)
	return n, translate(err)
}

var diffKinds = map[lsm.ChangeKind]ChangeKind{
	lsm.ChangeSet: ChangeSet, lsm.ChangeDelete: ChangeDelete, lsm.ChangeDeleteRange: ChangeDeleteRange,
	lsm.ChangeNewScope: ChangeNewScope, lsm.ChangeDropScope: ChangeDropScope,
}

// diff yields what has changed in the scope since a position, up to now or to the snapshot.
func (sp space) diff(from Position) iter.Seq2[rawChange, error] {
	return func(yield func(rawChange, error) bool) {
		for c, err := range sp.sc.Diff(from) {
			r := rawChange{kind: diffKinds[c.Kind], key: c.Key, upper: c.Upper, value: c.Value}
			r.info = info{version: Version(c.Version), expires: millisOf(c.Expiry)}
			if ofValue(err) {
				r.info.unread, err = err, nil
			}
			if !yield(r, translate(err)) {
				return
			}
		}
	}
}

// watch returns a feed of what commits change of [lower, upper), from now on or from a position.
func (sp space) watch(ctx context.Context, lower, upper []byte, from *Position) (feed, error) {
	w, err := sp.sc.Watch(ctx, &lsm.WatchOptions{LowerBound: lower, UpperBound: upper, From: from})
	return feed{w}, translate(err)
}

// feed is what watch returns: the next change, a place to go on from, and an end.
type feed struct{ w *lsm.Watcher }

var watchKinds = map[lsm.WatchKind]ChangeKind{
	lsm.WatchSet: ChangeSet, lsm.WatchDelete: ChangeDelete, lsm.WatchDeleteRange: ChangeDeleteRange,
	lsm.WatchDropped: ChangeDropScope, lsm.WatchLagged: ChangeLagged, lsm.WatchMerge: ChangeMerge,
}

func (f feed) next() (rawChange, error) {
	e, err := f.w.Next()
	r := rawChange{kind: watchKinds[e.Kind], key: e.Key, upper: e.Upper, value: e.Value, last: e.Last, durable: e.Durable, operator: e.Operator}
	r.info = info{version: Version(e.Version), expires: millisOf(e.Expiry)}
	r.commit, r.from = Version(e.Commit), Version(e.From)
	if ofValue(err) {
		r.info.unread, err = err, nil
	}
	return r, translate(err)
}

func (f feed) position() (Position, error) {
	p, err := f.w.Position()
	return p, translate(err)
}

func (f feed) close() error { return translate(f.w.Close()) }
