package crypto

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// Ring is a store's keyring, open: it gives every file of the store its cipher. Its methods
// may be called from any number of goroutines. Changes are made one at a time, each durable
// when its method returns nil; ciphers are given out meanwhile.
//
// Invariants, which tests cite:
//
//   - K1. The file is the old keyring or the new one, wherever a change is interrupted.
//   - K2. Every data key that is given out for new files is in the file first, and in each file
//     that an interrupted change may have left.
//   - K3. No two different keyrings that a store was ever open with have the same epoch.
//   - K4. A retired key is in no file, and its id is never another key's.
type Ring struct {
	// Constant after construction.
	file  file
	store fileid.UID
	found Anchor // of the file that Open has read

	// changing serialises changes, which write the file. It guards what follows it.
	changing struct {
		sync.Mutex
		master Key
		params []byte
		epoch  uint64 // the greatest that was tried
	}

	// mu is never held during I/O. After changing, where both are held.
	mu struct {
		sync.RWMutex
		keys   *keyset // nil when closed; replaced, never changed
		digest [sha256.Size]byte
	}
}

// Create makes the keyring of a new store, with one data key, under the key of a provider.
// A keyring that is there is never replaced: the error matches vfs.ErrExist. Other errors:
// ErrInvalidKey, ErrUncertain, and those of the file system and the provider.
func Create(ctx context.Context, store fileid.UID, p KeyProvider, o Options) (*Ring, error) {
	r := &Ring{file: keyringFile(o), store: store}
	if err := r.file.checkNew(); err != nil {
		return nil, err
	}
	keys := &keyset{}
	var err error
	if keys.vault, err = RandomKey(o.Random); err != nil {
		return nil, err
	}
	if keys.family, err = fileid.NewUID(o.Random); err != nil {
		return nil, err
	}
	if err := r.addKey(keys); err != nil {
		return nil, err
	}
	master, params, err := newMaster(ctx, p, o)
	if err != nil {
		return nil, err
	}
	if err := r.writeLocked(keys, master, params); err != nil { // nobody else has r
		return nil, err
	}
	return r, nil
}

// newMaster asks a provider for a new master key.
func newMaster(ctx context.Context, p KeyProvider, o Options) (Key, []byte, error) {
	master, params, err := p.NewKey(ctx, o.Random)
	switch {
	case err != nil:
		return Key{}, nil, err
	case master.IsZero():
		return Key{}, nil, fmt.Errorf("%w: the provider gave none", ErrInvalidKey)
	case len(params) > maxParamsLen:
		return Key{}, nil, fmt.Errorf("%w: %d bytes of parameters, at most %d", ErrInvalidKey, len(params), maxParamsLen)
	}
	return master.clone(), params, nil
}

// Open reads the keyring of a store. Nothing is decrypted unless the key is right. Unless it is
// opened for reading only it is written anew: the process that wrote it may have been killed, or
// have seen a sync fail, before the file was durable, and its keys must not be used before (K2).
// Errors: one that matches vfs.ErrNotExist where there is none, ErrWrongKey, ErrAuth,
// ErrRollback, ErrTooNew, ErrUncertain, and those of the file system and the provider.
func Open(ctx context.Context, p KeyProvider, want Expected, o Options) (*Ring, error) {
	r := &Ring{file: keyringFile(o)}
	s, digest, err := r.file.read()
	if err != nil {
		return nil, err
	}
	master, err := p.Key(ctx, s.params)
	if err != nil {
		return nil, err
	}
	if master.IsZero() {
		return nil, fmt.Errorf("%w: the provider gave none", ErrInvalidKey)
	}
	body, err := s.open(master)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	keys, err := decodeKeyset(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAuth, r.file.name, err)
	}
	r.found = Anchor{s.uid, keys.epoch, digest}
	if err := want.check(r.file.name, r.found); err != nil {
		return nil, err
	}
	r.store, r.changing.epoch = s.uid, keys.epoch
	master, params := master.clone(), bytes.Clone(s.params)
	if o.ReadOnly || mutant.Enabled && mutant.Is(mutant.TrustKeyring) {
		r.changing.master, r.changing.params = master, params
		r.mu.keys = keys
		return r, nil
	}
	if err := r.writeLocked(keys, master, params); err != nil { // nobody else has r
		return nil, err
	}
	return r, nil
}

// Check compares the keyring, as Open has read it, with an anchor of it that was found later,
// such as in a file of the store. Errors: ErrRollback, ErrAuth.
func (r *Ring) Check(a Anchor) error {
	want := Expected{Anchor: a}
	return want.check(r.file.name, r.found)
}

// Renew makes a keyring that was opened for reading one for writing, and writes it anew, as Open
// does for a writer. It comes before anything else is done with the keyring but reading: whoever
// writes it before he has compared it with every anchor there is raises the epoch of one that was
// put back. Errors: ErrUncertain, ErrClosed, and those of the file system.
func (r *Ring) Renew() error {
	r.file.ReadOnly = false // nobody else has r
	return r.Save()
}

// Store returns the UID of the store that has the keyring.
func (r *Ring) Store() fileid.UID { return r.store }

// NewFile returns the cipher of a new file under the active data key, with the key's id for
// the file's header. The salt must be new, for this file alone. Error: ErrClosed.
func (r *Ring) NewFile(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return nil, 0, ErrClosed
	}
	k := r.mu.keys.find(r.mu.keys.active)
	c, err := deriveCipher(fileKeyInfo, k.key, k.Cipher, kind, uid, salt)
	return c, k.ID, err
}

// OpenFile returns the cipher of a file whose header has this key id and salt. That it is the
// right one shows when the file's first block opens. Errors: ErrNoKey, ErrRetired, ErrClosed.
func (r *Ring) OpenFile(id seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return nil, ErrClosed
	}
	k := r.mu.keys.find(id)
	switch {
	case k == nil:
		return nil, fmt.Errorf("%w: %d", ErrNoKey, id)
	case k.State == Retired:
		return nil, fmt.Errorf("%w: %d", ErrRetired, id)
	}
	return deriveCipher(fileKeyInfo, k.key, k.Cipher, kind, uid, salt)
}

// Family returns what names the data keys: keyrings of one family, which are those of a store and of its copies,
// mean the same key by an id that both had when one was copied from the other. In others an id is another key's.
// Error: ErrClosed.
func (r *Ring) Family() (fileid.UID, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return fileid.UID{}, ErrClosed
	}
	return r.mu.keys.family, nil
}

// VaultKeys returns the key that the store's vault is sealed under, and the one before it, copies both. As long as
// that is not the zero Key the vault may still be sealed under it: see Rotate. Error: ErrClosed.
func (r *Ring) VaultKeys() (now, before Key, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return Key{}, Key{}, ErrClosed
	}
	return r.mu.keys.vault.clone(), r.mu.keys.former.clone(), nil
}

// StoreOf returns the UID of the store that a keyring is of, as the file says: no key is asked for, and so nothing
// shows that the file is authentic. FS, Dir and Aside of the options are used. Errors: one that matches
// vfs.ErrNotExist where there is none, ErrAuth, ErrTooNew, and those of the file system.
func StoreOf(o Options) (fileid.UID, error) {
	f := keyringFile(o)
	s, _, err := f.read()
	if err != nil {
		return fileid.UID{}, err
	}
	return s.uid, nil
}

// Close wipes the keys. Ciphers that were given out go on. It is idempotent, and writes
// nothing: see Save.
func (r *Ring) Close() error {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.keys == nil {
		return nil
	}
	r.mu.keys.wipe()
	r.changing.master.Wipe()
	r.mu.keys = nil
	return nil
}

// Format implements fmt.Formatter.
func (r *Ring) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "crypto.Ring(%s)", r.store) }

// Anchor returns the anchor of the keyring as it is, which is durable. Errors: ErrClosed;
// ErrReadOnly, since what was only read may not be durable.
func (r *Ring) Anchor() (Anchor, error) {
	if r.file.ReadOnly {
		return Anchor{}, ErrReadOnly
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.keys == nil {
		return Anchor{}, ErrClosed
	}
	return Anchor{r.store, r.mu.keys.epoch, r.mu.digest}, nil
}
