package lsm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// atRest are small sizes of a store that comes to rest.
func atRest() Options { return Options{Compression: NoCompression} }

func tableEntries(db *DB) (n int64) {
	m := db.Metrics()
	for _, l := range m.Levels {
		n += l.Entries
	}
	return n
}

// B17: the space of what has expired comes back by itself: in a store at rest, whether it lies
// in tables or in the memtable, beside what stays and above what is older, and without
// bringing that back.
func TestSpaceOfExpiredEntriesReturnsToAStoreAtRest(t *testing.T) {
	for _, where := range []string{"tables", "memtable"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := small()
				z.SettleAfter, z.SettleBytes = time.Second, 4<<10
				n := 3000
				if where == "memtable" {
					n = 600
					z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes = 256<<10, 256<<10, 2<<20
				}
				db := openSized(t, vfs.NewMem(), atRest(), z)
				for i := range n {
					require.NoError(t, db.Set(numbered(i), []byte("older"), NoSync))
				}
				require.NoError(t, db.Compact(context.Background(), nil, nil))
				for i := range n {
					if i%3 > 0 {
						require.NoError(t, db.SetWithTTL(numbered(i), make([]byte, 100), time.Hour+time.Duration(i)*time.Second, NoSync))
					}
				}
				if where == "tables" {
					require.NoError(t, db.Flush(context.Background()))
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				full := db.Metrics()
				require.Zero(t, full.ReclaimedEntries)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				m := db.Metrics()
				require.Equal(t, int64(n/3*2), m.ReclaimedEntries)
				require.Equal(t, int64(n/3), tableEntries(db))
				require.Zero(t, expiringLeft(db))
				require.Less(t, m.DiskBytes, full.DiskBytes)
				for i := range n {
					_, err := db.Get(numbered(i))
					if i%3 == 0 {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, ErrNotFound)
					}
				}
				compactions := m.Compactions
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				require.Equal(t, compactions, db.Metrics().Compactions, "then it rests")
				require.NoError(t, db.Close())
			})
		})
	}
}

// Space comes back in steps while entries go on expiring, not only with the last one, and
// merges for it are in proportion to what they give back.
func TestSpaceReturnsWhileEntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.SettleAfter = time.Second
		db := openSized(t, vfs.NewMem(), atRest(), z)
		const n = 4000
		for i := range n {
			require.NoError(t, db.SetWithTTL(numbered(i*7919%n), make([]byte, 50), time.Hour*time.Duration(1+i)/(n/24), NoSync))
		}
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		synctest.Wait()
		before := db.Metrics()
		for hour := 1; hour <= 25; hour++ {
			time.Sleep(time.Hour)
			synctest.Wait()
			alive := max(0, n-n/24*hour)
			require.LessOrEqual(t, tableEntries(db), int64(2*alive+n/4+200), "hour %d", hour)
		}
		require.Zero(t, tableEntries(db))
		after := db.Metrics()
		require.Less(t, after.CompactedBytes-before.CompactedBytes, 4*before.DiskBytes)
		require.NoError(t, db.Close())
	})
}

// A snapshot holds the space back and gives it free.
func TestASnapshotKeepsExpiredSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.SettleAfter = time.Second
		db := openSized(t, vfs.NewMem(), atRest(), z)
		for i := range 500 {
			require.NoError(t, db.SetWithTTL(numbered(i), make([]byte, 100), time.Hour, NoSync))
		}
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, int64(500), tableEntries(db))
		n := 0
		for _, err := range snap.Scan(nil, nil) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 500, n)
		require.Zero(t, countKeys(t, db))
		require.NoError(t, snap.Close())
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, tableEntries(db))
		require.NoError(t, db.Close())
	})
}

// A table of nothing but expired entries is removed by an edit, and the history floor rises.
func TestWhollyExpiredTablesGoUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.SettleAfter = time.Second
		db := openSized(t, vfs.NewMem(), atRest(), z)
		for i := range 1000 {
			require.NoError(t, db.SetWithTTL(numbered(i), make([]byte, 100), time.Hour, NoSync))
		}
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		before := db.Metrics()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		after := db.Metrics()
		require.Zero(t, tableEntries(db))
		require.Equal(t, before.CompactedBytesRead, after.CompactedBytesRead)
		require.Equal(t, int64(1000), after.ReclaimedEntries)
		db.manifestMu.Lock()
		floor := db.manifestLog.State().HistoryFloor
		db.manifestMu.Unlock()
		require.GreaterOrEqual(t, uint64(floor), uint64(1000))
		require.NoError(t, db.Close())
	})
}

// The manifest knows when what is in a table expires, and so does a store made by Salvage.
func TestTheManifestKnowsExpiries(t *testing.T) {
	c := newHandClock()
	fs := vfs.NewMem()
	db := openAt(t, fs, c, Options{})
	for i := range 50 {
		require.NoError(t, db.SetWithTTL(numbered(i), []byte("v"), time.Duration(1+i)*time.Hour, NoSync))
	}
	require.NoError(t, db.Flush(context.Background()))
	check := func(db *DB) {
		n := uint64(0)
		db.state.Load().version.All(func(_ manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
			n += tab.Expires
			require.Positive(t, tab.Expiring.Bytes())
			require.LessOrEqual(t, tab.Expiring.Bytes(), uint64(tab.Bytes)+64)
			require.Equal(t, c.Wall().Add(50*time.Hour).UnixMilli(), tab.Expiring.Last())
			return true
		})
		require.Equal(t, uint64(50), n)
	}
	check(db)
	require.NoError(t, db.Close())
	o := Options{Clock: c}
	o.seams.FS, o.seams.Sizing = fs, small()
	_, err := Salvage(context.Background(), "db", "saved", &o)
	require.NoError(t, err)
	saved, err := Open("saved", &o)
	require.NoError(t, err)
	check(saved)
	c.pass(25 * time.Hour)
	require.Equal(t, 25, countKeys(t, saved))
	require.NoError(t, saved.Close())
}
