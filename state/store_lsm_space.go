package state

import (
	"context"
	"iter"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

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
func (sp space) get(dst, key []byte, i *info) ([]byte, error) {
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
func (sp space) entries(lower, upper []byte, reverse bool) (c cursor, err error) {
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

// cursor is where in a range of a space its reader is, before the first entry to begin with.
type cursor struct {
	it      iterator
	reverse bool
	begun   bool

	// Of the entry, valid until the next one.
	key    []byte
	value  []byte
	unread error // why the value cannot be read, which is nil then
}

// iterator is what the engine's two kinds of iterators have in common.
type iterator interface {
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

// next goes to the next entry; ok is false behind the last one, and with an error.
func (c *cursor) next() (ok bool, err error) {
	switch first := !c.begun; {
	case first && c.reverse:
		ok = c.it.Last()
	case first:
		ok = c.it.First()
	case c.reverse:
		ok = c.it.Prev()
	default:
		ok = c.it.Next()
	}
	if c.begun = true; ok {
		c.key, c.value = c.it.Key(), nil
		if c.unread = c.it.Unreadable(); c.unread == nil {
			c.value = c.it.Value()
			ok = c.value != nil || c.it.Err() == nil
		}
	}
	if !ok {
		err = translate(c.it.Err())
	}
	return ok, err
}

// info tells what else is known of the entry.
func (c *cursor) info() info {
	return info{version: Version(c.it.Version()), expires: millisOf(c.it.Expiry()), unread: c.unread}
}

// close lets go of what the cursor holds, and returns an error that has not been told.
func (c *cursor) close() error { return translate(c.it.Close()) }

// spaceStats is what is known of a scope as a whole.
type spaceStats struct {
	sealed bool // every value in it is, whoever writes it

	entries, bytes int64 // what the store keeps in it for itself included
	exact          bool
}

// stats tells how much the scope holds or, without counting, only whether it is sealed: the one that has the
// name now, or had it at the snapshot. With ErrShredded it is, and its key was destroyed. All is zero of a scope that
// is not there. It is not for transactions.
func (sp space) stats(counted bool) (spaceStats, error) {
	if !counted {
		sealed, err := sp.sc.Sealed()
		return spaceStats{sealed: sealed}, translate(err)
	}
	st, err := sp.sc.Stats()
	return spaceStats{entries: st.Entries, bytes: st.Bytes, exact: st.Exact}, translate(err)
}

// wholeChange is what becomes of a scope as a whole.
type wholeChange uint8

const (
	wholeDrop wholeChange = iota // it is gone; no error if it was not there
	wholeMove                    // it has another name
	wholeCopy                    // there is another one with all that it holds
	wholeSeal                    // every value in it is sealed; it must not be there
)

// change does that to the scope; name is the other one's. It returns how many entries it has copied.
func (sp space) change(ctx context.Context, to wholeChange, name scope.Scope, unsynced bool) (copied int64, err error) {
	o := syncOf(unsynced)
	switch to {
	case wholeDrop:
		err = sp.sc.Drop(o)
	case wholeMove:
		err = sp.sc.Move(name, o)
	case wholeCopy:
		copied, err = sp.sc.Copy(ctx, name, o)
	case wholeSeal:
		err = sp.sc.Seal(o)
	}
	return copied, translate(err)
}

// shred destroys the key of the scope.
func (sp space) shred(ctx context.Context) (*ShredReport, error) {
	report, err := sp.sc.Shred(ctx)
	return report, translate(err)
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
