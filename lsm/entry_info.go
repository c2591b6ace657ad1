package lsm

import (
	"time"

	"github.com/loamdb/loam/internal/keys"
)

// EntryInfo is what a store knows of an entry besides its key and value.
type EntryInfo struct {
	// Version is that of GetWithVersion; Absent for what a transaction has written itself.
	Version Version
	// Expiry is when the entry expires; the zero Time means never.
	Expiry time.Time
	// AsOf is the version of the last operation that readers saw before the entry was read, for
	// Batch.RequireAsOf; 0 of one that expires, and of one of a snapshot or transaction.
	AsOf Version
}

func (e entryState) info() EntryInfo {
	return EntryInfo{Version: e.version, Expiry: expiryTime(e.expires)}
}

// AppendGetInfo appends the value of key in the scope to dst, as AppendGet does, and tells what
// else is known of the entry, of the same moment.
func (s *Scope) AppendGetInfo(dst, key []byte) ([]byte, EntryInfo, error) {
	asOf := Version(s.db.visible.load()) // before the entry is read: it cannot be older than that
	out, e, err := s.getEntry(dst, key)
	i := e.info()
	if s.snap == nil && i.Expiry.IsZero() {
		i.AsOf = asOf
	}
	return out, i, err
}

// AppendGetInfo appends the value of key to dst, as Txn.AppendGet does, and tells what else is
// known of the entry.
func (tx *Txn) AppendGetInfo(dst, key []byte) ([]byte, EntryInfo, error) {
	out, e, err := tx.appendGet(dst, key)
	return out, e.info(), err
}

// Version returns the version of the current entry, as GetWithVersion does.
func (it *Iterator) Version() Version {
	if !it.valid {
		return Absent
	}
	return Version(it.version)
}

// Version returns the version of the current entry; it is Absent for what the transaction has
// written itself.
func (it *TxnIterator) Version() Version {
	if !it.valid {
		return Absent
	}
	return Version(it.version)
}

// LastVersion returns the version of the batch's last operation, once Apply has committed the
// batch and it has operations in scopes; else zero.
func (b *Batch) LastVersion() Version { return b.last }

// LastVersion returns the version of the last operation of the transaction's commit, once Update has
// committed it and it has written in scopes; else zero. The others have versions below it, above
// that of every commit before.
func (tx *Txn) LastVersion() Version { return tx.last }

// endsExpiring reports whether the last operation writes an entry that expires.
func (b *Batch) endsExpiring() bool {
	if b.lasting == b.ops {
		return false
	}
	var last keys.Kind
	for ops := (opReader{rest: b.payload}); ops.next(); {
		last = ops.kind
	}
	return last.Expires()
}
