package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// A copy of the store has no keys of scopes: they are the original's, or it makes its own.
func TestACheckpointHasNoScopeKeys(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	bob := sealedIn(t, db, scope.User("bob"))
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.NotContains(t, filesIn(t, fs, "copy"), crypto.VaultName)
	copied, err := Open("copy", o)
	require.NoError(t, err)
	sc, err := copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	_, err = sc.Get([]byte("merged-1"))
	require.ErrorIs(t, err, ErrNoScopeKey)
	require.NoError(t, sc.SetSealed([]byte("merged-1"), []byte("own"), nil))
	v, err := sc.Get([]byte("merged-1"))
	require.NoError(t, err)
	require.Equal(t, "own", string(v))

	// While somebody has it open it may have the key.
	report, err := bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.Empty(t, report.Checkpoints)
	require.Len(t, report.OutOfReach, 1)
	require.Equal(t, "copy", report.OutOfReach[0].Dir)
	require.ErrorIs(t, report.OutOfReach[0].Err, ErrLocked)
	require.NoError(t, copied.Close())
	report, err = bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"copy"}, report.Checkpoints)
	keyIsGone(t, fs, "copy", report.Key)
	copied, err = Open("copy", o)
	require.NoError(t, err)
	sc, err = copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	v, err = sc.Get([]byte("merged-1"))
	require.NoError(t, err, "its own key stays")
	require.Equal(t, "own", string(v))
	require.NoError(t, copied.Close())
}

// A vault that somebody has put into a checkpoint is reached; a checkpoint that is gone is named.
func TestShredReachesRegisteredCheckpoints(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	require.NoError(t, db.Checkpoint(ctx, "early"))
	bob := sealedIn(t, db, scope.User("bob"))
	for _, dir := range []string{"one", "two", "three"} {
		require.NoError(t, db.Checkpoint(ctx, dir))
		f, err := fs.Open("db/"+crypto.VaultName, vfs.ReadOnly)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		vault := make([]byte, size)
		_, err = f.ReadAt(vault, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		putFile(t, fs, dir+"/"+crypto.VaultName, vault)
	}
	putFile(t, fs, "three/"+crypto.VaultName, []byte("no vault"))
	copied, err := Open("one", o)
	require.NoError(t, err)
	sc, err := copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	bob.check(t, sc, false)
	require.NoError(t, copied.Close())
	for name := range filesIn(t, fs, "two") {
		require.NoError(t, fs.Remove("two/"+name))
	}
	report, err := bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"early", "one"}, report.Checkpoints)
	require.Len(t, report.OutOfReach, 2)
	require.ErrorIs(t, report.OutOfReach[0].Err, ErrCorrupt)
	require.ErrorIs(t, report.OutOfReach[1].Err, ErrNotExist)
	keyIsGone(t, fs, "one", report.Key)
	copied, err = Open("one", o)
	require.NoError(t, err)
	sc, err = copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	bob.check(t, sc, true)
	require.NoError(t, copied.Close())

	// One that was forgotten is not looked at, and can be no more.
	two := checkpointIn(t, db, "two").ID
	require.NoError(t, db.ForgetCheckpoint(two))
	require.ErrorIs(t, db.ForgetCheckpoint(two), ErrNotFound)
	report, err = bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.Len(t, report.OutOfReach, 1)
	var dirs []string
	for _, r := range onRecord(t, db) {
		require.Equal(t, []crypto.KeyID{1}, r.Keys)
		dirs = append(dirs, r.Dir)
	}
	require.Equal(t, []string{"early", "one", "three"}, dirs)
}

// A vault that was put back does not bring a destroyed key back.
func TestAVaultThatWasPutBackHasNoShreddedKey(t *testing.T) {
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	bob := sealedIn(t, db, scope.User("bob"))
	older := filesIn(t, fs, "db")[crypto.VaultName]
	report, err := bob.sc.Shred(context.Background())
	require.NoError(t, err)
	require.NoError(t, db.Close())
	putFile(t, fs, "db/"+crypto.VaultName, older)
	for _, readOnly := range []bool{true, false} {
		o.ReadOnly = readOnly
		db := mustOpen(t, o)
		sc, err := db.Scope(scope.User("bob"))
		require.NoError(t, err)
		bob.check(t, sc, true)
		require.NoError(t, db.Close())
	}
	keyIsGone(t, fs, "db", report.Key)
}

// A copied scope has a key of its own.
func TestACopiedScopeIsSealedAnew(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	for _, first := range []bool{true, false} {
		name := fmt.Sprint("original-", first)
		original := sealedIn(t, db, scope.User(name))
		fork, err := original.sc.Fork(ctx, scope.User(name+"-copy"), nil)
		require.NoError(t, err)
		original.check(t, fork, false)
		shred := fork
		if first {
			shred = original.sc
		}
		_, err = shred.Shred(ctx)
		require.NoError(t, err)
		original.check(t, original.sc, first)
		for key, sealed := range original.sealed {
			_, err := fork.Get([]byte(key))
			require.Equal(t, sealed && !first, errors.Is(err, ErrShredded), key)
		}
	}
	// What is unreadable is copied as it is.
	sc, err := db.Scope(scope.User("late"))
	require.NoError(t, err)
	require.NoError(t, sc.SetSealed([]byte("k"), []byte("v"), nil))
	require.NoError(t, sc.Move(scope.User("moved"), nil))
	moved, err := db.Scope(scope.User("moved"))
	require.NoError(t, err)
	_, err = moved.Shred(ctx)
	require.NoError(t, err)
	fork, err := moved.Fork(ctx, scope.User("late-copy"), nil)
	require.NoError(t, err)
	_, err = fork.Get([]byte("k"))
	require.ErrorIs(t, err, ErrShredded)
	require.NoError(t, fork.SetSealed([]byte("k"), []byte("w"), nil))
	v, err := fork.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, "w", string(v))
}

// What is sealed passes through salvage, with its key or without.
func TestSealedValuesAreSalvaged(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	alice, bob := sealedIn(t, db, scope.User("alice")), sealedIn(t, db, scope.User("bob"))
	_, err := alice.sc.Shred(ctx)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	check := func(dir string, bobs error) {
		db, err := Open(dir, o)
		require.NoError(t, err)
		defer db.Close()
		for _, x := range []*sealedCase{alice, bob} {
			sc, err := db.Scope(x.sc.name)
			require.NoError(t, err)
			if x == alice || bobs == nil {
				x.check(t, sc, x == alice)
				continue
			}
			_, err = sc.Get([]byte("merged-1"))
			require.ErrorIs(t, err, bobs)
		}
	}
	_, err = Salvage(ctx, "db", "saved", o)
	require.NoError(t, err)
	check("saved", nil)
	putFile(t, fs, "db/"+crypto.VaultName, []byte("no vault"))
	_, err = Open("db", o)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Salvage(ctx, "db", "lost", o)
	require.NoError(t, err)
	require.NotContains(t, filesIn(t, fs, "lost"), crypto.VaultName)
	lost, err := Open("lost", o)
	require.NoError(t, err)
	defer lost.Close()
	sc, err := lost.Scope(scope.User("bob"))
	require.NoError(t, err)
	for e, err := range sc.Scan(nil, nil) {
		if bob.sealed[string(e.Key)] {
			require.ErrorIs(t, err, ErrNoScopeKey)
		} else {
			require.NoError(t, err)
			require.Equal(t, bob.values[string(e.Key)], string(e.Value))
		}
	}
}

// A store in memory has its vault there, and its checkpoints are on the system's.
func TestShredInMemory(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, &Options{Encryption: &Encryption{Key: masterKey(1)}, InMemory: true})
	alice, bob := sealedIn(t, db, scope.User("alice")), sealedIn(t, db, scope.User("bob"))
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, db.Checkpoint(ctx, dir))
	report, err := alice.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{dir}, report.Checkpoints)
	alice.check(t, alice.sc, true)
	bob.check(t, bob.sc, false)
}

// A scope of a copy may have values under the original's key and under the copy's: Shred takes both.
func TestShredInACopyTakesWhatTheOriginalSealed(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	bob := sealedIn(t, db, scope.User("bob"))
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	with := *o
	with.Encryption = &Encryption{Key: masterKey(1), Vault: "db"}
	copied, err := Open("copy", &with)
	require.NoError(t, err)
	sc, err := copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	bob.check(t, sc, false)
	require.NoError(t, sc.SetSealed([]byte("own"), []byte("own"), nil))
	report, err := sc.Shred(ctx)
	require.NoError(t, err)
	require.Empty(t, report.OutOfReach)
	for range 2 {
		_, err = sc.Get([]byte("own"))
		require.ErrorIs(t, err, ErrShredded)
		for key, sealed := range bob.sealed {
			_, err = sc.Get([]byte(key))
			require.Equal(t, sealed, errors.Is(err, ErrShredded), key)
		}
		require.NoError(t, copied.Close())
		copied, err = Open("copy", &with)
		require.NoError(t, err)
		sc, err = copied.Scope(scope.User("bob"))
		require.NoError(t, err)
	}
	require.NoError(t, copied.Close())
	bob.check(t, bob.sc, false) // the original is another store
}

// What was shredded before the copy was made is refused there too, though it has no vault.
func TestACopyWithoutAVaultKnowsWhatWasShredded(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	bob, whole := sealedIn(t, db, scope.User("bob")), sealedScope(t, db, "whole")
	require.NoError(t, whole.Set([]byte("k"), []byte("v"), nil))
	for _, sc := range []*Scope{bob.sc, whole} {
		_, err := sc.Shred(ctx)
		require.NoError(t, err)
	}
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	copied, err := Open("copy", o)
	require.NoError(t, err)
	defer copied.Close()
	sc, err := copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	bob.check(t, sc, true)
	require.ErrorIs(t, sc.SetSealed([]byte("new"), []byte("v"), nil), ErrShredded)
	sc, err = copied.Scope(whole.name)
	require.NoError(t, err)
	require.ErrorIs(t, sc.Set([]byte("new"), []byte("v"), nil), ErrShredded)
	_, err = sc.Sealed()
	require.ErrorIs(t, err, ErrShredded)
}

// A value that nobody here can open is not copied into another scope, whose Shred would not reach it.
func TestWhatHasNoKeyHereIsNotCopied(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	sc, err := db.Scope(scope.User("bob"))
	require.NoError(t, err)
	require.NoError(t, sc.SetSealed([]byte("k"), []byte("v"), nil))
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	copied, err := Open("copy", o)
	require.NoError(t, err)
	defer copied.Close()
	sc, err = copied.Scope(scope.User("bob"))
	require.NoError(t, err)
	_, err = sc.Fork(ctx, scope.User("fork"), nil)
	require.ErrorIs(t, err, ErrNoScopeKey)
	fork, err := copied.Scope(scope.User("fork"))
	require.NoError(t, err)
	_, err = fork.Get([]byte("k"))
	require.ErrorIs(t, err, ErrNotFound)
}
