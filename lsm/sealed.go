package lsm

import (
	"encoding/binary"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Values that are sealed under a key of their scope, in an encrypted store: one by one, or all that
// is written to a scope that Seal has made. In batches and transactions they are in clear; whoever
// plans the commit seals them, when he knows which id, and so which key, the scope has. From there on
// everything passes them through as they are: the log, tables, merges, blob files, checkpoints,
// verification and salvage need no key. They are opened by whoever reads a value.

// SetSealed writes value to key, sealed under a key of the scope, and makes the scope with it if
// it is not there. It is read like any other, until Shred destroys the scope's key. A value that
// Merge makes of a sealed one is one to whoever reads it; operands themselves are not sealed.
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

// SetSealedWithExpiry is SetSealed for a value that expires, as SetWithExpiry says. When it does is not
// sealed. Errors are those of both.
func (s *Scope) SetSealedWithExpiry(key, value []byte, at time.Time, w *WriteOptions) error {
	b, err := s.expiringBatch()
	if err != nil {
		return err
	}
	b.SetSealedWithExpiry(key, value, at)
	return s.db.Apply(b, w)
}

// SetSealed adds the write of value to key, sealed under a key of the scope, as Scope.SetSealed
// does; the batch has it in clear. In the root it makes Apply fail with ErrNotScoped.
func (b *Batch) SetSealed(key, value []byte) { b.seal(keys.KindSetSealed, key, value, 0) }

// SetSealedWithExpiry adds what Scope.SetSealedWithExpiry writes; the batch has it in clear. In the
// root it makes Apply fail with ErrNotScoped, and with an instant that is none with ErrInvalidExpiry.
func (b *Batch) SetSealedWithExpiry(key, value []byte, at time.Time) {
	ms, err := expiryMillis(at)
	if b.failWith(err); b.err == nil {
		b.seal(keys.KindSetSealedExpiry, key, value, ms)
	}
}

func (b *Batch) seal(kind keys.Kind, key, value []byte, expires int64) {
	switch {
	case b.err != nil:
		return
	case b.at == 0:
		b.err = ErrNotScoped
		return
	}
	if b.err = checkSealedLimits(kind, key, value); b.err != nil {
		return
	}
	if kind.Expires() {
		b.scratch = append(binary.LittleEndian.AppendUint64(b.scratch[:0], uint64(expires)), value...)
		value = b.scratch
	}
	b.addInternal(kind, key, value)
	b.scopes[b.at-1].seals = true
	if cap(b.scratch) > maxPooledPayload {
		b.scratch = nil
	}
}

// SetSealed writes value to key, sealed under a key of the scope, as Scope.SetSealed does, when
// the transaction commits; its own reads see it at once. Errors are those of Set, and ErrNotScoped
// for the root.
func (tx *Txn) SetSealed(key, value []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	return tx.seal(keys.KindSetSealed, key, value)
}

// SetSealedWithExpiry writes what Scope.SetSealedWithExpiry does, when the transaction commits; its
// own reads see it at once. Errors are those of SetSealed, and ErrInvalidExpiry.
func (tx *Txn) SetSealedWithExpiry(key, value []byte, at time.Time) error {
	if err := tx.writable(); err != nil {
		return err
	}
	ms, err := expiryMillis(at)
	if tx.err = err; err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint64(make([]byte, 0, keys.ExpiryLen+len(value)), uint64(ms))
	return tx.seal(keys.KindSetSealedExpiry, key, append(head, value...))
}

// seal writes a value, with what comes before one of the kind.
func (tx *Txn) seal(kind keys.Kind, key, value []byte) error {
	if tx.in == nil {
		tx.err = ErrNotScoped
	} else if tx.err = checkSealedLimits(kind, key, value[kind.MinValueLen():]); tx.err == nil {
		tx.seals = true
		tx.err = tx.write(kind, key, value)
	}
	return tx.err
}

// checkSealedLimits is checkLimits for a value that will be longer when it is sealed.
func checkSealedLimits(kind keys.Kind, key, value []byte) error {
	if limit := keys.MaxValueLen - crypto.ValueOverhead - kind.MinValueLen(); len(value) > limit {
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
	key, value := idKey(recordScopeKey, s.now), scopeKeyValue(scopeSeal{key: s.key})
	r.ops++
	r.bytes += int64(len(systemKeys.prefix) + len(key) + len(value))
	return appendOp(payload, keys.KindSet, systemKeys.prefix, key, value), nil
}

// sealFunc returns an operation as it is committed in the scope whose keys a batch has encoded with the
// id: its value sealed, if it is to be. The value is valid until the next call.
type sealFunc func(kind keys.Kind, id scope.ID, userKey, value []byte) (keys.Kind, []byte, error)

// sealer returns what seals the values that a batch has in clear, nil if there are none.
func (b *Batch) sealer(v *vault) sealFunc {
	var under map[scope.ID]scopeSeal
	for i := range b.scopes {
		if s := &b.scopes[i]; s.sealing() {
			if under == nil {
				under = map[scope.ID]scopeSeal{}
			}
			under[s.id] = scopeSeal{key: s.key, whole: s.whole}
		}
	}
	if under == nil {
		return nil
	}
	var sealed []byte
	return func(kind keys.Kind, id scope.ID, userKey, value []byte) (keys.Kind, []byte, error) {
		s := under[id]
		to := kind.Sealed()
		switch {
		case s.whole && kind == keys.KindMerge:
			return kind, nil, ErrScopeSealed
		case to == keys.KindInvalid || to != kind && !s.whole:
			return kind, value, nil
		case mutant.Enabled && to != kind && mutant.Is(mutant.SealSome):
			return kind, value, nil
		}
		n := kind.MinValueLen()
		if limit := keys.MaxValueLen - crypto.ValueOverhead; len(value) > limit {
			return kind, nil, &LimitError{What: "value", Bytes: int64(len(value) - n), Limit: int64(limit - n)}
		}
		var err error
		sealed, err = v.seal(append(sealed[:0], value[:n]...), s.key, userKey, value[n:])
		return to, sealed, err
	}
}

// sealing reports whether the batch writes what is to be sealed in the scope.
func (s *batchScope) sealing() bool { return s.seals || s.whole && s.writes }

// openEntry opens what getEntry has read of a sealed value behind the first n bytes.
func (d *DB) openEntry(out []byte, n int, key []byte, e entryState) ([]byte, entryState, error) {
	value, err := d.vault.open(key, out[n:])
	return append(out[:n], value...), e, err
}

// Unreadable returns why nobody can read the current entry's value, or nil: ErrShredded and ErrNoScopeKey
// if it cannot be opened, ErrMerge or a *UnknownOperatorError if operands cannot be folded into it. Asked
// before Value it lets a loop go on past such entries, which Value ends with that error. It reads the value
// if that is sealed, and costs nothing otherwise.
func (it *Iterator) Unreadable() error {
	if !it.valid || !it.in.sealed {
		return nil
	}
	err := it.load()
	if it.err != nil { // which has ended the iteration
		return nil
	}
	return err
}

// Unreadable returns why nobody can read the current entry's value, or nil, as Iterator.Unreadable does.
func (it *TxnIterator) Unreadable() error {
	switch {
	case !it.valid:
		return nil
	case it.lazy:
		return it.base.Unreadable()
	}
	return it.unread
}

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
