package lsm

import (
	"errors"
	"time"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// entryState is what a point read tells of an entry besides its value.
type entryState struct {
	version Version
	expires int64 // milliseconds since 1970; 0: never
	sealed  bool  // the value that came with it is sealed still
}

// getVersion is getEntry for whoever does not ask when the entry expires.
func (d *DB) getVersion(dst, prefix, key []byte, seq keys.SeqNum, at int64) ([]byte, Version, error) {
	v, e, err := d.getEntry(dst, prefix, key, seq, at)
	return v, e.version, err
}

// foundExpiring is result for an entry that expires, or what is left of one.
func (d *DB) foundExpiring(dst, value []byte, t keys.Trailer, at int64) ([]byte, entryState, error) {
	e := entryState{version: Version(t.SeqNum()), expires: expiryOf(value), sealed: t.Kind().IsSealed()}
	if at == atRead {
		at = d.clock.millis()
	}
	if e.expires <= at || t.Kind() == keys.KindExpiryMarker && at != atNever {
		return dst, entryState{}, ErrNotFound
	}
	return append(dst, value[keys.ExpiryLen:]...), e, nil
}

// GetWithExpiry returns the value of key as a copy that the caller owns, and when it expires:
// the zero Time means never. For a key that is not there it returns ErrNotFound.
func (d *DB) GetWithExpiry(key []byte) ([]byte, time.Time, error) {
	v, e, err := d.getEntry(nil, rootPrefix, key, keys.MaxSeqNum, atRead)
	return v, expiryTime(e.expires), err
}

// GetWithExpiry returns the value that key had, and when it was to expire, as
// DB.GetWithExpiry does.
func (s *Snapshot) GetWithExpiry(key []byte) ([]byte, time.Time, error) {
	if s.closed.Load() {
		return nil, time.Time{}, ErrClosed
	}
	v, e, err := s.db.getEntry(nil, rootPrefix, key, s.seq, s.at)
	return v, expiryTime(e.expires), err
}

// GetWithExpiry returns the value of key in the scope, and when it expires, as
// DB.GetWithExpiry does.
func (s *Scope) GetWithExpiry(key []byte) ([]byte, time.Time, error) {
	v, e, err := s.getEntry(nil, key)
	return v, expiryTime(e.expires), err
}

// GetWithExpiry returns the value of key as Txn.Get does, and when it expires: the zero Time
// means never.
func (tx *Txn) GetWithExpiry(key []byte) ([]byte, time.Time, error) {
	v, e, err := tx.appendGet(nil, key)
	return v, expiryTime(e.expires), err
}

// Expiry returns when the current entry expires; the zero Time means never. An iterator goes
// on showing what expires while it is open.
func (it *Iterator) Expiry() time.Time {
	if !it.valid {
		return time.Time{}
	}
	return expiryTime(it.expires)
}

// Expiry returns when the current entry expires, as Iterator.Expiry does.
func (it *TxnIterator) Expiry() time.Time {
	if !it.valid {
		return time.Time{}
	}
	return expiryTime(it.expires)
}

// alive returns the value of the entry that s, the front of the merge, is at, which expires or
// has expired, and when it does; 0: it has.
func (it *Iterator) alive(s *source) (value []byte, expires int64) {
	b, _ := fold.BaseOf(s.trailer.Kind().Opened(), s.value())
	if !it.sees(b) {
		return nil, 0
	}
	it.in.sealed = s.trailer.Kind().IsSealed()
	return b.Value, b.Expiry
}

// sees reports whether what a key is, is something at the iterator's time.
func (it *Iterator) sees(b fold.Base) bool {
	if it.at == atRead && b.Expiry != 0 { // nothing expired when the iterator was made, as far as was known
		it.at = it.db.clock.millis()
	}
	return presentAt(b, it.at)
}

// presentAt reports whether what a key is, is something at a time.
func presentAt(b fold.Base, at int64) bool {
	switch b.State {
	case fold.Present:
		return b.Expiry == 0 || b.Expiry > at
	case fold.Reclaimed:
		return at == atNever
	}
	return false
}

// baseBackward takes the entry at which s stands, going back, which expires or has expired, for
// the newest version so far of its key, and reports whether it is there.
func (it *Iterator) baseBackward(s *source) (live bool) {
	it.below, _ = fold.BaseOf(s.trailer.Kind().Opened(), s.value())
	it.valBuf = append(it.valBuf[:0], it.below.Value...)
	it.below.Value, it.expires, it.in = nil, it.below.Expiry, inBlob{sealed: s.trailer.Kind().IsSealed()}
	return it.sees(it.below)
}

// readTime returns the time of a reader that has taken its sequence number (E1): none is
// needed where nothing expires.
func (d *DB) readTime() int64 {
	if !d.expires.Load() {
		return atRead
	}
	return d.clock.millis()
}

// ownTime is the time at which a transaction judges its own writes.
func (tx *Txn) ownTime() int64 {
	if tx.at == atRead {
		tx.at = tx.db.clock.millis() // nothing expires in the snapshot
	}
	return tx.at
}

// own returns what a write of the transaction, which is no operand, makes its reads see: a
// value, and when it expires, or nothing.
func (tx *Txn) own(w *write) (value []byte, expires int64, ok bool) {
	switch w.kind {
	case keys.KindDelete:
		return nil, 0, false
	case keys.KindSetWithExpiry, keys.KindSetSealedExpiry:
		expires = expiryOf(w.value)
		return w.value[keys.ExpiryLen:], expires, expires > tx.ownTime()
	}
	return w.value, 0, true
}

// appendGet is AppendGet, and tells what is known of the entry: of what the transaction has
// written itself there is no version yet.
func (tx *Txn) appendGet(dst, key []byte) ([]byte, entryState, error) {
	switch {
	case tx.done:
		return dst, entryState{}, ErrClosed
	case len(key) > keys.MaxUserKeyLen:
		return dst, entryState{}, ErrNotFound // no such key can have been written
	}
	tx.key = append(append(tx.key[:0], tx.prefix...), key...)
	if w := tx.writes.find(tx.key); w != nil {
		if w.kind == keys.KindMerge {
			out, expires, err := tx.getOwn(dst, key, w)
			return out, entryState{expires: expires}, err
		}
		value, expires, ok := tx.own(w)
		if !ok {
			return dst, entryState{}, ErrNotFound
		}
		return append(dst, value...), entryState{expires: expires}, nil
	}
	if tx.writes.deletes(tx.key) {
		return dst, entryState{}, ErrNotFound
	}
	out, e, err := tx.db.getEntry(dst, tx.prefix, key, tx.seq, tx.at)
	if !tx.readOnly && (err == nil || errors.Is(err, ErrNotFound) || unopened(err)) {
		tx.notePoint(e)
	}
	return out, e, err
}

// notePoint records that the snapshot has e at the key in tx.key.
func (tx *Txn) notePoint(e entryState) {
	tx.reads.addPoint(tx.key, e.version)
	tx.reads.noteExpiry(e.expires)
	tx.looked = true
}

// noteExpiry records that something was read which is there until then; 0 is for ever.
func (s *readSet) noteExpiry(expires int64) {
	if expires != 0 && (s.expires == 0 || expires < s.expires) {
		s.expires = expires
	}
}

// noteExpiry records that a key must be there which is until then; 0 is for ever.
func (c *conditions) noteExpiry(expires int64) {
	if expires != 0 && (c.expires == 0 || expires < c.expires) {
		c.expires = expires
	}
}

// expiredBy reports whether something that must be there has expired by the time of the
// commit.
func (c *conditions) expiredBy(now int64) bool {
	if mutant.Enabled && mutant.Is(mutant.JudgeBeforeExpiry) {
		return false
	}
	return c.expires != 0 && c.expires <= now
}
