package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDiffs: a difference has what was set since the mark, each key once, and nothing else.
func TestDiffs(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		d, ok := s.store.(Differ)
		if !ok {
			t.Skip("none of its own")
		}
		for i := range 1000 {
			s.set(fmt.Sprintf("k%04d", i), "old")
		}
		_, err := s.store.Settle(t.Context())
		require.NoError(t, err)
		got := func() (changes []pair) {
			require.NoError(t, d.Diff(t.Context(), func(key, value []byte) { changes = append(changes, pair{string(key), string(value)}) }))
			return changes
		}
		require.NoError(t, d.Mark())
		require.Empty(t, got())
		for _, k := range []string{"k0500", "a", "k0001", "k0500", "z"} {
			s.set(k, "new")
		}
		want := pairsOf("a", "new", "k0001", "new", "k0500", "new", "z", "new")
		require.Equal(t, want, got())
		_, err = s.store.Settle(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got())
		require.NoError(t, d.Mark())
		s.set("a", "newer")
		require.Equal(t, pairsOf("a", "newer"), got())
	})
}
