package compaction_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// benchEntries are n entries with keys of a shape and 100-byte values.
func benchEntries(rnd *rand.Rand, shape string, n int, seq keys.SeqNum) []entry {
	out := make([]entry, n)
	value := make([]byte, 100)
	for i := range out {
		var key []byte
		switch shape {
		case "prefix40":
			key = append(key, "a prefix of forty bytes, which is long .."...)
		case "scopes":
			key = fmt.Appendf(key, "%cscope/users/", 1+rnd.IntN(100))
		}
		key = binary.BigEndian.AppendUint64(key, rnd.Uint64())
		key = binary.BigEndian.AppendUint64(key, rnd.Uint64())
		for k := range 6 {
			binary.LittleEndian.PutUint64(value[8*k:], rnd.Uint64())
		}
		out[i] = entry{string(key), keys.MakeTrailer(seq+keys.SeqNum(i), keys.KindSet), string(value)}
	}
	slices.SortFunc(out, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
	return out
}

// BenchmarkMerge merges four runs of level 0 and a base level of twice their size; one
// iteration is one entry.
func BenchmarkMerge(b *testing.B) {
	const n = 30_000
	for _, shape := range []string{"random", "prefix40", "scopes"} {
		b.Run(shape, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 1))
			s := newStore(b, vfs.NewMem())
			s.env.Writer = sstable.WriterOptions{FilterBitsPerKey: 10}
			s.params = compaction.Params{}
			seq := keys.SeqNum(1)
			for _, size := range []int{8 * n, n, n, n, n} {
				require.NoError(b, s.write(benchEntries(rnd, shape, size, seq)))
				seq += keys.SeqNum(size)
			}
			j, ok := compaction.Pick(s.v, s.params)
			require.True(b, ok)
			require.Equal(b, manifest.LastLevel, j.Output)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += int(j.Entries()) {
				r, err := compaction.Run(context.Background(), s.v, j, s.params, s.env)
				require.NoError(b, err)
				b.StopTimer()
				s.remove(r.Tables)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFlush writes one run; one iteration is one entry.
func BenchmarkFlush(b *testing.B) {
	s := newStore(b, vfs.NewMem())
	s.env.Writer = sstable.WriterOptions{FilterBitsPerKey: 10}
	entries := benchEntries(rand.New(rand.NewPCG(1, 1)), "random", 500_000, 1)
	var bytes [][2][]byte
	for _, e := range entries {
		bytes = append(bytes, [2][]byte{[]byte(e.key), []byte(e.value)})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		w := compaction.NewFlushWriter(s.env, compaction.FlushSplits(s.v, 64<<20, compaction.Params{}), nil)
		for i := range entries {
			if err := w.Add(bytes[i][0], entries[i].t, bytes[i][1]); err != nil {
				b.Fatal(err)
			}
			if done++; done >= b.N {
				break
			}
		}
		r, err := w.Finish()
		require.NoError(b, err)
		b.StopTimer()
		for _, tab := range r.Tables {
			require.NoError(b, s.fs.Remove(path.Join(dir, manifest.TableName(tab.Num))))
		}
		b.StartTimer()
	}
}
