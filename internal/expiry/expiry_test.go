package expiry_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/loamdb/loam/internal/expiry"
	"github.com/stretchr/testify/require"
)

// Steps never claim more than has expired (E2), all of it at the end (E1), and no less than
// what had half its life behind it.
func TestStepsNeverSayTooMuch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		from := int64(1e12)
		b := expiry.NewBuilder(from)
		type entry struct {
			at    int64
			bytes int
		}
		var all []entry
		total := uint64(0)
		for range 1 + rnd.IntN(50) {
			e := entry{from + rnd.Int64N(1<<rnd.IntN(40)) - 100, 1 + rnd.IntN(1000)}
			all = append(all, e)
			total += uint64(e.bytes)
			b.Add(e.at, e.bytes)
		}
		s := b.Steps()
		require.Equal(t, uint64(len(all)), b.Entries())
		require.Equal(t, total, s.Bytes())
		require.Equal(t, total, s.BytesBy(s.Last()))
		require.Zero(t, s.BytesBy(from-101))
		for i := 1; i < len(s); i++ {
			require.Greater(t, s[i].By, s[i-1].By)
		}
		for range 50 {
			now := from + rnd.Int64N(1<<rnd.IntN(41))
			var expired, surely uint64
			for _, e := range all {
				if e.at <= now {
					expired += uint64(e.bytes)
				}
				if 2*(e.at-from)+1 <= now-from {
					surely += uint64(e.bytes)
				}
			}
			require.LessOrEqual(t, s.BytesBy(now), expired)
			require.GreaterOrEqual(t, s.BytesBy(now), surely)
			if by, ok := s.Reaches(total / 2); ok {
				require.GreaterOrEqual(t, s.BytesBy(by), total/2)
			}
		}
	}
}

func TestStepsAtTheEdges(t *testing.T) {
	var none expiry.Steps
	require.Zero(t, none.Bytes())
	require.Zero(t, none.Last())
	require.Zero(t, none.BytesBy(math.MaxInt64))
	_, ok := none.Reaches(1)
	require.False(t, ok)
	b := expiry.NewBuilder(0)
	b.Add(math.MaxInt64, 1)
	b.Add(1, 2)
	require.Equal(t, expiry.Steps{{By: 1, Bytes: 2}, {By: math.MaxInt64, Bytes: 1}}, b.Steps())
	_, ok = b.Steps().Reaches(4)
	require.False(t, ok)
}
