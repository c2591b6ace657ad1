package wal_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// One leader appends while others sync, segments rotate, are retired, dropped and used
// again. Whatever a Sync covered is there after a power cut.
func TestSyncBesideAppend(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		mem := memFS()
		o := newOwner(mem, mode, 100)
		l, _, _ := o.mustOpen(t)
		positions := make(chan wal.Position, 64)
		var waiters sync.WaitGroup
		var mu sync.Mutex
		var failed error
		for range 4 {
			waiters.Go(func() {
				for at := range positions {
					err := l.Sync(at)
					durable := l.DurableTo()
					mu.Lock()
					if err != nil {
						failed = err
					}
					if durable.Segment < at.Segment {
						failed = errWrongPayload
					}
					mu.Unlock()
					_ = l.Stats()
				}
			})
		}
		var last keys.SeqNum
		for i := range 1500 {
			last = keys.SeqNum(i + 1)
			at, err := l.Append(batches(entry{last, 1, 20 + i%300}), wal.Intent(i%3))
			require.NoError(t, err)
			if i%3 != 0 {
				positions <- at
			}
			if i%200 == 199 {
				require.NoError(t, o.drop(l, l.Current()))
			}
		}
		close(positions)
		waiters.Wait()
		require.NoError(t, failed)
		require.NoError(t, l.Sync(l.End()))
		require.Equal(t, l.End(), l.DurableTo())
		_, got, err := newOwner(copyFS(t, mem), mode, 101).replay()
		require.NoError(t, err)
		require.Equal(t, last, got[len(got)-1].First)
		require.True(t, slices.IsSortedFunc(got, func(a, b entry) int { return int(a.First) - int(b.First) }))
		require.NoError(t, l.Close())
	})
}

func TestAutoFollowsTheFileSystem(t *testing.T) {
	for mode, mapped := range map[wal.Mode]bool{wal.Auto: true, wal.Mapped: true, wal.Written: false} {
		faults := vfs.NewFaults(memFS())
		o := newOwner(faults, mode, 102)
		l, _, _ := o.mustOpen(t)
		appendAll(t, l, wal.NoSync, entry{1, 1, 10})
		require.Equal(t, mapped, faults.Count(vfs.OpStore, "") == 1)
		require.NoError(t, l.Close())
	}
}
