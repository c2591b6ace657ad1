package lsm

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// A watcher that waits has seen what does not concern it. When a commit of others is larger than
// the feed it goes on from there: from where it began to wait, the history may be gone.
func TestAWatcherThatWaitsKeepsItsPlace(t *testing.T) {
	z := small()
	z.WatchBytes = 4 << 10
	db := openSized(t, vfs.NewMem(), Options{}, z)
	defer func() { require.NoError(t, db.Close()) }()
	w, err := db.Watch(context.Background(), &WatchOptions{Prefix: []byte("mine/")})
	require.NoError(t, err)
	defer w.Close()
	type told struct {
		e   WatchEvent
		err error
	}
	heard := make(chan told, 16)
	go func() {
		for {
			e, err := w.Next()
			heard <- told{e, err}
			if err != nil {
				return
			}
		}
	}()
	parked := func() bool {
		db.feed.parkMu.Lock()
		defer db.feed.parkMu.Unlock()
		return w.parked && uint64(db.feed.seenSeq) >= uint64(db.visible.load())
	}
	begun := w.upTo()
	for i := range 100 {
		key := fmt.Appendf(nil, "other/%d", i)
		require.NoError(t, db.Set(key, nil, NoSync))
		require.NoError(t, db.Delete(key, NoSync))
		require.Eventually(t, parked, time.Minute, 100*time.Microsecond)
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.Greater(t, db.history.floor.Load(), uint64(begun), "the watcher began before that")
	b := db.NewBatch()
	for i := range 1000 {
		b.Set(fmt.Appendf(nil, "other/%d", i), make([]byte, 100))
	}
	db.feed.parkMu.Lock() // the dispatcher gets no turn meanwhile
	require.NoError(t, db.Apply(b, NoSync))
	db.feed.parkMu.Unlock()
	require.NoError(t, db.Set([]byte("mine/1"), nil, NoSync))
	for {
		got := <-heard
		require.NoError(t, got.err)
		if got.e.Kind == WatchSet {
			require.Equal(t, "mine/1", string(got.e.Key))
			return
		}
		require.Equal(t, WatchLagged, got.e.Kind)
	}
}
