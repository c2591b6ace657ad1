package crypto_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// What the engine's parts are given in place of this package.
var (
	_ func(fileid.Kind, fileid.UID, seal.Salt) (cipher.AEAD, seal.KeyID, error) = (*crypto.Ring)(nil).NewFile
	_ func(seal.KeyID, fileid.Kind, fileid.UID, seal.Salt) (cipher.AEAD, error) = (*crypto.Ring)(nil).OpenFile
)

func TestAStoreGoesOnWithItsKeys(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	require.Equal(t, storeUID, r.Store())
	f := writeFile(t, r, 1)
	require.NoError(t, f.read(r))
	require.NoError(t, r.Close())

	r = mustOpen(t, fs, master(1))
	require.NoError(t, f.read(r))
	require.Equal(t, storeUID, r.Store())
	st := status(t, r)
	require.Equal(t, []crypto.KeyInfo{{ID: 1, State: crypto.Active, Cipher: crypto.AES256GCM, Created: start.Add(time.Second), Changed: start.Add(time.Second)}}, st.Keys)

	_, err := crypto.Create(ctx, storeUID, master(2), options(fs))
	require.ErrorIs(t, err, vfs.ErrExist)
	require.NoError(t, f.read(mustOpen(t, fs, master(1))), "a keyring was replaced")
	_, err = open(newFS(t), master(1))
	require.ErrorIs(t, err, vfs.ErrNotExist)
}

// A keyring that is aside is none under its name, until it is moved; no power cut takes it away.
func TestAKeyringIsMoved(t *testing.T) {
	fs := newCrashFS(t)
	o := options(fs)
	o.Aside = true
	r, err := crypto.Create(ctx, storeUID, master(1), o)
	require.NoError(t, err)
	f := writeFile(t, r, 1)
	_, err = open(fs, master(1))
	require.ErrorIs(t, err, vfs.ErrNotExist)
	from := fs.Ops()
	require.NoError(t, r.Move(false))
	require.NoError(t, r.Move(false))
	_, err = r.Rotate()
	require.NoError(t, err)
	require.NoError(t, f.read(mustOpen(t, fs.CrashCopy(), master(1))))
	require.NoError(t, r.Move(true))
	_, err = open(fs.CrashCopy(), master(1))
	require.ErrorIs(t, err, vfs.ErrNotExist)
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.Move(false), crypto.ErrClosed)
	for e, k := fs.Explore(), from; k <= fs.Ops(); k++ {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			found := 0
			for _, aside := range []bool{false, true} {
				o := options(s.Mem())
				o.Aside, o.ReadOnly = aside, true
				r, err := crypto.Open(ctx, master(1), crypto.Expected{}, o)
				if errors.Is(err, vfs.ErrNotExist) {
					continue
				}
				require.NoError(t, err, "%s", s)
				require.NoError(t, f.read(r), "%s", s)
				require.ErrorIs(t, r.Move(!aside), crypto.ErrReadOnly)
				found++
			}
			require.Positive(t, found, "%s", s) // both, where the new entry is there and the old one has not gone
		}
	}
}

// B60: a wrong key is a wrong key, not damage.
func TestAWrongKeyIsTold(t *testing.T) {
	fs := newFS(t)
	create(t, fs)
	before := readBytes(t, fs, crypto.KeyringName)
	for _, p := range []crypto.KeyProvider{master(2), crypto.Passphrase([]byte("x"), cheap)} {
		_, err := open(fs, p)
		require.ErrorIs(t, err, crypto.ErrWrongKey)
		require.NotErrorIs(t, err, crypto.ErrCorrupt)
	}
	require.Equal(t, before, readBytes(t, fs, crypto.KeyringName))
}

// Files differ in their keys by salt, UID and kind: no nonce is ever used twice under one (R35).
func TestEachFileHasACipherOfItsOwn(t *testing.T) {
	r := create(t, newFS(t))
	seen := map[string]bool{}
	for _, f := range []struct {
		kind fileid.Kind
		uid  fileid.UID
		salt seal.Salt
	}{
		{fileid.KindTable, fileUID, seal.Salt{}}, {fileid.KindBlob, fileUID, seal.Salt{}},
		{fileid.KindTable, fileid.UID{1}, seal.Salt{}}, {fileid.KindTable, fileUID, seal.Salt{1}},
	} {
		c, id, err := r.NewFile(f.kind, f.uid, f.salt)
		require.NoError(t, err)
		sealed := c.Seal(nil, make([]byte, 12), make([]byte, 16), nil)
		require.False(t, seen[string(sealed)])
		seen[string(sealed)] = true
		again, err := r.OpenFile(id, f.kind, f.uid, f.salt)
		require.NoError(t, err)
		_, err = again.Open(nil, make([]byte, 12), sealed, nil)
		require.NoError(t, err)
	}
	_, err := r.Rotate()
	require.NoError(t, err)
	c, _, err := r.NewFile(fileid.KindTable, fileUID, seal.Salt{})
	require.NoError(t, err)
	require.False(t, seen[string(c.Seal(nil, make([]byte, 12), make([]byte, 16), nil))])
}

// B61, R37: new files take the new key, old ones stay readable, and the old key goes when nothing
// needs it, not before.
func TestDataKeysAreRotatedAndRetired(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	first := writeFile(t, r, 1)
	id, err := r.Rotate()
	require.NoError(t, err)
	require.Equal(t, seal.KeyID(2), id)
	second := writeFile(t, r, 2)
	require.Equal(t, id, second.id)
	r.Count(1, 1000)
	r.Count(2, 5)
	r.Count(99, 5)

	require.ErrorIs(t, r.Retire(2, nobody), crypto.ErrActive)
	err = r.Retire(1, func(id seal.KeyID) ([]string, error) {
		require.Equal(t, first.id, id)
		return []string{"000001.sst", "000002.sst", "backup 3", "backup 4", "backup 5"}, nil
	})
	var inUse *crypto.InUseError
	require.ErrorAs(t, err, &inUse)
	require.ErrorIs(t, err, crypto.ErrInUse)
	require.Len(t, inUse.Users, 5)
	require.EqualError(t, err, "crypto: key 1 is in use by 000001.sst, 000002.sst, backup 3 and 2 more")
	cause := errors.New("repository is away")
	require.ErrorIs(t, r.Retire(1, func(seal.KeyID) ([]string, error) { return nil, cause }), cause)
	require.NoError(t, first.read(mustOpen(t, fs, master(1))))

	require.NoError(t, r.Retire(1, nobody))
	for _, r := range []*crypto.Ring{r, mustOpen(t, fs, master(1))} {
		require.ErrorIs(t, first.read(r), crypto.ErrRetired)
		require.ErrorIs(t, first.read(r), crypto.ErrAuth)
		require.NoError(t, second.read(r))
		st := status(t, r)
		require.Equal(t, crypto.Retired, st.Keys[0].State)
		require.Equal(t, crypto.Active, st.Keys[1].State)
		require.Equal(t, []uint64{1000, 5}, []uint64{st.Keys[0].Sealed, st.Keys[1].Sealed})
		require.Equal(t, seal.KeyID(2), st.Active)
	}
	r = mustOpen(t, fs, master(1))
	require.ErrorIs(t, r.Retire(1, nobody), crypto.ErrRetired)
	require.ErrorIs(t, r.Activate(1), crypto.ErrRetired)
	require.ErrorIs(t, r.Retire(3, nobody), crypto.ErrNoKey)
	require.ErrorIs(t, r.Activate(0), crypto.ErrNoKey)
	id, err = r.Rotate()
	require.NoError(t, err)
	require.Equal(t, seal.KeyID(3), id, "K4: an id comes back")
	require.NoError(t, r.Activate(2))
	require.Equal(t, seal.KeyID(2), writeFile(t, r, 3).id)
	require.Equal(t, crypto.Retiring, status(t, r).Keys[2].State)
}

// K4, trap 83: no file has a retired key.
func TestARetiredKeyIsInNoFile(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	body, err := crypto.Body(readBytes(t, fs, crypto.KeyringName), key(t, 1))
	require.NoError(t, err)
	secret := bytes.Clone(body[len(body)-crypto.KeyLen:])
	_, err = r.Rotate()
	require.NoError(t, err)
	require.NoError(t, r.Retire(1, nobody))
	names, err := fs.List(dir)
	require.NoError(t, err)
	require.Equal(t, []string{crypto.KeyringName}, names)
	body, err = crypto.Body(readBytes(t, fs, crypto.KeyringName), key(t, 1))
	require.NoError(t, err)
	require.NotContains(t, string(body), string(secret))
}

func TestTheMasterKeyIsChanged(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	f := writeFile(t, r, 1)
	require.NoError(t, r.Rewrap(ctx, crypto.Passphrase([]byte("correct horse"), cheap)))
	require.NoError(t, f.read(r))
	_, err := open(fs, master(1))
	require.ErrorIs(t, err, crypto.ErrWrongKey)
	_, err = open(fs, crypto.Passphrase([]byte("wrong horse"), cheap))
	require.ErrorIs(t, err, crypto.ErrWrongKey)
	r = mustOpen(t, fs, crypto.Passphrase([]byte("correct horse"), crypto.Cost{}))
	require.NoError(t, f.read(r))
	_, err = r.Rotate() // under the new master key
	require.NoError(t, err)
	require.NoError(t, r.Rewrap(ctx, master(3)))
	require.NoError(t, f.read(mustOpen(t, fs, master(3))))

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, r.Rewrap(cancelled, master(4)), context.Canceled)
	require.ErrorIs(t, r.Rewrap(ctx, crypto.KeyBytes(nil)), crypto.ErrInvalidKey)
	require.NoError(t, f.read(mustOpen(t, fs, master(3))))
}

// R34: a keyring that was put back, or is another store's, does not pass its anchor.
func TestARolledBackKeyringIsRefused(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	old, first := readBytes(t, fs, crypto.KeyringName), anchor(t, r)
	_, err := r.Rotate()
	require.NoError(t, err)
	newest := anchor(t, r)
	require.Greater(t, newest.Epoch, first.Epoch)
	opened := func(a crypto.Anchor) error {
		r, err := crypto.Open(ctx, master(1), crypto.Expected{Anchor: a}, options(fs))
		if err == nil {
			require.Greater(t, anchor(t, r).Epoch, a.Epoch)
		}
		return err
	}
	require.NoError(t, opened(first))
	require.NoError(t, opened(newest))

	writeBytes(t, fs, crypto.KeyringName, old)
	require.ErrorIs(t, opened(newest), crypto.ErrRollback)
	require.ErrorIs(t, opened(newest), crypto.ErrCorrupt)
	require.Equal(t, old, readBytes(t, fs, crypto.KeyringName))
	forged := first
	forged.Digest[0]++
	require.ErrorIs(t, opened(forged), crypto.ErrRollback)
	forged = first
	forged.UID = fileUID
	require.ErrorIs(t, opened(forged), crypto.ErrAuth)
	_, err = crypto.Open(ctx, master(1), crypto.Expected{UID: fileUID}, options(fs))
	require.ErrorIs(t, err, crypto.ErrAuth)
	require.NoError(t, opened(first))
}

// A copy of a store has the keys, its own UID, and its own life.
func TestACopyHasTheKeys(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	f := writeFile(t, r, 1)
	o := options(fs)
	o.Dir, o.Random = "copy", newRandom(3)
	require.NoError(t, fs.MkdirAll("copy"))
	c, err := r.CopyTo(fileUID, o)
	require.NoError(t, err)
	require.Equal(t, fileUID, c.Store())
	require.NoError(t, f.read(c))
	require.NoError(t, c.Close())
	require.NoError(t, f.read(r), "their keys do not share memory")
	_, err = r.CopyTo(fileUID, o)
	require.ErrorIs(t, err, vfs.ErrExist)
	c, err = crypto.Open(ctx, master(1), crypto.Expected{UID: fileUID}, o)
	require.NoError(t, err)
	require.NoError(t, f.read(c))
	require.NoError(t, r.Rewrap(ctx, master(2)))
	_, err = r.Rotate()
	require.NoError(t, err)
	require.NoError(t, r.Retire(1, nobody))
	c, err = crypto.Open(ctx, master(1), crypto.Expected{}, o)
	require.NoError(t, err)
	require.NoError(t, f.read(c))
	_, v, err := r.VaultKeys() // of before the rotation
	require.NoError(t, err)
	w, _, err := c.VaultKeys()
	require.NoError(t, err)
	require.True(t, v.Equal(w))
}

// What is opened for reading writes nothing, and vouches for nothing.
func TestReadOnlyWritesNothing(t *testing.T) {
	mem := newFS(t)
	f := writeFile(t, create(t, mem), 1)
	writeBytes(t, mem, crypto.KeyringName+".tmp", []byte("left"))
	fs := vfs.NewFaults(mem)
	o := options(fs)
	o.ReadOnly = true
	r, err := crypto.Open(ctx, master(1), crypto.Expected{}, o)
	require.NoError(t, err)
	require.NoError(t, f.read(r))
	_, err = r.Rotate()
	require.ErrorIs(t, err, crypto.ErrReadOnly)
	require.ErrorIs(t, r.Activate(1), crypto.ErrReadOnly)
	require.ErrorIs(t, r.Retire(1, nobody), crypto.ErrReadOnly)
	require.ErrorIs(t, r.Rewrap(ctx, master(2)), crypto.ErrReadOnly)
	require.ErrorIs(t, r.Save(), crypto.ErrReadOnly)
	_, err = r.Anchor()
	require.ErrorIs(t, err, crypto.ErrReadOnly)
	_, err = crypto.Create(ctx, storeUID, master(1), o)
	require.ErrorIs(t, err, crypto.ErrReadOnly)
	require.Zero(t, fs.Count(vfs.OpWrite|vfs.OpCreate|vfs.OpRemove|vfs.OpRename|vfs.OpSync|vfs.OpSyncDir, ""))
}

// A keyring that was put back is not written, so that its epoch stays behind, before it was
// compared with what its readers find.
func TestARingThatWasReadIsRenewed(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	first, err := r.Anchor()
	require.NoError(t, err)
	older := readBytes(t, fs, crypto.KeyringName)
	require.NoError(t, r.Save())
	second, err := r.Anchor()
	require.NoError(t, err)
	o := options(fs)
	o.ReadOnly = true
	open := func() *crypto.Ring {
		r, err := crypto.Open(ctx, master(1), crypto.Expected{}, o)
		require.NoError(t, err)
		return r
	}
	r = open()
	require.NoError(t, r.Check(crypto.Anchor{}))
	require.NoError(t, r.Check(first))
	require.NoError(t, r.Check(second))
	require.NoError(t, r.Renew())
	third, err := r.Anchor()
	require.NoError(t, err)
	require.Equal(t, second.Epoch+1, third.Epoch)
	_, err = r.Rotate()
	require.NoError(t, err)
	writeBytes(t, fs, crypto.KeyringName, older)
	require.ErrorIs(t, open().Check(second), crypto.ErrRollback)
	require.ErrorIs(t, open().Check(third), crypto.ErrRollback)
}

func TestAClosedRingGivesNothing(t *testing.T) {
	r := create(t, newFS(t))
	f := writeFile(t, r, 1)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, _, err := r.NewFile(fileid.KindTable, fileUID, seal.Salt{})
	require.ErrorIs(t, err, crypto.ErrClosed)
	require.ErrorIs(t, f.read(r), crypto.ErrClosed)
	_, err = r.Rotate()
	require.ErrorIs(t, err, crypto.ErrClosed)
	require.ErrorIs(t, r.Rewrap(ctx, master(2)), crypto.ErrClosed)
	_, err = r.Status()
	require.ErrorIs(t, err, crypto.ErrClosed)
	_, err = r.Anchor()
	require.ErrorIs(t, err, crypto.ErrClosed)
	_, _, err = r.VaultKeys()
	require.ErrorIs(t, err, crypto.ErrClosed)
	_, err = r.CopyTo(fileUID, options(newFS(t)))
	require.ErrorIs(t, err, crypto.ErrClosed)
	r.Count(1, 1)
}

// B61: files are made and opened while keys come and go.
func TestARingIsUsedFromManyGoroutines(t *testing.T) {
	o := options(newFS(t))
	o.Random, o.Now = &locked{r: newRandom(1)}, func() time.Time { return start }
	r, err := crypto.Create(ctx, storeUID, master(1), o)
	require.NoError(t, err)
	var done sync.WaitGroup
	for g := range byte(2) {
		done.Go(func() {
			for range 200 {
				_, id, err := r.NewFile(fileid.KindTable, fileid.UID{g}, seal.Salt{g})
				if err == nil {
					r.Count(id, 1)
					_, err = r.OpenFile(id, fileid.KindTable, fileid.UID{g}, seal.Salt{g})
				}
				if err != nil && !errors.Is(err, crypto.ErrRetired) {
					t.Error(err)
				}
			}
		})
		done.Go(func() {
			for i := range byte(20) {
				id, err := r.Rotate()
				if err != nil {
					t.Error(err)
				}
				if err := r.Rewrap(ctx, master(i+1)); err != nil {
					t.Error(err)
				}
				if err := r.Retire(id-1, nobody); err != nil && !errors.Is(err, crypto.ErrActive) && !errors.Is(err, crypto.ErrRetired) {
					t.Error(err)
				}
				if _, err := r.Status(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	require.NoError(t, r.Close())
}

// R40: the file is for its owner alone.
func TestFilesOfKeysAreForTheirOwnerAlone(t *testing.T) {
	o := options(vfs.NewOS())
	o.Dir = t.TempDir()
	r, err := crypto.Create(ctx, storeUID, master(1), o)
	require.NoError(t, err)
	secret, _, err := r.VaultKeys()
	require.NoError(t, err)
	_, err = crypto.CreateVault(vaultUID, secret, o)
	require.NoError(t, err)
	for _, name := range []string{crypto.KeyringName, crypto.VaultName} {
		info, err := os.Lstat(filepath.Join(o.Dir, name))
		require.NoError(t, err)
		if filepath.Separator == '/' {
			require.Equal(t, os.FileMode(0o600), info.Mode())
		}
	}
	_, err = crypto.Open(ctx, master(1), crypto.Expected{}, o)
	require.NoError(t, err)
}

func TestPoliciesSayWhenAKeyHasServed(t *testing.T) {
	k := crypto.KeyInfo{Created: start, Sealed: 100}
	day := 24 * time.Hour
	require.False(t, crypto.Policy{}.Due(k, start.Add(1000*day)))
	require.False(t, crypto.Policy{MaxAge: day}.Due(k, start.Add(day-1)))
	require.True(t, crypto.Policy{MaxAge: day}.Due(k, start.Add(day)))
	require.False(t, crypto.Policy{MaxBytes: 101}.Due(k, start))
	require.True(t, crypto.Policy{MaxBytes: 100}.Due(k, start))
}

func TestAKeyringHasRoomForSoManyKeys(t *testing.T) {
	fs := newFS(t)
	create(t, fs)
	body, err := crypto.Body(readBytes(t, fs, crypto.KeyringName), key(t, 1))
	require.NoError(t, err)
	record := bytes.Clone(body[96:])
	record[4] = byte(crypto.Retiring)
	for id := 2; id < 4096; id++ {
		binary.LittleEndian.PutUint32(record, uint32(id))
		body = append(body, record...)
	}
	binary.LittleEndian.PutUint32(body[92:], 4095)
	writeBytes(t, fs, crypto.KeyringName, crypto.Encode(fileid.KindKeyring, crypto.AES256GCM, storeUID, seal.Salt{}, nil, key(t, 1), body))
	r := mustOpen(t, fs, master(1))
	_, err = r.Rotate()
	require.NoError(t, err)
	_, err = r.Rotate()
	require.ErrorIs(t, err, crypto.ErrFull)
	require.Len(t, status(t, mustOpen(t, fs, master(1))).Keys, 4096)
}
