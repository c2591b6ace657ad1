package wal_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/wal"
)

// A batch in two parts is read as one, wherever segments end in it.
func TestBatchesWithATailAreWhole(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		for seed := range uint64(4) {
			rnd := rand.New(rand.NewPCG(seed, uint64(mode)))
			o := newOwner(memFS(), mode, 5+seed)
			if seed == 3 {
				o.opts.MinSegmentBytes, o.opts.MaxSegmentBytes = 4<<20, 4<<20
			}
			l, _, _ := o.mustOpen(t)
			var want []entry
			next := keys.SeqNum(1)
			for range 25 {
				var group []wal.Batch
				for range 1 + rnd.IntN(3) {
					e := entry{next, 1, 300 + rnd.IntN(40_000)}
					if seed == 3 {
						e.Size += 256 << 10
					}
					next++
					want = append(want, e)
					b := e.batch()
					if rnd.IntN(4) > 0 {
						n := rnd.IntN(wal.MaxHeadBytes + 1)
						b.Payload, b.Tail = b.Payload[:n:n], b.Payload[n:]
						require.Equal(t, b.PayloadCRC, wal.ExtendChecksum(wal.PayloadChecksum(b.Payload), b.Tail))
					}
					group = append(group, b)
				}
				intent := wal.Intent(rnd.IntN(3))
				at, err := l.Append(group, intent)
				require.NoError(t, err)
				if intent != wal.NoSync {
					require.NoError(t, l.Sync(at))
				}
			}
			require.NoError(t, l.Close())
			_, got, err := o.replay()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

func TestHeadsAreShort(t *testing.T) {
	o := newOwner(memFS(), wal.Written, 1)
	l, _, _ := o.mustOpen(t)
	b := entry{1, 1, 5000}.batch()
	b.Payload, b.Tail = b.Payload[:wal.MaxHeadBytes+1], b.Payload[wal.MaxHeadBytes+1:]
	_, err := l.Append([]wal.Batch{b}, wal.NoSync)
	require.ErrorIs(t, err, wal.ErrInvalid)
	require.NoError(t, l.Close())
}
