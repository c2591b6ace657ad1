package fuzz_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// R40: a store that works on among faults keeps what it has acknowledged, and neither goroutines
// nor files become more. The scorecard does it for longer, and looks at memory too.
func TestAStoreAmongFaultsDoesNotGrow(t *testing.T) {
	scored(t, "R40")
	s := fuzz.Soak{Setup: setupIn(t, 6, lsm.LogAuto, false), FS: vfs.NewOS(), Dir: filepath.Join(t.TempDir(), "db")}
	var least int64
	var goroutines int
	for i := range sized(8, 200) {
		r, err := s.Round()
		require.NoError(t, err, "round %d", i)
		require.Positive(t, r.Live)
		if i == 0 {
			least, goroutines = r.Space, runtime.NumGoroutine()
		}
		for tries := 0; runtime.NumGoroutine() > goroutines && tries < 1_000_000; tries++ {
			runtime.Gosched() // the last instructions of those that have ended
		}
		require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
		require.Less(t, r.Space-2*r.Live, least+1<<18, "round %d: %+v", i, r)
	}
	require.Positive(t, s.Faults)
}
