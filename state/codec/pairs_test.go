package codec

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Small maps are put in the order that sortEntries makes, of keys that begin alike, or hold NULs, too.
func TestPairsAreInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range smallMap + 1 {
		for range 200 {
			m := map[string]any{}
			for len(m) < n {
				key := []byte("prefix__")[:r.IntN(9)]
				for range r.IntN(5) {
					key = append(key, "\x00ab\xff"[r.IntN(4)])
				}
				m[string(key)] = fmt.Sprint(len(m))
			}
			var p pairs
			var want, got []entry
			for k, v := range m {
				p.entries[p.n] = entry{k, v}
				p.put()
				want = append(want, entry{k, v})
			}
			p.sort()
			for i := range p.n {
				got = append(got, *p.at(i))
			}
			sortEntries(want)
			require.Equal(t, want, got)
		}
	}
}

func BenchmarkPairs(b *testing.B) {
	m := map[string]any{"role": 1, "tokens": 2, "model": 3, "finished": 4, "score": 5, "text": 6, "tags": 7, "turn": 8}
	sum := 0
	b.Run("small", func(b *testing.B) {
		for b.Loop() {
			var p pairs
			for k, v := range m {
				p.entries[p.n] = entry{k, v}
				p.put()
			}
			p.sort()
			for i := range p.n {
				sum += len(p.at(i).key)
			}
		}
	})
	b.Run("any", func(b *testing.B) {
		for b.Loop() {
			var room [smallMap]entry
			entries := room[:0]
			for k, v := range m {
				entries = append(entries, entry{k, v})
			}
			sortEntries(entries)
			for i := range entries {
				sum += len(entries[i].key)
			}
		}
	})
	_ = sum
}
