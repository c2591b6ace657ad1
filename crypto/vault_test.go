package crypto_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/vfs"
)

func createVault(t testing.TB, fs vfs.FS) *crypto.Vault {
	t.Helper()
	v, err := crypto.CreateVault(vaultUID, key(t, 5), options(fs))
	require.NoError(t, err)
	return v
}

func openVault(fs vfs.FS) (*crypto.Vault, error) {
	o := options(fs)
	o.Random = newRandom(13)
	return crypto.OpenVault(mustKey(5), crypto.Expected{UID: vaultUID}, o)
}

func mustKey(i byte) crypto.Key {
	k, err := crypto.NewKey(bytes.Repeat([]byte{i}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func newKey(t testing.TB, v *crypto.Vault) crypto.ScopeKeyID {
	t.Helper()
	ids, err := v.NewKeys(1)
	require.NoError(t, err)
	require.Len(t, ids, 1)
	return ids[0]
}

func sealValue(t testing.TB, v *crypto.Vault, id crypto.ScopeKeyID) []byte {
	t.Helper()
	p, err := v.SealValue(nil, id, []byte("user key"), []byte("value"))
	require.NoError(t, err)
	return p
}

// B62: what was sealed under a destroyed key is gone, and the key's id stays refused.
func TestDestroyedKeysOpenNothing(t *testing.T) {
	fs := newFS(t)
	v := createVault(t, fs)
	require.Equal(t, vaultUID, v.UID())
	ids, err := v.NewKeys(3)
	require.NoError(t, err)
	var values [][]byte
	for _, id := range ids {
		values = append(values, sealValue(t, v, id))
	}
	require.NoError(t, v.Destroy(ids[1]))
	require.NoError(t, v.Destroy(ids[1]), "again")
	for range 2 {
		for i, p := range values {
			got, err := v.OpenValue([]byte("dst "), []byte("user key"), p)
			if i == 1 {
				require.ErrorIs(t, err, crypto.ErrShredded)
				require.Equal(t, "dst ", string(got))
				_, err = v.SealValue(nil, ids[1], nil, nil)
				require.ErrorIs(t, err, crypto.ErrShredded)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, "dst value", string(got))
		}
		v, err = openVault(fs)
		require.NoError(t, err)
	}
	unknown := crypto.ScopeKeyID{1, 2}
	_, err = v.SealValue(nil, unknown, nil, nil)
	require.ErrorIs(t, err, crypto.ErrNoKey)
	require.NoError(t, v.Destroy(unknown), "a vault refuses keys that it never had")
	_, err = v.SealValue(nil, unknown, nil, nil)
	require.ErrorIs(t, err, crypto.ErrShredded)
	require.NoError(t, v.Destroy())
}

// V2: the file has nothing of a destroyed key.
func TestADestroyedKeyIsInNoFile(t *testing.T) {
	fs := newFS(t)
	v := createVault(t, fs)
	id := newKey(t, v)
	body, err := crypto.Body(readBytes(t, fs, crypto.VaultName), key(t, 5))
	require.NoError(t, err)
	secret := bytes.Clone(body[len(body)-crypto.KeyLen:])
	require.NoError(t, v.Destroy(id))
	body, err = crypto.Body(readBytes(t, fs, crypto.VaultName), key(t, 5))
	require.NoError(t, err)
	require.NotContains(t, string(body), string(secret))
	names, err := fs.List(dir)
	require.NoError(t, err)
	require.Equal(t, []string{crypto.VaultName}, names)
}

// A sealed value opens under its own user key only, and only whole.
func TestSealedValuesAreBoundToTheirKey(t *testing.T) {
	v := createVault(t, newFS(t))
	id, other := newKey(t, v), newKey(t, v)
	p := sealValue(t, v, id)
	require.Len(t, p, len("value")+crypto.ValueOverhead)
	require.NotEqual(t, p, sealValue(t, v, id), "a nonce repeats")
	refused := func(userKey string, p []byte, what any) {
		got, err := v.OpenValue(nil, []byte(userKey), p)
		require.ErrorIs(t, err, crypto.ErrAuth, "%v", what)
		require.Empty(t, got)
	}
	for _, userKey := range []string{"", "user kez", "user key "} {
		refused(userKey, p, userKey)
	}
	for bit := range len(p) * 8 {
		q := bytes.Clone(p)
		q[bit/8] ^= 1 << (bit % 8)
		refused("user key", q, bit)
	}
	for n := range len(p) {
		refused("user key", p[:n], n)
	}
	swapped := bytes.Clone(p)
	copy(swapped[1:], other[:])
	refused("user key", swapped, "another key's id")

	empty, err := v.SealValue([]byte("dst "), id, nil, nil)
	require.NoError(t, err)
	require.Equal(t, "dst ", string(empty[:4]))
	got, err := v.OpenValue(nil, nil, empty[4:])
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestVaultsAreCheckedAsKeyringsAre(t *testing.T) {
	fs := newFS(t)
	v := createVault(t, fs)
	old := readBytes(t, fs, crypto.VaultName)
	newKey(t, v)
	a, err := v.Anchor()
	require.NoError(t, err)
	_, err = crypto.CreateVault(vaultUID, key(t, 5), options(fs))
	require.ErrorIs(t, err, vfs.ErrExist)
	_, err = crypto.OpenVault(key(t, 6), crypto.Expected{}, options(fs))
	require.ErrorIs(t, err, crypto.ErrWrongKey)
	_, err = crypto.OpenVault(key(t, 5), crypto.Expected{UID: fileUID}, options(fs))
	require.ErrorIs(t, err, crypto.ErrAuth)
	for _, none := range []func() error{
		func() error { _, err := crypto.OpenVault(crypto.Key{}, crypto.Expected{}, options(fs)); return err },
		func() error { _, err := crypto.CreateVault(vaultUID, crypto.Key{}, options(newFS(t))); return err },
	} {
		require.ErrorIs(t, none(), crypto.ErrInvalidKey)
	}
	_, err = openVault(newFS(t))
	require.ErrorIs(t, err, vfs.ErrNotExist)
	writeBytes(t, fs, crypto.VaultName, old)
	_, err = crypto.OpenVault(key(t, 5), crypto.Expected{Anchor: a}, options(fs))
	require.ErrorIs(t, err, crypto.ErrRollback)

	o := options(fs)
	o.ReadOnly = true
	r, err := crypto.OpenVault(key(t, 5), crypto.Expected{}, o)
	require.NoError(t, err)
	_, err = r.NewKeys(1)
	require.ErrorIs(t, err, crypto.ErrReadOnly)
	require.ErrorIs(t, r.Destroy(crypto.ScopeKeyID{}), crypto.ErrReadOnly)
	_, err = r.Anchor()
	require.ErrorIs(t, err, crypto.ErrReadOnly)
	require.Equal(t, old, readBytes(t, fs, crypto.VaultName))

	v, err = openVault(fs)
	require.NoError(t, err)
	id := newKey(t, v)
	p := sealValue(t, v, id)
	require.NoError(t, v.Close())
	require.NoError(t, v.Close())
	_, err = v.NewKeys(1)
	require.ErrorIs(t, err, crypto.ErrClosed)
	require.ErrorIs(t, v.Destroy(id), crypto.ErrClosed)
	_, err = v.SealValue(nil, id, nil, nil)
	require.ErrorIs(t, err, crypto.ErrClosed)
	_, err = v.OpenValue(nil, nil, p)
	require.ErrorIs(t, err, crypto.ErrClosed)
	_, err = v.Anchor()
	require.ErrorIs(t, err, crypto.ErrClosed)
}

// V1, V2: the power is cut at every operation while keys are made and destroyed. A key under which
// something was sealed is there, one whose destruction was acknowledged is not.
func TestPowerCutAtEveryOperationOfAVault(t *testing.T) {
	fs := newCrashFS(t)
	v := createVault(t, fs)
	kept := sealValue(t, v, newKey(t, v))
	doomed := newKey(t, v)
	gone := sealValue(t, v, doomed)
	sealed := fs.Ops()
	require.NoError(t, v.Destroy(doomed))
	destroyed := fs.Ops()
	newKey(t, v)
	e := fs.Explore()
	for k := sealed; k <= e.Len(); k++ {
		e.AdvanceTo(k)
		for state := range e.States(vfs.StateOptions{Random: 4}) {
			v, err := openVault(state.Mem())
			require.NoError(t, err, "%s", state)
			_, err = v.OpenValue(nil, []byte("user key"), kept)
			require.NoError(t, err, "%s", state)
			_, err = v.OpenValue(nil, []byte("user key"), gone)
			if k >= destroyed || err != nil {
				require.ErrorIs(t, err, crypto.ErrShredded, "%s", state)
			}
		}
	}
}

// Each call fails: a failed change shows nowhere, and can be made again.
func TestFaultAtEveryOperationOfAVault(t *testing.T) {
	for _, effect := range []vfs.Effect{vfs.Fail, vfs.FailAfter, vfs.Short} {
		for n, failed := 0, true; failed; n++ {
			fs := vfs.NewFaults(newCrashFS(t))
			v := createVault(t, fs)
			id := newKey(t, v)
			p := sealValue(t, v, id)
			fs.Add(vfs.Rule{Skip: n, Effect: effect, Err: syscall.EIO})
			err := v.Destroy(id)
			fired := fs.Fired()
			failed = len(fired) > 0
			fs.Clear()
			if err != nil {
				require.ErrorIs(t, err, fired[0])
				_, err := v.OpenValue(nil, []byte("user key"), p)
				require.NoError(t, err)
				require.NoError(t, v.Destroy(id))
			}
			again, err := openVault(fs)
			require.NoError(t, err)
			for _, v := range []*crypto.Vault{v, again} {
				_, err = v.OpenValue(nil, []byte("user key"), p)
				require.ErrorIs(t, err, crypto.ErrShredded)
			}
		}
	}
}

// Values are sealed and opened while keys come and go.
func TestAVaultIsUsedFromManyGoroutines(t *testing.T) {
	o := options(newFS(t))
	random := &locked{r: newRandom(1)}
	o.Random = random
	v, err := crypto.CreateVault(vaultUID, key(t, 5), o)
	require.NoError(t, err)
	id := newKey(t, v)
	var done sync.WaitGroup
	for range 2 {
		done.Go(func() {
			for range 50 {
				ids, err := v.NewKeys(2)
				if err == nil {
					err = v.Destroy(ids[0])
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		done.Go(func() {
			for range 200 {
				p, err := v.SealValue(nil, id, nil, []byte("x"))
				if err == nil {
					p, err = v.OpenValue(nil, nil, p)
				}
				if err != nil || string(p) != "x" {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
}

type locked struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *locked) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

// stuck gives the same byte for ever.
type stuck struct{}

func (stuck) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

// A vault that could not be read again is not written.
func TestABrokenSourceOfRandomnessIsMet(t *testing.T) {
	fs := newFS(t)
	o := options(fs)
	o.Random = stuck{}
	v, err := crypto.CreateVault(vaultUID, key(t, 5), o)
	require.NoError(t, err)
	_, err = v.NewKeys(2)
	require.ErrorContains(t, err, "repeats")
	_, err = v.NewKeys(1)
	require.NoError(t, err)
	_, err = v.NewKeys(1)
	require.ErrorContains(t, err, "repeats")
	_, err = openVault(fs)
	require.NoError(t, err)
}

func TestMalformedVaultsAreRefused(t *testing.T) {
	fs := newFS(t)
	v := createVault(t, fs)
	ids, err := v.NewKeys(2)
	require.NoError(t, err)
	require.NoError(t, v.Destroy(ids...))
	newKey(t, v)
	body, err := crypto.Body(readBytes(t, fs, crypto.VaultName), key(t, 5))
	require.NoError(t, err)
	_, err = crypto.RecodeScopeKeys(body)
	require.NoError(t, err)
	live := 16
	for body[live+16] != 1 {
		live += 64
	}
	dead := 16 + (live-16+64)%(3*64)
	for what, change := range map[string]func(p []byte) []byte{
		"epoch 0":                func(p []byte) []byte { clear(p[:8]); return p },
		"count":                  func(p []byte) []byte { p[8]++; return p },
		"huge count":             func(p []byte) []byte { p[11] = 255; return p },
		"not zero":               func(p []byte) []byte { p[12] = 1; return p },
		"order":                  func(p []byte) []byte { copy(p[16:32], p[16+64:]); return p },
		"state 0":                func(p []byte) []byte { p[live+16] = 0; return p },
		"state 3":                func(p []byte) []byte { p[live+16] = 3; return p },
		"not zero behind it":     func(p []byte) []byte { p[live+20] = 3; return p },
		"negative time":          func(p []byte) []byte { p[live+31] = 0x80; return p },
		"destroyed with a key":   func(p []byte) []byte { p[dead+63] = 1; return p },
		"live without a key":     func(p []byte) []byte { clear(p[live+32 : live+64]); return p },
		"destroyed without mark": func(p []byte) []byte { p[dead+16] = 1; return p },
		"short":                  func(p []byte) []byte { return p[:len(p)-1] },
		"empty":                  func([]byte) []byte { return nil },
	} {
		p := change(bytes.Clone(body))
		_, err := crypto.RecodeScopeKeys(p)
		require.Error(t, err, what)
		fs := newFS(t)
		writeBytes(t, fs, crypto.VaultName, crypto.Encode(fileid.KindVault, crypto.AES256GCM, vaultUID, [32]byte{}, nil, key(t, 5), p))
		_, err = openVault(fs)
		require.True(t, errors.Is(err, crypto.ErrAuth), "%s: %v", what, err)
	}
}

func BenchmarkSealValue(b *testing.B) {
	v := createVault(b, newFS(b))
	id := newKey(b, v)
	value, dst := make([]byte, 100), make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.SealValue(dst, id, []byte("user key"), value); err != nil {
			b.Fatal(err)
		}
	}
}
