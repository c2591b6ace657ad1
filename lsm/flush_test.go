package lsm

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
	"github.com/stretchr/testify/require"
)

// Flush and Compact waited behind a stopped writer for as long as that was stopped,
// whatever their context said.
func TestFlushAndCompactEndWithTheirContextBehindAStoppedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.L0Trigger, z.L0Slow, z.L0Stop = 1000, 2, 3
		db := openSized(t, vfs.NewMem(), Options{SyncInterval: -1}, z)
		flushRuns(t, db, 4)
		require.Len(t, db.state.Load().version.Levels[0], 3)
		stopped := make(chan error)
		go func() { stopped <- db.Set([]byte("k"), nil, NoSync) }()
		synctest.Wait()
		for _, call := range []func(context.Context) error{
			db.Flush, func(ctx context.Context) error { return db.Compact(ctx, nil, nil) },
		} {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			require.ErrorIs(t, call(ctx), context.DeadlineExceeded)
			cancel()
		}
		require.NoError(t, db.Close())
		require.ErrorIs(t, <-stopped, ErrClosed)
	})
}

// The same where Flush itself is the one that waits for room.
func TestFlushEndsWithItsContextWhileNoMemtableIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		fs := &gatedFS{FS: vfs.NewMem(), before: func(name string) {
			if strings.HasSuffix(name, ".sst") {
				<-gate
			}
		}}
		db := openSized(t, fs, Options{SyncInterval: -1}, small())
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range maxMemtables - 1 {
			require.NoError(t, db.Set([]byte("k"), nil, NoSync))
			require.ErrorIs(t, db.Flush(ctx), context.Canceled)
		}
		require.NoError(t, db.Set([]byte("k"), nil, NoSync))
		require.Len(t, db.state.Load().frozen, maxMemtables-1)
		require.ErrorIs(t, db.Flush(ctx), context.Canceled)
		require.NoError(t, db.Set([]byte("k2"), nil, NoSync), "the lead was passed on")
		close(gate)
		require.NoError(t, db.Flush(context.Background()))
		require.NoError(t, db.Close())
	})
}

// Whoever gives up waiting for the lead leaves the queue as it was for the others.
func TestGivingUpTheWaitForTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q commitQueue
		require.NoError(t, q.acquire(context.Background()))
		ctx, cancel := context.WithCancel(context.Background())
		led := make(chan error)
		gaveUp := make(chan error)
		wait := func(ctx context.Context, out chan error) {
			go func() { out <- q.acquire(ctx) }()
			synctest.Wait()
		}
		wait(ctx, gaveUp)
		wait(context.Background(), led)
		wait(ctx, gaveUp)
		wait(context.Background(), led)
		wait(ctx, gaveUp)
		cancel()
		for range 3 {
			require.ErrorIs(t, <-gaveUp, context.Canceled)
		}
		for range 2 {
			q.passLead()
			require.NoError(t, <-led)
		}
		q.passLead()
		require.False(t, q.led)
		require.Nil(t, q.head)
		require.Nil(t, q.tail)
	})
}

// After a batch larger than a memtable, Flush made the next memtable as large as that
// batch had needed: the memory budget was exceeded for as long as the store was open.
func TestAMemtableForAnOversizedBatchIsNotRepeated(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	huge := func() {
		b := db.NewBatch()
		for i := range 100 {
			b.Set(fmt.Appendf(nil, "big%03d", i), make([]byte, 1<<10))
		}
		require.NoError(t, db.Apply(b, NoSync))
		require.Greater(t, db.mutable.capacity, db.opts.MemtableBytes)
	}
	huge()
	require.NoError(t, db.Flush(context.Background()))
	require.Equal(t, db.opts.MemtableBytes, db.mutable.capacity)
	require.NoError(t, db.Close())
}

// A table may show nothing that is not published: its synced commit can still fail, and
// must then never have been.
func TestWhatIsNotPublishedIsNotFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openSized(t, vfs.NewMem(), Options{SyncInterval: -1, LogMode: LogWritten}, small())
		require.NoError(t, db.queue.acquire(context.Background()))
		r := db.queue.newRequest(Sync)
		r.payload = appendOp(r.payload[:0], keys.KindSet, rootPrefix, []byte("k"), []byte("v"))
		r.ops, r.crc = 1, wal.PayloadChecksum(r.payload)
		var p part
		p.pushIf(r, true)
		require.Equal(t, fateListed, db.writePart(&p, r, wal.WillSync))
		require.NoError(t, db.freeze(context.Background(), db.sameMutableBytes()))
		db.queue.passLead()
		synctest.Wait()
		flushes, frozen := db.Metrics().Flushes, len(db.state.Load().frozen)
		db.publisher.settle(db, r) // before anything can fail: Close waits for it
		require.Zero(t, flushes)
		require.Equal(t, 1, frozen)
		require.NoError(t, r.err)
		time.Sleep(time.Millisecond) // the flusher may be waiting for readers to leave
		synctest.Wait()
		require.EqualValues(t, 1, db.Metrics().Flushes)
		require.NoError(t, db.Close())
	})
}

// A flush is not placed into a gap between the inputs of a running job, whose output will
// span it.
func TestAFlushIsNotPlacedWhereAJobWillWrite(t *testing.T) {
	table := func(num fileid.Num, lower, upper string) *manifest.Table {
		return &manifest.Table{
			Num: num, UID: fileid.UID{byte(num)}, Bytes: 16, Entries: 2,
			Smallest: []byte(lower), Largest: []byte(upper), MinSeqNum: keys.SeqNum(10 * num), MaxSeqNum: keys.SeqNum(10*num + 1),
		}
	}
	e := &manifest.Edit{}
	for i := range 8 { // small neighbours of one run, with a gap
		key := string(rune('a' + 2*i))
		e.Added = append(e.Added, manifest.AddedTable{Level: manifest.LastLevel, Run: 1, Table: table(fileid.Num(i+1), key, key)})
	}
	v, err := (&manifest.Version{}).Apply(e)
	require.NoError(t, err)
	db := openOn(t, vfs.NewMem(), Options{})
	job, ok := compaction.Pick(v, db.compactor.params())
	require.True(t, ok)
	require.Equal(t, compaction.ReasonSmall, job.Reason)
	out := []*manifest.Table{table(20, "d", "d")}
	require.Equal(t, manifest.LastLevel, db.compactor.place(v, out))
	db.compactor.mu.Lock()
	db.compactor.running = append(db.compactor.running, job)
	db.compactor.mu.Unlock()
	require.Zero(t, db.compactor.place(v, out))
	db.compactor.mu.Lock()
	db.compactor.running = nil
	db.compactor.mu.Unlock()
	require.NoError(t, db.Close())
}

// The greatest number of a tombstone that was left out goes into the manifest.
func TestTheHistoryFloorIsRecorded(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{})
	require.NoError(t, db.Set([]byte("a"), nil, NoSync))
	require.NoError(t, db.Delete([]byte("a"), NoSync))
	require.NoError(t, db.Set([]byte("b"), nil, NoSync))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	db.manifestMu.Lock()
	floor := db.manifestLog.State().HistoryFloor
	db.manifestMu.Unlock()
	require.EqualValues(t, 2, floor)
	require.NoError(t, db.Close())
}

// Flushes have priority: a merge stands still while somebody waits for one, and goes on
// when nobody does.
func TestMergesGiveWayToAFlushThatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		gate := make(chan struct{})
		fs := &gatedFS{FS: vfs.NewMem(), before: func(name string) {
			if strings.HasSuffix(name, ".sst") && closed.Load() {
				<-gate
			}
		}}
		db := openSized(t, fs, Options{SyncInterval: -1}, small())
		flushRuns(t, db, 3)
		closed.Store(true)
		require.NoError(t, db.Set([]byte("k"), nil, NoSync))
		flushed := make(chan error, 1)
		go func() { flushed <- db.Flush(context.Background()) }()
		synctest.Wait()
		m := &manualCompaction{lower: rootPrefix, upper: rootUpper, last: 4, done: make(chan error, 1)}
		db.compactor.mu.Lock()
		db.compactor.manual = append(db.compactor.manual, m)
		db.compactor.mu.Unlock()
		db.compactor.wake()
		closed.Store(false) // a merge that does not give way gets through
		synctest.Wait()
		require.Empty(t, flushed)
		require.Equal(t, 1, db.Metrics().RunningCompactions)
		require.Zero(t, db.Metrics().Compactions)
		close(gate)
		require.NoError(t, <-flushed)
		require.NoError(t, <-m.done)
		require.NoError(t, db.Close())
	})
}

// A merge that gives way does not keep Close waiting, nor a store that has failed.
func TestGivingWayEndsWithTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openSized(t, vfs.NewMem(), Options{SyncInterval: -1}, small())
		waited, gaveWay := make(chan error, 1), make(chan struct{})
		go func() {
			waited <- db.room.wait(context.Background(), db, flushing, func() bool { return false })
		}()
		synctest.Wait()
		go func() {
			db.giveWay(db.background.ctx)
			close(gaveWay)
		}()
		synctest.Wait()
		select {
		case <-gaveWay:
			require.Fail(t, "it did not give way")
		default:
		}
		require.NoError(t, db.Close())
		require.ErrorIs(t, <-waited, ErrClosed)
		<-gaveWay
	})
}
