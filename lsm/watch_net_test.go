package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
)

// Whatever pieces net changes are read in, they are the same, deleted ranges too.
func TestNetChangesAreTheSameInAnyPieces(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 29))
		db := openSized(t, vfs.NewMem(), Options{}, small())
		key := func() []byte { return fmt.Appendf(nil, "k%03d", rnd.IntN(200)) }
		change := func(n int) {
			for range n {
				switch k := key(); rnd.IntN(6) {
				case 0:
					require.NoError(t, db.Delete(k, NoSync))
				case 1:
					upper := append(bytes.Clone(k), byte(rnd.IntN(256)))
					if rnd.IntN(3) == 0 {
						upper = append(key(), 0xff)
					}
					if bytes.Compare(k, upper) < 0 {
						require.NoError(t, db.DeleteRange(k, upper, NoSync))
					}
				default:
					require.NoError(t, db.Set(k, make([]byte, rnd.IntN(50)), NoSync))
				}
			}
			if rnd.IntN(2) == 0 {
				require.NoError(t, db.Flush(context.Background()))
			}
		}
		change(300)
		before, err := db.NewSnapshot()
		require.NoError(t, err)
		from, err := before.Position()
		require.NoError(t, err)
		w, err := db.Watch(context.Background(), nil)
		require.NoError(t, err)
		change(rnd.IntN(300))
		change(rnd.IntN(30))
		var want []string
		for _, limit := range []int{1 << 20, 1, 2, 5, 64} {
			snap, err := db.NewSnapshot()
			require.NoError(t, err)
			n := netChanges{w: w, snap: snap, from: from, more: true, limit: limit, lower: w.walk.keys.lower, ranges: w.walk.keys.lower}
			var got []string
			for {
				e, ok, err := n.take()
				require.NoError(t, err)
				if !ok {
					break
				}
				got = append(got, fmt.Sprintf("%v %q %q %x %d", e.Kind, e.Key, e.Upper, e.Value, e.Version))
			}
			n.close()
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "seed %d, pieces of %d", seed, limit)
		}
		require.NoError(t, w.Close())
		require.NoError(t, before.Close())
		require.NoError(t, db.Close())
	}
}

// A consumer that stops among net changes keeps no memtable and no iterator, however long, and
// is shown all the same what was deleted, whatever compactions have forgotten meanwhile.
func TestAWatcherThatStopsAmongNetChangesKeepsNoMemtable(t *testing.T) {
	z := small()
	z.WatchBytes = 4 << 10
	db := openSized(t, vfs.NewMem(), Options{}, z)
	ctx := context.Background()
	arenas := func() int64 {
		db.arenas.mu.Lock()
		defer db.arenas.mu.Unlock()
		return db.arenas.total
	}
	write := func(round int) {
		for i := range 400 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%03d", i), fmt.Append(nil, round), NoSync))
		}
		for i := round; i < 400; i += 10 {
			require.NoError(t, db.Delete(fmt.Appendf(nil, "k%03d", i), NoSync))
		}
		from := fmt.Appendf(nil, "k%03d", 40*round)
		require.NoError(t, db.DeleteRange(from, append(from[:len(from):len(from)], '!'), NoSync))
	}
	write(9)
	require.NoError(t, db.Compact(ctx, nil, nil))
	const stopped = 8
	most := arenas() + maxKeptArenas*z.MemtableBytes
	var watchers []*Watcher
	var copies []map[string]string
	for round := range stopped {
		w, err := db.Watch(ctx, nil)
		require.NoError(t, err)
		have := map[string]string{}
		for e, err := range db.Scan(nil, nil) {
			require.NoError(t, err)
			have[string(e.Key)] = string(e.Value)
		}
		write(round)
		for range 3 {
			takeEvent(t, w, have)
		}
		require.NotNil(t, w.walk.catch)
		watchers, copies = append(watchers, w), append(copies, have)
		require.NoError(t, db.Compact(ctx, nil, nil))
	}
	require.Eventually(t, func() bool { return arenas() <= most }, time.Minute, time.Millisecond, "%d bytes of memtables", arenas())
	require.Zero(t, db.Metrics().Iterators)

	want := map[string]string{}
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		want[string(e.Key)] = string(e.Value)
	}
	for i, w := range watchers[1:] {
		for uint64(w.upTo()) < uint64(db.visible.load()) {
			takeEvent(t, w, copies[i+1])
		}
		require.Equal(t, want, copies[i+1])
		require.NoError(t, w.Close())
	}
	require.NoError(t, watchers[0].Close(), "which still stands among them")
	require.Zero(t, db.Metrics().Snapshots)
	require.Equal(t, keys.MaxSeqNum, db.horizons.bound())
	require.NoError(t, db.Close())
}

// takeEvent applies a watcher's next event to a copy of the root.
func takeEvent(t *testing.T, w *Watcher, have map[string]string) {
	t.Helper()
	e, err := w.Next()
	require.NoError(t, err)
	switch e.Kind {
	case WatchSet:
		have[string(e.Key)] = string(e.Value)
	case WatchDelete:
		delete(have, string(e.Key))
	case WatchDeleteRange:
		for k := range have {
			if k >= string(e.Key) && (e.Upper == nil || k < string(e.Upper)) {
				delete(have, k)
			}
		}
	}
}

// stopAmongDeletes returns a store of which the lower half of the keys was deleted, and a watcher
// that has been shown the first of the deletes.
func stopAmongDeletes(t *testing.T, o Options) (db *DB, w *Watcher) {
	t.Helper()
	z := small()
	z.WatchBytes = 4 << 10
	db = openSized(t, vfs.NewMem(), o, z)
	for i := range 2000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%04d", i), nil, NoSync))
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	w, err := db.Watch(context.Background(), nil)
	require.NoError(t, err)
	for i := range 1000 {
		require.NoError(t, db.Delete(fmt.Appendf(nil, "k%04d", i), NoSync))
	}
	for range 2 {
		takeEvent(t, w, map[string]string{})
	}
	require.NotNil(t, w.walk.catch)
	return db, w
}

// Deletions that a watcher that has stopped is still to be shown are kept for it.
func TestAWatcherThatStopsIsShownWhatWasDeleted(t *testing.T) {
	db, w := stopAmongDeletes(t, Options{})
	for range 3 {
		require.NoError(t, db.Compact(context.Background(), nil, nil))
	}
	require.LessOrEqual(t, db.history.floor.Load(), uint64(w.walk.catch.from))
	for i := 1; i < 1000; i++ {
		e, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, WatchDelete, e.Kind)
		require.Equal(t, fmt.Sprintf("k%04d", i), string(e.Key))
		require.Equal(t, i == 999, e.Last)
	}
	require.Equal(t, keys.MaxSeqNum, db.horizons.bound(), "nothing is kept any more")
	require.NoError(t, w.Close())
	require.NoError(t, db.Close())
}

// What is kept of deletions for it is bounded as it is for horizons: then it is told that nobody
// knows any more.
func TestAWatcherThatStopsForTooLongLosesItsHistory(t *testing.T) {
	db, w := stopAmongDeletes(t, Options{HorizonMaxBytes: 1 << 10})
	begun := uint64(w.walk.catch.from)
	require.Eventually(t, func() bool {
		return db.Compact(context.Background(), nil, nil) == nil && db.history.floor.Load() > begun
	}, time.Minute, time.Millisecond)
	var err error
	for err == nil {
		_, err = w.Next()
	}
	require.ErrorIs(t, err, ErrHistoryGone)
	for errors.Is(err, ErrHistoryGone) && w.walk.gone == nil {
		_, err = w.Next()
	}
	require.ErrorIs(t, err, ErrHistoryGone, "for good")
	require.NoError(t, w.Close())
	require.NoError(t, db.Close())
}
