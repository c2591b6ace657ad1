package lsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// everywhere runs a test on disk and in memory.
func everywhere(t *testing.T, test func(t *testing.T, open func(o lsm.Options) *lsm.DB)) {
	t.Run("disk", func(t *testing.T) {
		dir := t.TempDir()
		test(t, func(o lsm.Options) *lsm.DB {
			db, err := lsm.Open(dir, &o)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			return db
		})
	})
	t.Run("memory", func(t *testing.T) {
		fs := vfs.NewMem()
		test(t, func(o lsm.Options) *lsm.DB {
			seams.Inject(&o, seams.Seams{FS: fs})
			db, err := lsm.Open("db", &o)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			return db
		})
	})
}

func openMemory(t *testing.T, o lsm.Options) *lsm.DB {
	o.InMemory = true
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestSetGetDelete(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		_, err := db.Get([]byte("k"))
		require.ErrorIs(t, err, lsm.ErrNotFound)
		require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
		v, err := db.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "v", string(v))
		require.NoError(t, db.Delete([]byte("k"), lsm.NoSync))
		_, err = db.Get([]byte("k"))
		require.ErrorIs(t, err, lsm.ErrNotFound)
		require.NoError(t, db.Delete([]byte("k"), nil), "deleting what is absent is no error")
	})
}

func TestContentsSurviveReopening(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		for i := range 1000 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%04d", i), fmt.Appendf(nil, "v%d", i), lsm.NoSync))
		}
		require.NoError(t, db.Close())
		db = open(lsm.Options{})
		require.True(t, db.Metrics().Recovery.Clean)
		n := 0
		for e, err := range db.Scan(nil, nil) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("k%04d", n), string(e.Key))
			require.Equal(t, fmt.Sprintf("v%d", n), string(e.Value))
			n++
		}
		require.Equal(t, 1000, n)
	})
}

func TestEmptyKeyAndEmptyValueAreStored(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	require.NoError(t, db.Set(nil, nil, nil))
	v, err := db.Get(nil)
	require.NoError(t, err)
	require.Empty(t, v)
	require.NoError(t, db.Flush(context.Background()))
	has, err := db.Has([]byte{})
	require.NoError(t, err)
	require.True(t, has)
}

func TestLimitsAreCheckedBeforeAnythingIsWritten(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	long := make([]byte, 65_536)
	var limit *lsm.LimitError
	require.ErrorAs(t, db.Set(long, nil, nil), &limit)
	require.Equal(t, &lsm.LimitError{What: "key", Bytes: 65_536, Limit: 65_535}, limit)
	require.ErrorIs(t, limit, lsm.ErrTooLarge)
	require.NoError(t, db.Set(long[1:], []byte("v"), nil))

	b := db.NewBatch()
	b.Set([]byte("fine"), []byte("v"))
	b.Set(long, nil)
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrTooLarge)
	has, err := db.Has([]byte("fine"))
	require.NoError(t, err)
	require.False(t, has, "a refused batch left something behind")
	require.NoError(t, db.Flush(context.Background()))
	v, err := db.Get(long[1:])
	require.NoError(t, err, "the longest key survives a flush")
	require.Equal(t, "v", string(v))
}

func TestBatchIsAppliedWholeAndLaterOperationsWin(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	b := db.NewBatch()
	b.Set([]byte("a"), []byte("1"))
	b.Set([]byte("a"), []byte("2"))
	b.Set([]byte("b"), []byte("1"))
	b.Delete([]byte("b"))
	require.Equal(t, 4, b.Len())
	require.NoError(t, db.Apply(b, nil))
	v, err := db.Get([]byte("a"))
	require.NoError(t, err)
	require.Equal(t, "2", string(v))
	has, _ := db.Has([]byte("b"))
	require.False(t, has)
	b.Reset()
	require.Zero(t, b.Len())
	require.NoError(t, db.Apply(b, nil), "an empty batch is a no-op")
}

// A batch larger than a memtable, and one larger than a log segment, commit whole.
func TestBatchLargerThanAMemtable(t *testing.T) {
	fs := vfs.NewMem()
	var o lsm.Options
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 16 << 10, MaxSegmentBytes: 16 << 10,
		MinMemtableBytes: 16 << 10, MemtableBytes: 16 << 10, BudgetBytes: 1 << 20,
	}})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	b := db.NewBatch()
	for i := range 5000 {
		b.Set(fmt.Appendf(nil, "k%05d", i), bytes.Repeat([]byte{byte(i)}, 50))
	}
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Close())
	db, err = lsm.Open("db", &o)
	require.NoError(t, err)
	n := 0
	for _, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 5000, n)
	require.NoError(t, db.Close())
}

func TestUseAfterClose(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.First())
	require.ErrorIs(t, db.Close(), lsm.ErrInUse)
	require.NoError(t, db.Close(), "a second Close is nil")

	_, err = db.Get([]byte("k"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	_, err = snap.Get([]byte("k"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	require.False(t, it.Next())
	require.ErrorIs(t, it.Err(), lsm.ErrClosed)
	require.ErrorIs(t, db.Set([]byte("k"), nil, nil), lsm.ErrClosed)
	require.ErrorIs(t, db.Delete([]byte("k"), nil), lsm.ErrClosed)
	require.ErrorIs(t, db.Apply(db.NewBatch(), nil), lsm.ErrClosed)
	require.ErrorIs(t, db.Flush(context.Background()), lsm.ErrClosed)
	require.ErrorIs(t, db.Compact(context.Background(), nil, nil), lsm.ErrClosed)
	_, err = db.NewIter(nil)
	require.ErrorIs(t, err, lsm.ErrClosed)
	_, err = db.NewSnapshot()
	require.ErrorIs(t, err, lsm.ErrClosed)
	require.NotPanics(t, func() { db.Metrics() })
	require.ErrorIs(t, it.Close(), lsm.ErrClosed)
	require.NoError(t, it.Close())
	require.NoError(t, snap.Close())
	require.NoError(t, snap.Close())
}

func TestASecondOpenIsRefusedAndNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	db, err := lsm.Open(dir, nil)
	require.NoError(t, err)
	_, err = lsm.Open(dir, nil)
	require.ErrorIs(t, err, lsm.ErrLocked)
	require.Contains(t, err.Error(), "process")
	_, err = lsm.Open(dir, &lsm.Options{ReadOnly: true})
	require.ErrorIs(t, err, lsm.ErrLocked, "readers are kept out while a writer lives")
	require.NoError(t, db.Close())

	r1, err := lsm.Open(dir, &lsm.Options{ReadOnly: true})
	require.NoError(t, err)
	r2, err := lsm.Open(dir, &lsm.Options{ReadOnly: true})
	require.NoError(t, err, "readers share")
	_, err = lsm.Open(dir, nil)
	require.ErrorIs(t, err, lsm.ErrLocked, "a writer is kept out while readers live")
	require.NoError(t, r1.Close())
	require.NoError(t, r2.Close())
}

func TestOptionsAreValidatedAllAtOnce(t *testing.T) {
	_, err := lsm.Open(t.TempDir(), &lsm.Options{
		MemoryBudget: 1, BlockBytes: 1, FilterBitsPerKey: 99, TableBytes: -1, Compression: 9,
	})
	require.ErrorIs(t, err, lsm.ErrInvalidOptions)
	for _, name := range []string{"MemoryBudget", "BlockBytes", "FilterBitsPerKey", "TableBytes", "Compression"} {
		require.Contains(t, err.Error(), name)
	}
	require.ErrorIs(t, (&lsm.Options{TableBytes: 1}).Validate(), lsm.ErrInvalidOptions, "tables of a byte were valid")
	require.NoError(t, (&lsm.Options{TableBytes: 64 << 10}).Validate())
	require.NoError(t, (*lsm.Options)(nil).Validate())
	require.NoError(t, new(lsm.Options).Validate())
}

func TestMustExistDoesNotMakeAStore(t *testing.T) {
	dir := t.TempDir() + "/none"
	_, err := lsm.Open(dir, &lsm.Options{MustExist: true})
	require.ErrorIs(t, err, lsm.ErrNotExist)
	_, err = lsm.Open(dir, &lsm.Options{ReadOnly: true})
	require.ErrorIs(t, err, lsm.ErrNotExist)
}

// Writers of both kinds, readers and snapshots at the same time: every reader sees
// whole batches, in one order.
func TestConcurrentWritersAndReadersSeeWholeBatches(t *testing.T) {
	fs := vfs.NewMem()
	var o lsm.Options
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 32 << 10, MaxSegmentBytes: 64 << 10,
		MinMemtableBytes: 32 << 10, MemtableBytes: 32 << 10, BudgetBytes: 1 << 20, TableBytes: 16 << 10, L0Trigger: 2,
		ManifestBytes: 16 << 10, SettleAfter: time.Millisecond, ReserveSeqNums: 500,
	}})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	const writers, rounds, width = 4, 150, 5
	var wg sync.WaitGroup
	var done atomic.Bool
	for w := range writers {
		wg.Go(func() {
			opts := lsm.NoSync
			if w%2 == 0 {
				opts = lsm.Sync
			}
			for i := range rounds {
				b := db.NewBatch()
				for j := range width {
					b.Set(fmt.Appendf(nil, "w%d-%d", w, j), fmt.Appendf(nil, "%06d", i))
				}
				b.Set(fmt.Appendf(nil, "pad-%d-%d", w, i), make([]byte, 200))
				if err := db.Apply(b, opts); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				v, err := db.Get(fmt.Appendf(nil, "w%d-0", w))
				if err != nil || string(v) != fmt.Sprintf("%06d", i) {
					t.Errorf("writer %d does not see its own write: %q %v", w, v, err)
					return
				}
			}
		})
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				snap, err := db.NewSnapshot()
				if err != nil {
					t.Error(err)
					return
				}
				for w := range writers {
					seen := map[string]bool{}
					for j := range width {
						v, err := snap.Get(fmt.Appendf(nil, "w%d-%d", w, j))
						if err != nil && !errors.Is(err, lsm.ErrNotFound) {
							t.Error(err)
						}
						seen[string(v)] = true
					}
					if len(seen) != 1 {
						t.Errorf("a snapshot shows part of a batch: %v", seen)
					}
				}
				_ = snap.Close()
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	done.Store(true)
	readers.Wait()
	require.NoError(t, db.Close())
}

// A batch becomes visible at once, however long it takes to apply.
func TestASnapshotNeverSeesPartOfABatch(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	const width, rounds = 5000, 20
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		b := db.NewBatch()
		for i := range rounds {
			b.Reset()
			for j := range width {
				b.Set(fmt.Appendf(nil, "k%05d", j), fmt.Appendf(nil, "%d", i))
			}
			if err := db.Apply(b, lsm.NoSync); err != nil {
				t.Error(err)
			}
		}
	})
	for !done.Load() {
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		first, errFirst := snap.Get([]byte("k00000"))
		last, errLast := snap.Get(fmt.Appendf(nil, "k%05d", width-1))
		require.Equal(t, string(first), string(last))
		require.Equal(t, errFirst, errLast)
		require.NoError(t, snap.Close())
		runtime.Gosched()
	}
	wg.Wait()
}

func TestNoGoroutineSurvivesClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		db, err := lsm.Open(t.TempDir(), nil)
		require.NoError(t, err)
		require.NoError(t, db.Set([]byte("k"), []byte("v"), lsm.NoSync))
		require.NoError(t, db.Flush(context.Background()))
		require.NoError(t, db.Close())
	}
	for runtime.NumGoroutine() > before {
		runtime.Gosched() // one that is waited for may still have its last instructions to run
	}
}

func TestEventsAreLoggedWithoutKeysOrValues(t *testing.T) {
	var out bytes.Buffer
	var mu sync.Mutex
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &out}, nil))
	db := openMemory(t, lsm.Options{Logger: logger})
	require.NoError(t, db.Set([]byte("canary-key"), []byte("canary-value"), nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.NoError(t, db.Close())
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, out.String(), "opened")
	require.Contains(t, out.String(), "flushed")
	require.NotContains(t, out.String(), "canary")
	require.Positive(t, strings.Count(out.String(), "\n"))
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// An empty store takes at most 1 MiB on disk.
func TestAnEmptyStoreIsSmall(t *testing.T) {
	dir := t.TempDir()
	db, err := lsm.Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	fs := vfs.NewOS()
	names, err := fs.List(dir)
	require.NoError(t, err)
	var total int64
	for _, n := range names {
		size, err := fs.Size(dir + "/" + n)
		require.NoError(t, err)
		total += size
	}
	require.LessOrEqual(t, total, int64(1<<20), "%v", names)
}

func TestReadsDoNotAllocate(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	require.NoError(t, db.Set([]byte("k1"), []byte("v1"), nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Set([]byte("k2"), []byte("v2"), nil))
	dst := make([]byte, 0, 64)
	for _, k := range []string{"k1", "k2", "k3"} {
		key := []byte(k)
		_, _ = db.AppendGet(dst, key) // opens the table, fills the cache
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = db.AppendGet(dst, key) }), k)
	}
}
