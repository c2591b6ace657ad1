package metamorphic_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loamdb/loam/fuzz/metamorphic"
	"github.com/stretchr/testify/require"
)

// long makes histories as long as those of a release.
var long = os.Getenv("LOAM_LONG") != ""

// sized returns the size of the ordinary form of a test, or of the long one.
func sized(ordinary, atLength int) int {
	switch {
	case long:
		return atLength
	case slow || testing.Short():
		return max(ordinary/5, 1)
	}
	return ordinary
}

func run(t *testing.T, c metamorphic.Config) {
	t.Helper()
	r := metamorphic.Run(c)
	t.Logf("%d histories: %+v", r.Histories, r.Counts)
	require.NoError(t, r.Err())
}

// Whatever the options, stores do the same, through kills, power cuts and faults.
func TestStoresDoTheSameWhateverTheirOptions(t *testing.T) {
	run(t, metamorphic.Config{Seeds: []uint64{4, 15, 16}, Operations: sized(400, 10_000), Sets: metamorphic.Sets(sized(32, 60)), Patience: 100_000})
}

// Histories that once failed.
func TestHistoriesThatOnceFailed(t *testing.T) {
	files, err := filepath.Glob("testdata/regress/*.txt")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			r, err := metamorphic.ParseRegression(string(text))
			require.NoError(t, err)
			if f := r.Play(); f != nil {
				require.NoError(t, f)
			}
		})
	}
}
