package wal_test

import (
	"context"
	"crypto/cipher"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// After Leave nothing goes into the segments that were left, spares included, whether they hold
// anything or not; and what they hold is found by the next opening.
func TestLeftSegmentsTakeNothingMore(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		for _, before := range []int{0, 1, 40} {
			o := newOwner(memFS(), mode, 7)
			l, _, _ := o.mustOpen(t)
			want := sequence(1, before, 200)
			appendAll(t, l, wal.NoSync, want...)
			if before == 40 {
				require.NoError(t, l.Reserve(30_000, 1)) // so that there are spares
			}
			o.mu.Lock()
			last := o.list.Live[len(o.list.Live)-1].Num
			o.mu.Unlock()
			if before == 40 {
				require.Greater(t, last, l.Current()+1)
			}
			require.NoError(t, l.Leave(last))
			require.Greater(t, l.Current(), last)
			require.NoError(t, l.Leave(last), "it has left them already")
			first := l.Current()
			more := sequence(1000, 3, 100)
			appendAll(t, l, wal.TrySync, more...)
			require.Equal(t, first, l.Current())

			crashed := kill(t, o, append(want, more...)).owner(t, 1)
			_, got, err := crashed.replay()
			require.NoError(t, err)
			require.Equal(t, append(want, more...), got, "%d before", before)

			require.NoError(t, o.drop(l, first))
			require.NoError(t, l.Close())
			rec, got, err := o.replay()
			require.NoError(t, err)
			require.Equal(t, wal.Clean, rec.Verdict)
			require.Equal(t, more, got)
		}
	})
}

// A log is left for a new key when its current segment is under that: what was prepared under the
// old one, also beside the call, has been left as well.
func TestALogIsLeftForANewKey(t *testing.T) {
	o := newOwner(memFS(), sealed, 8)
	var active atomic.Uint64
	active.Store(1)
	o.opts.NewCipher = func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		return sealtest.Ring(active.Load()).New(kind, uid, salt)
	}
	o.opts.OpenCipher = func(id seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
		return sealtest.Ring(id).Open(id, kind, uid, salt)
	}
	l, _, _ := o.mustOpen(t)
	current := func() wal.Segment {
		o.mu.Lock()
		defer o.mu.Unlock()
		i := slices.IndexFunc(o.list.Live, func(s wal.Segment) bool { return s.Num == l.Current() })
		return o.list.Live[i]
	}
	appendAll(t, l, wal.NoSync, sequence(1, 30, 200)...) // a spare is on its way, or there
	active.Store(2)
	for current().Key != 2 {
		require.NoError(t, l.Leave(l.Current()))
	}
	first, more := l.Current(), sequence(1000, 60, 200)
	appendAll(t, l, wal.NoSync, more...)
	require.NoError(t, o.drop(l, first))
	require.NoError(t, l.Close())
	o.opts.OpenCipher = sealtest.Ring(2).Open
	_, got, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, more, got)

	// Slots that nobody lists any more have records under the old key: nothing is missing there.
	got = nil
	remains, err := wal.Salvage(context.Background(), wal.SalvageOptions{
		FS: o.opts.FS, Dir: storeDir, OpenCipher: o.opts.OpenCipher, Unlisted: true, Min: first,
	}, func(r wal.Record) error {
		got = append(got, entry{First: r.FirstSeqNum, Count: r.Count, Size: len(r.Payload)})
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, more, got)
	for _, r := range remains {
		require.Empty(t, r.Gaps, "%+v", r)
	}
}

// Without space nothing is left, and nothing lost; with space again it is.
func TestALogWithoutSpaceIsNotLeft(t *testing.T) {
	fs := vfs.NewFaults(memFS())
	o := newOwner(fs, wal.Written, 9)
	l, _, _ := o.mustOpen(t)
	appendAll(t, l, wal.NoSync, sequence(1, 2, 10)...)
	current := l.Current()
	fs.Add(vfs.Rule{Kinds: vfs.OpCreate | vfs.OpPreallocate, Err: syscall.ENOSPC, Forever: true})
	err := l.Leave(current)
	require.ErrorIs(t, err, wal.ErrUnready)
	require.ErrorIs(t, err, vfs.ErrNoSpace)
	require.Equal(t, current, l.Current())
	appendAll(t, l, wal.TrySync, sequence(3, 2, 10)...)
	fs.Clear()
	require.NoError(t, l.Leave(current))
	require.Greater(t, l.Current(), current)
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Leave(l.Current()), wal.ErrClosed)
}
