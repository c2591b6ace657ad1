package engine

import "context"

// What some engines can do beyond Session and Store. A session or a store has the methods
// of an ability if its engine has an operation for it. For one that has none there is a
// stand-in (standin.go): what people who use that engine have to write in its place.

// RangeDeleter is a session that removes ranges of keys.
type RangeDeleter interface {
	// DeleteRange removes every key within [lower, upper), unsynced.
	DeleteRange(lower, upper []byte) error
}

// Scoper is a session of a store that is divided into spaces of keys. A scope has a name
// without slashes.
type Scoper interface {
	// SetIn writes all pairs to a scope atomically, and makes the scope if it is not there.
	SetIn(scope []byte, pairs []Pair, sync bool) error
	// ScanIn visits every entry of a scope in the order of keys, and returns how many there
	// are. Key, which is without the scope, and value live until visit returns.
	ScanIn(scope []byte, visit func(key, value []byte)) (int, error)
	// CopyScope makes a scope that is not there yet, with what another holds, unsynced.
	CopyScope(from, to []byte) error
	// DropScope removes a scope with all that it holds, unsynced.
	DropScope(scope []byte) error
}

// Transactor is a session that reads and writes in transactions.
type Transactor interface {
	// Transact runs fn in a transaction, which is as if done alone, and commits it; sync: it is
	// on the device when Transact returns. It tries again, with fn, when others were in the way,
	// and returns how often that was.
	Transact(sync bool, fn func(tx Txn) error) (retries int, err error)
}

// Txn is a transaction. It is for the function that is given it.
type Txn interface {
	// Get appends the value of key to dst. found is false when there is none.
	Get(dst, key []byte) (value []byte, found bool, err error)
	// Set writes a key. The slices may be reused after the call.
	Set(key, value []byte) error
}

// Checkpointer is a store that can make a copy of itself.
type Checkpointer interface {
	// Checkpoint makes a store in dir, which is not there yet, that holds what this one
	// does, and is on the device when Checkpoint returns.
	Checkpoint(ctx context.Context, dir string) error
}

// rangeScanner is a session that scans with bounds, or without making a scanner.
type rangeScanner interface {
	// scanRange visits entries within [lower, upper) until visit returns false.
	scanRange(lower, upper []byte, visit func(key, value []byte) bool) error
}

// prefixCopier is a session that copies keys without taking them out of the store.
type prefixCopier interface {
	// copyPrefix writes every entry whose key begins with from, with to in its place.
	copyPrefix(from, to []byte) error
}
