package lsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// onRecord returns the records of checkpoints, by directory.
func onRecord(t *testing.T, db *DB) []CheckpointRecord {
	t.Helper()
	var all []CheckpointRecord
	for r, err := range db.Checkpoints() {
		require.NoError(t, err)
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b CheckpointRecord) int {
		return slices.Compare([]byte(a.Dir+"\x00"+a.ID.String()), []byte(b.Dir+"\x00"+b.ID.String()))
	})
	return all
}

// checkpointIn returns the record of the only checkpoint that was made in a directory.
func checkpointIn(t *testing.T, db *DB, dir string) CheckpointRecord {
	t.Helper()
	all := slices.DeleteFunc(onRecord(t, db), func(r CheckpointRecord) bool { return r.Dir != dir })
	require.Len(t, all, 1)
	return all[0]
}

// moveFiles moves the files of a directory.
func moveFiles(t *testing.T, fs vfs.FS, from, to string) {
	t.Helper()
	require.NoError(t, fs.MkdirAll(to))
	for name := range filesIn(t, fs, from) {
		require.NoError(t, fs.Rename(from+"/"+name, to+"/"+name))
	}
}

// A checkpoint was known by its path: when it was moved and the next one made in its place, the first one was off the
// record, and Shred and RetireDataKey took the second for it.
func TestAMovedCheckpointIsNotTakenForAnother(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	bob := sealedIn(t, db, scope.User("bob"))
	require.NoError(t, db.Checkpoint(ctx, "latest"))
	monday := checkpointIn(t, db, "latest")
	putFile(t, fs, "latest/"+crypto.VaultName, filesIn(t, fs, "db")[crypto.VaultName])
	moveFiles(t, fs, "latest", "monday")
	require.NoError(t, db.Checkpoint(ctx, "latest"))
	require.Len(t, onRecord(t, db), 2)
	require.NoError(t, db.RotateDataKeys())
	leaves(t, db, 1)

	report, err := bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"latest"}, report.Checkpoints)
	require.Len(t, report.OutOfReach, 1)
	require.Equal(t, monday.ID, report.OutOfReach[0].ID)
	require.ErrorIs(t, report.OutOfReach[0].Err, ErrOtherStore)
	users := func() []string {
		var used *crypto.InUseError
		require.Eventually(t, func() bool { // until readers of merged tables have left them
			used = nil
			require.ErrorAs(t, db.RetireDataKey(1, nil), &used)
			return !slices.ContainsFunc(used.Users, func(u string) bool { return len(u) < 11 || u[:11] != "checkpoint " })
		}, 30*time.Second, time.Millisecond)
		return used.Users
	}
	require.Len(t, users(), 2)
	require.Contains(t, fmt.Sprint(users()), "another store")

	require.ErrorIs(t, db.MoveCheckpoint(CheckpointID{1}, "monday"), ErrNotFound)
	require.ErrorIs(t, db.MoveCheckpoint(monday.ID, "nowhere"), ErrNotExist)
	require.ErrorIs(t, db.MoveCheckpoint(monday.ID, "db"), ErrOtherStore)
	require.NoError(t, db.MoveCheckpoint(monday.ID, "monday"))
	require.Equal(t, monday.ID, checkpointIn(t, db, "monday").ID)
	report, err = bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"latest", "monday"}, report.Checkpoints)
	require.Empty(t, report.OutOfReach)
	keyIsGone(t, fs, "monday", report.Key)
	require.Equal(t, []string{"checkpoint latest", "checkpoint monday"}, users())

	// Other stores in the place of one: encrypted, under another key, in clear, damaged; and one of its own that is in clear.
	require.NoError(t, fs.MkdirAll("kept"))
	for name, file := range filesIn(t, fs, "latest") {
		putFile(t, fs, "kept/"+name, file)
	}
	for what, replace := range map[string]func(){
		"another encrypted": func() {
			other := encrypted(fs, 7)
			db, err := Open("monday", other)
			require.NoError(t, err)
			require.NoError(t, db.Close())
		},
		"in clear": func() {
			db, err := Open("monday", &Options{seams: sized(fs)})
			require.NoError(t, err)
			require.NoError(t, db.Close())
		},
		"copy of another checkpoint": func() {
			for name, file := range filesIn(t, fs, "kept") {
				putFile(t, fs, "monday/"+name, file)
			}
		},
		"unfinished": func() { putFile(t, fs, "monday/"+manifest.UnfinishedName, nil) },
	} {
		for name := range filesIn(t, fs, "monday") {
			require.NoError(t, fs.Remove("monday/"+name))
		}
		replace()
		before := len(filesIn(t, fs, "monday"))
		report, err = bob.sc.Shred(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"latest"}, report.Checkpoints, what)
		require.Len(t, report.OutOfReach, 1, what)
		require.ErrorIs(t, report.OutOfReach[0].Err, ErrOtherStore, what)
		require.Len(t, users(), 2, what)
		require.Len(t, filesIn(t, fs, "monday"), before, "%s: it was touched", what)
	}
	putFile(t, fs, "monday/"+crypto.KeyringName, []byte("no keyring"))
	report, err = bob.sc.Shred(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, report.OutOfReach[0].Err, ErrCorrupt)
}

// A checkpoint that came to nothing stayed on record, needed every data key and was out of every Shred's reach.
func TestACheckpointThatCameToNothingIsNotOnRecord(t *testing.T) {
	ctx := context.Background()
	emptied := 0
	for n, failed := 0, true; failed; n++ {
		mem := vfs.NewMem()
		faults := vfs.NewFaults(mem)
		db := mustOpen(t, encrypted(faults, 1))
		fillCanaries(t, db, 0, 40)
		faults.Add(vfs.Rule{Kinds: vfs.OpWrites, Glob: "copy/*", Skip: n})
		err := db.Checkpoint(ctx, "copy")
		failed = len(faults.Fired()) > 0
		faults.Clear()
		names, listErr := mem.List("copy")
		left := err != nil && listErr == nil && slices.Contains(names, manifest.UnfinishedName)
		if err != nil && !left {
			require.Empty(t, onRecord(t, db), "%d: %v", n, err)
			emptied++
		}
		if err != nil {
			require.NoError(t, db.Checkpoint(ctx, "copy"), "%d", n)
		}
		r := checkpointIn(t, db, "copy") // of one that left something behind nothing is left either
		require.NotNil(t, r.Keys)
		require.NoError(t, db.Close())
		require.Less(t, n, 200)
	}
	require.Greater(t, emptied, 3)
}

// When the mark of a checkpoint that failed cannot be removed nothing is there that a key opens: it stayed on record, where the
// next one in the directory did not know it for the same, and so for ever.
func TestAMarkAloneIsNotOnRecord(t *testing.T) {
	ctx := context.Background()
	faults := vfs.NewFaults(vfs.NewMem())
	db := mustOpen(t, encrypted(faults, 1))
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	faults.Add(vfs.Rule{Kinds: vfs.OpRename, Glob: "copy/" + manifest.CurrentName})
	faults.Add(vfs.Rule{Kinds: vfs.OpRemove, Glob: "copy/" + manifest.UnfinishedName})
	require.Error(t, db.Checkpoint(ctx, "copy"))
	require.Len(t, faults.Fired(), 2)
	require.Empty(t, onRecord(t, db))
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.Len(t, onRecord(t, db), 1)
}

// Wherever the power is cut while a checkpoint is made: what opens is on record, as what it is, and the next one in the
// directory leaves no other record than its own.
func TestPowerCutWhileACheckpointIsRegistered(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashMem()
	db := mustOpen(t, encrypted(mem, 1))
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	from := mem.Ops()
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.NoError(t, db.Close())
	opened, begun := 0, 0
	for e, k := mem.Explore(), from; k <= mem.Ops(); k++ {
		if e.AdvanceTo(k); k%cutEvery() != 0 {
			continue
		}
		for s := range e.States(vfs.StateOptions{Pending: 1}) {
			fs := s.Mem()
			db, err := Open("db", encrypted(fs, 1))
			require.NoError(t, err, "%s", s)
			made := onRecord(t, db)
			ro := encrypted(fs, 1)
			ro.ReadOnly = true
			copied, err := Open("copy", ro)
			if err == nil {
				opened++
				require.Len(t, made, 1, "%s", s)
				require.Equal(t, CheckpointID(copied.store), made[0].ID)
				require.Equal(t, []crypto.KeyID{1}, made[0].Keys)
				require.NoError(t, copied.Close())
				require.ErrorIs(t, db.Checkpoint(ctx, "copy"), ErrNotEmpty)
			} else if _, err = fs.Size("copy/" + manifest.CurrentName); errors.Is(err, vfs.ErrNotExist) {
				begun += len(made)
				require.NoError(t, db.Checkpoint(ctx, "copy"), "%s", s)
			}
			require.LessOrEqual(t, len(onRecord(t, db)), 1, "%s", s)
			require.NoError(t, db.Close())
		}
	}
	require.Positive(t, opened)
	require.Positive(t, begun)
}

// Ids of data keys in records are those of a keyring. One that was made since, by Salvage, or by Decrypt and Encrypt, has
// other keys of the same ids: they were not retired for checkpoints that do not need them.
func TestRecordsOfCheckpointsAreOfTheirKeyring(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 120)
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.Equal(t, []crypto.KeyID{1}, checkpointIn(t, db, "copy").Keys)
	require.NoError(t, db.Close())
	retires := func(dir string) {
		db, err := Open(dir, o)
		require.NoError(t, err)
		defer db.Close()
		r := checkpointIn(t, db, "copy")
		require.NotNil(t, r.Keys)
		require.Empty(t, r.Keys)
		require.NoError(t, db.RotateDataKeys())
		leaves(t, db, 1)
		retire(t, db, 1)
		require.NoError(t, db.Checkpoint(ctx, dir+"-copy"))
		require.Equal(t, []crypto.KeyID{2}, checkpointIn(t, db, dir+"-copy").Keys)
	}
	_, err := Salvage(ctx, "db", "saved", o)
	require.NoError(t, err)
	retires("saved")

	require.NoError(t, Decrypt(ctx, "db", paused(o))) // or it may be done at once, and take no key
	db = mustOpen(t, o)
	converted(t, db)
	require.NoError(t, db.Close())
	require.NoError(t, Encrypt(ctx, "db", o))
	db = mustOpen(t, o)
	converted(t, db)
	require.NoError(t, db.Close())
	retires("db")
}
