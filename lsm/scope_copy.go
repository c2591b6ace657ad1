package lsm

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Copying stages: entries are written under an id that no entry of the directory names, so
// that nobody sees them, and the last batch makes the entry. The id is recorded as staged
// first: after a crash the next opening kills what has no entry.

// copyBatchBytes is the size at which a batch of a copy is committed.
const copyBatchBytes = 256 << 10

// Copy makes a scope with all that this one holds now, or at its snapshot, and returns how
// many entries that are. The copy appears whole, at the end, and shares nothing with the
// original afterwards. It costs reading and writing every entry; w is for its last batch,
// which makes the others durable too. ctx ends it early, with nothing to be seen. Errors:
// ErrScopeExists if there is a scope of the name, ErrNotFound if there is nothing to copy,
// ErrNoScopeKey if it has a sealed value whose key is not here.
func (s *Scope) Copy(ctx context.Context, to scope.Scope, w *WriteOptions) (entries int64, err error) {
	return s.CopyCounting(ctx, to, w, nil)
}

// CopyCounting is Copy, but returns how many of the entries are those that counts says, which gets each key, valid
// within the call; nil means all. For whoever keeps entries of its own beside those of its users.
func (s *Scope) CopyCounting(ctx context.Context, to scope.Scope, w *WriteOptions, counts func(key []byte) bool) (entries int64, err error) {
	d := s.db
	dst, err := d.Scope(to)
	if err != nil {
		return 0, err
	}
	if err := d.writable(); err != nil {
		return 0, err
	}
	if _, err := dst.absent(); err != nil {
		return 0, err
	}
	id, err := d.newScopeID()
	if err != nil {
		return 0, err
	}
	var intent dirBatch
	intent.add(keys.KindSet, idKey(recordStaged, id), flagValue)
	if _, err := d.commitDirectory(&intent, NoSync); err != nil {
		return 0, err // nothing is staged
	}
	if entries, err = s.stage(ctx, id, counts); err == nil {
		err = d.publishStaged(dst, id, w)
	}
	if err != nil {
		d.reaper.abandoned(id)
		return 0, err
	}
	return entries, nil
}

// Fork copies the scope as Copy does and returns a handle to the copy.
func (s *Scope) Fork(ctx context.Context, to scope.Scope, w *WriteOptions) (*Scope, error) {
	if _, err := s.Copy(ctx, to, w); err != nil {
		return nil, err
	}
	return s.db.Scope(to)
}

// stage writes the scope's entries under id, which has no entry yet, and returns how many of them count.
func (s *Scope) stage(ctx context.Context, id scope.ID, counts func(key []byte) bool) (entries int64, err error) {
	write := func(snap *Snapshot, r *resolved) (err error) {
		if r == nil {
			return ErrNotFound
		}
		it, err := s.iterAt(snap, r, nil)
		if err != nil {
			return err
		}
		entries, err = s.db.stageEntries(ctx, it, r.id, id, counts)
		if cerr := it.Close(); err == nil {
			err = cerr
		}
		return err
	}
	if s.snap != nil {
		return entries, write(s.snap, s.fixed)
	}
	err = s.atSnapshot(write)
	return entries, err
}

// stageEntries writes what an iterator passes of the scope that has the id from, under id, and returns how many count.
func (d *DB) stageEntries(ctx context.Context, it *Iterator, from, id scope.ID, counts func(key []byte) bool) (entries int64, err error) {
	b := Batch{prefix: scope.AppendID(nil, id)}
	under := scopeSeal{} // the copy's key, made with its first sealed value, or before all others
	if d.keyring != nil {
		of, _, err := d.vault.recorded(from)
		if err == nil && of.whole && !(mutant.Enabled && mutant.Is(mutant.ForgetWhole)) {
			under.whole = true
			err = d.stageKey(&b, id, &under)
		}
		if err != nil {
			return 0, err
		}
	}
	for more := it.First(); ; more = it.Next() {
		if !more || b.Bytes() >= copyBatchBytes {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			if err := d.Apply(&b, NoSync); err != nil {
				return 0, err
			}
			b.payload, b.ops, b.lasting, b.bytes = b.payload[:0], 0, 0, 0
		}
		if !more {
			return entries, it.Err()
		}
		unread := it.Unreadable()
		shredded := unread != nil
		if shredded && (it.value == nil || errors.Is(unread, ErrNoScopeKey)) {
			return 0, unread // operands on top of it cannot be copied, nor what the copy's Shred would not reach
		}
		value := it.value // as it is, if nobody can open it
		if !shredded {
			value = it.Value()
		}
		if it.err != nil {
			return 0, it.err // of a value in a blob file
		}
		if shredded {
			b.addSealed(it, value)
		} else if it.in.secret && !(mutant.Enabled && mutant.Is(mutant.CopyInClear)) {
			if under.key == (crypto.ScopeKeyID{}) {
				if err = d.stageKey(&b, id, &under); err != nil {
					return 0, err
				}
			}
			sealed, err := d.vault.seal(nil, under.key, it.Key(), value)
			if err != nil {
				return 0, err
			}
			b.addSealed(it, sealed)
		} else if it.expires != 0 {
			b.setExpiring(it.Key(), value, it.expires)
		} else {
			b.Set(it.Key(), value)
		}
		if b.err != nil {
			return 0, b.err
		}
		if counts == nil || counts(it.Key()) {
			entries++
		}
	}
}

// addSealed adds a value that is sealed, and expires when the entry does at which it stands.
func (b *Batch) addSealed(it *Iterator, sealed []byte) {
	if it.expires == 0 {
		b.addInternal(keys.KindSetSealed, it.Key(), sealed)
		return
	}
	b.scratch = append(binary.LittleEndian.AppendUint64(b.scratch[:0], uint64(it.expires)), sealed...)
	b.addInternal(keys.KindSetSealedExpiry, it.Key(), b.scratch)
}

// stageKey makes a scope key for the scope that is to have the id, and adds its record to b.
func (d *DB) stageKey(b *Batch, id scope.ID, of *scopeSeal) (err error) {
	if of.key, err = d.vault.fresh(); err != nil {
		return err
	}
	prefix := b.prefix
	b.prefix = systemKeys.prefix
	b.addInternal(keys.KindSet, idKey(recordScopeKey, id), scopeKeyValue(*of))
	b.prefix = prefix
	return b.err
}

// publishStaged makes the entry of a scope whose keys were written under id.
func (d *DB) publishStaged(dst *Scope, id scope.ID, w *WriteOptions) error {
	for {
		if err := d.writable(); err != nil {
			return err
		}
		at, err := dst.absent()
		if err != nil {
			return err
		}
		var b dirBatch
		b.makeEntry(dst.entry, id, at)
		if !(mutant.Enabled && mutant.Is(mutant.KeepStaged)) {
			b.add(keys.KindDelete, idKey(recordStaged, id), nil)
		}
		if _, err = d.commitDirectory(&b, w); err != errRedirected { // returned bare
			d.expirer.unstaged()
			return err
		}
	}
}
