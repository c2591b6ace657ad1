package state

import (
	"context"
	"iter"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/scope"
)

// The engine under the state layer, as the rest of the package knows it. store_lsm.go alone knows package lsm; another
// store can take its place by opening (openEngine) and by doing what the fifteen methods of engine and space do, with the
// cursor and the feed that two of them return. What one store can do for whoever runs it, and another cannot, is beside
// them: operations. Keys and values are bytes here; errors are those of this package, but for an iterator's.
//
// The interfaces are the list, which internal/tidy holds the rest of the package to. Nobody calls engine and space through
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
	// The operations are those of Engine, and what the store shows of itself. They return errors of their own.
	operations interface {
		Checkpoint(ctx context.Context, dir string) error
		Checkpoints() iter.Seq2[CheckpointRecord, error]
		ForgetCheckpoint(id CheckpointID) error
		MoveCheckpoint(id CheckpointID, dir string) error
		Anchor() (Anchor, error)
		KeyStatus() (KeyStatus, error)
		RotateMasterKey(ctx context.Context, p crypto.KeyProvider) error
		RotateDataKeys() error
		RetireDataKey(id crypto.KeyID, others func() ([]string, error)) error
		Verify(ctx context.Context) error
		Flush(ctx context.Context) error
		SetHorizon(name string, at Position) error
		RemoveHorizon(name string) error
		Horizons() ([]Horizon, error)
		Metrics() EngineMetrics
		Shreds() iter.Seq2[ShredRecord, error]
	}
)

var (
	_ engineMethods = (*engine)(nil)
	_ spaceMethods  = (*space)(nil)
	_ cursorMethods = (*cursor)(nil)
	_ feedMethods   = feed{}
)

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
	Version() engineVersion
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

// wholeChange is what becomes of a scope as a whole.
type wholeChange uint8

const (
	wholeDrop wholeChange = iota // it is gone; no error if it was not there
	wholeMove                    // it has another name
	wholeCopy                    // there is another one with all that it holds
	wholeSeal                    // every value in it is sealed; it must not be there
)
