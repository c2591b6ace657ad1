package vfs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Copies of frozen pages are independent, and all behave like a slice of bytes.
func TestPagesBehaveLikeBytes(t *testing.T) {
	type pair struct {
		p     pages
		model []byte
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	all := []*pair{{}}
	for range 4000 {
		c := all[rnd.IntN(len(all))]
		off, n := rnd.IntN(5*pageBytes), rnd.IntN(2*pageBytes)
		switch rnd.IntN(6) {
		case 0, 1, 2:
			b := make([]byte, n)
			if rnd.IntN(4) > 0 { // else zeros, whose whole pages are one
				randomBytes(b, rnd.Uint64())
			}
			c.p.writeAt(b, int64(off))
			if n > 0 && off+n > len(c.model) {
				c.model = append(c.model, make([]byte, off+n-len(c.model))...)
			}
			copy(c.model[min(off, len(c.model)):], b)
		case 3:
			c.p.truncate(int64(off))
			c.model = append(c.model[:min(off, len(c.model))], make([]byte, max(0, off-len(c.model)))...)
		case 4:
			c.p.freeze()
			copied := &pair{p: c.p, model: bytes.Clone(c.model)}
			if len(all) < 6 {
				all = append(all, copied)
			} else {
				all[rnd.IntN(len(all))] = copied
			}
		case 5:
			var fresh pages
			fresh.writeAt(c.model, 0)
			require.Equal(t, fresh.hash(), c.p.hash())
		}
		got := make([]byte, len(c.model)+10)
		require.EqualValues(t, len(c.model), c.p.size)
		require.Equal(t, len(c.model), c.p.readAt(got, 0))
		require.True(t, bytes.Equal(c.model, got[:len(c.model)]))
	}
	require.Equal(t, page{}, zeroPage)
}

// Zeros that were written are no hole, even where they are nothing but a mark in the table.
func TestWrittenZerosAreBacked(t *testing.T) {
	var p pages
	p.truncate(3 * pageBytes)
	p.writeAt(make([]byte, 2*pageBytes), 0)
	require.True(t, p.backed(pageBytes))
	require.False(t, p.backed(2*pageBytes))
	require.EqualValues(t, 2*pageBytes, p.firstHole())
}

func TestHashTellsPlaceAndLength(t *testing.T) {
	sums := map[uint64]bool{}
	for _, content := range []string{"", "\x00", "\x00\x00", "a", "a\x00", "\x00a"} {
		var p pages
		p.writeAt([]byte(content), 0)
		sums[p.hash()] = true
	}
	for i := range int64(4) { // one page of the same bytes at another place
		var p pages
		p.truncate(5 * pageBytes)
		p.writeAt([]byte("a"), i*pageBytes)
		sums[p.hash()] = true
	}
	require.Len(t, sums, 10)
}

func TestSpreadTakesTheEnds(t *testing.T) {
	require.Equal(t, []int{0, 1, 2}, spread(3, 8))
	require.Equal(t, []int{0, 24, 48, 72, 96, 97, 98, 99}, spread(100, 8))
	require.Empty(t, spread(0, 8))
}
