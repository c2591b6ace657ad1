package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Walking over keys reads no blob file; whoever asks for a value that cannot be read gets the
// error, and never another value.
func TestKeysAloneReadNoBlobFile(t *testing.T) {
	mem := vfs.NewMem()
	db := openBlobs(t, mem, nil)
	for i := range 10 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i), large(fmt.Sprint(i), 1000), nil))
	}
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.NoError(t, sc.Set([]byte("k"), large("s", 700), nil))
	flush(t, db)
	_, version, err := db.GetWithVersion([]byte("k5"))
	require.NoError(t, err)
	require.NoError(t, db.Close())

	unread := vfs.Rule{Kinds: vfs.OpOpen | vfs.OpReads, Glob: "*.blob", Err: syscall.EIO, Forever: true}
	db = openBlobs(t, vfs.NewFaults(mem, unread), nil)
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	n := 0
	for it.Next() {
		n++
	}
	for it.Prev() {
		n++
	}
	require.True(t, it.SeekGE([]byte("k3")))
	require.True(t, it.SeekLT([]byte("k3")))
	require.NoError(t, it.Err())
	require.Equal(t, 20, n)
	has, err := db.Has([]byte("k5"))
	require.NoError(t, err)
	require.True(t, has)
	sc, err = db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	st, err := sc.Stats()
	require.NoError(t, err)
	require.Equal(t, int64(701), st.Bytes)
	b := db.NewBatch()
	b.Require([]byte("k5"), version)
	b.Delete([]byte("k9"))
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Update(func(tx *lsm.Txn) error {
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		for it.Next() {
			n--
		}
		require.NoError(t, it.Err())
		require.True(t, it.Prev())
		require.Nil(t, it.Value())
		require.ErrorIs(t, it.Err(), syscall.EIO)
		require.False(t, it.Valid())
		return nil
	}))
	require.Equal(t, 11, n)

	require.True(t, it.SeekGE([]byte("k3")))
	require.Nil(t, it.Value())
	require.False(t, it.Valid())
	require.False(t, it.Next())
	require.ErrorIs(t, it.Close(), syscall.EIO)
	_, err = db.Get([]byte("k5"))
	require.ErrorIs(t, err, syscall.EIO)
	for e, err := range db.Scan(nil, nil) {
		require.ErrorIs(t, err, syscall.EIO)
		require.Nil(t, e.Key)
	}
	require.NoError(t, db.View(func(tx *lsm.Txn) error {
		for e, err := range tx.Scan(nil, nil) {
			require.ErrorIs(t, err, syscall.EIO)
			require.Nil(t, e.Key)
		}
		return nil
	}))
	_, err = sc.Copy(context.Background(), scope.Agent("b"), nil)
	require.ErrorIs(t, err, syscall.EIO)
}

// A blob file stays for whoever reads tables that refer to it, however late they ask for the
// value, and goes when they are done.
func TestBlobFilesOutliveTheirReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openBlobs(t, fs, nil)
		for i := range 10 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i), large("old", 1000), nil))
		}
		flush(t, db)
		old := blobNames(t, fs)
		require.Len(t, old, 1)
		it, err := db.NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.First())
		for i := range 10 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i), large("new", 1000), nil))
		}
		flush(t, db)
		compactAll(t, db)
		time.Sleep(time.Minute)
		require.Contains(t, blobNames(t, fs), old[0])
		for n := 0; ; n++ {
			require.Equal(t, string(large("old", 1000)), string(it.Value()))
			require.NoError(t, it.Err())
			if !it.Next() {
				require.Equal(t, 9, n)
				break
			}
		}
		require.NoError(t, it.Close())
		time.Sleep(time.Minute)
		require.NotContains(t, blobNames(t, fs), old[0])
		require.Len(t, blobNames(t, fs), 1)
		require.NoError(t, db.Close())
	})
}

// Compactions do not rewrite values, and numbers stay what they are when values are moved.
func TestReferencesPassThroughCompactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openBlobs(t, fs, func(o *lsm.Options, z *seams.Sizing) { o.BlobSpacePercent, z.L0Trigger = 300, 100 })
		versions := map[string]lsm.Version{}
		for run := range 6 {
			for i := range 40 {
				k := fmt.Sprintf("k%02d", i)
				if i%6 != run && run > 0 {
					continue
				}
				require.NoError(t, db.Set([]byte(k), large(fmt.Sprint(k, run), 900), nil))
				_, v, err := db.GetWithVersion([]byte(k))
				require.NoError(t, err)
				versions[k] = v
			}
			flush(t, db)
		}
		check := func() {
			t.Helper()
			for i := range 40 {
				k := fmt.Sprintf("k%02d", i)
				got, v, err := db.GetWithVersion([]byte(k))
				require.NoError(t, err)
				require.Equal(t, versions[k], v)
				require.Equal(t, string(large(fmt.Sprint(k, i%6), 900)), string(got))
			}
			require.NoError(t, db.Verify(context.Background()))
		}
		before := db.Metrics()
		compactAll(t, db)
		after := db.Metrics()
		require.Greater(t, after.Compactions, before.Compactions)
		require.Equal(t, before.BlobBytesWritten, after.BlobBytesWritten)
		require.Positive(t, after.BlobGarbage)
		check()
		require.NoError(t, db.Close())
		// With a lower bound the values are moved.
		db = openBlobs(t, fs, func(o *lsm.Options, z *seams.Sizing) { o.BlobSpacePercent = 110 })
		time.Sleep(time.Minute)
		require.Positive(t, db.Metrics().BlobBytesWritten)
		require.Zero(t, db.Metrics().BlobGarbage)
		check()
		require.NoError(t, db.Close())
	})
}

// Switched off, what is in blob files is read as before, and comes back into tables as it is
// moved; switched on again it goes out.
func TestBlobFilesAreSwitchedOffAndOn(t *testing.T) {
	fs := vfs.NewMem()
	want := map[string]string{}
	for life, threshold := range []int{-1, 100, 5000, -1, 100} {
		db := openBlobs(t, fs, func(o *lsm.Options, _ *seams.Sizing) { o.BlobThreshold, o.BlobSpacePercent = threshold, 110 })
		readsAll(t, db, want)
		for i := range 60 {
			k, v := fmt.Sprintf("k%02d", (i*7+life)%97), large(fmt.Sprint(life, i), 300+i)
			require.NoError(t, db.Set([]byte(k), v, nil))
			want[k] = string(v)
		}
		flush(t, db)
		compactAll(t, db)
		readsAll(t, db, want)
		require.NoError(t, db.Verify(context.Background()))
		if life == 0 {
			require.Zero(t, db.Metrics().BlobFiles)
		} else if threshold == 100 {
			require.Positive(t, db.Metrics().BlobFiles)
		}
		require.NoError(t, db.Close())
	}
}

// What dropped scopes and deleted ranges had in blob files comes back.
func TestBlobFilesOfDroppedScopesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openBlobs(t, fs, func(_ *lsm.Options, z *seams.Sizing) { z.SettleAfter = time.Second })
		for n := range 4 {
			sc, err := db.Scope(scope.Agent(fmt.Sprint(n)))
			require.NoError(t, err)
			for i := range 50 {
				require.NoError(t, sc.Set(fmt.Appendf(nil, "k%02d", i), large(fmt.Sprint(n, i), 1000), lsm.NoSync))
			}
		}
		flush(t, db)
		sc, err := db.Scope(scope.Agent("1"))
		require.NoError(t, err)
		st, err := sc.Stats()
		require.NoError(t, err)
		require.Equal(t, lsm.ScopeStats{Entries: 50, Bytes: 50 * 1003, Exact: true}, st)
		for n := range 3 {
			sc, err := db.Scope(scope.Agent(fmt.Sprint(n)))
			require.NoError(t, err)
			require.NoError(t, sc.Drop(nil))
		}
		time.Sleep(10 * time.Minute)
		require.LessOrEqual(t, db.Metrics().BlobBytes, int64(51*1020*3/2+2000))
		require.NoError(t, db.Verify(context.Background()))
		require.NoError(t, db.Close())
	})
}

// Options out of their ranges are refused.
func TestBlobOptionsAreChecked(t *testing.T) {
	for _, o := range []lsm.Options{{BlobThreshold: 15}, {BlobThreshold: 1<<30 + 1}, {BlobSpacePercent: 109}, {BlobSpacePercent: 1001}, {BlobSpacePercent: -1}} {
		require.ErrorIs(t, o.Validate(), lsm.ErrInvalidOptions)
	}
	require.NoError(t, (&lsm.Options{BlobThreshold: -1, BlobSpacePercent: 110}).Validate())
}

// A long value is not copied on its way to the log, nor when it is flushed, and a read takes
// its memory and no more. LOAM_LONG makes it a gibibyte.
func TestLongValuesTakeTheirMemoryOnce(t *testing.T) {
	n := 24 << 20
	if testing.Short() {
		n = 4 << 20
	}
	if longForm {
		n = 1 << 30
	}
	const constant = 12 << 20
	dir := t.TempDir()
	db, err := lsm.Open(dir, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	value := large("a long value", n)
	require.Less(t, allocated(func() { err = db.Set([]byte("k"), value, lsm.NoSync) }), int64(constant))
	require.NoError(t, err)
	require.Less(t, allocated(func() { err = db.Flush(context.Background()) }), int64(constant))
	require.NoError(t, err)
	require.Equal(t, 1, db.Metrics().BlobFiles)
	var got []byte
	require.Less(t, allocated(func() { got, err = db.Get([]byte("k")) }), int64(n+constant))
	require.NoError(t, err)
	require.True(t, string(value) == string(got))
	require.Less(t, allocated(func() { got, err = db.AppendGet(got[:0], []byte("k")) }), int64(constant))
	require.NoError(t, err)
	require.True(t, string(value) == string(got))
	got = nil
	require.Less(t, allocated(func() {
		for e, serr := range db.Scan(nil, nil) {
			err = errors.Join(err, serr)
			require.Len(t, e.Value, n)
		}
	}), int64(n+constant))
	require.NoError(t, err)
}
