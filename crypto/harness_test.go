package crypto_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

const dir = "store"

var (
	ctx      = context.Background()
	storeUID = fileid.UID{0x10, 0xa3}
	vaultUID = fileid.UID{0x20, 0xb4}
	fileUID  = fileid.UID{0x30, 0xc5}
	start    = time.UnixMilli(1_700_000_000_000).UTC()
)

func newRandom(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// clock returns a clock that is a second further each time.
func clock() func() time.Time {
	now := start
	return func() time.Time { now = now.Add(time.Second); return now }
}

func options(fs vfs.FS) crypto.Options {
	return crypto.Options{FS: fs, Dir: dir, Random: newRandom(7), Now: clock(), Cipher: crypto.AES256GCM}
}

func newFS(t testing.TB) *vfs.Mem {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll(dir))
	return fs
}

func newCrashFS(t testing.TB) *vfs.Mem {
	fs := vfs.NewCrashMem()
	require.NoError(t, fs.MkdirAll(dir))
	require.NoError(t, fs.SyncDir(""))
	return fs
}

// master returns the provider of the i-th master key.
func master(i byte) crypto.KeyProvider { return crypto.KeyBytes(bytes.Repeat([]byte{i}, 32)) }

func key(t testing.TB, i byte) crypto.Key {
	k, err := crypto.NewKey(bytes.Repeat([]byte{i}, 32))
	require.NoError(t, err)
	return k
}

func create(t testing.TB, fs vfs.FS) *crypto.Ring {
	t.Helper()
	r, err := crypto.Create(ctx, storeUID, master(1), options(fs))
	require.NoError(t, err)
	return r
}

func open(fs vfs.FS, p crypto.KeyProvider) (*crypto.Ring, error) {
	o := options(fs)
	o.Random = newRandom(9)
	return crypto.Open(ctx, p, crypto.Expected{UID: storeUID}, o)
}

func mustOpen(t testing.TB, fs vfs.FS, p crypto.KeyProvider) *crypto.Ring {
	t.Helper()
	r, err := open(fs, p)
	require.NoError(t, err)
	return r
}

func status(t testing.TB, r *crypto.Ring) crypto.Status {
	t.Helper()
	st, err := r.Status()
	require.NoError(t, err)
	return st
}

func anchor(t testing.TB, r *crypto.Ring) crypto.Anchor {
	t.Helper()
	a, err := r.Anchor()
	require.NoError(t, err)
	return a
}

// sealedFile is what a store keeps of a file: what its header says, and a block.
type sealedFile struct {
	id    seal.KeyID
	uid   fileid.UID
	salt  seal.Salt
	block []byte
}

// writeFile makes a file under the ring's active key.
func writeFile(t testing.TB, r *crypto.Ring, n byte) sealedFile {
	t.Helper()
	f := sealedFile{uid: fileid.UID{n, 1}, salt: seal.Salt{n, 2}}
	c, id, err := r.NewFile(fileid.KindTable, f.uid, f.salt)
	require.NoError(t, err)
	f.id = id
	f.block, err = seal.NewSealer(c, fileid.KindTable, f.uid).Seal(nil, []byte("content"), seal.Place{})
	require.NoError(t, err)
	return f
}

// read opens the file's block.
func (f sealedFile) read(r *crypto.Ring) error {
	c, err := r.OpenFile(f.id, fileid.KindTable, f.uid, f.salt)
	if err != nil {
		return err
	}
	_, err = seal.NewOpener(c, fileid.KindTable, f.uid).Open(nil, f.block, seal.Place{})
	return err
}

func nobody(seal.KeyID) ([]string, error) { return nil, nil }

func readBytes(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(path.Join(dir, name), vfs.ReadOnly)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	p := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(p, 0)
		require.NoError(t, err)
	}
	return p
}

func writeBytes(t testing.TB, fs vfs.FS, name string, p []byte) {
	t.Helper()
	name = path.Join(dir, name)
	if _, err := fs.Size(name); err == nil {
		require.NoError(t, fs.Remove(name))
	}
	f, err := fs.Create(name)
	require.NoError(t, err)
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// sum makes the checksum at the end of a header right again.
func sum(p []byte) {
	binary.LittleEndian.PutUint32(p[len(p)-4:], codec.Checksum(0, p[:len(p)-4]))
}
