package realdata

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/stretchr/testify/require"
)

func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return root
}

func TestGoTreeServesWhereDebianIsMissing(t *testing.T) {
	root := writeTree(t, map[string]string{
		"src/bufio/bufio.go":                                "package bufio\n",
		"src/unicode/tables.go":                             "package unicode\n",
		"src/vendor/golang.org/x/text/unicode/norm/norm.go": "package norm\n",
		"src/unicode/README":                                "not Go",
		"api/go1.1.txt":                                     "pkg a, func B()\n",
		"api/README":                                        "no names",
	})
	var names []string
	for _, f := range goSource(root) {
		require.Equal(t, "text", f.Format)
		names = append(names, filepath.Base(f.Path))
	}
	require.Equal(t, []string{"tables.go", "norm.go", "bufio.go"}, names, "the Unicode tables first, each file once")
	api := goAPI(root)
	require.Len(t, api, 1)
	require.Equal(t, []string{"pkg a, func B()=1"}, readAllRecords(t, &Source{Files: api}))
	require.Empty(t, goSource(t.TempDir()))
	require.Empty(t, goAPI(t.TempDir()))
	listed, err := goNames(root, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, api, listed)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "api"))) // as in a Go that go has downloaded
	listed, err = goNames(root, t.TempDir())
	require.NoError(t, err)
	require.Len(t, readAllRecords(t, &Source{Files: listed}), 3)
}

// Conversations are made of the texts of a Go tree: the same each time, under keys of which each
// is there once and that do not ascend.
func TestWhatAgentsKeepIsMadeOfSource(t *testing.T) {
	sets, err := Agents(context.Background(), t.TempDir())
	require.NoError(t, err)
	again, err := Agents(context.Background(), t.TempDir())
	require.NoError(t, err)
	require.Len(t, sets, 2)
	one, err := os.ReadFile(sets[0].Source.Files[0].Path)
	require.NoError(t, err)
	other, err := os.ReadFile(again[0].Source.Files[0].Path)
	require.NoError(t, err)
	require.True(t, string(one) == string(other))
	require.Equal(t, "json", detect(one[:64<<10]))
	seen, last, back := map[string]bool{}, "", 0
	require.NoError(t, sets[0].Source.each(context.Background(), 0, func(_ uint64, r engine.Pair) error {
		key := string(r.Key)
		require.False(t, seen[key], key)
		if seen[key] = true; key < last {
			back++
		}
		last = key
		return nil
	}))
	require.Greater(t, len(seen), 10_000)
	require.Greater(t, back, len(seen)/4)
	files := 0
	require.NoError(t, sets[1].Source.each(context.Background(), 0, func(_ uint64, r engine.Pair) error {
		info, err := os.Stat(string(r.Key))
		require.NoError(t, err)
		require.EqualValues(t, info.Size(), len(r.Value))
		files++
		return nil
	}))
	require.Greater(t, files, 100)
}

func TestSomeRealDataIsFoundWhereGoIs(t *testing.T) {
	sets, err := Find(context.Background(), t.TempDir())
	require.NoError(t, err)
	require.Len(t, sets, 2)
	for _, set := range sets {
		require.NotContains(t, set.Describe(), ": 0 B,")
	}
}
