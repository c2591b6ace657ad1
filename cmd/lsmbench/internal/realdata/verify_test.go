package realdata

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// testConfig are small limits.
var testConfig = engine.Config{MemtableBytes: mebi, BudgetBytes: 16 * mebi, FilterBits: 10, BlockBytes: 4096, Compression: "s2", Compactions: 1}

// eachEngine runs f with a fresh store of every engine.
func eachEngine(t *testing.T, f func(t *testing.T, e engine.Engine, s engine.Session)) {
	for _, e := range engine.All() {
		t.Run(e.Name(), func(t *testing.T) {
			s, err := e.Open(filepath.Join(t.TempDir(), "store"), testConfig)
			require.NoError(t, err)
			session, err := s.NewSession()
			require.NoError(t, err)
			f(t, e, session)
			require.NoError(t, session.Close())
			require.NoError(t, s.Close())
		})
	}
}

// TestVerifierSeesEveryDifference proves that the verifier can fail: for each way in
// which a store can differ from its source, something must say so.
func TestVerifierSeesEveryDifference(t *testing.T) {
	src := writeSource(t, "lines", "", "m\nb\nx\nb\nc\n") // b comes twice, the second wins
	for name, spoil := range map[string]func(s engine.Session) error{
		"nothing":             func(s engine.Session) error { return nil },
		"first missing":       func(s engine.Session) error { return s.Delete([]byte("b")) },
		"last missing":        func(s engine.Session) error { return s.Delete([]byte("x")) },
		"middle missing":      func(s engine.Session) error { return s.Delete([]byte("c")) },
		"value changed":       func(s engine.Session) error { return s.Set([]byte("c"), []byte("6"), false) },
		"value cut":           func(s engine.Session) error { return s.Set([]byte("m"), nil, false) },
		"older value is back": func(s engine.Session) error { return s.Set([]byte("b"), []byte("2"), false) },
		"extra in front":      func(s engine.Session) error { return s.Set([]byte("a"), nil, false) },
		"extra at the end":    func(s engine.Session) error { return s.Set([]byte("z"), nil, false) },
		"extra in between":    func(s engine.Session) error { return s.Set([]byte("d"), nil, false) },
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, e engine.Engine, s engine.Session) {
				ctx := context.Background()
				l, err := newLoader(Spec{Dataset: Dataset{Source: src}, Engine: e.Name(), Dir: t.TempDir()}, nil)
				require.NoError(t, err)
				_, err = l.write(ctx, s, 0, nil)
				require.NoError(t, err)
				want, err := l.expect(ctx, everything)
				require.NoError(t, err)
				require.NoError(t, spoil(s))
				_, gets := verifyGets(ctx, s, src, want)
				_, forward := verifyScan(ctx, s, want, false)
				_, backward := verifyScan(ctx, s, want, true)
				if name == "nothing" {
					require.NoError(t, gets)
					require.NoError(t, forward)
					require.NoError(t, backward)
					return
				}
				require.ErrorIs(t, forward, ErrDiffers)
				require.ErrorIs(t, backward, ErrDiffers)
				if name[:5] != "extra" { // which only a scan can see
					require.ErrorIs(t, gets, ErrDiffers)
				}
			})
		})
	}
}
