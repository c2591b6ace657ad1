package wal_test

import (
	"context"
	"fmt"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// salvage reads what is left on fs. With a list the segments of it, else every slot.
func salvage(t testing.TB, fs vfs.FS, k *killed, listed bool) ([]wal.SlotRemains, []entry) {
	t.Helper()
	o := wal.SalvageOptions{FS: fs, Dir: storeDir, Unlisted: !listed}
	if k.list.Live[0].Key != 0 {
		o.OpenCipher = ring.Open
	}
	if listed {
		o.Store, o.Listed = storeUID, k.list.Live
	}
	var got []entry
	remains, err := wal.Salvage(context.Background(), o, func(r wal.Record) error {
		e := entry{First: r.FirstSeqNum, Count: r.Count, Size: len(r.Payload)}
		require.Equal(t, e.payload(), append([]byte{}, r.Payload...))
		require.Equal(t, uint64(e.First)+1000, r.CommitTime)
		got = append(got, e)
		return nil
	})
	require.NoError(t, err)
	return remains, got
}

func gaps(remains []wal.SlotRemains) (out []wal.Gap) {
	for _, r := range remains {
		out = append(out, r.Gaps...)
	}
	return out
}

// Whichever byte is changed, the batches that do not lie over it come back, with the list of
// segments and without it, and below a claim the damage is listed.
func TestSalvageReadsEveryBatchBesideADamagedByte(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		k, synced := claimed(t, mode, 60)
		step := 31
		if testing.Short() {
			step = 101
		}
		for _, listed := range []bool{true, false} {
			whole, got := salvage(t, k.owner(t, 1).opts.FS, k, listed)
			require.Equal(t, k.rest, got)
			require.Empty(t, gaps(whole))
			for i, seg := range k.list.Live[:2] {
				o := k.owner(t, 43)
				for off := int64(0); off < seg.Bytes; off += int64(step) {
					what := fmt.Sprintf("listed %v, segment %d, byte %d", listed, seg.Num, off)
					flip(t, o.opts.FS, k.slot(i), off)
					remains, got := salvage(t, o.opts.FS, k, listed)
					flip(t, o.opts.FS, k.slot(i), off)
					lost := len(k.rest) - len(got)
					if mode == sealed && off >= 64 && off < 96 {
						// Without its salt a segment has no key, and nobody can tell that it was one but
						// the list of segments: its file is named without it.
						require.NotEmpty(t, gaps(remains), what)
						requireOrdered(t, got, what)
						continue
					}
					if !listed && off < 4096+88 && lost > 1 {
						// The identity itself, or the record that vouches for a damaged header.
						require.NotEmpty(t, gaps(remains), what)
						continue
					}
					require.LessOrEqual(t, lost, 1, what)
					if lost == 1 && got[len(got)-1].First > keys.SeqNum(synced) && i == 0 {
						require.NotEmpty(t, gaps(remains), what)
					}
					requireOrdered(t, got, what)
				}
			}
		}
	})
}

func requireOrdered(t testing.TB, got []entry, what string) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		require.Greater(t, got[i].First, got[i-1].First, what)
	}
}

// A missing segment costs its own batches, and those that reach into it.
func TestSalvageReadsTheSegmentsBesideAMissingOne(t *testing.T) {
	k := oneGroup(t)
	for i, seg := range k.list.Live {
		o := k.owner(t, 2)
		require.NoError(t, o.opts.FS.Remove(path.Join(storeDir, k.slot(i))))
		remains, got := salvage(t, o.opts.FS, k, true)
		before, all := 0, inSegment(t, k, len(k.list.Live)-1)
		if i > 0 {
			before = inSegment(t, k, i-1)
		}
		missing := inSegment(t, k, i) - before
		require.GreaterOrEqual(t, len(got), all-missing-2)
		require.LessOrEqual(t, len(got), all-missing)
		found := false
		for _, r := range remains {
			found = found || r.Segment == seg.Num && len(r.Gaps) == 1
		}
		require.True(t, found)
	}
}

// What a recovery has cut stays cut, and what a recycled slot held before does not come back.
func TestSalvageStopsWhereALaterSegmentWentOn(t *testing.T) {
	k := oneGroup(t)
	o := k.owner(t, 3)
	flip(t, o.opts.FS, k.slot(1), 4096+1000) // nothing is claimed: a torn tail
	l, _, replayed := o.mustOpen(t)
	again := sequence(9000, 3, 50)
	appendAll(t, l, wal.WillSync, again...)
	after := kill(t, o, nil)
	require.NoError(t, l.Close())
	for _, listed := range []bool{true, false} {
		_, got := salvage(t, after.fs, after, listed)
		require.Subset(t, got, append(replayed, again...))
		if listed {
			require.Equal(t, append(replayed, again...), got)
		}
	}
}

// Slots of another store are passed over.
func TestSalvagePassesOverOtherStores(t *testing.T) {
	k := oneGroup(t)
	remains, err := wal.Salvage(context.Background(), wal.SalvageOptions{
		FS: k.fs, Dir: storeDir, Store: fileid.UID{99}, Unlisted: true,
	}, func(wal.Record) error { return fmt.Errorf("a batch of another store") })
	require.NoError(t, err)
	for _, r := range remains {
		require.Zero(t, r.Segment)
	}
}

// A sector that cannot be read costs the batches in it.
func TestSalvageReadsOnBehindABadSector(t *testing.T) {
	k, _ := claimed(t, wal.Written, 60)
	bad := int64(4096 + 2000)
	slot := k.slot(0)
	fs := vfs.NewFaults(k.fs, vfs.Rule{Kinds: vfs.OpRead, Glob: slot, Forever: true, When: func(c vfs.Call) bool {
		return c.Off <= bad && bad < c.Off+int64(c.Len)
	}})
	remains, got := salvage(t, fs, k, true)
	require.NotEmpty(t, gaps(remains))
	require.GreaterOrEqual(t, len(got), len(k.rest)-4096/150-2)
	require.Less(t, len(got), len(k.rest))
}

// FuzzSalvage reads any bytes as the slots of a log.
func FuzzSalvage(f *testing.F) {
	k, _ := claimed(f, wal.Written, 20)
	for i := range k.list.Live {
		o := k.owner(f, 1)
		file, err := o.opts.FS.Open(path.Join(storeDir, k.slot(i)), vfs.ReadOnly)
		require.NoError(f, err)
		p := make([]byte, k.list.Live[i].Bytes)
		_, err = file.ReadAt(p, 0)
		require.NoError(f, err)
		require.NoError(f, file.Close())
		f.Add(p, true)
		f.Add(p, false)
	}
	f.Fuzz(func(t *testing.T, p []byte, listed bool) {
		fs := vfs.NewMem()
		require.NoError(t, fs.MkdirAll(storeDir))
		file, err := fs.Create(path.Join(storeDir, k.slot(0)))
		require.NoError(t, err)
		_, err = file.WriteAt(p, 0)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		o := wal.SalvageOptions{FS: fs, Dir: storeDir, Unlisted: !listed}
		if listed {
			o.Store, o.Listed = storeUID, k.list.Live[:1]
		}
		bytes := 0
		_, err = wal.Salvage(context.Background(), o, func(r wal.Record) error {
			bytes += len(r.Payload)
			return nil
		})
		require.NoError(t, err)
		require.LessOrEqual(t, bytes, len(p))
	})
}
