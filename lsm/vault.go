package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// vault has the scope keys of an encrypted store. Its file is made with the first of them. The
// directory says which key a scope has, by its id; values say under which key they are.
//
//   - S1. A key is in the vault, and then in the directory, before anything is sealed under it.
//   - S2. What is sealed for a scope is committed only while the key is the scope's and is not
//     refused: Shred is a change of the directory (D3), and sealing is done with what the leader
//     then finds to hold or sends back.
//   - S3. That a key is refused is durable before it is destroyed, and refused keys that a crash,
//     or a vault that was put back, has left are destroyed by the next opening.
type vault struct {
	db *DB
	of *crypto.Vault                // that of the store of which this one is a copy; nil: not known
	is atomic.Pointer[crypto.Vault] // the store's own; nil: there is none yet

	// lookUp is constant. nil: opening has read all refusals. Else there was no vault, and each is looked
	// up when it is asked for: by a function value, without which the compiler takes reads for recursive and has
	// their buffers escape.
	lookUp func(key crypto.ScopeKeyID) error

	// changing serialises the making and destroying of keys. It is held during I/O and commits, on the
	// store's own device. It guards spare.
	changing sync.Mutex
	spare    []crypto.ScopeKeyID // were made for scopes that came to nothing, and are no scope's

	visiting chan struct{} // serialises who destroys keys in checkpoints; of one element
	toForget atomic.Bool   // there may be keys that can go (vault_forget.go)

	mu      sync.RWMutex // guards the rest; taken after changing, and never held during I/O
	keys    map[scope.ID]crypto.ScopeKeyID
	refused map[crypto.ScopeKeyID]bool
	left    map[crypto.ScopeKeyID]uint64 // keys of scopes that this opening has buried, and the read state of then
}

// scopeSeal is what the directory has of the sealing in a scope.
type scopeSeal struct {
	key   crypto.ScopeKeyID
	whole bool // every value is sealed, whoever writes it

	// former are the keys before it, under which nothing is sealed here any more: of the store that this
	// one is a copy of, or of a vault that is gone.
	former []crypto.ScopeKeyID
}

// all returns the keys under which there may be values.
func (of scopeSeal) all() []crypto.ScopeKeyID {
	return append([]crypto.ScopeKeyID{of.key}, of.former...)
}

// openVault opens the vaults of an encrypted store, where there are any, and ends what a crash has
// interrupted (S3). Called before the store is shared.
func (d *DB) openVault() error {
	v := &d.vault
	if d.keyring == nil {
		return nil
	}
	own, err := openVaultIn(d.opts.seams.FS, d.dir, d.keyring, &d.opts, d.opts.ReadOnly)
	switch {
	case err == nil:
		v.is.Store(own)
	case !errors.Is(err, vfs.ErrNotExist):
		return err
	}
	if dir := d.opts.Encryption.Vault; dir != "" {
		if v.of, err = d.openVaultOf(d.opts.outside(), dir, true); err != nil {
			return fmt.Errorf("vault in %s: %w", dir, err)
		}
	}
	v.toForget.Store(!d.opts.ReadOnly)
	if v.is.Load() == nil && v.of == nil {
		// A store that has sealed nothing would read damaged tables now for nothing.
		v.lookUp = func(key crypto.ScopeKeyID) error {
			_, err := d.get(nil, systemKeys.prefix, shredKey(key), keys.MaxSeqNum)
			return err
		}
		return nil
	}
	return v.endShreds()
}

// openVaultIn opens the vault in a directory with the vault key of a keyring, or with the one before it.
func openVaultIn(fs vfs.FS, dir string, k *keyring, o *Options, readOnly bool) (*crypto.Vault, error) {
	secret, before, err := k.ring.VaultKeys()
	if err != nil {
		return nil, keyError(err)
	}
	defer secret.Wipe()
	defer before.Wipe()
	files := o.keyFiles(fs, dir)
	files.ReadOnly = readOnly
	v, err := crypto.OpenVault(secret, crypto.Expected{}, files)
	if errors.Is(err, crypto.ErrWrongKey) && !before.IsZero() {
		v, err = crypto.OpenVault(before, crypto.Expected{}, files)
	}
	return v, vaultError(err)
}

// openVaultOf opens the vault in the directory of another store, of which this one is a copy or the other way round: with
// the vault key that both have, or else, since one of them has a newer one, with that of the other's
// keyring, as far as the master key of this one opens it.
func (d *DB) openVaultOf(fs vfs.FS, dir string, readOnly bool) (*crypto.Vault, error) {
	v, err := openVaultIn(fs, dir, d.keyring, &d.opts, readOnly)
	if !errors.Is(err, ErrWrongKey) {
		return v, err
	}
	o, e := d.opts, *d.opts.Encryption
	e.MinAnchor = Anchor{} // it is this store's
	o.Encryption = &e
	k, kerr := openKeyring(fs, dir, &o)
	if kerr != nil || k == nil {
		return nil, errors.Join(err, kerr)
	}
	defer k.close()
	return openVaultIn(fs, dir, k, &o, readOnly)
}

// endShreds reads which keys are refused, and destroys those that are still there.
func (v *vault) endShreds() error {
	own := v.is.Load()
	var live []crypto.ScopeKeyID
	for r, err := range v.db.Shreds() {
		if err != nil {
			return err
		}
		v.refuse(true, r.Key)
		if own != nil && own.Check(r.Key) == nil {
			live = append(live, r.Key)
		}
	}
	if len(live) == 0 || v.db.opts.ReadOnly {
		return nil
	}
	return vaultError(own.Destroy(live...))
}

// make returns the store's vault, and makes it if there is none. Called with changing held.
func (v *vault) make() (*crypto.Vault, error) {
	if own := v.is.Load(); own != nil {
		return own, nil
	}
	d := v.db
	if d.keyring.decrypting() {
		return nil, ErrDecrypting
	}
	secret, before, err := d.keyring.ring.VaultKeys()
	if err != nil {
		return nil, keyError(err)
	}
	before.Wipe()
	defer secret.Wipe()
	uid, err := fileid.NewUID(d.opts.seams.Random)
	if err != nil {
		return nil, err
	}
	own, err := crypto.CreateVault(uid, secret, d.opts.keyFiles(d.opts.seams.FS, d.dir))
	if err != nil {
		return nil, vaultError(err)
	}
	v.is.Store(own)
	return own, nil
}

// close wipes the keys.
func (v *vault) close() {
	for _, c := range []*crypto.Vault{v.is.Load(), v.of} {
		if c != nil {
			_ = c.Close() // writes nothing
		}
	}
}

// refuse makes keys such that nothing is sealed or opened under them any more, or takes that back.
func (v *vault) refuse(refused bool, keys ...crypto.ScopeKeyID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refused == nil {
		v.refused = map[crypto.ScopeKeyID]bool{}
	}
	for _, key := range keys {
		v.refused[key] = refused
	}
}

func (v *vault) isRefused(key crypto.ScopeKeyID) bool {
	v.mu.RLock()
	refused, known := v.refused[key]
	v.mu.RUnlock()
	if known || v.lookUp == nil {
		return refused
	}
	err := v.lookUp(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	if refused, known = v.refused[key]; known { // meanwhile
		return refused
	}
	if err != ErrNotFound { // returned bare; what cannot be read may be a refusal
		return true
	}
	if v.refused == nil {
		v.refused = map[crypto.ScopeKeyID]bool{}
	}
	v.refused[key] = false
	return false
}

// note keeps which key a scope has.
func (v *vault) note(id scope.ID, key crypto.ScopeKeyID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil {
		v.keys = map[scope.ID]crypto.ScopeKeyID{}
	}
	v.keys[id] = key
}

func (v *vault) known(id scope.ID) (crypto.ScopeKeyID, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, ok := v.keys[id]
	return key, ok
}

// check returns nil if values can be sealed under the key.
func (v *vault) check(key crypto.ScopeKeyID) error {
	own := v.is.Load()
	switch {
	case v.isRefused(key):
		return ErrShredded
	case own == nil:
		return ErrNoScopeKey
	}
	return valueError(own.Check(key))
}

// keyOf returns the key of the scope with the id, which a claim says to be its, and makes one if
// there is none. Errors: ErrNotEncrypted, ErrShredded, errRedirected, those of the vault and of
// commits.
func (v *vault) keyOf(id scope.ID, c claim) (crypto.ScopeKeyID, error) {
	if v.db.keyring == nil {
		return crypto.ScopeKeyID{}, ErrNotEncrypted
	}
	if key, ok := v.known(id); ok {
		return key, v.check(key)
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	of, found, err := v.recorded(id)
	if err != nil {
		return of.key, err
	}
	if found {
		if err = v.check(of.key); !errors.Is(err, ErrNoScopeKey) {
			v.note(id, of.key)
			return of.key, err
		}
		of.former = of.all()
	}
	if of.key, err = v.newKey(); err != nil {
		return of.key, err
	}
	var b dirBatch
	b.claims = append(b.claims, c)
	b.add(keys.KindSet, idKey(recordScopeKey, id), scopeKeyValue(of))
	if _, err := v.db.commitDirectory(&b, NoSync); err != nil {
		if err == errRedirected { // returned bare
			v.spare = append(v.spare, of.key)
		}
		return of.key, err // nothing is sealed under the key, nor will be
	}
	v.note(id, of.key)
	return of.key, nil
}

// fresh returns a new key, for an id that is about to be given to a scope.
func (v *vault) fresh() (crypto.ScopeKeyID, error) {
	if v.db.keyring == nil {
		return crypto.ScopeKeyID{}, ErrNotEncrypted
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	return v.newKey()
}

// giveBack takes back a key of fresh that is no scope's, nor in any record.
func (v *vault) giveBack(key crypto.ScopeKeyID) {
	v.changing.Lock()
	defer v.changing.Unlock()
	v.spare = append(v.spare, key)
}

// newKey returns a key that no scope has. Called with changing held.
func (v *vault) newKey() (crypto.ScopeKeyID, error) {
	if n := len(v.spare); n > 0 {
		key := v.spare[n-1]
		v.spare = v.spare[:n-1]
		return key, nil
	}
	own, err := v.make()
	if err != nil {
		return crypto.ScopeKeyID{}, err
	}
	made, err := own.NewKeys(1)
	if err != nil {
		return crypto.ScopeKeyID{}, vaultError(err)
	}
	return made[0], nil
}

// recorded returns what the directory has of an id.
func (v *vault) recorded(id scope.ID) (of scopeSeal, found bool, err error) {
	value, err := v.db.get(nil, systemKeys.prefix, idKey(recordScopeKey, id), keys.MaxSeqNum)
	if err == ErrNotFound { // returned bare
		return of, false, nil
	}
	if err == nil {
		of, err = decodeScopeKey(value)
	}
	return of, err == nil, err
}

// seal appends a value, sealed under a key, to dst.
func (v *vault) seal(dst []byte, key crypto.ScopeKeyID, userKey, value []byte) ([]byte, error) {
	own := v.is.Load()
	if own == nil {
		return dst, ErrNoScopeKey
	}
	out, err := own.SealValue(dst, key, userKey, value)
	return out, valueError(err)
}

// open returns the value that was sealed. It gives copies to the cipher, of which the compiler must
// think that it keeps what it is given: readers would pay for it that meet nothing sealed. Errors:
// ErrShredded, ErrNoScopeKey, ErrCorrupt, ErrClosed.
func (v *vault) open(userKey, sealed []byte) ([]byte, error) {
	key, err := crypto.KeyOfValue(sealed)
	if err != nil {
		return nil, valueError(err)
	}
	if v.isRefused(key) {
		return nil, ErrShredded
	}
	given, from := bytes.Clone(userKey), bytes.Clone(sealed)
	for _, c := range []*crypto.Vault{v.is.Load(), v.of} {
		if c == nil {
			continue
		}
		out, err := c.OpenValue([]byte{}, given, from)
		switch {
		case err == nil:
			return out, nil
		case !errors.Is(err, crypto.ErrNoKey):
			return nil, valueError(err)
		}
	}
	return nil, ErrNoScopeKey
}

// openInternal is open for a key that begins with a scope's id.
func (v *vault) openInternal(key, sealed []byte) ([]byte, error) {
	given := bytes.Clone(key) // as open does
	return v.open(given[scopePrefixLen(given):], sealed)
}

// vaultError translates an error of the vault's file.
func vaultError(err error) error {
	var c *CorruptionError
	switch {
	case err == nil || errors.As(err, &c):
		return err
	case errors.Is(err, crypto.ErrCorrupt):
		return &CorruptionError{File: crypto.VaultName, Offset: -1, Err: err}
	case errors.Is(err, crypto.ErrTooNew):
		return errors.Join(ErrTooNew, err)
	case errors.Is(err, crypto.ErrClosed):
		return ErrClosed
	}
	return err
}

// valueError translates an error of sealing or opening a value.
func valueError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, crypto.ErrNoKey):
		return ErrNoScopeKey
	case errors.Is(err, crypto.ErrCorrupt):
		return &CorruptionError{File: "sealed value", Offset: -1, Err: err}
	case errors.Is(err, crypto.ErrClosed):
		return ErrClosed
	}
	return err
}

// unopened reports whether an error says that a value is there and cannot be opened, which is
// nobody's fault and concerns no other.
func unopened(err error) bool {
	return err != nil && (errors.Is(err, ErrShredded) || errors.Is(err, ErrNoScopeKey))
}
