package lsm

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// sealOne seals a value in bob's scope; readOne reads it.
func sealOne(t *testing.T, db *DB) {
	t.Helper()
	sc, err := db.Scope(scope.User("bob"))
	require.NoError(t, err)
	require.NoError(t, sc.SetSealed([]byte("k"), []byte("bob's"), nil))
}

func readOne(db *DB) (string, error) {
	sc, err := db.Scope(scope.User("bob"))
	if err != nil {
		return "", err
	}
	v, err := sc.Get([]byte("k"))
	return string(v), err
}

// vaultLeaves waits until the vault is under the vault key that came with the last data key.
func vaultLeaves(t *testing.T, db *DB) {
	t.Helper()
	require.Eventually(t, func() bool {
		st, err := db.KeyStatus()
		require.NoError(t, err)
		return !st.VaultKeyStays
	}, 30*time.Second, time.Millisecond)
}

// The vault's own key stayed for ever: whoever had an old block of VAULT needed no old keyring to read a destroyed
// key. With data keys it is changed too, and what was under the old one is opened by no keyring that there is.
func TestTheVaultGoesOnUnderANewKey(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	sealOne(t, db)
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.NoError(t, db.Checkpoint(ctx, "own"))
	older := filesIn(t, fs, "db")[crypto.VaultName]
	putFile(t, fs, "own/"+crypto.VaultName, older)
	require.NoError(t, db.RotateDataKeys())
	vaultLeaves(t, db)
	v, err := readOne(db)
	require.NoError(t, err)
	require.Equal(t, "bob's", v)
	alice := sealedIn(t, db, scope.User("alice"))
	require.NoError(t, db.Close())
	for _, readOnly := range []bool{true, false} {
		o.ReadOnly = readOnly
		db = mustOpen(t, o)
		v, err = readOne(db)
		require.NoError(t, err)
		require.Equal(t, "bob's", v)
		alice.sc, err = db.Scope(scope.User("alice"))
		require.NoError(t, err)
		alice.check(t, alice.sc, false)
		if readOnly {
			require.NoError(t, db.Close())
		}
	}

	// A checkpoint from before has another vault key, and comes to this one by the store's keyring.
	with := *o
	with.Encryption = &Encryption{Key: masterKey(1), Vault: "db"}
	copied, err := Open("copy", &with)
	require.NoError(t, err)
	v, err = readOne(copied)
	require.NoError(t, err)
	require.Equal(t, "bob's", v)
	require.NoError(t, copied.Close())

	// So does Shred to a vault that was put into one, unless the master key is another one now.
	require.NoError(t, db.RotateMasterKey(ctx, masterKey(2)))
	require.NoError(t, db.Close())
	for _, master := range []byte{2, 1} {
		db = mustOpen(t, encrypted(fs, master))
		sc, err := db.Scope(scope.User("bob"))
		require.NoError(t, err)
		report, err := sc.Shred(ctx)
		require.NoError(t, err)
		require.Contains(t, report.Checkpoints, "copy")
		if master == 2 {
			require.Len(t, report.OutOfReach, 1)
			require.ErrorIs(t, report.OutOfReach[0].Err, ErrWrongKey)
			require.NoError(t, db.RotateMasterKey(ctx, masterKey(1)))
		} else {
			require.Empty(t, report.OutOfReach)
			keyIsGone(t, fs, "own", report.Key)
			keyIsGone(t, fs, "db", report.Key)
		}
		require.NoError(t, db.Close())
	}
	putFile(t, fs, "db/"+crypto.VaultName, older)
	_, err = Open("db", o)
	require.ErrorIs(t, err, ErrWrongKey)
}

// A store without a vault has a new vault key at once, and its first scope key goes under that.
func TestTheVaultKeyOfAStoreWithoutAVaultIsChanged(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	for range 2 {
		require.NoError(t, db.RotateDataKeys())
		vaultLeaves(t, db)
	}
	newDataKey(t, db) // the vault is made before the key leaves that nothing is under
	sealOne(t, db)
	require.NoError(t, db.Close())
	db = mustOpen(t, encrypted(fs, 1))
	vaultLeaves(t, db)
	v, err := readOne(db)
	require.NoError(t, err)
	require.Equal(t, "bob's", v)
}

// cutEvery says at how many operations a test cuts the power: at all with LOAM_LONG.
func cutEvery() int {
	if os.Getenv("LOAM_LONG") != "" {
		return 1
	}
	return 6
}

// Wherever the power is cut while the vault key is changed, the store opens, reads what was sealed, and goes on
// until the old key is gone.
func TestPowerCutWhileTheVaultKeyIsChanged(t *testing.T) {
	mem := vfs.NewCrashMem()
	db := mustOpen(t, encrypted(mem, 1))
	sealOne(t, db)
	from := mem.Ops()
	require.NoError(t, db.RotateDataKeys())
	vaultLeaves(t, db)
	require.NoError(t, db.Close())
	left := 0
	for e, k := mem.Explore(), from; k <= mem.Ops(); k++ {
		if e.AdvanceTo(k); k%cutEvery() != 0 {
			continue
		}
		for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			fs := s.Mem()
			ro := encrypted(fs, 1)
			ro.ReadOnly = true
			db, err := Open("db", ro)
			require.NoError(t, err, "%s", s)
			st, err := db.KeyStatus()
			require.NoError(t, err)
			require.NoError(t, db.Close())
			if st.VaultKeyStays {
				left++
			}
			db, err = Open("db", encrypted(fs, 1))
			require.NoError(t, err, "%s", s)
			v, err := readOne(db)
			require.NoError(t, err, "%s", s)
			require.Equal(t, "bob's", v)
			vaultLeaves(t, db)
			v, err = readOne(db)
			require.NoError(t, err, "%s", s)
			require.Equal(t, "bob's", v)
			require.NoError(t, db.Close())
		}
	}
	require.Greater(t, left, 5)
}

// Whichever call fails while the vault key is changed, it is tried again, at the latest by the next opening, and what was
// sealed can be read throughout.
func TestAFaultWhileTheVaultKeyIsChanged(t *testing.T) {
	for n, failed := 0, true; failed; n++ {
		mem := vfs.NewMem()
		faults := vfs.NewFaults(mem)
		db := mustOpen(t, encrypted(faults, 1))
		sealOne(t, db)
		faults.Add(vfs.Rule{Kinds: vfs.OpWrites, Glob: crypto.VaultName + "*", Skip: n, Effect: []vfs.Effect{vfs.Fail, vfs.FailAfter}[n%2], Err: syscall.EIO})
		require.NoError(t, db.RotateDataKeys())
		require.Eventually(t, func() bool {
			st, err := db.KeyStatus()
			require.NoError(t, err)
			return !st.VaultKeyStays || len(faults.Fired()) > 0
		}, 30*time.Second, time.Millisecond)
		failed = len(faults.Fired()) > 0
		faults.Clear()
		v, err := readOne(db)
		require.NoError(t, err)
		require.Equal(t, "bob's", v)
		require.NoError(t, db.Close())
		db = mustOpen(t, encrypted(mem, 1))
		vaultLeaves(t, db)
		v, err = readOne(db)
		require.NoError(t, err, "%d", n)
		require.Equal(t, "bob's", v)
		require.NoError(t, db.Close())
		require.Less(t, n, 50)
	}
}

// slowLock is a file system on which the lock of one directory is waited for.
type slowLock struct {
	vfs.FS
	name      string
	met, goOn chan struct{}
}

func (s *slowLock) Lock(name string, exclusive bool, holder string) (io.Closer, error) {
	if name == s.name {
		s.met <- struct{}{}
		<-s.goOn
	}
	return s.FS.Lock(name, exclusive, holder)
}

// Shred looked into checkpoints with a lock that whoever seals in a new scope needs: a slow device kept everybody waiting.
func TestNobodyWaitsForTheCheckpointsOfAShred(t *testing.T) {
	ctx := context.Background()
	fs := &slowLock{FS: vfs.NewMem(), met: make(chan struct{}), goOn: make(chan struct{})}
	db := mustOpen(t, encrypted(fs, 1))
	bob := sealedIn(t, db, scope.User("bob"))
	other := sealedIn(t, db, scope.User("other"))
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	fs.name = "copy/LOCK"
	done := make(chan error)
	go func() {
		report, err := bob.sc.Shred(ctx)
		if err == nil && len(report.Checkpoints) != 1 {
			err = errors.New("not reached")
		}
		done <- err
	}()
	<-fs.met
	bob.check(t, bob.sc, true)
	sc, err := db.Scope(scope.User("new"))
	require.NoError(t, err)
	require.NoError(t, sc.SetSealed([]byte("k"), []byte("v"), nil))
	require.NoError(t, sc.Drop(nil))
	require.NoError(t, sc.Seal(nil))

	// Another Shred has refused its key at once, and waits for its turn, or for its context.
	ended, cancel := context.WithCancel(ctx)
	go func() {
		_, err := other.sc.Shred(ended)
		done <- err
	}()
	require.Eventually(t, func() bool {
		_, err := other.sc.Get([]byte("merged-1"))
		return errors.Is(err, ErrShredded)
	}, 30*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	close(fs.goOn)
	require.NoError(t, <-done)
}
