package lsm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

func numbered(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }

func fillNumbered(t testing.TB, db *DB, n int) {
	for i := range n {
		require.NoError(t, db.Set(numbered(i), fmt.Appendf(nil, "v%d", i), NoSync))
	}
}

func countKeys(t testing.TB, db *DB) int {
	n := 0
	for _, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		n++
	}
	return n
}

// A range delete takes effect on what was written before it, in the same batch too, and
// not on what follows, in memory, in tables, and after reopening.
func TestDeleteRangeDeletesWhatWasBefore(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	check := func(present ...string) {
		t.Helper()
		var got []string
		for e, err := range db.Scan(nil, nil) {
			require.NoError(t, err)
			got = append(got, string(e.Key))
		}
		require.Equal(t, present, got)
		for _, k := range []string{"a", "b", "bb", "c", "d"} {
			has, err := db.Has([]byte(k))
			require.NoError(t, err)
			require.Equal(t, contains(present, k), has, k)
		}
	}
	for _, k := range []string{"a", "b", "c", "d"} {
		require.NoError(t, db.Set([]byte(k), []byte("1"), nil))
	}
	require.NoError(t, db.DeleteRange([]byte("b"), []byte("d"), nil))
	check("a", "d")
	b := db.NewBatch()
	b.Set([]byte("b"), []byte("2"))
	b.Set([]byte("c"), []byte("2"))
	b.DeleteRange([]byte("b"), []byte("bz"))
	b.Set([]byte("bb"), []byte("2"))
	require.NoError(t, db.Apply(b, nil))
	check("a", "bb", "c", "d")
	require.NoError(t, db.Flush(context.Background()))
	check("a", "bb", "c", "d")
	require.NoError(t, db.Close())
	db = openSized(t, fs, Options{}, small())
	check("a", "bb", "c", "d")
	require.NoError(t, db.DeleteRange([]byte("c"), nil, NoSync))
	check("a", "bb")
	require.NoError(t, db.Close())
	db = openSized(t, fs, Options{}, small())
	check("a", "bb")
	require.NoError(t, db.DeleteRange(nil, nil, nil))
	check()
	require.NoError(t, db.Close())
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

func TestRangesThatAreNone(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	require.ErrorIs(t, db.DeleteRange([]byte("z"), []byte("a"), nil), ErrInvalidRange)
	require.NoError(t, db.DeleteRange([]byte("k"), []byte("k"), nil))
	require.NoError(t, db.DeleteRange(nil, []byte{}, nil))
	require.ErrorIs(t, db.DeleteRange(make([]byte, keys.MaxUserKeyLen+1), nil, nil), ErrTooLarge)
	b := db.NewBatch()
	b.DeleteRange([]byte("k"), []byte("k"))
	require.Zero(t, b.Len())
	b.DeleteRange([]byte("z"), []byte("a"))
	require.ErrorIs(t, db.Apply(b, nil), ErrInvalidRange)
	has, err := db.Has([]byte("k"))
	require.NoError(t, err)
	require.True(t, has)
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.DeleteRange(nil, nil, nil), ErrClosed)
}

// A snapshot taken before a range delete keeps seeing what it covers: through further
// deletes of the same range, flushes and merges.
func TestSnapshotsSeeThroughLaterRangeDeletes(t *testing.T) {
	z := small()
	z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes = 1<<20, 1<<20, 8<<20
	db := openSized(t, vfs.NewMem(), Options{}, z)
	var snaps []*Snapshot
	for round := range 6 {
		fillNumbered(t, db, 40)
		s, err := db.NewSnapshot()
		require.NoError(t, err)
		snaps = append(snaps, s)
		require.NoError(t, db.DeleteRange(nil, numbered(10+round), NoSync))
		if round == 3 { // so that one memtable has several tombstones over the same keys
			require.NoError(t, db.Flush(context.Background()))
		}
		after, err := db.NewSnapshot()
		require.NoError(t, err)
		snaps = append(snaps, after)
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	for i, s := range snaps {
		n := 0
		for _, err := range s.Scan(nil, nil) {
			require.NoError(t, err)
			n++
		}
		want := 40
		if i%2 == 1 {
			want = 30 - i/2
		}
		require.Equal(t, want, n, "snapshot %d", i)
		_, err := s.Get(numbered(3))
		if want == 40 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrNotFound)
		}
		require.NoError(t, s.Close())
	}
	require.NoError(t, db.Close())
}

// Tables that a range tombstone covers go by an edit, unread; what is left converges, at
// rest, to a store without tombstones.
func TestCoveredTablesGoUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.SettleAfter = time.Second
		db := openSized(t, vfs.NewMem(), Options{Compression: NoCompression}, z)
		fillNumbered(t, db, 20_000)
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		before := db.Metrics()
		require.Greater(t, before.Levels[manifest.LastLevel].Tables, 10)
		require.NoError(t, db.DeleteRange(numbered(100), numbered(19_900), NoSync))
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		require.Equal(t, 200, countKeys(t, db))
		after := db.Metrics()
		require.Less(t, after.CompactedBytesRead-before.CompactedBytesRead, before.Levels[manifest.LastLevel].Bytes/4)
		require.Less(t, after.Levels[manifest.LastLevel].Bytes, before.Levels[manifest.LastLevel].Bytes/20)
		for _, level := range db.state.Load().version.Levels {
			for _, run := range level {
				for _, tab := range run.Tables {
					require.Zero(t, tab.RangeDeletes)
				}
			}
		}
		require.NoError(t, db.Close())
	})
}

// Iterators leap over what a range tombstone in a newer source covers: they read a few
// blocks of thousands.
func TestIterationSkipsCoveredRuns(t *testing.T) {
	fs := countingFS{vfs.NewMem(), new(atomic.Int64)}
	db := openSized(t, fs, Options{Compression: NoCompression}, small())
	fillNumbered(t, db, 20_000)
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.NoError(t, db.DeleteRange(numbered(10), numbered(19_990), NoSync))
	reads := fs.reads.Load()
	require.Equal(t, 20, countKeys(t, db))
	n := 0
	for _, err := range db.ScanReverse(nil, nil) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 20, n)
	require.Less(t, fs.reads.Load()-reads, int64(40))
	require.NoError(t, db.Close())
}

// countingFS counts reads, of which none goes through a mapping.
type countingFS struct {
	vfs.FS
	reads *atomic.Int64
}

type countingFile struct {
	vfs.File
	reads *atomic.Int64
}

func (c countingFS) Traits(dir string) (vfs.Traits, error) {
	t, err := c.FS.Traits(dir)
	t.MappedLoads = false
	return t, err
}

func (c countingFS) Open(name string, mode vfs.OpenMode) (vfs.File, error) {
	f, err := c.FS.Open(name, mode)
	return countingFile{f, c.reads}, err
}

func (f countingFile) ReadAt(p []byte, off int64) (int, error) {
	f.reads.Add(1)
	return f.File.ReadAt(p, off)
}

// Readers without a snapshot race with range deletes that leave out older numbers under
// newer ones: each must see some moment of the store, never what a tombstone had deleted.
func TestReadersBesideRangeDeletes(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	const width = 50
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if g == 0 {
					if n := countKeys(t, db); n != 0 && n != width {
						t.Errorf("%d of %d keys: half a round", n, width)
						return
					}
					continue
				}
				if _, err := db.Get(numbered(rnd.IntN(width))); err != nil && err != ErrNotFound {
					t.Error(err)
				}
			}
		})
	}
	for round := range 300 {
		b := db.NewBatch()
		for i := range width {
			b.Set(numbered(i), fmt.Appendf(nil, "%d", round))
		}
		require.NoError(t, db.Apply(b, NoSync))
		require.NoError(t, db.DeleteRange(numbered(0), numbered(width+round%3), NoSync))
	}
	close(stop)
	wg.Wait()
	require.NoError(t, db.Close())
}

// BenchmarkDeleteRange deletes ranges that touch, in random order, until 5,000 are in the
// memtable, which then begins anew.
func BenchmarkDeleteRange(b *testing.B) {
	const n = 5000
	db, err := Open("", &Options{InMemory: true})
	require.NoError(b, err)
	order := rand.New(rand.NewPCG(1, 1)).Perm(n)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%n == 0 {
			b.StopTimer()
			require.NoError(b, db.Flush(context.Background()))
			b.StartTimer()
		}
		k := order[i%n]
		if err := db.DeleteRange(numbered(100*k), numbered(100*k+100), NoSync); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, db.Close())
}

// BenchmarkReadsUnderRangeTombstones compares reads of a store without range tombstones with
// those of one that has 10,000 live ones, in tables and in the memtable.
func BenchmarkReadsUnderRangeTombstones(b *testing.B) {
	for _, c := range []struct {
		name           string
		ranges         int
		flush, compact bool
	}{{"none", 0, true, true}, {"10000-memtable", 10_000, false, true}, {"10000-table", 10_000, true, true}} {
		db, err := Open(b.TempDir(), &Options{Compression: NoCompression})
		require.NoError(b, err)
		const n = 200_000
		fillNumbered(b, db, n)
		require.NoError(b, db.Compact(context.Background(), nil, nil))
		hold, err := db.NewSnapshot() // keeps the tombstones alive
		require.NoError(b, err)
		for i := range c.ranges {
			at := i * (n / 10_000)
			require.NoError(b, db.DeleteRange(numbered(at), numbered(at+2), NoSync))
		}
		if c.flush {
			require.NoError(b, db.Flush(context.Background()))
		}
		b.Run("get/"+c.name, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 1))
			var dst []byte
			for b.Loop() {
				if dst, err = db.AppendGet(dst[:0], numbered(rnd.IntN(n/20)*20+5)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("scan/"+c.name, func(b *testing.B) {
			for b.Loop() {
				if got := countKeys(b, db); got != n-2*c.ranges {
					b.Fatal(got)
				}
			}
		})
		require.NoError(b, hold.Close())
		require.NoError(b, db.Close())
	}
}
