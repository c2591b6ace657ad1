package main

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// testConfig are small limits.
var testConfig = Config{MemtableBytes: mebi, BudgetBytes: 16 * mebi, FilterBits: 10, BlockBytes: 4096, Compression: "s2", Compactions: 1}

// eachEngine runs f with a fresh store of every engine.
func eachEngine(t *testing.T, f func(t *testing.T, e Engine, s Store)) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			s, err := e.Open(filepath.Join(t.TempDir(), "store"), testConfig)
			require.NoError(t, err)
			f(t, e, s)
			require.NoError(t, s.Close())
		})
	}
}

func TestSessionKeepsItsContract(t *testing.T) {
	eachEngine(t, func(t *testing.T, _ Engine, store Store) {
		s := store.NewSession()
		key, value := []byte("k1"), []byte("v1")
		require.NoError(t, s.Set(key, value, true))
		copy(key, "xx")
		copy(value, "yy")
		pairs := []Pair{{[]byte("k2"), []byte("v2")}, {[]byte("k3"), nil}, {[]byte("k4"), []byte("v4")}}
		require.NoError(t, s.SetBatch(pairs, false))
		require.NoError(t, s.SetBatch(pairs[:1], true))
		require.NoError(t, s.Delete([]byte("k4")))
		got, found, err := s.Get([]byte("+"), []byte("k1"))
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, "+v1", string(got))
		got, found, err = s.Get([]byte("+"), []byte("k4"))
		require.NoError(t, err)
		require.False(t, found)
		require.Equal(t, "+", string(got))

		sc, err := store.NewSession().NewScanner()
		require.NoError(t, err)
		require.Equal(t, []string{"k1=v1", "k2=v2", "k3="}, scanned(t, sc, nil, false, 10))
		require.Equal(t, []string{"k3=", "k2=v2", "k1=v1"}, scanned(t, sc, nil, true, 10))
		require.Equal(t, []string{"k2=v2"}, scanned(t, sc, []byte("k1+"), false, 1))
		require.Empty(t, scanned(t, sc, []byte("k5"), false, 10))
		require.NoError(t, sc.Close())
		idle, err := store.Settle(context.Background())
		require.NoError(t, err)
		require.GreaterOrEqual(t, idle, settleQuiet)
	})
}

func scanned(t *testing.T, sc Scanner, from []byte, reverse bool, n int) []string {
	t.Helper()
	var out []string
	count, err := sc.Scan(from, reverse, n, func(k, v []byte) bool {
		out = append(out, string(k)+"="+string(v))
		return true
	})
	require.NoError(t, err)
	require.Len(t, out, count)
	return out
}

// TestVerifierSeesEveryDifference proves that the verifier can fail: for each way in
// which a store can differ from its source, something must say so.
func TestVerifierSeesEveryDifference(t *testing.T) {
	src := writeSource(t, "lines", "", "m\nb\nx\nb\nc\n") // b comes twice, the second wins
	for name, spoil := range map[string]func(s Session) error{
		"nothing":             func(s Session) error { return nil },
		"first missing":       func(s Session) error { return s.Delete([]byte("b")) },
		"last missing":        func(s Session) error { return s.Delete([]byte("x")) },
		"middle missing":      func(s Session) error { return s.Delete([]byte("c")) },
		"value changed":       func(s Session) error { return s.Set([]byte("c"), []byte("6"), false) },
		"value cut":           func(s Session) error { return s.Set([]byte("m"), nil, false) },
		"older value is back": func(s Session) error { return s.Set([]byte("b"), []byte("2"), false) },
		"extra in front":      func(s Session) error { return s.Set([]byte("a"), nil, false) },
		"extra at the end":    func(s Session) error { return s.Set([]byte("z"), nil, false) },
		"extra in between":    func(s Session) error { return s.Set([]byte("d"), nil, false) },
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, _ Engine, store Store) {
				ctx, s, n := context.Background(), store.NewSession(), new(atomic.Int64)
				l := &loader{dir: t.TempDir(), progress: &progress{}}
				_, err := l.write(ctx, "", s, src, 0, nil)
				require.NoError(t, err)
				want, err := l.expect(ctx, dataset{src: src}, everything)
				require.NoError(t, err)
				require.NoError(t, spoil(s))
				_, gets := verifyGets(ctx, s, src, want, n)
				_, forward := verifyScan(ctx, s, want, false, n)
				_, backward := verifyScan(ctx, s, want, true, n)
				if name == "nothing" {
					require.NoError(t, gets)
					require.NoError(t, forward)
					require.NoError(t, backward)
					return
				}
				require.ErrorIs(t, forward, errDiffers)
				require.ErrorIs(t, backward, errDiffers)
				if name[:5] != "extra" { // which only a scan can see
					require.ErrorIs(t, gets, errDiffers)
				}
			})
		})
	}
}
