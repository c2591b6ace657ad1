package realdata

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// readSorted returns all records of a sorted file, in the direction given.
func readSorted(t *testing.T, path string, reverse bool) []string {
	t.Helper()
	r, err := openSortedAt(path, reverse)
	require.NoError(t, err)
	defer r.close()
	var out []string
	for {
		ok, err := r.next()
		require.NoError(t, err)
		if !ok {
			return out
		}
		out = append(out, fmt.Sprintf("%s=%s", r.rec.Key, r.rec.Value))
	}
}

func TestExpectedIsTheSourceSortedWithTheLastOfEachKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var content strings.Builder
	want, count, last := map[string]string{}, map[string]int{}, map[string]uint64{}
	const lines = 3000
	for i := range uint64(lines) {
		key := fmt.Sprintf("w%d%s", rng.IntN(2000), strings.Repeat("x", rng.IntN(20)*rng.IntN(2)))
		content.WriteString(key + "\n")
		want[key], last[key] = fmt.Sprint(i+1), i
		count[key]++
	}
	maps.DeleteFunc(last, func(key string, _ uint64) bool { return count[key] == 1 })
	var sorted []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		sorted = append(sorted, key+"="+want[key])
	}
	src := writeSource(t, "lines", "", content.String())
	for _, runBytes := range []int{2000, 30_000, sortRunBytes} {
		dir := t.TempDir()
		e, err := buildExpected(context.Background(), src, everything, dir, runBytes)
		require.NoError(t, err)
		require.Equal(t, sorted, readSorted(t, e.path, false))
		slices.Reverse(sorted)
		require.Equal(t, sorted, readSorted(t, e.path, true))
		slices.Reverse(sorted)
		require.Equal(t, last, e.duplicates)
		require.Equal(t, uint64(lines), e.total)
		require.Equal(t, uint64(len(want)), e.count)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 1, "runs stay behind")
	}
}

func TestExpectedOfAPrefix(t *testing.T) {
	src := writeSource(t, "lines", "", "b\na\nb\nc\n")
	for limit, want := range map[uint64][]string{
		0: nil, 1: {"b=1"}, 2: {"a=2", "b=1"}, 3: {"a=2", "b=3"}, 9: {"a=2", "b=3", "c=4"},
	} {
		e, err := buildExpected(context.Background(), src, limit, t.TempDir(), sortRunBytes)
		require.NoError(t, err)
		require.Equal(t, want, readSorted(t, e.path, false))
	}
}

func TestSortedFileIsReadAcrossWindows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sorted")
	w, err := createSorted(path)
	require.NoError(t, err)
	var want []string
	for i := range 40 {
		value := bytes.Repeat([]byte{byte('a' + i%26)}, i*i*700)
		require.NoError(t, w.add(sortedRecord{n: uint64(i), Pair: engine.Pair{Key: fmt.Appendf(nil, "%03d", i), Value: value}}))
		want = append(want, fmt.Sprintf("%03d=%s", i, value))
	}
	require.NoError(t, w.close())
	require.Equal(t, want, readSorted(t, path, false))
	slices.Reverse(want)
	require.Equal(t, want, readSorted(t, path, true))
}

func TestDamagedSortedFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sorted")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte{0xff}, 64), 0o600))
	for _, reverse := range []bool{false, true} {
		r, err := openSortedAt(path, reverse)
		require.NoError(t, err)
		_, err = r.next()
		require.ErrorIs(t, err, errSortedFile)
		require.NoError(t, r.close())
	}
}
