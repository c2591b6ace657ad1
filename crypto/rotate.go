package crypto

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// change writes what edit makes of the keyring and then installs it. After an error everything
// goes on as before it, but what was tried may be in the file: ErrUncertain.
func (r *Ring) change(edit func(*keyset) error) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	keys, err := r.editLocked(edit)
	if err != nil {
		return err
	}
	return r.writeLocked(keys, r.changing.master, r.changing.params)
}

// editLocked returns what edit makes of the keyring, written nowhere.
func (r *Ring) editLocked(edit func(*keyset) error) (*keyset, error) {
	if r.file.ReadOnly {
		return nil, ErrReadOnly
	}
	r.mu.RLock()
	keys := r.mu.keys
	r.mu.RUnlock()
	if keys == nil {
		return nil, ErrClosed
	}
	keys = keys.clone()
	return keys, edit(keys)
}

// writeLocked writes keys under a master key and installs both. An epoch that was tried is
// never tried again (K3).
func (r *Ring) writeLocked(keys *keyset, master Key, params []byte) error {
	r.changing.epoch++
	keys.epoch = r.changing.epoch
	body := keys.encode()
	digest, err := r.file.write(r.store, master, params, body)
	clear(body)
	if err != nil {
		return err
	}
	r.install(keys, digest)
	r.changing.master, r.changing.params = master, params
	return nil
}

// install makes keys those that are given out, and wipes what they no longer have.
func (r *Ring) install(keys *keyset, digest [sha256.Size]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.mu.keys; old != nil {
		for i := range old.keys {
			if keys.keys[i].key.IsZero() {
				old.keys[i].key.Wipe()
			}
		}
		if keys.former.IsZero() {
			old.former.Wipe()
		}
	}
	r.mu.keys, r.mu.digest = keys, digest
}

// addKey adds a new data key, the active one.
func (r *Ring) addKey(s *keyset) error {
	if len(s.keys) == maxKeys {
		return ErrFull
	}
	c, err := r.file.cipher()
	if err != nil {
		return err
	}
	key, err := RandomKey(r.file.Random)
	if err != nil {
		return err
	}
	now := r.file.now()
	id := seal.KeyID(len(s.keys) + 1)
	info := KeyInfo{ID: id, State: Retiring, Cipher: c, Created: now, Changed: now}
	s.keys = append(s.keys, dataKey{info, &atomic.Uint64{}, key})
	s.activate(id, now)
	return nil
}

// activate makes a live key the active one.
func (s *keyset) activate(id seal.KeyID, now time.Time) {
	if k := s.find(s.active); k != nil {
		k.State, k.Changed = Retiring, now
	}
	k := s.find(id)
	k.State, k.Changed = Active, now
	s.active = id
}

// Rotate adds a data key of the ring's cipher and makes it the active one: new files take it,
// and what the others hold can be written anew at leisure. It returns the new key's id. A new vault key
// comes with it; the one before stays until the vault is sealed anew: Vault.Reseal, then DropVaultKey. If
// one has stayed from an earlier call, no other is made. Errors:
// ErrFull, ErrUncertain, ErrReadOnly, ErrClosed, and those of the file system.
func (r *Ring) Rotate() (seal.KeyID, error) {
	var id seal.KeyID
	err := r.change(func(s *keyset) error {
		err := r.addKey(s)
		id = s.active
		if err != nil || !s.former.IsZero() {
			return err
		}
		s.former = s.vault
		s.vault, err = RandomKey(r.file.Random)
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// DropVaultKey removes the vault key before the present one, under which nothing is sealed any more, for ever. If
// there is none it does nothing. Errors: ErrUncertain, ErrReadOnly, ErrClosed, and those of the file system.
func (r *Ring) DropVaultKey() error {
	if st, err := r.Status(); err != nil || !st.VaultKeyStays {
		return err
	}
	return r.change(func(s *keyset) error {
		s.former = Key{}
		return nil
	})
}

// Activate makes a retiring data key the active one again. Errors: ErrNoKey, ErrRetired, and as
// Rotate.
func (r *Ring) Activate(id seal.KeyID) error {
	return r.change(func(s *keyset) error {
		k := s.find(id)
		switch {
		case k == nil:
			return fmt.Errorf("%w: %d", ErrNoKey, id)
		case k.State == Retired:
			return fmt.Errorf("%w: %d", ErrRetired, id)
		case id != s.active:
			s.activate(id, r.file.now())
		}
		return nil
	})
}

// Retire removes a retiring data key for ever. users names everything that needs it: files of
// the store, those that are being written included, checkpoints that share the keyring's keys,
// backups. It is called while no other change runs, and must not change the keyring. Whoever
// makes files takes the active key, so that nothing new can need the key afterwards.
//
// Errors: *InUseError if there are users; that of users; ErrActive, ErrNoKey, ErrRetired; and
// as Rotate.
func (r *Ring) Retire(id seal.KeyID, users func(seal.KeyID) ([]string, error)) error {
	return r.change(func(s *keyset) error {
		k := s.find(id)
		switch {
		case k == nil:
			return fmt.Errorf("%w: %d", ErrNoKey, id)
		case k.State == Retired:
			return fmt.Errorf("%w: %d", ErrRetired, id)
		case k.State == Active:
			return fmt.Errorf("%w: %d", ErrActive, id)
		}
		names, err := users(id)
		if err != nil {
			return fmt.Errorf("crypto: ask who uses key %d: %w", id, err)
		}
		if len(names) > 0 && !(mutant.Enabled && mutant.Is(mutant.RetireInUse)) {
			return &InUseError{ID: id, Users: names}
		}
		k.State, k.Changed = Retired, r.file.now()
		if !(mutant.Enabled && mutant.Is(mutant.KeepRetiredKey)) {
			k.key = Key{}
		}
		return nil
	})
}

// Rewrap puts the keyring under another master key: that of a provider, which may be the same
// one with a new key. Only this small file is written. After ErrUncertain either key may be the
// one that opens the keyring, until a later change succeeds, which it does under the old one.
// Errors: as Rotate, and those of the provider.
func (r *Ring) Rewrap(ctx context.Context, p KeyProvider) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	keys, err := r.editLocked(func(*keyset) error { return nil })
	if err != nil {
		return err
	}
	master, params, err := newMaster(ctx, p, r.file.Options)
	if err != nil {
		return err
	}
	old := r.changing.master
	if err := r.writeLocked(keys, master, params); err != nil {
		master.Wipe()
		return err
	}
	old.Wipe()
	return nil
}

// Save writes the keyring as it is, for what was counted. Errors: as Rotate.
func (r *Ring) Save() error { return r.change(func(*keyset) error { return nil }) }

// Move gives the keyring's file its name, KeyringName, or takes that from it: see Options.Aside. It
// is durable when Move returns nil. Errors: ErrUncertain, ErrReadOnly, ErrClosed.
func (r *Ring) Move(aside bool) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if _, err := r.editLocked(func(*keyset) error { return nil }); err != nil {
		return err
	}
	f, name := &r.file, keyringName(aside)
	if f.name == name {
		return nil
	}
	if err := f.FS.Rename(path.Join(f.Dir, f.name), path.Join(f.Dir, name)); err != nil {
		return fmt.Errorf("%w: rename %s to %s: %w", ErrUncertain, f.name, name, err)
	}
	f.name, f.Aside = name, aside
	if err := f.FS.SyncDir(f.Dir); err != nil {
		return fmt.Errorf("%w: sync directory of %s: %w", ErrUncertain, name, err)
	}
	return nil
}

// CopyTo makes the keyring of a copy of the store, with the same keys under the same master key
// and an epoch of its own, in the directory of o, of which FS, Dir and Random are used, and
// returns it, open. A keyring that is there is never replaced. Errors: as Create.
func (r *Ring) CopyTo(store fileid.UID, o Options) (*Ring, error) {
	c := &Ring{file: keyringFile(o), store: store}
	if err := c.file.checkNew(); err != nil {
		return nil, err
	}
	keys, master, params, err := r.secrets()
	if err != nil {
		return nil, err
	}
	if err := c.writeLocked(keys, master, params); err != nil { // nobody else has c
		keys.wipe()
		master.Wipe()
		return nil, err
	}
	return c, nil
}

// secrets returns all that the keyring has, in memory of its own.
func (r *Ring) secrets() (*keyset, Key, []byte, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return nil, Key{}, nil, ErrClosed
	}
	return r.mu.keys.copy(), r.changing.master.clone(), r.changing.params, nil
}

// Count adds to the bytes that were sealed under a data key. It writes nothing: the next change
// does. An unknown id counts nothing.
func (r *Ring) Count(id seal.KeyID, bytes uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return
	}
	if k := r.mu.keys.find(id); k != nil {
		k.sealed.Add(bytes)
	}
}

// Status is what may be known of a keyring. It holds no secret.
type Status struct {
	// Store is the UID of the keyring's store, Epoch how often the keyring was written.
	Store fileid.UID
	Epoch uint64
	// Active is the id of the key that new files take.
	Active seal.KeyID
	// VaultKeyStays: the vault may still be sealed under the vault key before the present one.
	VaultKeyStays bool
	// Keys are all data keys, the retired ones included, by id.
	Keys []KeyInfo
}

// Status returns what may be known of the keyring as it is. Error: ErrClosed.
func (r *Ring) Status() (Status, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	keys := r.mu.keys
	if keys == nil {
		return Status{}, ErrClosed
	}
	st := Status{Store: r.store, Epoch: keys.epoch, Active: keys.active, VaultKeyStays: !keys.former.IsZero()}
	for _, k := range keys.keys {
		k.KeyInfo.Sealed = k.sealed.Load()
		st.Keys = append(st.Keys, k.KeyInfo)
	}
	return st, nil
}

// Policy says when a data key has served. Zero fields are no limits.
type Policy struct {
	// MaxAge is how long a key is active for new files.
	MaxAge time.Duration
	// MaxBytes is how many bytes are sealed under a key.
	MaxBytes uint64
}

// Due reports whether the policy asks for a new active key now.
func (p Policy) Due(active KeyInfo, now time.Time) bool {
	return p.MaxAge > 0 && now.Sub(active.Created) >= p.MaxAge || p.MaxBytes > 0 && active.Sealed >= p.MaxBytes
}
