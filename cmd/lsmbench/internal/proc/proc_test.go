package proc

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Memory of the process itself and that of mapped files are told apart, shared memory being
// mapped.
func TestResidentMemoryIsOfTwoKinds(t *testing.T) {
	const status = "Name:\tlsmbench\nVmHWM:\t  99999 kB\nVmRSS:\t   7 kB\nRssAnon:\t    4 kB\nRssFile:\t    2 kB\nRssShmem:\t    1 kB\n"
	require.Equal(t, RSS{Anon: 4 << 10, File: 3 << 10}, rssOf(status))
	require.Equal(t, RSS{}, rssOf("Name:\tlsmbench\nRssAnon:\tmuch\n"), "where the system does not say")
	if runtime.GOOS == "linux" {
		require.Positive(t, ReadRSS().Anon)
		require.Positive(t, ReadRSS().File, "the program itself")
	}
}

// What is written, allocated and read shows up, by as much.
func TestUsageIsTheDifference(t *testing.T) {
	before := Now()
	kept := make([][]byte, 100)
	for i := range kept {
		kept[i] = make([]byte, 10_000)
	}
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	_, err := os.ReadFile(path)
	require.NoError(t, err)
	runtime.GC()
	used := Now().Since(before)
	runtime.KeepAlive(kept)
	require.GreaterOrEqual(t, used.Allocs, uint64(100))
	require.Positive(t, used.GCs)
	require.Positive(t, LongestPause(used.GCs))
	require.GreaterOrEqual(t, used.AllocBytes, uint64(3_000_000))
	if runtime.GOOS == "linux" {
		require.GreaterOrEqual(t, used.FileRead, int64(1<<20))
	}
	require.Equal(t, Usage{}, before.Since(before))
}

func TestSizesTellLogsApart(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	for name, size := range map[string]int{"a.log": 3, "table": 50, filepath.Join("sub", "b.log"): 20, filepath.Join("sub", "table"): 700} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600))
	}
	logs, others, err := Sizes(dir, func(name string) bool { return filepath.Ext(name) == ".log" })
	require.NoError(t, err)
	require.Equal(t, []int64{23, 750}, []int64{logs, others})
	logs, others, err = Sizes(filepath.Join(dir, "nothing"), func(string) bool { return true })
	require.NoError(t, err, "what is removed meanwhile counts nothing")
	require.Zero(t, logs+others)
}
