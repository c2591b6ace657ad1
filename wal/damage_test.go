package wal_test

import (
	"bytes"
	"os"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// Every byte of every listed segment is damaged, one at a time. Whatever was known to
// be synced is there, or the damage is reported.
func TestEveryDamagedByteIsReportedOrHarmless(t *testing.T) {
	masks := []byte{0xff}
	if os.Getenv("LOAM_LONG") != "" {
		masks = []byte{1, 2, 4, 8, 16, 32, 64, 128, 0xff}
	}
	t.Run("killed", func(t *testing.T) {
		k, synced := claimed(t, wal.Mapped, 40)
		damageEveryByte(t, k, synced, masks)
	})
	t.Run("sealed", func(t *testing.T) {
		k, synced := claimed(t, sealed, 20)
		damageEveryByte(t, k, synced, append(masks, 1, 0x80))
	})
	t.Run("closed", func(t *testing.T) {
		o := newOwner(memFS(), wal.Mapped, 60)
		l, _, _ := o.mustOpen(t)
		want := sequence(1, 40, 100)
		_, err := l.Append(batches(want...), wal.NoSync)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		k := kill(t, o, want)
		damageEveryByte(t, k, len(want), masks)
	})
	t.Run("fragments", func(t *testing.T) {
		o := newOwner(memFS(), wal.Mapped, 61)
		l, _, _ := o.mustOpen(t)
		want := []entry{{1, 1, 10}, {2, 1, 9000}, {3, 1, 10}}
		_, err := l.Append(batches(want...), wal.NoSync)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		k := kill(t, o, want)
		damageEveryByte(t, k, len(want), masks)
	})
}

func damageEveryByte(t *testing.T, k *killed, synced int, masks []byte) {
	o := k.owner(t, 62)
	reported, harmless, step := 0, 0, int64(1)
	if invariants.Enabled {
		step = 7 // such builds are many times slower
	}
	for i, seg := range k.list.Live {
		content := readAll(t, k.fs, k.slot(i))
		f, err := o.opts.FS.Open(path.Join(storeDir, k.slot(i)), vfs.ReadWrite)
		require.NoError(t, err)
		used := int64(len(bytes.TrimRight(content, "\x00")))
		for off := int64(0); off < seg.Bytes; off += step {
			if off > used+64 {
				off += 30 // every byte of what follows is alike
			}
			if off >= seg.Bytes {
				break
			}
			for _, mask := range masks {
				_, err := f.WriteAt([]byte{content[off] ^ mask}, off)
				require.NoError(t, err)
				_, got, err := o.replayList(k.list.Live)
				if err != nil {
					require.ErrorIs(t, err, wal.ErrCorrupt, "segment %d, byte %d", seg.Num, off)
					reported++
				} else {
					require.GreaterOrEqual(t, len(got), synced, "segment %d, byte %d: synced batches are gone", seg.Num, off)
					require.Equal(t, k.rest[:len(got)], got, "segment %d, byte %d", seg.Num, off)
					harmless++
				}
			}
			_, err = f.WriteAt(content[off:off+1], off)
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
	}
	t.Logf("%d reported, %d harmless", reported, harmless)
	require.Greater(t, reported, int(k.list.Live[0].Bytes/step))
}
