package wal_test

import (
	"crypto/rand"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// benchLog opens a log of 64 MiB segments on the real file system. Its owner keeps no
// manifest: the benchmarks measure the log.
func benchLog(b *testing.B, mode wal.Mode) (*wal.Log, wal.Options, *[]wal.Segment) {
	b.Helper()
	wal.Measure(b)
	live := new([]wal.Segment)
	o := wal.Options{
		FS: vfs.NewOS(), Dir: b.TempDir(), Store: storeUID, Random: rand.Reader, Mode: mode,
		MinSegmentBytes: 64 << 20, MaxSegmentBytes: 64 << 20, OpenCipher: ring.Open,
		Register: func(seg wal.Segment) error { *live = append(*live, seg); return nil },
	}
	if mode == sealed {
		o.Mode, o.NewCipher = wal.Mapped, ring.New
	}
	first, err := wal.PrepareFirst(o, 1, nil)
	require.NoError(b, err)
	*live = append(*live, first.Segment())
	l, err := wal.Open(o, first, wal.Link{}, nil)
	require.NoError(b, err)
	return l, o, live
}

func benchModes(b *testing.B, f func(b *testing.B, mode wal.Mode)) {
	b.Run("mapped", func(b *testing.B) { f(b, wal.Mapped) })
	b.Run("written", func(b *testing.B) { f(b, wal.Written) })
	b.Run("sealed", func(b *testing.B) { f(b, sealed) })
}

// One unsynced batch of 128 bytes per group, segments recycled as a store does that
// flushes.
func BenchmarkAppendUnsynced(b *testing.B) {
	benchModes(b, func(b *testing.B, mode wal.Mode) {
		l, _, _ := benchLog(b, mode)
		group := batches(entry{1, 1, 128})
		current, seq := l.Current(), keys.SeqNum(0)
		one := func() {
			seq++
			group[0].FirstSeqNum = seq
			if _, err := l.Append(group, wal.NoSync); err != nil {
				b.Fatal(err)
			}
			if c := l.Current(); c != current {
				current = c
				l.Obsolete(c)
			}
		}
		for current < 6 { // until the slots go round
			one()
		}
		b.SetBytes(128)
		b.ReportAllocs()
		for b.Loop() {
			one()
		}
		b.StopTimer()
		require.NoError(b, l.Close())
	})
}

// One synced batch of 128 bytes at a time, in turn with the two ways the device itself
// offers, on a file of written blocks: a write and an fdatasync, and an O_DSYNC write.
func BenchmarkAppendSynced(b *testing.B) {
	for name, intent := range map[string]wal.Intent{"will-sync": wal.WillSync, "try-sync": wal.TrySync} {
		b.Run(name, func(b *testing.B) {
			l, o, _ := benchLog(b, wal.Mapped)
			raw, dsync := rawFile(b, o, "raw")
			raw2, _ := rawFile(b, o, "raw2")
			group := batches(entry{1, 1, 128})
			record := make([]byte, 168)
			var log, sync, direct time.Duration
			lap := func(total *time.Duration, start time.Time) time.Time {
				now := vfs.Now()
				*total += now.Sub(start)
				return now
			}
			for i := 0; b.Loop(); i++ {
				off := int64(i) * 168 % (15 << 20)
				group[0].FirstSeqNum = keys.SeqNum(i + 1)
				start := vfs.Now()
				at, err := l.Append(group, intent)
				if err == nil {
					err = l.Sync(at)
				}
				start = lap(&log, start)
				if err == nil {
					_, err = raw2.WriteAt(record, off)
				}
				if err == nil {
					err = raw2.Sync()
				}
				start = lap(&sync, start)
				if err == nil {
					_, err = dsync.WriteAt(record, off)
				}
				lap(&direct, start)
				if err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N)
			b.ReportMetric(float64(log.Microseconds())/n, "log-µs")
			b.ReportMetric(float64(sync.Microseconds())/n, "fdatasync-µs")
			b.ReportMetric(float64(direct.Microseconds())/n, "dsync-µs")
			b.ReportMetric(float64(log)/float64(sync), "ratio")
			require.NoError(b, l.Close())
			require.NoError(b, raw.Close())
			require.NoError(b, raw2.Close())
			require.NoError(b, dsync.Close())
		})
	}
}

// rawFile makes a file of 16 MiB of written blocks.
func rawFile(b *testing.B, o wal.Options, name string) (plain, dsync vfs.File) {
	b.Helper()
	name = path.Join(o.Dir, name)
	f, err := o.FS.Create(name)
	require.NoError(b, err)
	for off := int64(0); off < 16<<20; off += 4096 {
		_, err = f.WriteAt(make([]byte, 4096), off)
		require.NoError(b, err)
	}
	require.NoError(b, f.Sync())
	d, err := o.FS.Open(name, vfs.ReadWriteDSync)
	require.NoError(b, err)
	return f, d
}

// What ADR 0026 weighs: groups of batches of 128 bytes, each batch sealed by itself, and each
// group as one block.
func BenchmarkSealGroup(b *testing.B) {
	for _, n := range []int{1, 4, 16, 64} {
		for _, pieces := range []int{n, 1} {
			b.Run(fmt.Sprintf("%d batches in %d", n, pieces), func(b *testing.B) {
				c, _, err := ring.New(fileid.KindWAL, fileid.UID{}, seal.Salt{})
				require.NoError(b, err)
				s := seal.NewSealer(c, fileid.KindWAL, fileid.UID{})
				block, dst, header := make([]byte, n/pieces*128), make([]byte, 0, 16<<10), make([]byte, 32)
				ordinal := uint64(0)
				for b.Loop() {
					for range pieces {
						if _, err := s.Seal(dst, block, seal.Place{Ordinal: ordinal, Header: header}); err != nil {
							b.Fatal(err)
						}
						ordinal++
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/batch")
			})
		}
	}
}

// A segment of 64 MiB full of 128-byte batches.
func BenchmarkReplay(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchReplay(b, wal.Mapped) })
	b.Run("sealed", func(b *testing.B) { benchReplay(b, sealed) })
}

func benchReplay(b *testing.B, mode wal.Mode) {
	l, o, live := benchLog(b, mode)
	fill(b, l, 1)
	require.NoError(b, l.Close())
	b.SetBytes(64 << 20)
	for b.Loop() {
		n := 0
		_, err := wal.Replay(o, (*live)[:1], func(r wal.Record) error { n += len(r.Payload); return nil })
		require.NoError(b, err)
		require.Greater(b, n, 32<<20)
	}
}

// fill appends until the first segment is full.
func fill(b *testing.B, l *wal.Log, first keys.SeqNum) {
	group := batches(entry{1, 1, 128})
	for seq, at := first, l.Current(); l.Current() == at; seq++ {
		group[0].FirstSeqNum = seq
		_, err := l.Append(group, wal.NoSync)
		require.NoError(b, err)
	}
}

// The search for records past the end: through 64 MiB of zeros, and through the
// remains of an earlier life.
func BenchmarkLookPastTheEnd(b *testing.B) {
	b.Run("zeros", func(b *testing.B) {
		_, o, live := benchLog(b, wal.Mapped)
		b.SetBytes(64 << 20)
		for b.Loop() {
			_, err := wal.Replay(o, (*live)[:1], func(wal.Record) error { return nil })
			require.NoError(b, err)
		}
	})
	b.Run("stale", func(b *testing.B) {
		l, o, live := benchLog(b, wal.Mapped)
		fill(b, l, 1)
		require.NoError(b, l.Close())
		next, err := wal.PrepareFirst(o, (*live)[len(*live)-1].Num+1, (*live)[1:])
		require.NoError(b, err)
		seg := next.Segment()
		require.Equal(b, wal.Slot(1), seg.Slot)
		require.NoError(b, next.Close())
		b.SetBytes(64 << 20)
		for b.Loop() {
			_, err := wal.Replay(o, []wal.Segment{seg}, func(wal.Record) error { return nil })
			require.NoError(b, err)
		}
	})
}
