package lsm

import (
	"encoding/binary"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// The keys of dropped scopes leave the vault, which would grow with each scope that there ever was. A drop is no
// Shred: the key goes for the room that it takes, later, and whoever has an older vault has it still.
//
//   - F1. It goes when nobody can read anything of the scope: the id is buried (reaper.go), whoever reads the store as it
//     was before has ended, and no checkpoint on record has the scope.
//   - F2. In between, the key's own record stands for that of the id, and says when the id died. It is
//     removed after the key, so that a crash leaves work to do again, and no key without a record.

// droppedKey is a scope key whose scope was dropped and is buried.
type droppedKey struct {
	key  crypto.ScopeKeyID
	died keys.SeqNum // the number of the death
}

// bury adds to the batch that buries an id what becomes of the record of its keys (F2), and returns
// those of them that are in the vault.
func (v *vault) bury(b *dirBatch, id scope.ID, died keys.SeqNum) ([]crypto.ScopeKeyID, error) {
	if v.db.keyring == nil {
		return nil, nil
	}
	of, found, err := v.recorded(id)
	if err != nil || !found {
		return nil, err
	}
	b.add(keys.KindDelete, idKey(recordScopeKey, id), nil)
	var left []crypto.ScopeKeyID
	for _, key := range of.all() {
		if own := v.is.Load(); own != nil && own.Check(key) == nil {
			left = append(left, key)
			b.add(keys.KindSet, droppedKeyKey(droppedKey{key, died}), flagValue)
		}
	}
	return left, nil
}

// buried notes that ids are buried, and their keys left for those who read older states of the store.
func (v *vault) buried(ids []scope.ID, left []crypto.ScopeKeyID) {
	if v.db.keyring == nil {
		return
	}
	since := v.db.states.newest()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		delete(v.keys, id)
	}
	if v.left == nil {
		v.left = map[crypto.ScopeKeyID]uint64{}
	}
	for _, key := range left {
		v.left[key] = since
	}
	if len(left) > 0 {
		v.toForget.Store(true)
	}
}

// mayForget has the reaper look which keys can go.
func (v *vault) mayForget() {
	if v.is.Load() != nil {
		v.toForget.Store(true)
		v.db.reaper.alarm.wake()
	}
}

// released tells that nobody reads a state of the store any more.
func (v *vault) released() {
	v.mu.RLock()
	any := len(v.left) > 0
	v.mu.RUnlock()
	if any {
		v.mayForget()
	}
}

// forgetDropped removes the keys that can go (F1). Called by the reaper.
func (v *vault) forgetDropped() error {
	own := v.is.Load()
	if own == nil || !v.toForget.Swap(false) {
		return nil
	}
	gone, err := v.unwanted()
	if err == nil && len(gone) > 0 {
		if err = v.forget(own, gone); err == nil {
			v.db.event("keys of dropped scopes removed", "keys", len(gone))
		}
	}
	if err != nil {
		v.toForget.Store(true) // to be tried again
	}
	return err
}

// unwanted returns the keys of dropped scopes that nobody can want. It reads the records of those that no checkpoint
// wants, and no others.
func (v *vault) unwanted() ([]droppedKey, error) {
	d := v.db
	oldest := d.states.oldest() // before anything else: who comes later reads what is there now
	until := keys.MaxSeqNum     // from here on a checkpoint does not know of a death
	for r, err := range d.Checkpoints() {
		if err != nil {
			return nil, err
		}
		// One that was not finished cannot be opened; one that is being made has a snapshot from before it.
		if r.end != 0 && r.ID != CheckpointID(d.store) && !(mutant.Enabled && mutant.Is(mutant.ForgetWanted)) {
			until = min(until, r.end)
		}
	}
	var gone []droppedKey
	for r, err := range recordsOf(d, recordDroppedKey, decodeDroppedKey) {
		if err != nil {
			return nil, err
		}
		if r.died >= until {
			break // they are in the order of the deaths
		}
		v.mu.RLock()
		read := v.left[r.key] > oldest && !(mutant.Enabled && mutant.Is(mutant.ForgetRead))
		v.mu.RUnlock()
		if !read {
			gone = append(gone, r)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, since := range v.left {
		if since <= oldest {
			delete(v.left, key) // it is no reader's any more
		}
	}
	return gone, nil
}

// forget removes keys from the vault, then their records (F2).
func (v *vault) forget(own *crypto.Vault, gone []droppedKey) error {
	ids := make([]crypto.ScopeKeyID, len(gone))
	for i := range gone {
		ids[i] = gone[i].key
	}
	v.changing.Lock()
	err := own.Forget(ids...)
	v.changing.Unlock()
	if err != nil {
		return vaultError(err)
	}
	for len(gone) > 0 {
		next := gone[:min(len(gone), maxReaperOps)]
		var b dirBatch
		for _, key := range next {
			b.add(keys.KindDelete, droppedKeyKey(key), nil)
		}
		if _, err := v.db.commitDirectory(&b, NoSync); err != nil {
			return err
		}
		gone = gone[len(next):]
	}
	return nil
}

// The record of a key that is left of a dropped scope: docs/formats/directory.md is canonical.

func droppedKeyKey(k droppedKey) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{byte(recordDroppedKey)}, uint64(k.died)), k.key[:]...)
}

func decodeDroppedKey(key, value []byte) (k droppedKey, err error) {
	rest, err := checkRecord(value)
	if err == nil && (len(key) != 1+8+len(k.key) || len(rest) != 0) {
		err = directoryError(codec.ErrMalformed)
	}
	if err != nil {
		return droppedKey{}, err
	}
	return droppedKey{crypto.ScopeKeyID(key[9:]), keys.SeqNum(binary.BigEndian.Uint64(key[1:]))}, nil
}
