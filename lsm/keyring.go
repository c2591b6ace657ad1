package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
)

// keyring is the open keyring of an encrypted store; nil is that of a store in clear, which has
// none. It is the first of the store that is read: with a wrong key nothing else is. It is not
// written before it was compared with the manifest, which knows how old it may be: a keyring that
// was put back would otherwise grow, from opening to opening, as old as it should be.
//
//   - An interrupted creation leaves a keyring without a manifest. The next one goes on with both
//     its keys and its identity.
//   - A manifest without a keyring is that of a store in clear, or damage.
//   - Each change of the keyring is in the keyring first, then in the manifest: what the manifest
//     has is never newer.
type keyring struct {
	ring    *crypto.Ring
	wrap    seams.WrapCipher
	holders keyHolders
	segment *outputs // of the log, while one is prepared
	// conversion is that of the store as this opening has found or begun it (convert.go), or nil.
	conversion *manifest.Conversion
}

func newKeyring(ring *crypto.Ring, wrap seams.WrapCipher) *keyring {
	k := &keyring{ring: ring, wrap: wrap}
	k.segment = k.outputs("a segment of the log that is being prepared")
	return k
}

// openKeyring opens the keyring of the store in dir for reading. Errors: ErrEncrypted,
// ErrWrongKey, ErrCorrupt, and those of the file system and the provider.
func openKeyring(fs vfs.FS, dir string, o *Options) (*keyring, error) {
	found, aside, err := findKeyring(fs, dir)
	switch {
	case err != nil || !found:
		return nil, err
	case o.Encryption == nil:
		return nil, ErrEncrypted
	}
	files := o.keyFiles(fs, dir)
	files.Aside = aside
	files.ReadOnly = !(mutant.Enabled && mutant.Is(mutant.RenewFirst))
	want := crypto.Expected{Anchor: o.Encryption.MinAnchor.keyring}
	ring, err := crypto.Open(context.Background(), o.Encryption.Key, want, files)
	if err != nil {
		return nil, keyError(err)
	}
	return newKeyring(ring, o.seams.WrapCipher), nil
}

// findKeyring reports whether the store in dir is encrypted, and whether its keyring is aside, as a conversion
// leaves it that a crash has interrupted (E1).
func findKeyring(fs vfs.FS, dir string) (found, aside bool, err error) {
	for _, name := range []string{crypto.KeyringName, crypto.AsideName} {
		_, err := fs.Size(filepath.Join(dir, name))
		if errors.Is(err, vfs.ErrNotExist) {
			continue
		}
		if err != nil || name == crypto.KeyringName {
			return err == nil, false, err
		}
		_, err = manifest.Load(fs, dir, nil)
		return err != nil && !errors.Is(err, manifest.ErrNoStore), true, nil
	}
	return false, false, nil
}

// createKeyring makes the keyring of a store.
func createKeyring(store fileid.UID, files crypto.Options, o *Options) (*keyring, error) {
	ring, err := crypto.Create(context.Background(), store, o.Encryption.Key, files)
	if err != nil {
		return nil, keyError(err)
	}
	return newKeyring(ring, o.seams.WrapCipher), nil
}

// keyFiles says where files of keys are, and how they are made.
func (o *Options) keyFiles(fs vfs.FS, dir string) crypto.Options {
	return crypto.Options{FS: fs, Dir: dir, Random: o.seams.Random, Now: o.seams.Now, Cipher: o.Encryption.Cipher}
}

// copyTo makes the keyring of a copy of the store.
func (k *keyring) copyTo(store fileid.UID, files crypto.Options) (*keyring, error) {
	ring, err := k.ring.CopyTo(store, files)
	if err != nil {
		return nil, keyError(err)
	}
	return newKeyring(ring, k.wrap), nil
}

// newCipher gives tables, blob files and segments of the log that are written their ciphers, nil in a store
// that is, or is to be, in clear.
func (k *keyring) newCipher() seal.NewCipher {
	if k.decrypting() {
		return nil
	}
	return k.manifestCipher()
}

// manifestCipher gives manifests their ciphers, nil in a store in clear.
func (k *keyring) manifestCipher() seal.NewCipher {
	switch {
	case k == nil:
		return nil
	case k.wrap != nil:
		return k.wrap(k.ring.NewFile)
	}
	return k.ring.NewFile
}

// openCipher gives files that are read their ciphers, nil in a store in clear.
func (k *keyring) openCipher() seal.OpenCipher {
	if k == nil {
		return nil
	}
	return k.ring.OpenFile
}

// checkState compares the keyring with what the store's manifest knows of it, and takes over what that says of a
// conversion.
func (k *keyring) checkState(s *manifest.State) error {
	if k == nil {
		return nil
	}
	if k.ring.Store() != s.Store {
		return keyError(fmt.Errorf("%w: it is another store's", crypto.ErrAuth))
	}
	k.conversion = s.Conversion
	return keyError(k.ring.Check(crypto.Anchor(s.Keyring)))
}

// anchor returns the keyring's anchor as the manifest keeps it, nil in a store in clear.
func (k *keyring) anchor() *manifest.KeyAnchor {
	if k == nil {
		return nil
	}
	a, err := k.ring.Anchor()
	if err != nil {
		return nil // closed meanwhile: nothing changes
	}
	m := manifest.KeyAnchor(a)
	return &m
}

// due reports whether a policy asks for a new data key, and whether it does for the age of the
// present one.
func (k *keyring) due(p crypto.Policy, now time.Time) (due, aged bool) {
	st, err := k.ring.Status()
	if err != nil {
		return false, false // closed meanwhile
	}
	i := slices.IndexFunc(st.Keys, func(i crypto.KeyInfo) bool { return i.ID == st.Active })
	if i < 0 {
		return false, false
	}
	return p.Due(st.Keys[i], now), crypto.Policy{MaxAge: p.MaxAge}.Due(st.Keys[i], now)
}

// count adds the files that an edit has brought to the bytes under their data keys.
func (k *keyring) count(e *manifest.Edit) {
	if k == nil {
		return
	}
	for _, a := range e.Added {
		moved := slices.ContainsFunc(e.Deleted, func(d manifest.DeletedTable) bool { return d.Num == a.Table.Num })
		if !moved {
			k.ring.Count(a.Table.Key, uint64(a.Table.Bytes))
		}
	}
	for _, b := range e.Blobs {
		k.ring.Count(b.Key, uint64(b.Bytes))
	}
	if n := len(e.AddedSegments); n > 0 { // the last one is new
		k.ring.Count(e.AddedSegments[n-1].Key, uint64(e.AddedSegments[n-1].Bytes))
	}
}

// close wipes the keys.
func (k *keyring) close() {
	if k != nil {
		_ = k.ring.Close() // writes nothing
	}
}

// isKeyFile reports whether a file of this name is one of keys, or left of the making of one.
func isKeyFile(name string) bool {
	return name == crypto.KeyringName || name == crypto.KeyringName+crypto.TempSuffix
}

// isAsideFile reports whether a file of this name is a keyring that is aside, or left of the making of one.
func isAsideFile(name string) bool {
	return name == crypto.AsideName || name == crypto.AsideName+crypto.TempSuffix
}

// keyError translates an error of the keyring, or one that says that it lacks a key.
func keyError(err error) error {
	var c *CorruptionError
	switch {
	case errors.As(err, &c):
		return err
	case errors.Is(err, crypto.ErrCorrupt):
		return &CorruptionError{File: crypto.KeyringName, Offset: -1, Err: err}
	case errors.Is(err, crypto.ErrTooNew):
		return errors.Join(ErrTooNew, err)
	case errors.Is(err, crypto.ErrClosed):
		return ErrClosed
	}
	return err
}

// errNoKeyring is that of encrypted files where no keyring is.
func errNoKeyring(err error) error {
	return &CorruptionError{File: crypto.KeyringName, Offset: -1, Err: fmt.Errorf("%w: %w", errMissing, err)}
}
