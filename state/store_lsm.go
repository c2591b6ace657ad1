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

// The engine is package lsm. This file alone knows it: door.go says what it owes the rest of the package.

// What is the engine's own, and a store's as it is.
type (
	// EngineOptions are the settings of the storage engine: how much memory it takes, how it compresses, and others.
	EngineOptions = lsm.Options
	// EngineMetrics are the figures of the storage engine.
	EngineMetrics = lsm.Metrics
	// Position is a place in the history of a store, which may leave the process.
	Position = lsm.Position
	// CheckpointRecord is what an encrypted store keeps of a checkpoint that it has made.
	CheckpointRecord = lsm.CheckpointRecord
	// CheckpointID names a checkpoint, wherever it is.
	CheckpointID = lsm.CheckpointID
	// Anchor names a state of the store on the device, by which is seen whether it was put back since.
	Anchor = lsm.Anchor
	// KeyStatus is what may be known of a store's keys, and what is under them. It holds no secret.
	KeyStatus = lsm.KeyStatus
	// Horizon is a named position from which on deletions are remembered, so that Scope.Diff can begin there.
	Horizon = lsm.Horizon
	// ShredReport says what a Shred has done, and which checkpoints it could not reach.
	ShredReport = lsm.ShredReport
	// ShredRecord is what the store keeps of a Shred, for as long as it lives.
	ShredRecord = lsm.ShredRecord
	// engineVersion is a Version as the engine has it.
	engineVersion = lsm.Version
	// expiry is that of an entry, which the engine tells of until a commit takes the telling away.
	expiry = lsm.ExpiryEvent
)

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
	// ErrNotEmpty: a checkpoint needs a directory that is missing or empty.
	ErrNotEmpty = lsm.ErrNotEmpty
	// ErrOtherStore: in the directory of a checkpoint lies another store: it was moved, or replaced.
	ErrOtherStore = lsm.ErrOtherStore
	// ErrNotEncrypted: something was to be sealed, in a store that is not encrypted. Nothing was written.
	ErrNotEncrypted = lsm.ErrNotEncrypted
	// ErrShredded: the value was sealed in a scope whose key was destroyed since, or was to be sealed there.
	ErrShredded = lsm.ErrShredded
	// ErrNoScopeKey: the value was sealed under a key that is not here: that of the store of which this
	// one is a checkpoint (Encryption.Vault), or of a vault that is gone.
	ErrNoScopeKey = lsm.ErrNoScopeKey
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
	if err != nil {
		return nil, translate(err)
	}
	return at, nil
}

// position returns where in the history a snapshot is. What it shows is on the device then.
func (e *engine) position() (Position, error) {
	p, err := e.past.Position()
	return p, translate(err)
}

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

// operationsOf returns what the engine does for whoever runs it.
func operationsOf(e *engine) operations { return e.db }

// operatorsWithin returns the operators of blind changes, which make no value beyond the limits.
func operatorsWithin(l *codec.Limits) []lsm.Operator {
	return []lsm.Operator{operatorOf(opIncrement, l), operatorOf(opPatch, l), operatorOf(opAppend, l)}
}

func operatorOf(name string, l *codec.Limits) lsm.Operator {
	return lsm.Operator{
		Name:  name,
		Check: checkOperand,
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			return foldOperands(name, l, dst, value, operands)
		},
	}
}

// commit makes all of the writes or, with an error, none, and takes the telling of expiries away, both in one.
// ErrConflict: a condition does not hold. It returns the version of the last write where it knows it: of
// several, and of one that is conditional or of which somebody is told.
//
// Of spaces of a transaction it only makes the writes part of that, and there are no conditions. A transaction's
// own commit has none: it ends it. ErrConflict then means that nothing was written and another attempt may succeed.
func (e *engine) commit(ws []write, unsynced bool, gone ...expiry) (Version, error) {
	if len(ws) > 0 && ws[0].space.tx != nil {
		err := ws[0].space.tx.alive()
		for i := 0; err == nil && i < len(ws); i++ {
			err = ws[i].enlist()
		}
		return 0, translate(err)
	}
	o := syncOf(unsynced)
	if e.root != nil {
		e.root.SetWriteOptions(o)
		if err := e.root.Commit(); err != nil {
			return 0, translate(err)
		}
		return Version(e.root.LastVersion()), nil
	}
	if len(ws) != 1 || len(gone) > 0 {
		return e.apply(ws, o, gone...)
	}
	switch w := &ws[0]; {
	case w.tell != nil && w.value != nil && !w.conditional && w.operator == "" && w.expires == 0 && !w.sealed && !w.plain:
		v, err := w.space.sc.SetVersion(w.key, w.value, o)
		return Version(v), translate(err)
	case w.conditional || w.tell != nil || w.sealed || w.plain:
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
		return w.space.txn.DeleteRange(w.key, w.upper)
	case w.value == nil:
		return w.space.txn.Delete(w.key)
	case w.operator != "":
		return w.space.txn.Merge(w.operator, w.key, w.value)
	case w.sealed && w.expires != 0:
		return w.space.txn.SetSealedWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
	case w.sealed:
		return w.space.txn.SetSealed(w.key, w.value)
	case w.expires != 0:
		return w.space.txn.SetWithExpiry(w.key, w.value, time.UnixMilli(w.expires))
	}
	return w.space.txn.Set(w.key, w.value)
}

// apply commits the writes as one batch, in which events of expiries are taken away.
func (e *engine) apply(ws []write, o *lsm.WriteOptions, gone ...expiry) (Version, error) {
	b := e.batches.Get().(*lsm.Batch)
	for i := range ws {
		w := &ws[i]
		b.In(w.space.sc)
		if w.plain {
			b.RequireUnsealed()
		}
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
	if len(ws) > 0 && ws[0].plain && errors.Is(err, lsm.ErrScopeSealed) {
		return 0, errSealedSince
	}
	return version, translate(err)
}

// space is where the keys of one scope are: in the store as of now or at a snapshot, or, where tx
// is set, within a transaction. It may be used by many goroutines, but within a transaction.
type space struct {
	name scope.Scope
	sc   *lsm.Scope // but within a transaction
	txn  *lsm.Txn   // in this scope
	tx   *Txn       // whose that is
}

// get appends the value of key to dst, or returns dst and ErrNotFound. What else is known of the entry it tells i, if that
// is not nil, also with an error that is unread.
func (sp *space) get(dst, key []byte, i *info) ([]byte, error) {
	var of lsm.EntryInfo
	var err error
	switch {
	case sp.tx == nil && i == nil:
		dst, err = sp.sc.AppendGet(dst, key)
	case sp.tx == nil:
		dst, of, err = sp.sc.AppendGetInfo(dst, key)
	default:
		if err = sp.tx.alive(); err == nil {
			dst, of, err = sp.txn.AppendGetInfo(dst, key)
		}
	}
	there := err == nil || unread(err)
	if i != nil {
		*i = info{asOf: Version(of.AsOf)}
		if there {
			i.version, i.expires, i.unread = Version(of.Version), millisOf(of.Expiry), err
		}
	}
	if !there {
		err = translate(err)
	}
	return dst, err
}

// entries returns a cursor on the entries of [lower, upper), in order or backwards. It must be closed.
func (sp *space) entries(lower, upper []byte, reverse bool) (c cursor, err error) {
	o := lsm.IterOptions{LowerBound: lower, UpperBound: upper}
	c.reverse = reverse
	if sp.tx == nil {
		c.it, err = sp.sc.NewIter(&o)
		return c, translate(err)
	}
	if err := sp.tx.alive(); err != nil {
		return c, err
	}
	c.it, err = sp.txn.NewIter(&o)
	return c, translate(err)
}

// stats tells how much the scope holds or, without counting, only whether it is sealed: the one that has the
// name now, or had it at the snapshot. With ErrShredded it is, and its key was destroyed. All is zero of a scope that
// is not there. It is not for transactions.
func (sp *space) stats(counted bool) (spaceStats, error) {
	if !counted {
		sealed, err := sp.sc.Sealed()
		return spaceStats{sealed: sealed}, translate(err)
	}
	st, err := sp.sc.Stats()
	return spaceStats{entries: st.Entries, bytes: st.Bytes, exact: st.Exact}, translate(err)
}

// change does that to the scope; name is the other one's. It returns how many keys and documents it has copied.
func (sp *space) change(ctx context.Context, to wholeChange, name scope.Scope, unsynced bool) (copied int64, err error) {
	o := syncOf(unsynced)
	switch to {
	case wholeDrop:
		err = sp.sc.Drop(o)
	case wholeMove:
		err = sp.sc.Move(name, o)
	case wholeCopy:
		copied, err = sp.sc.CopyCounting(ctx, name, o, ofUser)
	case wholeSeal:
		err = sp.sc.Seal(o)
	}
	return copied, translate(err)
}

// shred destroys the key of the scope.
func (sp *space) shred(ctx context.Context) (*ShredReport, error) {
	report, err := sp.sc.Shred(ctx)
	return report, translate(err)
}

var diffKinds = map[lsm.ChangeKind]ChangeKind{
	lsm.ChangeSet: ChangeSet, lsm.ChangeDelete: ChangeDelete, lsm.ChangeDeleteRange: ChangeDeleteRange,
	lsm.ChangeNewScope: ChangeNewScope, lsm.ChangeDropScope: ChangeDropScope,
}

// diff yields what has changed in the scope since a position, up to now or to the snapshot.
func (sp *space) diff(from Position) iter.Seq2[rawChange, error] {
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
func (sp *space) watch(ctx context.Context, lower, upper []byte, from *Position) (feed, error) {
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
