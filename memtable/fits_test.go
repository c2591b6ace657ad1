package memtable_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
)

// guarded returns a dirty region of n bytes at any alignment, and a check that nothing
// around it was written.
func guarded(t *testing.T, r *rand.Rand, n int) ([]byte, func()) {
	t.Helper()
	skip := r.IntN(64)
	all := bytes.Repeat([]byte{0xa5}, skip+n+64)
	return all[skip : skip+n : skip+n], func() {
		require.Equal(t, bytes.Repeat([]byte{0xa5}, skip), all[:skip])
		require.Equal(t, bytes.Repeat([]byte{0xa5}, 64), all[skip+n:])
	}
}

// M6, on regions that were used before.
func TestWhatFitsPromisesAddHas(t *testing.T) {
	t.Parallel()
	seeds := uint64(60)
	if raceEnabled {
		seeds = 10
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 3))
		region, check := guarded(t, r, memtable.RegionBytes(0, 0)+r.IntN(1<<16))
		m := memtable.New(region, seed)
		var want model
		maxKey, maxValue := 1+r.IntN(40), 1+r.IntN(300)
		for seq := keys.SeqNum(1); m.Fits(1, 0); {
			batch := make([]entry, 1+r.IntN(8))
			size := 0
			for i := range batch {
				e := entry{
					fillRandom(r, make([]byte, r.IntN(maxKey)), 256), keys.MakeTrailer(seq, keys.KindSet),
					fillRandom(r, make([]byte, r.IntN(maxValue)), 256),
				}
				seq++
				batch[i] = e
				size += len(e.key) + len(e.value)
			}
			if !m.Fits(len(batch), size) {
				maxKey, maxValue = max(1, maxKey/2), max(1, maxValue/2)
				continue
			}
			for _, e := range batch {
				want.add(e)
				m.Add(e.key, e.trailer, e.value)
			}
			require.False(t, memtable.Overlap(m))
			require.LessOrEqual(t, m.UsedBytes(), m.CapacityBytes())
		}
		requireSame(t, m, &want)
		for _, e := range want.entries {
			requireAnswers(t, m, &want, e.key, e.trailer)
			requireAnswers(t, m, &want, append(bytes.Clone(e.key), 0), e.trailer)
		}
		check()
	}
}

func TestFitsRefusesAbsurdNumbers(t *testing.T) {
	t.Parallel()
	m := memtable.New(make([]byte, 1<<16), 1)
	huge := int(^uint(0) >> 1)
	require.False(t, m.Fits(huge, 0))
	require.False(t, m.Fits(0, huge))
	require.False(t, m.Fits(huge, huge))
	require.True(t, m.Fits(0, 0))
}

func TestARegionOfRegionBytesTakesWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 10, 1000, 100_000} {
		for _, size := range []int{0, 1, 16, 1000} {
			if n*size > 10<<20 {
				continue
			}
			for misalign := range 9 {
				region := make([]byte, memtable.RegionBytes(n, n*size)+misalign)[misalign:]
				require.True(t, memtable.New(region, 1).Fits(n, n*size), "%d entries of %d bytes", n, size)
			}
		}
	}
}

// orders are orders of arrival that are hard on a search structure.
var orders = map[string]func(i, n int) int{
	"ascending":       func(i, _ int) int { return i },
	"descending":      func(i, n int) int { return n - i },
	"from both ends":  func(i, n int) int { return [2]int{i, 2*n - i}[i%2] },
	"to both ends":    func(i, n int) int { return [2]int{n + i, n - i}[i%2] },
	"bisecting":       func(i, n int) int { return int(bits.Reverse32(uint32(i))) },
	"runs of eight":   func(i, n int) int { return i*7919%n*16 + i%8 },
	"into one gap":    func(i, n int) int { return [3]int{i, 2*n - i, 3*n + i}[i%3] },
	"strided":         func(i, n int) int { return i * 7919 % n },
	"three ascending": func(i, n int) int { return i%3*n + i },
}

// The claims of height.go, for any order of arrival, and M8: a wrong finger breaks the
// order that Check verifies.
func TestGapsStayShortInAnyOrder(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := memtable.New(make([]byte, memtable.RegionBytes(n, 4*n)), 1)
			seen := make(map[int]bool, n)
			for i := range n {
				k := order(i, n)
				if seen[k] {
					continue
				}
				seen[k] = true
				m.Add(binary.BigEndian.AppendUint32(nil, uint32(k)), keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), nil)
			}
			require.NoError(t, memtable.Check(m))
			moves, worst := 0, 0
			for k := range seen {
				x := memtable.Moves(m, binary.BigEndian.AppendUint32(nil, uint32(k)))
				moves += x
				worst = max(worst, x)
			}
			report := fmt.Sprintf("%.1f moves, at worst %d, %.2f links per node",
				float64(moves)/float64(len(seen)), worst, float64(memtable.Links(m))/float64(len(seen)))
			require.Less(t, moves/len(seen), 13, report) // coins of 1/2 make 14.3
			require.Less(t, worst, 50, report)
			require.Less(t, memtable.Links(m), len(seen)*5/2, report)
			t.Log(report)
		})
	}
}

// What height.go claims holds of nodes that got their place without a search, too.
func TestGapsStayShortAmongVersions(t *testing.T) {
	t.Parallel()
	const n, some = 20_000, 200
	m := memtable.New(make([]byte, memtable.RegionBytes(n, 4*n)), 1)
	for i := range n {
		key := binary.BigEndian.AppendUint32(nil, uint32(i*7919%some))
		m.AddAgain(i%2, key, keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), nil)
	}
	require.NoError(t, memtable.Check(m))
	moves := 0
	for k := range some {
		moves += memtable.Moves(m, binary.BigEndian.AppendUint32(nil, uint32(k)))
	}
	require.Less(t, moves/some, 13)
	require.Less(t, memtable.Links(m), n*5/2)
	t.Log(float64(moves)/some, memtable.Links(m))
}

// An overfull index answers for the keys it has, and leaves the others to the list.
func TestLookupsAreRightWhenTheIndexIsOverfull(t *testing.T) {
	t.Parallel()
	const n = 5000
	// Entries without values are smaller than the index is sized for.
	m := memtable.New(make([]byte, memtable.RegionBytes(n, 2*n)), 1)
	var want model
	for i := range n {
		e := entry{binary.BigEndian.AppendUint16(nil, uint16(i*7919)), keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), nil}
		want.add(e)
		m.Add(e.key, e.trailer, e.value)
	}
	outside := 0
	for _, e := range want.entries {
		if !memtable.Indexed(m, e.key) {
			outside++
		}
	}
	require.Greater(t, outside, n/10)
	require.Less(t, outside, n)
	step := 1
	if raceEnabled {
		step = 37
	}
	for i := 0; i < 1<<16; i += step {
		requireAnswers(t, m, &want, binary.BigEndian.AppendUint16(nil, uint16(i)), keys.SeekTrailer(keys.MaxSeqNum))
	}
}
