package crypto

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
)

// ScopeKeyID names a scope key, everywhere: it is random. Sealed values hold it.
type ScopeKeyID [16]byte

// String returns the id in hexadecimal.
func (id ScopeKeyID) String() string { return hex.EncodeToString(id[:]) }

// Vault is an open vault: the keys of scopes, in one small file that is not copied with the
// store. To destroy a key there makes what was sealed under it unreadable. Its methods may be
// called from any number of goroutines. Changes are made one at a time, each durable when its
// method returns nil, and write the whole file; K1 and K3 of Ring hold for it too.
//
//   - V1. A scope key is in the file before anything is sealed under it.
//   - V2. A destroyed key is in no file, and its id is refused for ever.
type Vault struct {
	// Constant after construction.
	file file
	uid  fileid.UID

	// changing serialises changes, which write the file. It guards what follows it.
	changing struct {
		sync.Mutex
		secret Key
		epoch  uint64 // the greatest that was tried
	}

	// mu is never held during I/O. After changing, where both are held.
	mu struct {
		sync.RWMutex
		keys   *scopeKeys // nil when closed; replaced, never changed
		digest [sha256.Size]byte
	}
}

// scopeKeys is what a vault holds: keys by ascending id.
type scopeKeys struct {
	epoch uint64
	keys  []scopeKey
}

type scopeKey struct {
	id   ScopeKeyID
	when time.Time // made; destroyed, if key is zero
	key  Key
	aead cipher.AEAD
}

func newScopeKey(id ScopeKeyID, when time.Time, key Key) (scopeKey, error) {
	aead, err := hidden(chacha20poly1305.NewX(key.bytes()))
	return scopeKey{id, when, key, aead}, err
}

// CreateVault makes a vault without keys, sealed under a secret, which is copied: that of
// Ring.VaultKeys for a store. A vault that is there is never replaced: the error matches
// vfs.ErrExist. Other errors: ErrInvalidKey, ErrUncertain, ErrReadOnly, those of the file
// system.
func CreateVault(uid fileid.UID, secret Key, o Options) (*Vault, error) {
	v := &Vault{file: vaultFile(o), uid: uid}
	if err := v.file.checkNew(); err != nil {
		return nil, err
	}
	if secret.IsZero() {
		return nil, ErrInvalidKey
	}
	v.changing.secret = secret.clone()
	if err := v.writeLocked(&scopeKeys{}); err != nil { // nobody else has v
		return nil, err
	}
	return v, nil
}

// OpenVault reads a vault, and writes it anew unless it is opened for reading only, for the
// reason that Open tells. Errors: one that matches vfs.ErrNotExist where there is none,
// ErrInvalidKey, ErrWrongKey, ErrAuth, ErrRollback, ErrTooNew, ErrUncertain, and those of the
// file system.
func OpenVault(secret Key, want Expected, o Options) (*Vault, error) {
	v := &Vault{file: vaultFile(o)}
	if secret.IsZero() {
		return nil, ErrInvalidKey
	}
	s, digest, err := v.file.read()
	if err != nil {
		return nil, err
	}
	body, err := s.open(secret)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	keys, err := decodeScopeKeys(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAuth, v.file.name, err)
	}
	if err := want.check(v.file.name, Anchor{s.uid, keys.epoch, digest}); err != nil {
		return nil, err
	}
	v.uid, v.changing.secret, v.changing.epoch, v.mu.keys = s.uid, secret.clone(), keys.epoch, keys
	if o.ReadOnly {
		return v, nil
	}
	if err := v.writeLocked(keys); err != nil { // nobody else has v
		return nil, err
	}
	return v, nil
}

// UID returns the vault's UID.
func (v *Vault) UID() fileid.UID { return v.uid }

// Anchor returns the anchor of the vault as it is, which is durable. Errors: ErrClosed,
// ErrReadOnly.
func (v *Vault) Anchor() (Anchor, error) {
	if v.file.ReadOnly {
		return Anchor{}, ErrReadOnly
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.mu.keys == nil {
		return Anchor{}, ErrClosed
	}
	return Anchor{v.uid, v.mu.keys.epoch, v.mu.digest}, nil
}

// change writes what edit makes of the vault and then installs it.
func (v *Vault) change(edit func(*scopeKeys) error) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	keys, err := v.writable()
	if err != nil {
		return err
	}
	keys = &scopeKeys{keys: slices.Clone(keys.keys)}
	if err := edit(keys); err != nil {
		return err
	}
	return v.writeLocked(keys)
}

// writable returns the keys, for who may write others. The caller holds changing.
func (v *Vault) writable() (*scopeKeys, error) {
	if v.file.ReadOnly {
		return nil, ErrReadOnly
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.mu.keys == nil {
		return nil, ErrClosed
	}
	return v.mu.keys, nil
}

// writeLocked writes keys and installs them. An epoch that was tried is never tried again.
func (v *Vault) writeLocked(keys *scopeKeys) error {
	v.changing.epoch++
	keys.epoch = v.changing.epoch
	body := keys.encode()
	digest, err := v.file.write(v.uid, v.changing.secret, nil, body)
	clear(body)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.keys, v.mu.digest = keys, digest
	return nil
}

// errRepeats: what gives random bytes has given the same ones twice.
var errRepeats = errors.New("crypto: source of randomness repeats itself")

// NewKeys makes n scope keys, at least one, by one writing of the file, and returns their ids.
// Errors: ErrFull, ErrUncertain, ErrReadOnly, ErrClosed, those of the file system.
func (v *Vault) NewKeys(n int) ([]ScopeKeyID, error) {
	ids := make([]ScopeKeyID, max(n, 1))
	err := v.change(func(s *scopeKeys) error {
		if len(s.keys)+len(ids) > maxScopeKeys {
			return ErrFull
		}
		for i := range ids {
			if _, err := io.ReadFull(v.file.Random, ids[i][:]); err != nil {
				return fmt.Errorf("crypto: id of a scope key: %w", err)
			}
			key, err := RandomKey(v.file.Random)
			if err != nil {
				return err
			}
			k, err := newScopeKey(ids[i], v.file.now(), key)
			if err != nil {
				return err
			}
			s.keys = append(s.keys, k)
		}
		slices.SortFunc(s.keys, func(a, b scopeKey) int { return bytes.Compare(a.id[:], b.id[:]) })
		for i := range s.keys[1:] {
			if s.keys[i].id == s.keys[i+1].id {
				return errRepeats
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// Destroy removes scope keys for ever, by one writing of the file. That an id is destroyed, or
// was never here, is no error: it is refused from now on. What the device keeps of the file
// that was replaced, and what copies of it hold, is out of its reach. Errors: as NewKeys.
func (v *Vault) Destroy(ids ...ScopeKeyID) error {
	var gone []Key
	err := v.change(func(s *scopeKeys) error {
		for _, id := range ids {
			i, found := s.search(id)
			if !found {
				if len(s.keys) == maxScopeKeys {
					return ErrFull
				}
				s.keys = slices.Insert(s.keys, i, scopeKey{id: id, when: v.file.now()})
				continue
			}
			if k := &s.keys[i]; !k.key.IsZero() && !(mutant.Enabled && mutant.Is(mutant.KeepScopeKey)) {
				gone = append(gone, k.key)
				*k = scopeKey{id: id, when: v.file.now()}
			}
		}
		return nil
	})
	if err == nil {
		for _, k := range gone { // its cipher has its own copy, which the collector frees
			k.Wipe()
		}
	}
	return err
}

// Forget removes scope keys and leaves no trace of them, by one writing of the file: those under which nothing is left
// that anybody could read. It makes room, and destroys nothing: of the file that was replaced, and of copies of it, the
// same holds as with Destroy, and an id that comes back with an older file is not refused. Ids that are destroyed
// stay so, and unknown ones are no error. Errors: ErrUncertain, ErrReadOnly, ErrClosed, those of the file system.
func (v *Vault) Forget(ids ...ScopeKeyID) error {
	named := make(map[ScopeKeyID]bool, len(ids))
	for _, id := range ids {
		named[id] = true
	}
	var gone []Key
	err := v.change(func(s *scopeKeys) error {
		s.keys = slices.DeleteFunc(s.keys, func(k scopeKey) bool {
			if k.key.IsZero() || !named[k.id] {
				return false
			}
			gone = append(gone, k.key)
			return true
		})
		return nil
	})
	if err == nil {
		for _, k := range gone {
			k.Wipe()
		}
	}
	return err
}

// Reseal writes the vault anew under another secret, which is copied, and under which every later change is written. With
// an error it stays under the one that it had, but the file may be found under either: whoever opens it tries
// both. Errors: ErrInvalidKey, ErrUncertain, ErrReadOnly, ErrClosed, those of the file system.
func (v *Vault) Reseal(secret Key) error {
	if secret.IsZero() {
		return ErrInvalidKey
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	keys, err := v.writable()
	if err != nil {
		return err
	}
	old := v.changing.secret
	v.changing.secret = secret.clone()
	if err := v.writeLocked(&scopeKeys{keys: keys.keys}); err != nil {
		v.changing.secret.Wipe()
		v.changing.secret = old
		return err
	}
	old.Wipe()
	return nil
}

// CopyTo makes another vault with the same keys, destroyed ones among them, sealed under a secret
// of its own, which is copied, and returns it, open. To destroy a key in one of them leaves it in
// the other. Errors: as CreateVault, ErrClosed.
func (v *Vault) CopyTo(uid fileid.UID, secret Key, o Options) (*Vault, error) {
	c := &Vault{file: vaultFile(o), uid: uid}
	if err := c.file.checkNew(); err != nil {
		return nil, err
	}
	if secret.IsZero() {
		return nil, ErrInvalidKey
	}
	c.changing.secret = secret.clone()
	v.changing.Lock() // nothing is destroyed meanwhile
	defer v.changing.Unlock()
	v.mu.RLock()
	keys := v.mu.keys
	v.mu.RUnlock()
	if keys == nil {
		return nil, ErrClosed
	}
	copied := &scopeKeys{keys: slices.Clone(keys.keys)}
	for i := range copied.keys {
		if k := &copied.keys[i]; !k.key.IsZero() {
			k.key = k.key.clone()
		}
	}
	if err := c.writeLocked(copied); err != nil { // nobody else has c
		return nil, err
	}
	return c, nil
}

// Close wipes the keys, as far as Key.Wipe does. It is idempotent and writes nothing.
func (v *Vault) Close() error {
	v.changing.Lock()
	defer v.changing.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.keys == nil {
		return nil
	}
	for _, k := range v.mu.keys.keys {
		k.key.Wipe()
	}
	v.changing.secret.Wipe()
	v.mu.keys = nil
	return nil
}

// Format implements fmt.Formatter.
func (v *Vault) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "crypto.Vault(%s)", v.uid) }

// search returns where an id is, or belongs.
func (s *scopeKeys) search(id ScopeKeyID) (int, bool) {
	return slices.BinarySearchFunc(s.keys, id, func(k scopeKey, id ScopeKeyID) int {
		return bytes.Compare(k.id[:], id[:])
	})
}

// The body of a vault; docs/formats/keyring.md is canonical.
//
//	 0 epoch             scope key, 64 bytes
//	 8 number of keys     0 id          24 time
//	12 zero              16 state       32 key
//	16 scope keys        17 zero
const (
	scopeKeysLen = 16
	scopeKeyLen  = 64
	maxScopeKeys = 1_000_000

	scopeKeyLive, scopeKeyDestroyed = 1, 2
)

func (s *scopeKeys) encode() []byte {
	p := make([]byte, 0, scopeKeysLen+len(s.keys)*scopeKeyLen)
	p = binary.LittleEndian.AppendUint64(p, s.epoch)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(s.keys)))
	p = binary.LittleEndian.AppendUint32(p, 0)
	for i := range s.keys {
		k := &s.keys[i]
		state := byte(scopeKeyLive)
		if k.key.IsZero() {
			state = scopeKeyDestroyed
		}
		p = append(p, k.id[:]...)
		p = append(p, state, 0, 0, 0, 0, 0, 0, 0)
		p = binary.LittleEndian.AppendUint64(p, uint64(k.when.UnixMilli()))
		p = appendKey(p, k.key)
	}
	return p
}

// decodeScopeKeys decodes what encode makes, and copies what it keeps.
func decodeScopeKeys(p []byte) (*scopeKeys, error) {
	d := codec.NewDecoder(p)
	s := &scopeKeys{epoch: d.Uint64()}
	n, zero := uint64(d.Uint32()), d.Uint32()
	if d.Err() != nil || s.epoch == 0 || zero != 0 || n > maxScopeKeys || uint64(d.Len()) != n*scopeKeyLen {
		return nil, errMalformed
	}
	s.keys = make([]scopeKey, 0, n)
	for range n {
		k, ok := decodeScopeKey(&d)
		if last := len(s.keys) - 1; !ok || last >= 0 && bytes.Compare(s.keys[last].id[:], k.id[:]) >= 0 {
			return nil, errMalformed
		}
		s.keys = append(s.keys, k)
	}
	return s, nil
}

func decodeScopeKey(d *codec.Decoder) (k scopeKey, ok bool) {
	copy(k.id[:], d.Bytes(len(k.id)))
	state, zero := d.Uint8(), d.Bytes(7)
	when := int64(d.Uint64())
	key, err := NewKey(d.Bytes(KeyLen))
	k.when = time.UnixMilli(when).UTC()
	if !bytes.Equal(zero, make([]byte, 7)) || when < 0 {
		return k, false
	}
	if state == scopeKeyDestroyed {
		return k, err != nil
	}
	if state != scopeKeyLive || err != nil {
		return k, false
	}
	k, err = newScopeKey(k.id, k.when, key)
	return k, err == nil
}
