package lsm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// A compaction that failed woke the compactors, itself included, so that it was tried
// again at once: tens of thousands of times a second, on a full device as on a bad sector.
func TestAFailedCompactionRestsBeforeItIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := vfs.NewFaults(vfs.NewMem())
		var failures atomic.Int64
		o := Options{SyncInterval: -1}
		o.seams.Event = func(event string) {
			if event == "compaction failed" && failures.Add(1) == 100 {
				faults.Clear() // or this would never end
			}
		}
		z := small()
		z.L0Trigger = 2
		db := openSized(t, faults, o, z)
		faults.Add(vfs.Rule{Kinds: vfs.OpOpen, Glob: "*.sst", Forever: true, Err: syscall.EMFILE})
		flushRuns(t, db, 3)
		time.Sleep(time.Minute)
		require.Positive(t, failures.Load())
		require.LessOrEqual(t, failures.Load(), int64(20), "in a minute")
		faults.Clear()
		time.Sleep(lastRetry)
		synctest.Wait()
		require.Less(t, db.Metrics().Levels[0].Runs, 2, "it is still tried again")
		require.NoError(t, db.Close())
	})
}

// One sector that could not be read, in one table, stopped all writes for good: the same
// job was picked for ever, and level 0 filled up.
func TestAnUnreadableTableDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := vfs.NewFaults(vfs.NewMem())
		db := writesAround(t, faults, vfs.Rule{Kinds: vfs.OpReads, Forever: true, Err: syscall.EIO})
		require.LessOrEqual(t, db.Metrics().CompactionErrors, int64(20))
		require.ErrorIs(t, db.Compact(context.Background(), nil, nil), syscall.EIO, "who asks is told")
		faults.Clear()
		time.Sleep(asideFor)
		synctest.Wait()
		db.compactor.mu.Lock()
		require.NoError(t, db.compactor.aside.err(time.Now()), "the table is tried again after a while")
		db.compactor.mu.Unlock()
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		require.Zero(t, db.Metrics().Levels[0].Runs)
		require.NoError(t, db.Close())
	})
}

// A damaged table is met once and left where it is until the store is opened again.
func TestADamagedTableIsMetOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := vfs.NewFaults(vfs.NewMem())
		db := writesAround(t, faults, vfs.Rule{Kinds: vfs.OpReads, Forever: true, Effect: vfs.Flip, Bit: 77})
		time.Sleep(2 * asideFor)
		require.EqualValues(t, 1, db.Metrics().CompactionErrors)
		require.ErrorIs(t, db.Compact(context.Background(), nil, nil), ErrCorrupt)
		require.NoError(t, db.Close())
	})
}

// writesAround opens a store, breaks the first table of its last level by the rule, and
// writes everywhere, many times what level 0 holds.
func writesAround(t *testing.T, faults *vfs.Faults, bad vfs.Rule) *DB {
	db := openSized(t, faults, Options{SyncInterval: -1, Compression: NoCompression}, small())
	for i := range 2000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%05d", i), make([]byte, 100), NoSync))
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	synctest.Wait() // nothing goes on
	tables := db.state.Load().version.Levels[manifest.LastLevel][0].Tables
	require.Greater(t, len(tables), 3)
	bad.Glob = manifest.TableName(tables[0].Num)
	faults.Add(bad)
	rnd := rand.New(rand.NewPCG(1, 1))
	refused, writes := 0, 20_000
	if testing.Short() {
		writes = 6000
	}
	for range writes {
		for {
			err := db.Set(fmt.Appendf(nil, "k%05d", rnd.IntN(2000)), make([]byte, 100), NoSync)
			if err == nil {
				break
			}
			refused++
			require.Less(t, refused, 10, "%v", err)
			time.Sleep(time.Second)
		}
	}
	return db
}

// A table is set aside after a few failures in a row, for a while, and forgiven when it
// is read; what is a matter of the process is not held against it.
func TestTablesAreSetAsideForAWhile(t *testing.T) {
	v, err := (&manifest.Version{}).Apply(&manifest.Edit{Added: []manifest.AddedTable{{
		Level: 0, Run: 1, Table: &manifest.Table{
			Num: 5, Bytes: 9, UID: fileid.UID{5}, Smallest: []byte("a"), Largest: []byte("b"), MinSeqNum: 1, MaxSeqNum: 2, Entries: 2,
		},
	}}})
	require.NoError(t, err)
	job, ok := compaction.Pick(v, compaction.Params{Idle: true})
	require.True(t, ok)
	now := time.Unix(1e9, 0)
	a := asideTables{}
	failed := &compaction.ReadError{Table: 5, Err: syscall.EIO}
	for range 2 * readAttempts {
		require.False(t, a.judge(job, &compaction.ReadError{Table: 5, Err: syscall.EMFILE}, now))
	}
	for range readAttempts - 1 {
		require.False(t, a.judge(job, failed, now))
		require.False(t, a.avoids(5, now, false))
	}
	a.readable(job)
	for range readAttempts - 1 {
		require.False(t, a.judge(job, failed, now))
	}
	require.NoError(t, a.err(now))
	require.True(t, a.judge(job, failed, now))
	require.True(t, a.avoids(5, now, false))
	require.False(t, a.avoids(5, now, true), "DB.Compact tries it")
	require.False(t, a.avoids(6, now, false))
	require.ErrorIs(t, a.err(now), syscall.EIO)
	require.Equal(t, asideFor, a.next(now))
	require.False(t, a.avoids(5, now.Add(asideFor), false))
	require.Zero(t, a.next(now.Add(asideFor)))
	require.True(t, a.judge(job, failed, now.Add(asideFor)), "one more attempt at a time")
	require.True(t, a.judge(job, &compaction.ReadError{Table: 5, Err: &CorruptionError{File: "000005.sst"}}, now))
	require.True(t, a.avoids(5, now.Add(time.Hour), true))
}

// One failed job answered every request of DB.Compact that waited, whatever its range.
func TestAFailedJobAnswersTheRequestThatItWasFor(t *testing.T) {
	var c compactor
	job := &compaction.Job{}
	failed := &manualCompaction{job: job, done: make(chan error, 1)}
	other := &manualCompaction{done: make(chan error, 1)}
	c.manual = []*manualCompaction{other, failed}
	c.answerLocked(job, syscall.EIO)
	require.ErrorIs(t, <-failed.done, syscall.EIO)
	require.Empty(t, other.done)
	require.Equal(t, []*manualCompaction{other}, c.manual)
	c.answerLocked(nil, syscall.EIO)
	require.ErrorIs(t, <-other.done, syscall.EIO)
	require.Empty(t, c.manual)
}

func TestRestsGrowToALimit(t *testing.T) {
	var b backoff
	require.Equal(t, firstRetry, b.next())
	require.Equal(t, 2*firstRetry, b.next())
	for range 10 {
		b.next()
	}
	require.Equal(t, lastRetry, b.next())
}
