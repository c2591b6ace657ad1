package wal_test

import (
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// killed is the state of a store whose process was killed: its files as they were.
type killed struct {
	fs   vfs.FS
	list manifest
	rest []entry // what was appended
}

// kill copies the files of a live store.
func kill(t testing.TB, o *owner, rest []entry) *killed {
	t.Helper()
	fs := copyFS(t, o.opts.FS)
	m, err := newOwner(fs, wal.Mapped, 0).load()
	require.NoError(t, err)
	return &killed{fs: fs, list: m, rest: rest}
}

// copyFS returns the files as they are at one instant, all of them on disk.
func copyFS(t testing.TB, from vfs.FS) vfs.FS {
	t.Helper()
	return from.(*vfs.Mem).CopyDurable()
}

// owner returns a process that starts on a copy of the files.
func (k *killed) owner(t testing.TB, seed uint64) *owner {
	return newOwner(copyFS(t, k.fs), wal.Mapped, seed)
}

func (k *killed) slot(i int) string { return wal.SlotName(k.list.Live[i].Slot) }

// flip inverts a byte of a slot file.
func flip(t testing.TB, fs vfs.FS, name string, off int64) {
	t.Helper()
	f, err := fs.Open(path.Join(storeDir, name), vfs.ReadWrite)
	require.NoError(t, err)
	p := make([]byte, 1)
	_, err = f.ReadAt(p, off)
	require.NoError(t, err)
	p[0] ^= 0xff
	_, err = f.WriteAt(p, off)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// oneGroup makes a store killed after a single unsynced group over several segments:
// nothing in it is claimed.
func oneGroup(t testing.TB) *killed {
	o := newOwner(memFS(), wal.Mapped, 30)
	l, _, _ := o.mustOpen(t)
	want := sequence(1, 150, 200)
	_, err := l.Append(batches(want...), wal.NoSync)
	require.NoError(t, err)
	k := kill(t, o, want)
	require.NoError(t, l.Close())
	require.GreaterOrEqual(t, len(k.list.Live), 4)
	return k
}

// inSegment returns how many of the entries begin in the first i+1 segments.
func inSegment(t testing.TB, k *killed, i int) int {
	n := 0
	_, err := wal.Replay(k.owner(t, 1).opts, k.list.Live, func(r wal.Record) error {
		if r.Segment <= k.list.Live[i].Num {
			n++
		}
		return nil
	})
	require.NoError(t, err)
	return n
}

func TestCutDiscardsLaterSegments(t *testing.T) {
	k := oneGroup(t)
	before := inSegment(t, k, 0)
	o := k.owner(t, 31)
	flip(t, o.opts.FS, k.slot(1), 4096+700)
	rec, got, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, wal.TornTail, rec.Verdict)
	require.Positive(t, rec.LostBytes)
	require.Less(t, len(got), before+10)
	require.Equal(t, k.rest[:len(got)], got)
	require.Equal(t, k.list.Live[:2], rec.Live)
	require.Equal(t, k.list.Live[2:], rec.Discarded)
	require.Equal(t, k.list.Live[1].Num, rec.End.Num)
	require.Equal(t, got[len(got)-1].First, rec.End.LastSeqNum)
}

func TestLostRecordsNeverComeBack(t *testing.T) {
	k := oneGroup(t)
	for segment := range 3 {
		for _, off := range []int64{4096, 4096 + 100, 4096 + 700, 6500} {
			o := k.owner(t, 32)
			flip(t, o.opts.FS, k.slot(segment), off)
			want := []entry(nil)
			// Recover, write less than was lost, be killed; again and again.
			for round := range 5 {
				l, _, got := o.mustOpen(t)
				if round == 0 {
					require.Equal(t, k.rest[:len(got)], append([]entry{}, got...))
					require.Less(t, len(got), len(k.rest))
					want = got
				}
				require.True(t, slices.Equal(want, got), "round %d", round)
				next := entry{First: keys.SeqNum(1000 + round), Count: 1, Size: 50 * round}
				appendAll(t, l, wal.Intent(round%3), next)
				want = append(slices.Clone(want), next)
				o = kill(t, o, nil).owner(t, 33+uint64(round))
				require.NoError(t, l.Close())
			}
		}
	}
}

// A link says how long its predecessor was: what lies behind that end in the file is
// not looked at, even if it is valid.
func TestLinkRemembersWhereTheLogWasCut(t *testing.T) {
	k := oneGroup(t)
	o := k.owner(t, 40)
	flip(t, o.opts.FS, k.slot(0), 4096+700)
	l, _, got := o.mustOpen(t)
	appendAll(t, l, wal.WillSync, entry{1000, 1, 10})
	want := append(slices.Clone(got), entry{1000, 1, 10})
	o = kill(t, o, nil).owner(t, 41)
	require.NoError(t, l.Close())
	flip(t, o.opts.FS, k.slot(0), 4096+700) // the record reads well again
	_, again, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, want, again)
}

// claimed makes a store killed after synced groups and two unsynced ones, which claim
// the synced ones.
func claimed(t testing.TB, mode wal.Mode, n int) (k *killed, synced int) {
	o := newOwner(memFS(), mode, 42)
	l, _, _ := o.mustOpen(t)
	want := sequence(1, n, 100)
	appendAll(t, l, wal.WillSync, want...)
	more := sequence(5000, 2, 100)
	appendAll(t, l, wal.NoSync, more...)
	k = kill(t, o, append(want, more...))
	require.NoError(t, l.Close())
	return k, n
}

func TestDamageBelowAClaimIsCorruption(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		k, _ := claimed(t, mode, 60)
		require.GreaterOrEqual(t, len(k.list.Live), 2)
		for segment := range 2 {
			o := k.owner(t, 43)
			flip(t, o.opts.FS, k.slot(segment), 4096+700)
			_, _, err := o.replay()
			require.ErrorIs(t, err, wal.ErrCorrupt)
			var c *wal.CorruptionError
			require.ErrorAs(t, err, &c)
			require.Equal(t, path.Join(storeDir, k.slot(segment)), c.File)
			require.Equal(t, k.list.Live[segment].Num, c.Segment)
			require.InDelta(t, 4096+700, c.Offset, 200)
			require.NotZero(t, c.Synced)
			_, _, _, err = o.open()
			require.ErrorIs(t, err, wal.ErrCorrupt)
		}
	})
}

func TestMarkProtectsTheLastSyncedGroup(t *testing.T) {
	for _, marked := range []bool{false, true} {
		o := newOwner(memFS(), wal.Mapped, 44)
		l, _, _ := o.mustOpen(t)
		appendAll(t, l, wal.WillSync, sequence(1, 3, 100)...)
		if marked {
			require.NoError(t, l.Mark())
			end := l.End()
			require.NoError(t, l.Mark())
			require.Equal(t, end, l.End(), "an idle log is marked once")
			require.Equal(t, end, l.DurableTo())
		}
		k := kill(t, o, sequence(1, 3, 100))
		require.NoError(t, l.Close())
		flip(t, k.fs, k.slot(0), 4096+88+2*144+50) // in the third batch
		_, got, err := k.owner(t, 45).replay()
		if marked {
			require.ErrorIs(t, err, wal.ErrCorrupt)
		} else {
			require.NoError(t, err)
			require.Equal(t, k.rest[:2], got)
		}
	}
}

func TestMissingMiddleSegmentIsCorruption(t *testing.T) {
	k := oneGroup(t)
	o := k.owner(t, 46)
	live := slices.Delete(slices.Clone(k.list.Live), 1, 2)
	_, _, err := o.replayList(live)
	require.ErrorIs(t, err, wal.ErrCorrupt, "not listed")

	require.NoError(t, o.opts.FS.Remove(path.Join(storeDir, k.slot(1))))
	_, _, err = o.replay()
	require.ErrorIs(t, err, wal.ErrCorrupt, "listed, not there")
}

func TestMissingNewestSegmentIsCorruption(t *testing.T) {
	k, _ := claimed(t, wal.Mapped, 60)
	for i := range k.list.Live {
		o := k.owner(t, 47)
		require.NoError(t, o.opts.FS.Remove(path.Join(storeDir, k.slot(i))))
		_, _, err := o.replay()
		require.ErrorIs(t, err, wal.ErrCorrupt, "segment %d", i)
	}
}

func TestSwappedSegmentsAreCorruption(t *testing.T) {
	k := oneGroup(t)
	for i := range k.list.Live {
		for j := range i {
			o := k.owner(t, 48)
			a, b := readAll(t, k.fs, k.slot(i)), readAll(t, k.fs, k.slot(j))
			writeAll(t, o.opts.FS, k.slot(i), b)
			writeAll(t, o.opts.FS, k.slot(j), a)
			_, _, err := o.replay()
			require.ErrorIs(t, err, wal.ErrCorrupt)
		}
	}
}

// An older copy of a segment, from before a later sync, is a valid log by itself. The
// links and claims of what follows give it away.
func TestOlderSegmentIsCorruption(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 49)
	l, _, _ := o.mustOpen(t)
	appendAll(t, l, wal.WillSync, sequence(1, 5, 100)...)
	older := readAll(t, o.opts.FS, wal.SlotName(o.list.Live[0].Slot))
	appendAll(t, l, wal.WillSync, sequence(6, 60, 100)...)
	k := kill(t, o, nil)
	require.NoError(t, l.Close())
	writeAll(t, k.fs, k.slot(0), older)
	_, _, err := k.owner(t, 50).replay()
	require.ErrorIs(t, err, wal.ErrCorrupt)
}

func TestSegmentOfAnotherStoreIsCorruption(t *testing.T) {
	k := oneGroup(t)
	o := k.owner(t, 51)
	o.opts.Store[0]++
	_, _, err := o.replay()
	require.ErrorIs(t, err, wal.ErrCorrupt)
}

func TestTruncatedSegmentIsCorruption(t *testing.T) {
	k, _ := claimed(t, wal.Mapped, 20)
	for i := range k.list.Live {
		o := k.owner(t, 52)
		f, err := o.opts.FS.Open(path.Join(storeDir, k.slot(i)), vfs.ReadWrite)
		require.NoError(t, err)
		for n := k.list.Live[i].Bytes - 1; n >= 0; n-- {
			require.NoError(t, f.Truncate(n))
			_, _, err := o.replayList(k.list.Live)
			require.ErrorIs(t, err, wal.ErrCorrupt, "%d bytes", n)
		}
		require.NoError(t, f.Close())
	}
}

func TestLongerFileIsHarmless(t *testing.T) {
	k, _ := claimed(t, wal.Mapped, 20)
	o := k.owner(t, 53)
	for i := range k.list.Live {
		p := readAll(t, k.fs, k.slot(i))
		writeAll(t, o.opts.FS, k.slot(i), append(p, p...))
	}
	_, got, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, k.rest, got)
}

func TestReplayRefusesAListThatDoesNotAscend(t *testing.T) {
	k := oneGroup(t)
	live := slices.Clone(k.list.Live)
	slices.Reverse(live)
	_, _, err := k.owner(t, 54).replayList(live)
	require.ErrorIs(t, err, wal.ErrInvalid)
}

func TestErrorOfTheCallbackEndsReplay(t *testing.T) {
	k := oneGroup(t)
	n := 0
	_, err := wal.Replay(k.owner(t, 55).opts, k.list.Live, func(wal.Record) error {
		n++
		return errWrongPayload
	})
	require.Equal(t, errWrongPayload, err)
	require.Equal(t, 1, n)
}
