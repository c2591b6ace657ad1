package realdata

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// A child that was killed leaves its store, into which the next one loaded: it held what no
// source has. Reads of files were taken for reads of the store, the source's among them.
func TestLoadsBeginWithAnEmptyStore(t *testing.T) {
	spec := Spec{Dataset: Dataset{Name: "words", Source: writeSource(t, "lines", "", "b\na\nc\n")}, Engine: "loam", Config: testConfig, Dir: t.TempDir()}
	l, err := newLoader(spec, nil)
	require.NoError(t, err)
	require.NoError(t, l.opened(filepath.Join(spec.Dir, "load-loam"), func(_ engine.Store, s engine.Session) error {
		return s.Set([]byte("left"), []byte("behind"), true)
	}))
	runs, err := Load(t.Context(), spec, nil)
	require.NoError(t, err)
	require.Len(t, runs, 4)
	for _, r := range runs {
		require.EqualValues(t, 3, r.Ops, r.Workload)
		require.EqualValues(t, len("a0b1c2"), r.LiveBytes)
		require.Zero(t, r.FileRead+r.DeviceRead)
		require.Zero(t, r.ReadAmp)
	}
	require.NoDirExists(t, filepath.Join(spec.Dir, "load-loam"))
}
