package lsm

import (
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// Values that are sealed one by one, under a key of their scope, in an encrypted store. In
// batches and transactions they are in clear; whoever plans the commit seals them, when he knows
// which id, and so which key, the scope has. From there on everything passes them through as they
// are: the log, tables, merges, blob files, checkpoints, verification and salvage need no key.
// They are opened by whoever reads a value.

// SetSealed writes value to key, sealed under a key of the scope, and makes the scope with it if
// it is not there. It is read like any other, until Shred destroys the scope's key. A value that
// Merge makes of a sealed one is one to whoever reads it; operands themselves are not sealed. It
// does not expire.
//
// The first sealed value of a scope writes the vault anew, durably, a file that grows by 64 bytes
// with each key; there can be a million keys.
//
// Errors: ErrNotEncrypted for a store in clear, ErrShredded if the scope's key was destroyed,
// those of Set, and those of writing the vault.
func (s *Scope) SetSealed(key, value []byte, w *WriteOptions) error {
	if err := s.writable(); err != nil {
		return err
	}
	b := s.NewBatch()
	b.SetSealed(key, value)
	return s.db.Apply(b, w)
}

// SetSealed adds the write of value to key, sealed under a key of the scope, as Scope.SetSealed
// does; the batch has it in clear. In the root it makes Apply fail with ErrNotScoped.
func (b *Batch) SetSealed(key, value []byte) {
	switch {
	case b.err != nil:
		return
	case b.at == 0:
		b.err = ErrNotScoped
		return
	}
	if b.err = checkSealedLimits(key, value); b.err != nil {
		return
	}
	b.addInternal(keys.KindSetSealed, key, value)
	b.scopes[b.at-1].seals = true
}

// SetSealed writes value to key, sealed under a key of the scope, as Scope.SetSealed does, when
// the transaction commits; its own reads see it at once. Errors are those of Set, and ErrNotScoped
// for the root.
func (tx *Txn) SetSealed(key, value []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if tx.in == nil {
		tx.err = ErrNotScoped
	} else if tx.err = checkSealedLimits(key, value); tx.err == nil {
		tx.seals = true
		tx.err = tx.write(keys.KindSetSealed, key, value)
	}
	return tx.err
}

// checkSealedLimits is checkLimits for a value that will be longer when it is sealed.
func checkSealedLimits(key, value []byte) error {
	if limit := keys.MaxValueLen - crypto.ValueOverhead; len(value) > limit {
		return &LimitError{What: "value", Bytes: int64(len(value)), Limit: int64(limit)}
	}
	return checkLimits(key, value)
}

// planSeal finds out under which key the values of one of a batch's scopes are sealed, given what
// the batch claims of it, and adds the record of a key of a scope that is made.
func (d *DB) planSeal(s *batchScope, c claim, r *request, payload []byte) ([]byte, error) {
	if c.name == 0 {
		var err error
		s.key, err = d.vault.keyOf(s.now, c)
		return payload, err
	}
	if s.freshKey == (crypto.ScopeKeyID{}) {
		key, err := d.vault.fresh()
		if err != nil {
			return payload, err
		}
		s.freshKey = key
	}
	s.key = s.freshKey
	key, value := idKey(recordScopeKey, s.now), scopeKeyValue(s.key)
	r.ops++
	r.bytes += int64(len(systemKeys.prefix) + len(key) + len(value))
	return appendOp(payload, keys.KindSet, systemKeys.prefix, key, value), nil
}

// sealFunc returns a value sealed for the scope whose keys a batch has encoded with the id. It is
// valid until the next call.
type sealFunc func(id scope.ID, userKey, value []byte) ([]byte, error)

// sealer returns what seals the values that a batch has in clear, nil if there are none.
func (b *Batch) sealer(v *vault) sealFunc {
	var under map[scope.ID]crypto.ScopeKeyID
	for i := range b.scopes {
		if s := &b.scopes[i]; s.seals {
			if under == nil {
				under = map[scope.ID]crypto.ScopeKeyID{}
			}
			under[s.id] = s.key
		}
	}
	if under == nil {
		return nil
	}
	var sealed []byte
	return func(id scope.ID, userKey, value []byte) (_ []byte, err error) {
		sealed, err = v.seal(sealed[:0], under[id], userKey, value)
		return sealed, err
	}
}

// openEntry opens what getEntry has read of a sealed value behind the first n bytes.
func (d *DB) openEntry(out []byte, n int, key []byte, e entryState) ([]byte, entryState, error) {
	value, err := d.vault.open(key, out[n:])
	return append(out[:n], value...), e, err
}

// Shredded reports whether the current entry has a value that cannot be opened: its scope was
// shredded, or the vault with its key is another store's. Asked before Value it lets a loop go on
// past such entries, which Value ends with ErrShredded or ErrNoScopeKey. It reads the value if that
// is sealed, and costs nothing otherwise.
func (it *Iterator) Shredded() bool {
	return it.valid && it.in.sealed && unopened(it.load())
}

// Shredded reports whether the current entry has a value that cannot be opened, as
// Iterator.Shredded does. What the transaction has written itself can be.
func (it *TxnIterator) Shredded() bool { return it.valid && it.lazy && it.base.Shredded() }

// load brings the current value to where it can be looked at: out of its blob file, and opened.
// With an error that is not unopened the iteration ends.
func (it *Iterator) load() error {
	if it.in.sealed && it.in.err != nil {
		return it.in.err
	}
	out, err := it.bodyHere(it.value)
	if err != nil && !unopened(err) {
		it.fail(it.db.tableError(err))
		return err
	}
	it.value = out
	return err
}

// bodyHere returns what stands for the current value, stored, as it is in its blob file, if it is in
// one, and opened, if it was sealed. An error that is unopened comes with what could not be.
func (it *Iterator) bodyHere(stored []byte) ([]byte, error) {
	if it.in.away {
		out, err := it.appendBody(stored)
		if err != nil {
			return nil, err
		}
		it.blobBuf, it.in.away, stored = out, false, out
	}
	if !it.in.sealed {
		return stored, nil
	}
	out, err := it.db.vault.openInternal(it.key, stored)
	if err != nil {
		it.in.err = err
		return stored, err
	}
	it.in.sealed, it.in.secret = false, true
	return out, nil
}
