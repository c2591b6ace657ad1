package memtable_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/offheap"
	"github.com/loamdb/loam/memtable"
)

const benchEntries = 400_000

// benchKey is the i-th of keys in random order, or in ascending order.
func benchKey(dst []byte, i uint64, ascending bool) []byte {
	if !ascending {
		i *= 0x9e3779b97f4a7c15
	}
	return binary.BigEndian.AppendUint64(dst, i)
}

func benchRegion(b *testing.B) []byte {
	b.Helper()
	r, err := offheap.New(memtable.RegionBytes(benchEntries, benchEntries*108))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, r.Free()) })
	clear(r.Bytes()) // memtables use regions again and again
	return r.Bytes()
}

func benchFill(region []byte, ascending bool) *memtable.Memtable {
	m := memtable.New(region, 1)
	var key [8]byte
	var value [100]byte
	for i := range uint64(benchEntries) {
		m.Add(benchKey(key[:0], i, ascending), keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), value[:])
	}
	return m
}

func reportPerEntry(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/entry")
}

func BenchmarkAdd(b *testing.B) {
	for name, ascending := range map[string]bool{"random": false, "ascending": true} {
		b.Run(name, func(b *testing.B) {
			region := benchRegion(b)
			for b.Loop() {
				benchFill(region, ascending)
			}
			reportPerEntry(b)
		})
	}
}

// So many keys, each of them again and again: in an order of their own, or ascending.
func BenchmarkOverwrite(b *testing.B) {
	for _, ascending := range []bool{false, true} {
		for _, n := range []uint64{1000, 20_000, 200_000} {
			b.Run(fmt.Sprintf("%d/ascending=%t", n, ascending), func(b *testing.B) {
				region := benchRegion(b)
				var key [8]byte
				var value [100]byte
				for b.Loop() {
					m := memtable.New(region, 1)
					for i := range uint64(benchEntries) {
						k := benchKey(key[:0], i%n, ascending)
						m.Add(k, keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), value[:])
					}
				}
				reportPerEntry(b)
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for name, offset := range map[string]uint64{"present": 0, "absent": benchEntries} {
		b.Run(name, func(b *testing.B) {
			m := benchFill(benchRegion(b), false)
			var key [8]byte
			i := uint64(0)
			for b.Loop() {
				k := benchKey(key[:0], offset+i, false)
				m.Get(k, keys.Hash(k), keys.MaxSeqNum)
				i = (i + 7919) % benchEntries
			}
		})
	}
}

func BenchmarkSeekGE(b *testing.B) {
	it := benchFill(benchRegion(b), false).Iter()
	var key [8]byte
	i := uint64(0)
	for b.Loop() {
		it.SeekGE(benchKey(key[:0], i, false), keys.SeekTrailer(keys.MaxSeqNum))
		i = (i + 7919) % benchEntries
	}
}

func BenchmarkIterate(b *testing.B) {
	it := benchFill(benchRegion(b), false).Iter()
	sum := 0
	for b.Loop() {
		for ok := it.First(); ok; ok = it.Next() {
			sum += int(it.Key()[0]) + int(it.Value()[0])
		}
	}
	reportPerEntry(b)
}

func TestNothingAllocates(t *testing.T) {
	m := memtable.New(make([]byte, 1<<20), 1)
	var key [8]byte
	seq := keys.SeqNum(0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		seq++
		k := benchKey(key[:0], uint64(seq), false)
		m.Add(k, keys.MakeTrailer(seq, keys.KindSet), k)
		m.Get(k, keys.Hash(k), seq)
		it := m.Iter()
		it.SeekGE(k, keys.SeekTrailer(seq))
		it.SeekLT(k)
		for ok := it.First(); ok; ok = it.Next() {
			_, _ = it.Key(), it.Value()
		}
	}))
}
