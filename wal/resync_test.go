package wal_test

import (
	"path"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// After a failed sync the page cache shows what the device never got, as clean pages,
// and later syncs succeed without writing them. The next process reads those batches
// and builds on them, so they must be on the device before it claims so.
func TestWhatAFailedSyncLeftIsWrittenAgain(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		for _, effect := range []vfs.Effect{vfs.Fail, vfs.Drop} {
			for _, size := range []int{100, 20_000} { // in one segment, and over several
				mem := vfs.NewCrashMem()
				faults := vfs.NewFaults(mem)
				o := newOwner(faults, mode, 100)
				l, _, _ := o.mustOpen(t)
				appendAll(t, l, wal.TrySync, entry{1, 1, 100}) // in a segment that was synced the preparer may sync what follows
				from := o.fileOf(t, l.End())
				at, err := l.Append(batches(entry{2, 1, size}), wal.WillSync)
				require.NoError(t, err)
				faults.Add(vfs.Rule{Kinds: vfs.OpSync, Glob: from, Effect: effect, Err: errDisk})
				require.ErrorIs(t, l.Sync(at), errDisk)
				require.ErrorIs(t, l.Close(), errDisk)

				o = newOwner(faults, mode, 101)
				l, _, got := o.mustOpen(t)
				want := []entry{{1, 1, 100}}
				if slices.Equal(got, append(want, entry{2, 1, size})) {
					want = got
				}
				require.Equal(t, want, got)
				want = append(slices.Clone(want), entry{3, 1, 100})
				appendAll(t, l, wal.WillSync, entry{3, 1, 100})

				l, _, got = newOwner(mem.CrashCopy(), mode, 102).mustOpen(t)
				require.Equal(t, want, got)
				require.NoError(t, l.Close())
			}
		}
	})
}

func TestClaimedSegmentsAreNotWrittenAgain(t *testing.T) {
	faults := vfs.NewFaults(vfs.NewCrashMem())
	o := newOwner(faults, wal.Written, 103)
	l, _, _ := o.mustOpen(t)
	for _, e := range sequence(1, 100, 200) {
		appendAll(t, l, wal.WillSync, e)
	}
	appendAll(t, l, wal.NoSync, entry{101, 1, 100})
	m, err := o.load()
	require.NoError(t, err)
	rec, _, err := o.replayList(m.Live)
	require.NoError(t, err)
	require.Greater(t, len(rec.Live), 2)
	require.Equal(t, rec.Live[len(rec.Live)-1].Num, rec.Synced.Segment)
	count := func(seg wal.Segment) int {
		return faults.Count(vfs.OpWrite|vfs.OpSync, path.Join(storeDir, wal.SlotName(seg.Slot)))
	}
	var before []int
	for _, seg := range rec.Live {
		before = append(before, count(seg))
	}
	require.NoError(t, wal.SyncSegments(o.opts, &rec))
	for i, seg := range rec.Live[:len(rec.Live)-1] {
		require.Equal(t, before[i], count(seg))
	}
	require.Equal(t, before[len(before)-1]+2, count(rec.Live[len(rec.Live)-1]), "one write, one sync")
	require.NoError(t, l.Close())
}

// Segments are listed before they are used: a list without one that was used is older
// than the log, and following it would lose what was acknowledged.
func TestAListOlderThanTheLogIsCorruption(t *testing.T) {
	k := oneGroup(t)
	for n := range len(k.list.Live) {
		o := k.owner(t, 104)
		rec, _, err := o.replayList(k.list.Live)
		require.NoError(t, err)
		_, _, err = o.replayList(k.list.Live[:n])
		if n > 0 && k.list.Live[n-1].Num >= rec.Live[len(rec.Live)-1].Num {
			require.NoError(t, err, "what is left out was only prepared")
			continue
		}
		require.ErrorIs(t, err, wal.ErrCorrupt)
		var damage *wal.CorruptionError
		require.ErrorAs(t, err, &damage)
		require.Greater(t, damage.Segment, wal.SegmentNum(n))
	}
}

func TestUnlistedSegmentsThatAreOlderAreFree(t *testing.T) {
	k := oneGroup(t)
	o := k.owner(t, 105)
	rec, _, err := o.replayList(k.list.Live)
	require.NoError(t, err)
	used := len(rec.Live)
	for n := 1; n < used; n++ { // dropped, their slots still as they were
		rec, got, err := o.replayList(k.list.Live[n:])
		require.NoError(t, err)
		require.Equal(t, k.rest[len(k.rest)-len(got):], got)
		require.Equal(t, k.rest[len(k.rest)-1].First, rec.LastSeqNum)
	}
	// A slot whose segment another store used says nothing.
	o.opts.Store = [16]byte{0xff}
	_, got, err := o.replayList(nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

// Of a batch over two segments the first, which is left, is synced alone; the next
// record claims so; and the power fails before the second one is synced.
func TestBatchBehindAClaimMayLoseItsSecondSegment(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 106)
		l, _, _ := o.mustOpen(t)
		appendAll(t, l, wal.WillSync, entry{1, 1, 100}) // syncs are waited for: the preparer syncs too
		_, err := l.Append(batches(entry{2, 1, 8000}), wal.NoSync)
		require.NoError(t, err)
		require.Equal(t, wal.SegmentNum(2), l.Current())
		for l.Stats().Syncs < 2 {
			runtime.Gosched() // until the preparer has synced the first segment
		}
		appendAll(t, l, wal.NoSync, entry{3, 1, 10})
		k := kill(t, o, []entry{{1, 1, 100}})
		require.NoError(t, l.Close())

		o = k.owner(t, 107)
		rec, got, err := o.replay()
		require.NoError(t, err)
		require.Len(t, got, 3)
		require.Equal(t, k.list.Live[:2], rec.Live)
		require.Equal(t, wal.SegmentNum(1), rec.Synced.Segment)
		require.Greater(t, rec.Synced.Offset, int64(4500), "behind the beginning of the batch")

		flip(t, o.opts.FS, k.slot(1), 4096+300) // in the second fragment
		l, rec, got = o.mustOpen(t)
		require.Equal(t, wal.TornTail, rec.Verdict)
		require.Equal(t, k.rest, got)
		require.Equal(t, k.list.Live[:1], rec.Live)
		appendAll(t, l, wal.WillSync, entry{4, 1, 100})
		require.NoError(t, l.Close())
		_, got, err = o.replay()
		require.NoError(t, err)
		require.Equal(t, []entry{{1, 1, 100}, {4, 1, 100}}, got)
	})
}
