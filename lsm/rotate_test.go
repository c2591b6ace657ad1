package lsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// keyStatus is what is under a data key.
func keyStatus(t *testing.T, db *DB, id crypto.KeyID) DataKeyStatus {
	t.Helper()
	st, err := db.KeyStatus()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(st.Keys), int(id))
	return st.Keys[id-1]
}

// leaves waits until nothing of the manifest is under a data key.
func leaves(t *testing.T, db *DB, id crypto.KeyID) {
	t.Helper()
	require.Eventually(t, func() bool {
		k := keyStatus(t, db, id)
		return k.Bytes == 0 && !k.Manifest
	}, 30*time.Second, time.Millisecond, "%+v", keyStatus(t, db, id))
}

// retire retires a data key when the last reader has left what is under it.
func retire(t *testing.T, db *DB, id crypto.KeyID) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool {
		err = db.RetireDataKey(id, nil)
		return !errors.Is(err, crypto.ErrInUse)
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, err)
}

// newDataKey makes a new data key as a policy does that counts bytes: nothing leaves the old one.
func newDataKey(t *testing.T, db *DB) {
	t.Helper()
	require.NoError(t, db.changeKeyring("rotate", &manifest.Edit{}, func(r *crypto.Ring) error {
		_, err := r.Rotate()
		return err
	}))
}

// B61, R37: all that is under an old data key is written anew under a new one: log, manifest,
// tables and blob files, while writers go on. Then the old one can go, and everything is there.
func TestDataKeysLeaveTheStore(t *testing.T) {
	ctx := context.Background()
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		fs := vfs.NewMem()
		o := encrypted(fs, 1)
		o.LogMode = mode
		db := mustOpen(t, o)
		fillCanaries(t, db, 0, 400)
		require.NoError(t, db.Compact(ctx, nil, nil))
		fillCanaries(t, db, 400, 550) // some in the log alone
		before := keyStatus(t, db, 1)
		require.Equal(t, crypto.Active, before.State)
		require.Positive(t, before.Tables)
		require.Positive(t, before.BlobFiles)
		require.Positive(t, before.LogSegments)
		require.True(t, before.Manifest)

		require.NoError(t, db.RotateDataKeys())
		fillCanaries(t, db, 550, 600)
		leaves(t, db, 1)
		st, err := db.KeyStatus()
		require.NoError(t, err)
		require.EqualValues(t, 2, st.Active)
		require.Zero(t, st.Left)
		require.Zero(t, st.Estimate)
		require.True(t, st.Keys[0].Leaving)
		require.Positive(t, st.Keys[1].Tables)
		require.Positive(t, st.Keys[1].BlobFiles)
		require.Positive(t, st.Keys[1].Sealed)
		retire(t, db, 1)
		require.ErrorIs(t, db.RetireDataKey(1, nil), crypto.ErrRetired)
		require.ErrorIs(t, db.RetireDataKey(2, nil), crypto.ErrActive)
		require.ErrorIs(t, db.RetireDataKey(3, nil), crypto.ErrNoKey)
		checkCanaries(t, db, 600)
		require.NoError(t, db.Verify(ctx))
		killed := fs.Copy()
		require.NoError(t, db.Close())
		for _, left := range []vfs.FS{fs, killed} {
			o := encrypted(left, 1)
			db := mustOpen(t, o)
			checkCanaries(t, db, 600)
			k := keyStatus(t, db, 1)
			require.Equal(t, crypto.Retired, k.State)
			require.False(t, k.Leaving)
			require.NoError(t, db.Close())
			o.ReadOnly = true
			db = mustOpen(t, o)
			require.Equal(t, crypto.Retired, keyStatus(t, db, 1).State)
			require.Positive(t, keyStatus(t, db, 2).Tables)
			require.ErrorIs(t, db.RotateDataKeys(), ErrReadOnly)
			require.NoError(t, db.Close())
		}
	}
}

// A store that holds nothing leaves an old key too: there is nothing to flush.
func TestDataKeysLeaveAnEmptyStore(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	for id := crypto.KeyID(1); id < 4; id++ {
		require.NoError(t, db.RotateDataKeys())
		leaves(t, db, id)
		retire(t, db, id)
		require.NoError(t, db.Set([]byte("k"), fmt.Append(nil, id), nil))
	}
	require.NoError(t, db.Close())
	db = mustOpen(t, encrypted(fs, 1))
	v, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, "3", string(v))
}

// What has begun to leave goes on to after a reopening, also what was in the log alone, and also
// when the process was killed.
func TestRotationGoesOnAfterAnOpening(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	fillCanaries(t, db, 0, 250)
	require.NoError(t, db.RotateDataKeys())
	killed := fs.Copy()
	require.NoError(t, db.Close())
	for _, left := range []vfs.FS{fs, killed} {
		db := mustOpen(t, encrypted(left, 1))
		leaves(t, db, 1)
		retire(t, db, 1)
		checkCanaries(t, db, 250)
		require.NoError(t, db.Close())
		checkCanaries(t, mustOpen(t, encrypted(left, 1)), 250)
	}
}

// A key that was replaced for its bytes stays with what is under it: to write that anew would soon
// make the next one due.
func TestAKeyThatWasReplacedForItsBytesStays(t *testing.T) {
	o := encrypted(vfs.NewMem(), 1)
	o.Encryption.Policy.MaxBytes = 64 << 10
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 300)
	st, err := db.KeyStatus()
	require.NoError(t, err)
	require.Greater(t, len(st.Keys), 1)
	for _, k := range st.Keys {
		require.False(t, k.Leaving)
	}
	require.Zero(t, st.Left)
	checkCanaries(t, db, 300)
}

// One that has reached its age leaves, be it found at a flush or at an opening.
func TestAKeyThatHasReachedItsAgeLeaves(t *testing.T) {
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	now := time.UnixMilli(1e12)
	o.seams.Now = func() time.Time { return now }
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 150)
	require.NoError(t, db.Close())
	now = now.Add(time.Hour)
	o.Encryption.Policy.MaxAge = time.Hour
	db = mustOpen(t, o)
	require.True(t, keyStatus(t, db, 1).Leaving)
	leaves(t, db, 1)
	retire(t, db, 1)
	require.NoError(t, db.Close())
	checkCanaries(t, mustOpen(t, o), 150)
}

// A data key is needed by tables that an iterator alone still has, which are opened when it comes
// to them, and by files that are being written.
func TestAKeyThatIsHeldIsNotRetired(t *testing.T) {
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	fillCanaries(t, db, 0, 300)
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	writing := db.keyring.outputs("a job of the test")
	_, id, err := writing.newCipher()(fileid.KindTable, fileid.UID{1}, seal.Salt{2})
	require.NoError(t, err)
	require.EqualValues(t, 1, id)
	require.NoError(t, db.RotateDataKeys())
	leaves(t, db, 1)

	refused := func() []string {
		t.Helper()
		err := db.RetireDataKey(1, nil)
		var in *crypto.InUseError
		require.ErrorAs(t, err, &in)
		return in.Users
	}
	require.Contains(t, refused(), "a job of the test")
	writing.end()
	require.Condition(t, func() bool {
		return slices.ContainsFunc(refused(), func(name string) bool { return name[len(name)-4:] == ".sst" })
	})
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		require.Equal(t, string(canaryKey(n)), string(it.Key()))
		require.Equal(t, string(canaryValue(n)), string(it.Value()))
		n++
	}
	require.NoError(t, it.Err())
	require.Equal(t, 300, n)
	require.NoError(t, it.Close())
	retire(t, db, 1)
	checkCanaries(t, db, 300)
}

// A data key is needed by the log's segments, those that are only prepared included, and by the
// manifest.
func TestAKeyOfTheLogIsNotRetired(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	newDataKey(t, db)
	err := db.RetireDataKey(1, nil)
	var in *crypto.InUseError
	require.ErrorAs(t, err, &in)
	require.Contains(t, in.Users, "the manifest")
	require.Contains(t, in.Users, "segment 1 of the log")
	checkKey := func(db *DB) {
		v, err := db.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "v", string(v))
	}
	killed := fs.Copy()
	require.NoError(t, db.Close())
	checkKey(mustOpen(t, encrypted(fs, 1)))
	checkKey(mustOpen(t, encrypted(killed, 1)))
}

// Whoever needs a key outside of the store is asked, and his error keeps it as well.
func TestRetirementAsksOthers(t *testing.T) {
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	require.NoError(t, db.RotateDataKeys())
	leaves(t, db, 1)
	err := db.RetireDataKey(1, func() ([]string, error) { return []string{"backup 7"}, nil })
	var in *crypto.InUseError
	require.ErrorAs(t, err, &in)
	require.Equal(t, []string{"backup 7"}, in.Users)
	cause := errors.New("nobody answers")
	require.ErrorIs(t, db.RetireDataKey(1, func() ([]string, error) { return nil, cause }), cause)
	require.Equal(t, crypto.Retiring, keyStatus(t, db, 1).State)
	require.NoError(t, db.RetireDataKey(1, func() ([]string, error) { return nil, nil }))
}

// B61: a data key that a checkpoint on record needs is not retired, until the checkpoint is gone, or
// was forgotten; then it can be read all the same.
func TestACheckpointHoldsItsKeys(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	fillCanaries(t, db, 0, 200)
	for _, dir := range []string{"copy", "gone", "unfinished"} {
		require.NoError(t, db.Checkpoint(ctx, dir))
	}
	require.NoError(t, db.RotateDataKeys())
	require.NoError(t, db.Checkpoint(ctx, "mixed")) // before tables have left the old key, or behind that
	leaves(t, db, 1)
	require.NoError(t, db.Checkpoint(ctx, "later"))
	for name := range filesIn(t, fs, "gone") {
		require.NoError(t, fs.Remove("gone/"+name))
	}
	require.NoError(t, fs.Remove("unfinished/"+manifest.CurrentName))
	putFile(t, fs, "unfinished/"+manifest.UnfinishedName, nil)
	of := map[string][]crypto.KeyID{}
	for r, err := range db.Checkpoints() {
		require.NoError(t, err)
		of[r.Dir] = r.Keys
	}
	require.Equal(t, []crypto.KeyID{1}, of["copy"])
	require.Equal(t, []crypto.KeyID{2}, of["later"])
	require.Contains(t, of["mixed"], crypto.KeyID(2))
	if len(of["mixed"]) > 1 {
		require.NoError(t, db.ForgetCheckpoint(checkpointIn(t, db, "mixed").ID))
	}
	var users []string
	require.Eventually(t, func() bool { // until readers of merged tables have left them
		var used *crypto.InUseError
		require.ErrorAs(t, db.RetireDataKey(1, nil), &used)
		users = used.Users
		return len(users) == 2
	}, 30*time.Second, time.Millisecond)
	require.Equal(t, []string{"checkpoint copy", "checkpoint unfinished"}, users)
	require.NoError(t, db.Close())

	db = mustOpen(t, encrypted(fs, 1))
	require.ErrorIs(t, db.RetireDataKey(1, nil), crypto.ErrInUse)
	require.NoError(t, db.ForgetCheckpoint(checkpointIn(t, db, "copy").ID))
	require.NoError(t, fs.Remove("unfinished/"+manifest.UnfinishedName))
	retire(t, db, 1)
	require.NoError(t, db.Close())
	for _, dir := range []string{"copy", "later"} {
		copied, err := Open(dir, encrypted(fs, 1))
		require.NoError(t, err)
		checkCanaries(t, copied, 200)
		require.NoError(t, copied.Close())
	}
}

// Without space a key stays a while longer, and leaves when there is some again.
func TestAKeyLeavesWhenSpaceReturns(t *testing.T) {
	fs := vfs.NewFaults(vfs.NewMem())
	db := mustOpen(t, encrypted(fs, 1))
	fillCanaries(t, db, 0, 250)
	full := vfs.Rule{Kinds: vfs.OpCreate | vfs.OpPreallocate, Glob: "wal-*", Err: syscall.ENOSPC, Forever: true}
	tables := full
	tables.Glob = "*.sst"
	fs.Add(full)
	fs.Add(tables)
	require.NoError(t, db.RotateDataKeys())
	require.Eventually(t, func() bool { return len(fs.Fired()) > 1 }, 30*time.Second, time.Millisecond)
	require.Positive(t, keyStatus(t, db, 1).Bytes)
	require.ErrorIs(t, db.RetireDataKey(1, nil), crypto.ErrInUse)
	fs.Clear()
	leaves(t, db, 1)
	retire(t, db, 1)
	checkCanaries(t, db, 250)
}

// The status of a rotation that goes on: what is left, and after a first compaction how long it
// takes.
func TestAnEstimateOfWhatIsLeft(t *testing.T) {
	r := rotator{}
	require.Zero(t, r.estimate(1000))
	r.bytes.Add(500)
	r.nanos.Add(int64(3 * time.Second))
	require.Equal(t, 6*time.Second, r.estimate(1000))
	require.Zero(t, r.estimate(0))

	s := &manifest.State{MinKey: 2, Segments: []manifest.Segment{{Num: 1, Bytes: 10, Key: 1}, {Num: 2, Bytes: 20, Key: 2}}}
	v, err := (&manifest.Version{}).Apply(&manifest.Edit{Added: []manifest.AddedTable{{Level: 6, Run: 1, Table: &manifest.Table{
		Num: 1, UID: fileid.UID{1}, Bytes: 100, Smallest: []byte("a"), Largest: []byte("b"), MinSeqNum: 1, MaxSeqNum: 1, Entries: 1, Key: 1,
	}}}})
	require.NoError(t, err)
	st := KeyStatus{Active: 3, Keys: []DataKeyStatus{
		{KeyInfo: crypto.KeyInfo{ID: 1, State: crypto.Retiring}}, {KeyInfo: crypto.KeyInfo{ID: 2, State: crypto.Retiring}},
		{KeyInfo: crypto.KeyInfo{ID: 3, State: crypto.Active}},
	}}
	st.count(v, s, 2)
	require.EqualValues(t, 100, st.Left)
	one, two := st.Keys[0], st.Keys[1]
	require.True(t, one.Leaving)
	require.Equal(t, []any{1, 1, int64(110), false}, []any{one.Tables, one.LogSegments, one.Bytes, one.Manifest})
	require.False(t, two.Leaving)
	require.Equal(t, []any{0, 1, int64(20), true}, []any{two.Tables, two.LogSegments, two.Bytes, two.Manifest})
}
