package lsm_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

// Merges are shown with operator and operand, entries that expire with their expiry; what a
// watcher that lags is shown is folded.
func TestWatchersShowMergesAndExpiries(t *testing.T) {
	clock := &modelClock{}
	clock.millis.Store(1_000_000)
	db, err := lsm.Open("store", &lsm.Options{InMemory: true, Clock: clock})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	start, err := snap.Position()
	require.NoError(t, err)
	require.NoError(t, snap.Close())
	w, err := db.Watch(context.Background(), nil)
	require.NoError(t, err)
	defer w.Close()

	require.NoError(t, db.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(3), nil))
	require.NoError(t, db.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(4), nil))
	until := db.Now().Add(time.Minute)
	require.NoError(t, db.SetWithExpiry([]byte("s"), []byte("x"), until, nil))
	for _, operand := range []int64{3, 4} {
		e, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, lsm.WatchMerge, e.Kind)
		require.Equal(t, "merge", e.Kind.String())
		require.Equal(t, "n", string(e.Key))
		require.Equal(t, lsm.Int64Add, e.Operator)
		require.Equal(t, lsm.Int64Bytes(operand), e.Value)
		require.True(t, e.Last)
	}
	e, err := w.Next()
	require.NoError(t, err)
	require.Equal(t, lsm.WatchSet, e.Kind)
	require.Equal(t, "x", string(e.Value))
	require.True(t, until.Equal(e.Expiry))

	late, err := db.Watch(context.Background(), &lsm.WatchOptions{From: &start})
	require.NoError(t, err)
	defer late.Close()
	require.NoError(t, w.Close())
	var kinds []lsm.WatchKind
	for {
		e, err := late.Next()
		require.NoError(t, err)
		kinds = append(kinds, e.Kind)
		if string(e.Key) == "n" && e.Kind == lsm.WatchSet {
			require.Equal(t, lsm.Int64Bytes(7), e.Value)
		}
		if string(e.Key) == "s" {
			require.True(t, until.Equal(e.Expiry))
		}
		if e.Last {
			break
		}
	}
	if kinds[0] == lsm.WatchLagged {
		require.Equal(t, []lsm.WatchKind{lsm.WatchLagged, lsm.WatchSet, lsm.WatchSet}, kinds)
	}
}

// An operand may be heard of long after it was committed, when the value that it was applied to
// has expired: the event once did not tell when that was, so that a copy could not know whether
// the value was still there.
func TestWatchersLearnWhenOperandsWereCommitted(t *testing.T) {
	clock := &modelClock{}
	clock.millis.Store(1_000_000)
	db, err := lsm.Open("store", &lsm.Options{InMemory: true, Clock: clock})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	w, err := db.Watch(context.Background(), nil)
	require.NoError(t, err)
	defer w.Close()
	var at []time.Time
	for range 2 {
		at = append(at, db.Now())
		require.NoError(t, db.Merge(lsm.BytesAppend, []byte("k"), []byte("x"), nil))
		clock.millis.Add(5000)
	}
	for i := range 2 {
		e, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, lsm.WatchMerge, e.Kind)
		require.True(t, at[i].Equal(e.Time), "%v instead of %v", e.Time, at[i])
	}
}

// A value so long that the log takes it from the caller's slice is shown whole, or, where the
// feed cannot hold it, by the difference.
func TestWatchersShowLongValues(t *testing.T) {
	for _, budget := range []int64{64 << 20, 8 << 20} { // the feed is a sixteenth
		db, err := lsm.Open("store", &lsm.Options{InMemory: true, MemoryBudget: budget})
		require.NoError(t, err)
		w, err := db.Watch(context.Background(), nil)
		require.NoError(t, err)
		long := bytes.Repeat([]byte("long "), 500_000)
		require.NoError(t, db.Set([]byte("a"), []byte("short"), lsm.NoSync))
		require.NoError(t, db.Set([]byte("b"), long, lsm.NoSync))
		require.NoError(t, db.Set([]byte("c"), []byte("short"), lsm.NoSync))
		shown := map[string][]byte{}
		for string(shown["c"]) == "" {
			e, err := w.Next()
			require.NoError(t, err)
			if e.Kind == lsm.WatchSet {
				shown[string(e.Key)] = bytes.Clone(e.Value)
			}
		}
		require.Equal(t, long, shown["b"])
		require.NoError(t, w.Close())
		require.NoError(t, db.Close())
	}
}
