package state

import (
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
// can take its place by opening (openEngine) and by doing what the fifteen methods of engine and space do, with
// the cursor and the feed that two of them return. Engine is beside them, for what one store can do for whoever runs it and another
// cannot. Keys and values are bytes here; errors are those of this package.
//
// The interfaces are the list, which internal/tidy holds the rest of the package to. Nobody calls the engine through
// one: what is called so makes the memory of keys and values escape.
type (
	// An engine is a store of bytes in scopes: as of now, as of a snapshot, or as a transaction has it.
	engineMethods interface {
		now() int64
		space(name scope.Scope) (space, error)
		scopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error]
		begin(tx *Txn) (*engine, error)
		commit(ws []write, unsynced bool, gone ...expiry) (Version, error)
		expired(ctx context.Context) ([]expiry, error)
		position() (Position, error)
		close() error
	}
	// A space is where the keys of one scope are.
	spaceMethods interface {
		get(dst, key []byte, i *info) ([]byte, error)
		entries(lower, upper []byte, reverse bool) (cursor, error)
		stats(counted bool) (spaceStats, error)
		change(ctx context.Context, to wholeChange, name scope.Scope, unsynced bool) (int64, error)
		shred(ctx context.Context) (*ShredReport, error)
		diff(from Position) iter.Seq2[rawChange, error]
		watch(ctx context.Context, lower, upper []byte, from *Position) (feed, error)
	}
	// A cursor is what entries returns.
	cursorMethods interface {
		next() (ok bool, err error)
		info() info
		close() error
	}
	// A feed is what watch returns.
	feedMethods interface {
		next() (rawChange, error)
		position() (Position, error)
		close() error
	}
	// Engine is for whoever runs the store, and tells the store what it shows of itself.
	figureMethods interface {
		metrics() EngineMetrics
		shreds() iter.Seq2[ShredRecord, error]
	}
)

var (
	_ engineMethods = (*engine)(nil)
	_ spaceMethods  = space{}
	_ cursorMethods = (*cursor)(nil)
	_ feedMethods   = feed{}
	_ figureMethods = Engine{}
)

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

// engine is a store of bytes in scopes, as of now or as begin has returned it.
type engine struct {
	db      *lsm.DB
	batches *sync.Pool    // of *lsm.Batch
	past    *lsm.Snapshot // it is as of
	root    *lsm.Txn      // it is in
	tx      *Txn          // whose that is
}

// openEngine opens the store in a directory, or in memory. Blind changes make no value beyond the limits.
func openEngine(dir string, o *EngineOptions, l *codec.Limits) (*engine, error) {
	settings := *o
	settings.ExpiryEvents = !o.ReadOnly
	settings.Operators = slices.Concat(o.Operators, operatorsWithin(l))
	db, err := lsm.Open(dir, &settings)
	if err != nil {
		return nil, translate(err)
	}
	return &engine{db: db, batches: &sync.Pool{New: func() any { return db.NewBatch() }}}, nil
}

// now returns the store's time, by which entries expire, in milliseconds since 1970.
func (e *engine) now() int64 { return e.db.Now().UnixMilli() }

// nowSince returns now of an engine, and how long that is since its clockOrigin. These two are functions since another
// store need not have them: with a zero origin hooks look at the clock themselves.
func nowSince(e *engine) (now int64, since time.Duration) {
	at, since := e.db.NowSince()
	return at.UnixMilli(), since
}

// clockOrigin returns an instant of the machine's clock, or the zero Time if the engine goes by another.
func clockOrigin(e *engine) time.Time { return e.db.ClockOrigin() }

// space returns where a scope's keys are. The scope need not exist.
func (e *engine) space(name scope.Scope) (space, error) {
	if e.root != nil {
		txn, err := e.root.Scope(name)
		return space{name: name, txn: txn, tx: e.tx}, translate(err)
	}
	var sc *lsm.Scope
	var err error
	if e.past != nil {
		sc, err = e.past.Scope(name)
	} else {
		sc, err = e.db.Scope(name)
	}
	return space{name: name, sc: sc}, translate(err)
}

// scopes yields the scopes of a kind whose ids begin with prefix, in order. It is not for transactions.
func (e *engine) scopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	list := e.db.ListScopes
	if e.past != nil {
		list = e.past.ListScopes
	}
	return func(yield func(scope.Scope, error) bool) {
		for name, err := range list(kind, prefix) {
			if !yield(name, translate(err)) {
				return
			}
		}
	}
}

// begin returns the store as of now, for reading if tx is nil, else as the transaction has it, which is asked at
// each step whether it is alive. It must be closed, but a transaction may be committed instead.
func (e *engine) begin(tx *Txn) (*engine, error) {
	at := &engine{db: e.db, batches: e.batches, tx: tx}
	var err error
	if tx == nil {
		at.past, err = e.db.NewSnapshot()
	} else {
		at.root, err = e.db.Begin()
	}
	return at, translate(err)
}

// position returns where in the history a snapshot is. What it shows is on the device then.
func (e *engine) position() (Position, error) {
	p, err := e.past.Position()
	return p, translate(err)
}

// expiry is that of an entry, which the engine tells of until a commit takes the telling away.
type expiry = lsm.ExpiryEvent

// expired waits for values that have expired, and returns some of them. They are told of again unless a
// commit takes the telling away.
func (e *engine) expired(ctx context.Context) ([]expiry, error) {
	const together = 256
	gone, err := e.db.AwaitExpiryEvents(ctx, together)
	return gone, translate(err)
}

// close ends the store or the snapshot, or the transaction without committing it.
func (e *engine) close() error {
	switch {
	case e.root != nil:
		e.root.Rollback()
		return nil
	case e.past != nil:
		return translate(e.past.Close())
	}
	return translate(e.db.Close())
}
