package crypto

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Names of the files of keys within a store's directory.
const (
	KeyringName = "KEYRING"
	VaultName   = "VAULT"
	// AsideName is that of a keyring on its way: see Options.Aside.
	AsideName = "KEYRING.aside"

	// TempSuffix follows the name of a file of keys while it is made. What is left of one that
	// was not finished goes with the next change.
	TempSuffix = ".tmp"
)

// Options say where a file of keys is, and what it is made with.
type Options struct {
	// FS holds Dir, the directory with the file, which must exist.
	FS  vfs.FS
	Dir string
	// Random gives keys, salts and nonces: crypto/rand.Reader, or in tests another reader that
	// may be read from several goroutines.
	Random io.Reader
	// Now tells the time, for the records.
	Now func() time.Time
	// Cipher is what new data keys, and the file itself, are used with.
	Cipher Cipher
	// ReadOnly: nothing is written, and what writes is ErrReadOnly.
	ReadOnly bool
	// Aside: the keyring has the name AsideName, until Ring.Move. So a store that begins or ceases
	// to be encrypted has one that says nothing by being there: KEYRING does.
	Aside bool
}

// cipher returns the chosen cipher.
func (o *Options) cipher() (Cipher, error) {
	c := o.Cipher.choose(hasFastAES())
	if !c.valid() {
		return 0, fmt.Errorf("crypto: unknown %s", c)
	}
	return c, nil
}

// file is a file of keys on its file system.
type file struct {
	Options
	name   string
	kind   fileid.Kind
	maxLen int64
}

func keyringFile(o Options) file { return file{o, keyringName(o.Aside), fileid.KindKeyring, 1 << 20} }

func keyringName(aside bool) string {
	if aside {
		return AsideName
	}
	return KeyringName
}

func vaultFile(o Options) file { return file{o, VaultName, fileid.KindVault, 64 << 20} }

// now returns the time as it is recorded.
func (f *file) now() time.Time { return time.UnixMilli(max(f.Now().UnixMilli(), 0)).UTC() }

// exists reports whether the file is there.
func (f *file) exists() (bool, error) {
	_, err := f.FS.Size(path.Join(f.Dir, f.name))
	if errors.Is(err, vfs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("crypto: look for %s: %w", f.name, err)
	}
	return true, nil
}

// checkNew says that the file must not be there.
func (f *file) checkNew() error {
	if f.ReadOnly {
		return ErrReadOnly
	}
	exists, err := f.exists()
	if err == nil && exists {
		err = fmt.Errorf("crypto: create %s: %w", f.name, vfs.ErrExist)
	}
	return err
}

// read returns what is in the file, and the SHA-256 of it. Its error for a missing file
// matches vfs.ErrNotExist.
func (f *file) read() (*sealed, [sha256.Size]byte, error) {
	p, err := readWhole(f.FS, path.Join(f.Dir, f.name), f.maxLen)
	switch {
	case errors.Is(err, errTooLong):
		return nil, [sha256.Size]byte{}, notAuthentic(f.name, "too long")
	case err != nil:
		return nil, [sha256.Size]byte{}, fmt.Errorf("crypto: read %s: %w", f.name, err)
	}
	s, err := decodeOuter(f.name, f.kind, p)
	return s, sha256.Sum256(p), err
}

// write replaces the file by one with the body, sealed under a secret, and returns its SHA-256.
// Error: ErrUncertain, if the new file may be found nevertheless.
func (f *file) write(uid fileid.UID, secret Key, params, body []byte) (digest [sha256.Size]byte, err error) {
	c, err := f.cipher()
	if err != nil {
		return digest, err
	}
	o := outer{kind: f.kind, cipher: c, uid: uid, params: params}
	if o.salt, err = seal.NewSalt(f.Random); err != nil {
		return digest, err
	}
	p, err := o.encode(secret, body)
	if err != nil {
		return digest, err
	}
	if int64(len(p)) > f.maxLen {
		return digest, ErrFull
	}
	return sha256.Sum256(p), f.replace(p)
}

// replace puts p in the file's place: whole, or not at all.
func (f *file) replace(p []byte) error {
	name := path.Join(f.Dir, f.name)
	if mutant.Enabled && mutant.Is(mutant.ReplaceInPlace) {
		return overwrite(f.FS, name, p)
	}
	if err := f.removeTemp(); err != nil {
		return err
	}
	if err := create(f.FS, name+TempSuffix, p); err != nil {
		_ = f.FS.Remove(name + TempSuffix) // err is the cause; the next change tries again
		return fmt.Errorf("crypto: write %s: %w", f.name+TempSuffix, err)
	}
	if err := f.FS.Rename(name+TempSuffix, name); err != nil {
		return fmt.Errorf("%w: rename to %s: %w", ErrUncertain, f.name, err)
	}
	if err := f.FS.SyncDir(f.Dir); err != nil {
		return fmt.Errorf("%w: sync directory of %s: %w", ErrUncertain, f.name, err)
	}
	return nil
}

// removeTemp removes what an interrupted replacement has left.
func (f *file) removeTemp() error {
	err := f.FS.Remove(path.Join(f.Dir, f.name+TempSuffix))
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return fmt.Errorf("crypto: remove %s: %w", f.name+TempSuffix, err)
	}
	return nil
}

// create makes a file with content p, synced; its entry is not.
func create(fs vfs.FS, name string, p []byte) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if err == nil && !(mutant.Enabled && mutant.Is(mutant.SkipKeyringSync)) {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// overwrite is the bug ReplaceInPlace.
func overwrite(fs vfs.FS, name string, p []byte) error {
	f, err := fs.Open(name, vfs.ReadWrite)
	if errors.Is(err, vfs.ErrNotExist) {
		f, err = fs.Create(name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(p))); err != nil {
		return err
	}
	if _, err := f.WriteAt(p, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return fs.SyncDir(path.Dir(name))
}

var errTooLong = errors.New("longer than it can be")

// readWhole reads a file of at most limit bytes; a longer one is errTooLong.
func readWhole(fs vfs.FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFile(f, limit)
}

func readFile(f vfs.File, limit int64) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, errTooLong
	}
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); err != nil && (!errors.Is(err, io.EOF) || int64(n) != size) {
		return nil, err
	}
	return p, nil
}
