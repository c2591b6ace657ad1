package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

func compactAll(t *testing.T, db *DB) {
	t.Helper()
	require.NoError(t, db.Compact(context.Background(), nil, nil))
}

// Deletions above a horizon are remembered through merges and reopenings, also those of ranges
// and of scopes, and what they delete goes all the same; without a horizon they are forgotten,
// and Diff says so.
func TestHorizonsKeepDeletions(t *testing.T) {
	fs, o := vfs.NewMem(), Options{Compression: NoCompression}
	db := openSized(t, fs, o, small())
	for i := range 200 {
		setAll(t, db, fmt.Sprintf("k%03d=%s", i, make([]byte, 200)))
	}
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.NoError(t, sc.Set([]byte("k"), []byte("v"), NoSync))
	compactAll(t, db)
	at := positionNow(t, db)
	require.NoError(t, db.SetHorizon("backup", at))
	m := db.Metrics() // once: a segment of the log may be made ahead at any time
	before := m.DiskBytes - m.LogBytes
	for i := range 50 {
		deleteAll(t, db, fmt.Sprintf("k%03d", i))
	}
	require.NoError(t, db.DeleteRange([]byte("k050"), []byte("k190"), NoSync))
	require.NoError(t, sc.Drop(nil))
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("delete k%03d", i))
	}
	want = append(want, "delete [k050, k190)", "agent:a drop scope")
	for range 2 {
		compactAll(t, db)
		require.Equal(t, lines(want...), changesOf(t, db, at))
		m := db.Metrics()
		require.Equal(t, 1, m.Horizons)
		require.Positive(t, m.HorizonTombstoneBytes)
		require.Less(t, m.DiskBytes-m.LogBytes, before/2)
		require.NoError(t, db.Close())
		db = openSized(t, fs, o, small())
	}
	hs, err := db.Horizons()
	require.NoError(t, err)
	require.Len(t, hs, 1)
	require.Equal(t, "backup", hs[0].Name)
	require.Equal(t, at, hs[0].Position)
	require.Equal(t, HorizonSound, hs[0].State)
	require.WithinDuration(t, time.Now(), hs[0].Set, time.Hour)

	require.NoError(t, db.RemoveHorizon("backup"))
	require.ErrorIs(t, db.RemoveHorizon("backup"), ErrNotFound)
	compactAll(t, db)
	_, err = tryChanges(db, at)
	require.ErrorIs(t, err, ErrHistoryGone)
	var gone *HistoryGoneError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, at, gone.From)
	require.Greater(t, gone.Floor, uint64(at.seq))
	require.Empty(t, gone.Horizon)
	require.ErrorIs(t, db.SetHorizon("late", at), ErrHistoryGone)
	require.Len(t, strings.Split(changesOf(t, db, Position{}), "\n"), 10+1)
	require.Zero(t, db.Metrics().Horizons)
}

// A horizon moves forward, and what lies below it is forgotten then; it may move back as far
// as the history is known.
func TestHorizonsMove(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	setAll(t, db, "a=1", "b=1", "c=1")
	first := positionNow(t, db)
	require.NoError(t, db.SetHorizon("h", first))
	deleteAll(t, db, "a")
	second := positionNow(t, db)
	compactAll(t, db)
	require.NoError(t, db.SetHorizon("h", second))
	require.NoError(t, db.SetHorizon("other", second))
	deleteAll(t, db, "b")
	compactAll(t, db)
	require.Equal(t, lines("delete b"), changesOf(t, db, second))
	_, err := tryChanges(db, first)
	require.ErrorIs(t, err, ErrHistoryGone)
	require.ErrorIs(t, db.SetHorizon("h", first), ErrHistoryGone)
	third := positionNow(t, db)
	require.NoError(t, db.SetHorizon("h", third))
	require.NoError(t, db.SetHorizon("h", second), "the other one has kept it")
	require.NoError(t, db.RemoveHorizon("other"))
	compactAll(t, db)
	require.Equal(t, lines("delete b"), changesOf(t, db, second))
}

// A merge that has left out deletions before a horizon was set below them comes to nothing.
func TestAHorizonIsSetUnderAMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hold atomic.Bool
		gate := make(chan struct{})
		fs := &gatedFS{FS: vfs.NewMem(), before: func(name string) {
			if strings.HasSuffix(name, ".sst") && hold.Load() {
				<-gate
			}
		}}
		db := openSized(t, fs, Options{}, small())
		setAll(t, db, "a=1", "b=1", "z=1")
		require.NoError(t, db.Flush(context.Background()))
		at := positionNow(t, db)
		deleteAll(t, db, "a")
		setAll(t, db, "z=2")
		require.NoError(t, db.Flush(context.Background()))
		hold.Store(true)
		done := make(chan error)
		go func() { done <- db.Compact(context.Background(), nil, nil) }()
		synctest.Wait() // it creates its table, and will leave the deletion out
		require.NoError(t, db.SetHorizon("h", at))
		hold.Store(false)
		close(gate)
		require.NoError(t, <-done)
		require.Equal(t, lines("delete a", "set z=2"), changesOf(t, db, at))
		require.NoError(t, db.RemoveHorizon("h"))
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		_, err := tryChanges(db, at)
		require.ErrorIs(t, err, ErrHistoryGone)
		require.NoError(t, db.Close())
	})
}

// A horizon that is too old, or above which deletions take too much, is given up, the store
// says so, and gets its space back; the next difference says why it cannot be had.
func TestHorizonsAreBounded(t *testing.T) {
	for name, o := range map[string]Options{
		"too old": {HorizonMaxAge: time.Hour}, "too large": {HorizonMaxAge: -1, HorizonMaxBytes: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewMem()
			z := small()
			z.SettleAfter = time.Second
			o.SyncInterval = -1
			db := openSized(t, fs, o, z)
			setAll(t, db, "a=1", "b=1", "c=1")
			at := positionNow(t, db)
			require.NoError(t, db.SetHorizon("h", at))
			require.NoError(t, db.SetHorizon("kept", at))
			time.Sleep(30 * time.Minute)
			require.Equal(t, 2, db.Metrics().Horizons)
			require.NoError(t, db.Close())
			db = openSized(t, fs, o, z) // it goes on
			deleteAll(t, db, "a")
			require.NoError(t, db.Flush(context.Background()))
			time.Sleep(10 * time.Minute)
			if name == "too old" {
				require.Equal(t, 2, db.Metrics().Horizons)
				require.Equal(t, lines("delete a"), changesOf(t, db, at))
				require.NoError(t, db.SetHorizon("kept", at)) // it is young again
				time.Sleep(30 * time.Minute)
				require.Equal(t, 1, db.Metrics().Horizons)
				require.Equal(t, lines("delete a"), changesOf(t, db, at))
				require.NoError(t, db.RemoveHorizon("kept"))
				time.Sleep(time.Minute)
			}
			m := db.Metrics()
			require.Zero(t, m.Horizons, name)
			require.Positive(t, m.HorizonsBroken, name)
			compactAll(t, db)
			_, err := tryChanges(db, at)
			var gone *HistoryGoneError
			require.ErrorAs(t, err, &gone)
			require.Equal(t, "h", gone.Horizon)
			require.Equal(t, name, gone.State.String())
			require.Contains(t, err.Error(), name)
			require.NoError(t, db.Close())
			db = openSized(t, fs, o, z)
			hs, err := db.Horizons()
			require.NoError(t, err)
			require.Equal(t, name, hs[0].State.String(), "it is told after reopening, too")
			now := positionNow(t, db)
			require.NoError(t, db.SetHorizon("h", now), "it is set anew")
			require.Equal(t, 1, db.Metrics().Horizons)
			require.NoError(t, db.Close())
		})
	}
}

// A power cut that takes back the removal of a horizon does not make it one again.
func TestHorizonsThatWereOvertaken(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	setAll(t, db, "a=1", "b=1")
	at := positionNow(t, db)
	require.NoError(t, db.SetHorizon("h", at))
	deleteAll(t, db, "a")
	// As if the removal were lost: deletions go although the record is there.
	db.horizons.mu.Lock()
	kept := db.horizons.byName
	db.horizons.byName = map[string]Horizon{}
	db.horizons.rebindLocked()
	db.horizons.mu.Unlock()
	compactAll(t, db)
	require.Len(t, kept, 1)
	require.NoError(t, db.Close())
	db = openSized(t, fs, Options{}, small())
	hs, err := db.Horizons()
	require.NoError(t, err)
	require.Equal(t, HorizonOvertaken, hs[0].State)
	_, err = tryChanges(db, at)
	var gone *HistoryGoneError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, "h", gone.Horizon)
	require.Equal(t, HorizonOvertaken, gone.State)
}

// Horizons that cannot be set are not.
func TestHorizonsThatCannotBe(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	require.NoError(t, db.SetHorizon("empty", positionNow(t, db)), "of an empty store")
	setAll(t, db, "a=1")
	at := positionNow(t, db)
	for _, name := range []string{"", "a\nb", "\xff", strings.Repeat("x", 129)} {
		require.ErrorIs(t, db.SetHorizon(name, at), scope.ErrInvalid)
	}
	ahead := at
	ahead.seq += 100
	require.ErrorIs(t, db.SetHorizon("h", ahead), ErrInvalidPosition)
	require.ErrorIs(t, db.SetHorizon("h", Position{open: fileid.UID{1}, seq: 1}), ErrDiverged)
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.SetHorizon("h", at), ErrClosed)
	require.ErrorIs(t, db.RemoveHorizon("h"), ErrClosed)
	_, err := db.Horizons()
	require.ErrorIs(t, err, ErrClosed)
	reader := openSized(t, fs, Options{ReadOnly: true}, small())
	require.ErrorIs(t, reader.SetHorizon("h", at), ErrReadOnly)
	require.ErrorIs(t, reader.RemoveHorizon("h"), ErrReadOnly)
	hs, err := reader.Horizons()
	require.NoError(t, err)
	require.Len(t, hs, 1)
	require.True(t, hs[0].Position.IsZero())
}

// A horizon in a checkpoint is one of the checkpoint's, which goes on from the same history.
func TestCheckpointsHaveTheHorizons(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	setAll(t, db, "a=1", "b=1")
	at := positionNow(t, db)
	require.NoError(t, db.SetHorizon("h", at))
	deleteAll(t, db, "a")
	require.NoError(t, db.Checkpoint(context.Background(), "copy"))
	deleteAll(t, db, "b")
	var o Options
	o.CompactionWorkers, o.seams = 1, sized(fs)
	copied, err := Open("copy", &o)
	require.NoError(t, err)
	defer copied.Close()
	compactAll(t, copied)
	require.Equal(t, lines("delete a"), changesOf(t, copied, at))
	require.Equal(t, lines("delete a", "delete b"), changesOf(t, db, at))
	require.NoError(t, copied.RemoveHorizon("h"))
	hs, err := db.Horizons()
	require.NoError(t, err)
	require.Len(t, hs, 1)
}

func someHorizons() []Horizon {
	p := somePositions()
	return []Horizon{
		{Name: "backup", Position: p[2], Set: time.UnixMilli(1_700_000_000_123)},
		{Name: "\u00e9", Position: p[0], Set: time.UnixMilli(0), State: HorizonTooOld},
		{Name: strings.Repeat("n", 128), Position: p[3], Set: time.UnixMilli(-5), State: HorizonTooLarge},
	}
}

// Records of horizons are what docs/formats/directory.md says.
func TestHorizonRecordsHaveTheDocumentedForm(t *testing.T) {
	var out bytes.Buffer
	for _, h := range someHorizons() {
		key, value := horizonKey(h.Name), horizonValue(h)
		fmt.Fprintf(&out, "%x\n  %x\n", key, value)
		got, err := decodeHorizon(key, value)
		require.NoError(t, err)
		require.Equal(t, h, got)
		for i := range value {
			_, err := decodeHorizon(key, value[:i])
			require.ErrorIs(t, err, ErrCorrupt)
		}
		newer := append([]byte{2}, value[1:]...)
		_, err = decodeHorizon(key, newer)
		require.ErrorIs(t, err, ErrTooNew)
	}
	golden.Assert(t, "testdata/horizons.txt", out.Bytes())
	require.Equal(t, "state(9)", HorizonState(9).String())
}

func FuzzDecodeHorizon(f *testing.F) {
	for _, h := range someHorizons() {
		f.Add(horizonKey(h.Name), horizonValue(h))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		h, err := decodeHorizon(key, value)
		if err != nil {
			require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooNew))
			return
		}
		require.Equal(t, key[1:], horizonKey(h.Name)[1:])
		require.Equal(t, value, horizonValue(h))
	})
}

// Records of expiry and of horizons once began alike: a store with both took each for the other,
// could read no horizon, and told of no expiry any more.
func TestHorizonsStandBesideRecordsOfExpiry(t *testing.T) {
	fs := vfs.NewMem()
	clock := newHandClock()
	o := Options{ExpiryEvents: true, Clock: clock}
	db := openSized(t, fs, o, small())
	require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), time.Hour, nil))
	require.NoError(t, db.SetHorizon("replica", positionNow(t, db)))
	require.NoError(t, db.Close())

	db = openSized(t, fs, o, small())
	defer db.Close()
	horizons, err := db.Horizons()
	require.NoError(t, err)
	require.Len(t, horizons, 1)
	clock.pass(2 * time.Hour)
	events, err := db.AwaitExpiryEvents(context.Background(), 0)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "k", string(events[0].Key))
}

// Damage to a record keeps every deletion, and is told to who asks.
func TestDeletionsStayWhereHorizonsCannotBeRead(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	setAll(t, db, "a=1", "b=1")
	at := positionNow(t, db)
	var b dirBatch
	b.add(keys.KindSet, horizonKey("h"), []byte{recordVersion, 7})
	_, err := db.commitDirectory(&b, nil)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	db = openSized(t, fs, Options{}, small())
	deleteAll(t, db, "a")
	compactAll(t, db)
	_, err = db.Horizons()
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorIs(t, db.SetHorizon("x", at), ErrCorrupt)
	require.Equal(t, lines("delete a"), changesOf(t, db, at))
	require.Zero(t, db.history.floor.Load())
}
