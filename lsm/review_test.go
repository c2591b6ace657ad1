package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// Once the lead was taken for ever, whoever queued behind believed to have it: a Flush
// beside Close could replace the memtable of a store that was being freed.
func TestTheLeadIsNotGivenAfterClose(t *testing.T) {
	var q commitQueue
	require.NoError(t, q.acquire(context.Background()))
	var wg sync.WaitGroup
	errs := make(chan error, 3)
	for range 2 {
		wg.Go(func() { errs <- q.acquire(context.Background()) })
	}
	wg.Go(func() { q.close(); errs <- nil })
	for {
		q.mu.Lock()
		queued := 0
		for r := q.head; r != nil; r = r.next {
			queued++
		}
		q.mu.Unlock()
		if queued == 3 {
			break
		}
	}
	q.passLead()
	got := 0
	for range 3 {
		err := <-errs
		if err == nil && got == 0 {
			got++
			go q.passLead() // one that really leads passes the lead on
			continue
		}
		if err == nil {
			go q.passLead()
		} else {
			require.ErrorIs(t, err, ErrClosed)
		}
	}
	wg.Wait()
	require.ErrorIs(t, q.acquire(context.Background()), ErrClosed)
}

// A store that failed for lack of space in its log said that space would help, and its
// flusher wrote a table again and again.
func TestAFailedStoreDoesNotPassForAFullDevice(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	o := Options{LogMode: LogWritten, SyncInterval: -1}
	o.seams = seams.Seams{FS: faults}
	db, err := Open("db", &o)
	require.NoError(t, err)
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	faults.Add(vfs.Rule{Kinds: vfs.OpWrite, Glob: "wal-*", Forever: true, Err: syscall.ENOSPC})
	err = db.Set([]byte("k2"), []byte("v"), nil)
	require.ErrorIs(t, err, ErrPoisoned)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NotErrorIs(t, err, ErrNoSpace)
	var injected *vfs.Injected
	require.ErrorAs(t, err, &injected)
	require.ErrorIs(t, db.Flush(context.Background()), ErrPoisoned)
	require.ErrorIs(t, db.Compact(context.Background(), nil, nil), ErrPoisoned)
	v, err := db.Get([]byte("k"))
	require.NoError(t, err, "reads go on")
	require.Equal(t, "v", string(v))
	require.ErrorIs(t, db.Close(), ErrPoisoned)
}

// A writer that had written but not yet synced when Close began was told that the store
// had failed.
func TestCloseWaitsForWritersThatSync(t *testing.T) {
	for range 100 {
		db := openOn(t, vfs.NewMem(), Options{})
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					if err := db.Set(fmt.Appendf(nil, "%d-%d", w, i), nil, nil); err != nil {
						if !errors.Is(err, ErrClosed) || errors.Is(err, ErrPoisoned) {
							t.Errorf("writer: %v", err)
						}
						return
					}
				}
			})
		}
		require.NoError(t, db.Set([]byte("k"), nil, nil))
		require.NoError(t, db.Close())
		wg.Wait()
	}
}

// One read that failed for a passing reason took its tables out of compaction for ever,
// and with them, in the end, the writers.
func TestCompactionGoesOnAfterAPassingReadError(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	var o Options
	o.seams = seams.Seams{FS: faults, Sizing: seams.Sizing{
		MinMemtableBytes: 16 << 10, MemtableBytes: 16 << 10, BudgetBytes: 1 << 20, L0Trigger: 2, L0Stop: 6,
		SettleAfter: time.Hour,
	}}
	db, err := Open("db", &o)
	require.NoError(t, err)
	faults.Add(vfs.Rule{Kinds: vfs.OpOpen, Glob: "*.sst", Forever: true, Err: syscall.EMFILE})
	var failed error
	for i := 0; i < 5000 && failed == nil; i++ {
		failed = db.Set(fmt.Appendf(nil, "k%05d", i*7919%5000), make([]byte, 100), NoSync)
	}
	require.ErrorIs(t, failed, syscall.EMFILE, "a full level 0 that cannot be compacted is an error, not a hang")
	require.NotErrorIs(t, failed, ErrPoisoned)
	faults.Clear()
	for i := range 5000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%05d", i), make([]byte, 100), NoSync))
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.NoError(t, db.Close())
}

// A seek to the iterator's own value after a backward move went elsewhere: target and
// value shared a buffer.
func TestSeekToTheOwnValue(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{})
	require.NoError(t, db.Set([]byte("a"), []byte("m5"), nil))
	require.NoError(t, db.Set([]byte("m5"), []byte("end"), nil))
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.SeekLT([]byte("b")))
	require.True(t, it.SeekGE(it.Value()))
	require.Equal(t, "m5", string(it.Key()))
	require.NoError(t, it.Close())
	require.NoError(t, db.Close())
}

// A scan of a snapshot that is stepped after its Close says so.
func TestAScanOfAClosedSnapshotSaysSo(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{})
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	scan := snap.Scan(nil, nil)
	require.NoError(t, snap.Close())
	var got []error
	for _, err := range scan {
		got = append(got, err)
	}
	require.Equal(t, []error{ErrClosed}, got)
	require.NoError(t, db.Close())
}

// The zero Batch writes into the root scope like any other.
func TestTheZeroBatchIsReady(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{})
	var b Batch
	b.Set([]byte("k"), []byte("v"))
	require.NoError(t, db.Apply(&b, nil))
	v, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, "v", string(v))
	require.NoError(t, db.Close())
}

// DB.Compact ends although writers go on.
func TestCompactEndsBesideAWriter(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{MemoryBudget: 4 << 20, MemtableBytes: 64 << 10})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = db.Set(fmt.Appendf(nil, "k%05d", i%2000), make([]byte, 100), NoSync)
			}
		}
	}()
	for range 3 {
		require.NoError(t, db.Compact(context.Background(), nil, nil))
	}
	close(stop)
	<-done
	require.NoError(t, db.Close())
}

// An idle store vouches for what it has synced, so that damage to the last commit is
// not taken for a torn tail.
func TestAnIdleStoreVouchesForItsLastCommit(t *testing.T) {
	value := []byte("value-of-the-last-commit")
	var left *vfs.Mem
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openOn(t, fs, Options{SyncInterval: time.Second})
		require.NoError(t, db.Set([]byte("k"), value, nil))
		committed := db.wal.End() // no time passes before the test waits
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.NotEqual(t, committed, db.wal.End(), "no mark")
		left = killed(t, db, fs)
	})
	names, err := left.List("db")
	require.NoError(t, err)
	damaged := 0
	for _, name := range names {
		f, err := left.Open("db/"+name, vfs.ReadWrite)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		p := make([]byte, size)
		_, _ = f.ReadAt(p, 0)
		if at := bytes.Index(p, value); at >= 0 {
			damaged++
			_, err = f.WriteAt([]byte{'V'}, int64(at))
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
	}
	require.Equal(t, 1, damaged)
	_, err = Open("db", &Options{seams: seams.Seams{FS: left}})
	require.ErrorIs(t, err, ErrCorrupt)
	var damage *CorruptionError
	require.ErrorAs(t, err, &damage)
	require.Regexp(t, "^wal-[0-9]+$", damage.File, "a name within the directory")
}
