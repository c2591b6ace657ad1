package dist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPermutationVisitsEveryRecordOnce(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 5, 7, 16, 17, 100, 1023, 1024, 1025, 20_000, 65_537} {
		for seed := range uint64(3) {
			p := NewPermutation(n, seed)
			seen := make([]bool, n)
			for i := range n {
				at := p.At(i)
				if at >= n || seen[at] {
					require.FailNow(t, "no bijection", "%d of %d, seed %d", at, n, seed)
				}
				seen[at] = true
			}
		}
	}
}

func TestPermutationStaysBelowHugeNumbers(t *testing.T) {
	for _, n := range []uint64{1<<32 - 1, 1 << 32, 1<<40 + 12345, 1<<62 + 1, 1<<64 - 1} {
		p := NewPermutation(n, 1)
		seen := map[uint64]bool{}
		for i := range uint64(1000) {
			low, high := p.At(i), p.At(n-1-i)
			require.Less(t, low, n)
			require.Less(t, high, n)
			require.False(t, seen[low] || seen[high])
			seen[low], seen[high] = true, true
		}
	}
}

func TestPermutationScatters(t *testing.T) {
	const n = 10_000
	p := NewPermutation(n, 1)
	neighbours, rising := 0, 0
	for i := range uint64(n - 1) {
		a, b := p.At(i), p.At(i+1)
		if b == a+1 || a == b+1 {
			neighbours++
		}
		if b > a {
			rising++
		}
	}
	require.Less(t, neighbours, 20)
	require.InDelta(t, n/2, rising, n/20)
}

func TestPermutationIsItsSeeds(t *testing.T) {
	const n = 1000
	a, b, c := NewPermutation(n, 1), NewPermutation(n, 1), NewPermutation(n, 2)
	same := 0
	for i := range uint64(n) {
		require.Equal(t, a.At(i), b.At(i))
		if a.At(i) == c.At(i) {
			same++
		}
	}
	require.Less(t, same, 20)
}

func TestPermutationDoesNotAllocate(t *testing.T) {
	p := NewPermutation(1_000_003, 1)
	i := uint64(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() { i = p.At(i) }))
}
