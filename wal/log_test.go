package wal_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/wal"
)

func TestRoundTrip(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		fs := memFS()
		o := newOwner(fs, mode, 1)
		l, rec, _ := o.mustOpen(t)
		require.Zero(t, rec.LastSeqNum)
		r := rand.New(rand.NewPCG(1, 2))
		var want []entry
		next := keys.SeqNum(1)
		for i := range 300 {
			var group []entry
			for range 1 + r.IntN(4) {
				e := entry{First: next, Count: 1 + r.Uint32N(5), Size: r.IntN(300)}
				if r.IntN(20) == 0 {
					e.Size = r.IntN(60_000)
				}
				group = append(group, e)
				next += keys.SeqNum(e.Count) + keys.SeqNum(r.IntN(3))
			}
			intent := wal.Intent(r.IntN(3))
			at, err := l.Append(batches(group...), intent)
			require.NoError(t, err)
			if intent != wal.NoSync {
				require.NoError(t, l.Sync(at))
			}
			want = append(want, group...)
			if i%100 == 99 {
				rec, got, err := o.replay()
				require.NoError(t, err)
				require.NotEqual(t, wal.Clean, rec.Verdict)
				require.Equal(t, want, got)
				require.NoError(t, l.Close())
				l, rec, got = o.mustOpen(t)
				require.Equal(t, wal.Clean, rec.Verdict)
				require.Zero(t, rec.LostBytes)
				require.Equal(t, want, got)
				last := want[len(want)-1]
				require.Equal(t, last.First+keys.SeqNum(last.Count)-1, rec.LastSeqNum)
				require.Equal(t, uint64(last.First)+1000, rec.LastTime)
			}
		}
		require.NoError(t, l.Close())
	})
}

func TestRotationKeepsOrderAndListsEverySegment(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 2)
		l, _, _ := o.mustOpen(t)
		want := sequence(1, 400, 200)
		appendAll(t, l, wal.NoSync, want...)
		require.Greater(t, l.Current(), wal.SegmentNum(5))
		require.NoError(t, l.Close())
		rec, got, err := o.replay()
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, wal.Clean, rec.Verdict)
		require.GreaterOrEqual(t, len(rec.Live), 6)
	})
}

func TestBatchLargerThanASegmentIsWhole(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 3)
		l, _, _ := o.mustOpen(t)
		want := []entry{{1, 1, 10}, {2, 3, 300_000}, {5, 1, 0}, {6, 1, 100_001}, {7, 1, 8}}
		at, err := l.Append(batches(want...), wal.WillSync)
		require.NoError(t, err)
		require.NoError(t, l.Sync(at))
		require.Equal(t, at, l.DurableTo())
		require.NoError(t, l.Close())
		_, got, err := o.replay()
		require.NoError(t, err)
		require.Equal(t, want, got)
		var begin []wal.SegmentNum
		_, err = wal.Replay(o.opts, o.list.Live, func(r wal.Record) error {
			begin = append(begin, r.Segment)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []wal.SegmentNum{1, 1}, begin[:2], "a batch counts where it begins")
		require.Greater(t, begin[2], wal.SegmentNum(10))
	})
}

func TestLargePayloadsBypassTheBuffer(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 4)
		o.opts.MinSegmentBytes, o.opts.MaxSegmentBytes = 4<<20, 4<<20
		l, _, _ := o.mustOpen(t)
		var want []entry
		for i := range 8 {
			first := keys.SeqNum(3*i + 1)
			group := []entry{{first, 1, 100}, {first + 1, 1, 256<<10 - 50 + i}, {first + 2, 1, 300_000 + i}}
			_, err := l.Append(batches(group...), wal.Intent(i%3))
			require.NoError(t, err)
			want = append(want, group...)
		}
		require.NoError(t, l.Close())
		_, got, err := o.replay()
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestFirstListedSegmentMayBeginInsideADroppedBatch(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 5)
	l, _, _ := o.mustOpen(t)
	appendAll(t, l, wal.NoSync, entry{1, 1, 50_000})
	middle := l.Current()
	appendAll(t, l, wal.NoSync, entry{2, 1, 10})
	require.NoError(t, o.drop(l, middle))
	require.NoError(t, l.Close())
	rec, got, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, []entry{{2, 1, 10}}, got)
	require.Equal(t, keys.SeqNum(2), rec.LastSeqNum)

	// The same with nothing behind the fragment: its number and time still count.
	o = newOwner(memFS(), wal.Mapped, 5)
	l, _, _ = o.mustOpen(t)
	appendAll(t, l, wal.NoSync, entry{1, 7, 50_000})
	require.NoError(t, o.drop(l, l.Current()))
	require.NoError(t, l.Close())
	rec, got, err = o.replay()
	require.NoError(t, err)
	require.Empty(t, got)
	require.Equal(t, keys.SeqNum(7), rec.LastSeqNum)
	require.Equal(t, uint64(1001), rec.LastTime)
}

func TestSyncIsSharedAndCoversEarlierSegments(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 6)
		l, _, _ := o.mustOpen(t)
		first, err := l.Append(batches(sequence(1, 100, 200)...), wal.NoSync)
		require.NoError(t, err)
		second, err := l.Append(batches(sequence(101, 3, 200)...), wal.WillSync)
		require.NoError(t, err)
		require.NoError(t, l.Sync(second))
		before := l.Stats().Syncs
		require.NoError(t, l.Sync(first))
		require.Equal(t, before, l.Stats().Syncs, "what is durable is not synced again")
		require.Equal(t, second, l.DurableTo())
		require.NoError(t, l.Close())
	})
}

func TestSyncedWriteIsDurableOnlyOnADurablePrefix(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 7)
		l, _, _ := o.mustOpen(t)
		at, err := l.Append(batches(entry{1, 1, 10}), wal.TrySync)
		require.NoError(t, err)
		require.Equal(t, at, l.DurableTo())
		require.Zero(t, l.Stats().Syncs)
		require.EqualValues(t, 1, l.Stats().SyncedWrites)

		_, err = l.Append(batches(entry{2, 1, 10}), wal.NoSync)
		require.NoError(t, err)
		last, err := l.Append(batches(entry{3, 1, 10}), wal.TrySync)
		require.NoError(t, err)
		require.Equal(t, at, l.DurableTo(), "the write before it is not durable")
		require.NoError(t, l.Sync(last))
		require.Equal(t, last, l.DurableTo())
		require.NoError(t, l.Close())
	})
}

func TestInvalidBatchesLeaveTheLogAsItWas(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 8)
	l, _, _ := o.mustOpen(t)
	appendAll(t, l, wal.NoSync, entry{10, 2, 10})
	for _, bad := range [][]entry{
		{{11, 1, 5}}, {{12, 0, 5}}, {{12, 2, 5}, {13, 1, 5}}, {{0, 1, 5}}, {{keys.MaxSeqNum, 2, 5}},
	} {
		_, err := l.Append(batches(bad...), wal.NoSync)
		require.ErrorIs(t, err, wal.ErrInvalid)
	}
	appendAll(t, l, wal.NoSync, entry{12, 1, 5})
	require.NoError(t, l.Close())
	_, got, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, []entry{{10, 2, 10}, {12, 1, 5}}, got)
}

// A waiter that comes to its turn only after Close is told what is true of its batch.
func TestSyncOfWhatCloseMadeDurableSucceeds(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 9)
		l, _, _ := o.mustOpen(t)
		at, err := l.Append(batches(entry{1, 1, 100}), wal.WillSync)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.NoError(t, l.Sync(at))
	})
}

func TestClosedLogRefuses(t *testing.T) {
	other, _, _ := newOwner(memFS(), wal.Mapped, 9).mustOpen(t)
	foreign, err := other.Append(batches(entry{1, 1, 1000}), wal.NoSync) // beyond the end of l
	require.NoError(t, err)
	require.NoError(t, other.Close())
	o := newOwner(memFS(), wal.Mapped, 9)
	l, _, _ := o.mustOpen(t)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err = l.Append(batches(entry{1, 1, 1}), wal.NoSync)
	require.ErrorIs(t, err, wal.ErrClosed)
	require.ErrorIs(t, l.Sync(foreign), wal.ErrClosed)
	require.NoError(t, l.Sync(wal.Position{}))
	require.ErrorIs(t, l.Reserve(1, 1), wal.ErrClosed)
	require.ErrorIs(t, l.Mark(), wal.ErrClosed)
	require.ErrorIs(t, l.Err(), wal.ErrClosed)
}

func TestOpeningAndClosingCollectsNoSegments(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 11)
		l, _, _ := o.mustOpen(t)
		appendAll(t, l, wal.WillSync, entry{1, 1, 100})
		require.NoError(t, l.Close())
		for range 20 {
			l, rec, got := o.mustOpen(t)
			require.Equal(t, wal.Clean, rec.Verdict)
			require.Equal(t, []entry{{1, 1, 100}}, got)
			require.Equal(t, keys.SeqNum(1), rec.LastSeqNum)
			require.LessOrEqual(t, len(o.list.Live), 2)
			require.NoError(t, l.Close())
		}
		names, err := o.opts.FS.List(storeDir)
		require.NoError(t, err)
		require.LessOrEqual(t, len(names), 1+4, "%v", names)
	})
}

func TestReserveReadiesSegmentsForTheWholeGroup(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 12)
	l, _, _ := o.mustOpen(t)
	require.NoError(t, l.Reserve(100_000, 1))
	segments := l.Stats().Segments
	require.Greater(t, segments, 5)
	appendAll(t, l, wal.NoSync, entry{1, 1, 100_000})
	require.Equal(t, segments, l.Stats().Segments)
	require.NoError(t, l.Close())
}

func TestOptionsReportEveryProblem(t *testing.T) {
	_, err := wal.PrepareFirst(wal.Options{Mode: 9, MinSegmentBytes: 5, MaxSegmentBytes: 1}, 1, nil)
	require.ErrorIs(t, err, wal.ErrInvalid)
	for _, part := range []string{"FS", "Random", "Mode", "MinSegmentBytes", "MaxSegmentBytes"} {
		require.ErrorContains(t, err, part)
	}
	o := newOwner(memFS(), wal.Auto, 13)
	_, err = wal.PrepareFirst(o.opts, 0, nil)
	require.ErrorIs(t, err, wal.ErrInvalid)
	_, err = wal.PrepareFirst(o.opts, 3, []wal.Segment{{Num: 3}})
	require.ErrorIs(t, err, wal.ErrInvalid)
}
