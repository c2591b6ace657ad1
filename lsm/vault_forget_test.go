package lsm

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// openSealing opens an encrypted store that is at rest after a second.
func openSealing(t *testing.T, fs vfs.FS) *DB {
	z := small()
	z.SettleAfter = time.Second
	return openSized(t, fs, Options{Compression: NoCompression, Encryption: &Encryption{Key: masterKey(1)}}, z)
}

// keysIn returns how many keys, destroyed ones included, the vault has, as its length tells.
func keysIn(t *testing.T, db *DB) int {
	t.Helper()
	size, err := db.opts.seams.FS.Size(db.path(crypto.VaultName))
	require.NoError(t, err)
	return int(size-108-16-16) / 64
}

// bury drops scopes, and lets them be buried.
func bury(t *testing.T, db *DB, all ...*Scope) {
	t.Helper()
	for _, sc := range all {
		require.NoError(t, sc.Drop(NoSync))
	}
	time.Sleep(time.Minute)
	require.NoError(t, db.Flush(context.Background()))
	time.Sleep(time.Minute)
	require.Zero(t, db.Metrics().DeadScopes)
}

// The keys of dropped scopes stayed in the vault for ever, which has room for a million. They go when nobody can want
// them; what was shredded stays so.
func TestKeysOfDroppedScopesLeaveTheVault(t *testing.T) {
	ctx := context.Background()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openSealing(t, fs)
		var all []*Scope
		for i := range 20 {
			all = append(all, sealedScope(t, db, fmt.Sprint("gone-", i)))
			require.NoError(t, all[i].Set([]byte("k"), []byte("v"), NoSync))
		}
		kept := sealedScope(t, db, "kept")
		require.NoError(t, kept.Set([]byte("k"), []byte("v"), NoSync))
		require.NoError(t, db.Flush(ctx))
		report, err := all[0].Shred(ctx)
		require.NoError(t, err)
		require.Equal(t, 21, keysIn(t, db))

		// An iterator reads on in what was dropped, and no longer than it lives.
		require.NoError(t, all[1].Set([]byte("l"), []byte("w"), NoSync))
		it, err := all[1].NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.First())
		bury(t, db, all...)
		require.Equal(t, 21, keysIn(t, db))
		require.Equal(t, "v", string(it.Value()))
		require.True(t, it.Next())
		require.Equal(t, "w", string(it.Value()))
		require.NoError(t, it.Close())
		time.Sleep(time.Minute)
		require.Equal(t, 2, keysIn(t, db))
		for _, kind := range []recordKind{recordScopeKey, recordDroppedKey} {
			n := 0
			for range db.records(t, kind) {
				n++
			}
			require.Equal(t, map[recordKind]int{recordScopeKey: 1}[kind], n)
		}
		db.vault.mu.RLock()
		require.Empty(t, db.vault.left)
		db.vault.mu.RUnlock()
		v, err := kept.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "v", string(v))

		// A scope of the name has a new key.
		require.NoError(t, all[0].Seal(nil))
		require.NoError(t, all[0].Set([]byte("k"), []byte("again"), nil))
		require.NoError(t, db.Close())
		keyIsGone(t, fs, "db", report.Key)
		db = openSealing(t, fs)
		again, err := db.Scope(all[0].name)
		require.NoError(t, err)
		v, err = again.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "again", string(v))
		require.NoError(t, db.Verify(ctx))
		require.NoError(t, db.Close())
	})
}

// A checkpoint on record that has a scope may be read with the store's vault: the key stays until it is forgotten. One that
// does not have the scope any more, or came to nothing, keeps nothing.
func TestAKeyStaysForTheCheckpointThatHasItsScope(t *testing.T) {
	ctx := context.Background()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openSealing(t, fs)
		early, late := sealedScope(t, db, "early"), sealedScope(t, db, "late")
		for _, sc := range []*Scope{early, late} {
			require.NoError(t, sc.Set([]byte("k"), []byte("v"), nil))
		}
		bury(t, db, early)
		require.Equal(t, 1, keysIn(t, db))
		require.NoError(t, db.Checkpoint(ctx, "copy"))
		bury(t, db, late)
		require.NoError(t, db.Checkpoint(ctx, "without"))
		require.Equal(t, 1, keysIn(t, db))
		require.NoError(t, db.Close())
		db = openSealing(t, fs)
		time.Sleep(time.Minute)
		require.Equal(t, 1, keysIn(t, db))
		o := encrypted(fs, 1)
		o.Encryption.Vault, o.ReadOnly = "db", true
		copied, err := Open("copy", o)
		require.NoError(t, err)
		sc, err := copied.Scope(late.name)
		require.NoError(t, err)
		v, err := sc.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "v", string(v))
		require.NoError(t, copied.Close())

		require.NoError(t, db.ForgetCheckpoint(checkpointIn(t, db, "copy").ID))
		time.Sleep(time.Minute)
		require.Zero(t, keysIn(t, db))
		require.NoError(t, db.Close())
	})
}

// Wherever the power is cut while scopes are dropped and their keys go, those that are there can be read, and the keys
// of the others go in the end.
func TestPowerCutWhileKeysOfDroppedScopesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashMem()
		db := openSealing(t, mem)
		gone, kept := sealedScope(t, db, "gone"), sealedScope(t, db, "kept")
		for _, sc := range []*Scope{gone, kept} {
			require.NoError(t, sc.Set([]byte("k"), []byte("v"), nil))
		}
		require.NoError(t, db.Flush(context.Background()))
		from := mem.Ops()
		bury(t, db, gone)
		time.Sleep(time.Minute)
		require.Equal(t, 1, keysIn(t, db))
		require.NoError(t, db.Close())
		met := map[int]int{}
		for e, k := mem.Explore(), from; k <= mem.Ops(); k++ {
			if e.AdvanceTo(k); k%cutEvery() != 0 {
				continue
			}
			for s := range e.States(vfs.StateOptions{Pending: 1}) {
				db := openSealing(t, s.Mem())
				met[keysIn(t, db)]++
				for _, name := range []string{"gone", "kept"} {
					sc, err := db.Scope(scope.User(name))
					require.NoError(t, err)
					there, err := sc.Exists()
					require.NoError(t, err)
					if v, err := sc.Get([]byte("k")); there {
						require.NoError(t, err, "%s: %s", s, name)
						require.Equal(t, "v", string(v))
					}
					require.True(t, there || name == "gone")
					if !there {
						time.Sleep(time.Minute)
						require.NoError(t, db.Flush(context.Background()))
						time.Sleep(time.Minute)
						require.Equal(t, 1, keysIn(t, db), "%s", s)
					}
				}
				require.NoError(t, db.Close())
			}
		}
		require.Positive(t, met[2])
		require.Positive(t, met[1])
	})
}

// A key that was made for a scope which somebody else was quicker to make is the next scope's.
func TestAKeyThatNoScopeHasIsUsed(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	key, err := db.vault.fresh()
	require.NoError(t, err)
	db.vault.giveBack(key)
	sc := sealedScope(t, db, "alice")
	of, found, err := db.vault.recorded(idOf(t, sc))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, key, of.key)
	require.Equal(t, 1, keysIn(t, db))
}
