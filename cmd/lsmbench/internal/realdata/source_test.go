package realdata

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// jsonLines makes n lines; some ids come twice.
func jsonLines(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"user-%04d","n":%d,"text":%q}`+"\n", i*7%(n-n/10), i, strings.Repeat("ab", i%40))
	}
	return []byte(b.String())
}

// writeSource writes content to a file and opens it as a source.
func writeSource(t *testing.T, format, keyField, content string) *Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	src, err := Open([]string{path}, format, keyField)
	require.NoError(t, err)
	return src
}

// readAllRecords returns "key=value" of every record.
func readAllRecords(t *testing.T, src *Source) []string {
	t.Helper()
	var out []string
	err := src.each(context.Background(), 0, func(n uint64, r engine.Pair) error {
		require.Equal(t, uint64(len(out)), n)
		key := strings.ReplaceAll(string(r.Key), src.Files[0].Path, "FILE")
		out = append(out, key+"="+string(r.Value))
		return nil
	})
	require.NoError(t, err)
	return out
}

func TestFormatsAreToldByContent(t *testing.T) {
	for content, want := range map[string]string{
		`{"id":1}` + "\n" + `{"id":2}`:           "json",
		"\n\n" + `{"a":{}}` + "\n":               "json",
		"{ this is not JSON }\n":                 "lines",
		"Package: a\nVersion: 1\n\nPackage: b\n": "deb",
		"Format: 3.0\nSource: x\n\nPackage: b\n": "deb",
		"Subject: hello\n\nno packages here\n":   "lines",
		"aardvark\nzebra\n":                      "lines",
		"":                                       "lines",
		`{"long":"` + strings.Repeat("x", 70<<10) + `"}` + "\n": "json",
	} {
		require.Equal(t, want, writeSource(t, "auto", "", content).Files[0].Format, "%.40q", content)
	}
}

func TestJSONLinesAreKeyedByField(t *testing.T) {
	content := `{"id":"a","user":7}` + "\n\n" + `{"_id":12}` + "\n" + `{"key":"k\u00e9"}` + "\n" + `{"user":"x"}`
	require.Equal(t, []string{
		`a={"id":"a","user":7}`, `12={"_id":12}`, `ké={"key":"k\u00e9"}`, `FILE:000000000005={"user":"x"}`,
	}, readAllRecords(t, writeSource(t, "json", "", content)))
	require.Equal(t, []string{
		`7={"id":"a","user":7}`, `FILE:000000000003={"_id":12}`, `FILE:000000000004={"key":"k\u00e9"}`, `x={"user":"x"}`,
	}, readAllRecords(t, writeSource(t, "json", "user", content)))
}

func TestWrongJSONNamesTheLine(t *testing.T) {
	src := writeSource(t, "json", "", `{"id":1}`+"\n{broken\n")
	err := src.each(context.Background(), 0, func(uint64, engine.Pair) error { return nil })
	require.ErrorContains(t, err, src.Files[0].Path+":2: ")
}

func TestStanzasAreKeyedByPackageVersionAndArchitecture(t *testing.T) {
	content := "\nPackage: foo\nArchitecture: all\nVersion: 1:2-3\nDescription: x\n more: of it\n .\n\n\n\nSource: bar\nno colon\n\nPackage: baz\nVersion: 9"
	require.Equal(t, []string{
		"foo/1:2-3/all=Package: foo\nArchitecture: all\nVersion: 1:2-3\nDescription: x\n more: of it\n .\n",
		"FILE:000000000011=Source: bar\nno colon\n",
		"baz/9/=Package: baz\nVersion: 9\n",
	}, readAllRecords(t, writeSource(t, "deb", "", content)))
}

func TestWordListsSkipEmptyLinesAndTextKeepsThem(t *testing.T) {
	content := "b\n\na\r\nb"
	require.Equal(t, []string{"b=1", "a\r=3", "b=4"}, readAllRecords(t, writeSource(t, "lines", "", content)))
	require.Equal(t, []string{
		"FILE:000000000001=b", "FILE:000000000002=", "FILE:000000000003=a\r", "FILE:000000000004=b",
	}, readAllRecords(t, writeSource(t, "text", "", content)))
}

func TestLinesLongerThanTheBufferAreWhole(t *testing.T) {
	long := strings.Repeat("0123456789", lineBuffer/4)
	require.Equal(t, []string{"x=1", long + "=2", "y=3"}, readAllRecords(t, writeSource(t, "lines", "", "x\n"+long+"\ny\n")))
}

func TestEachBeginsWhereItIsTold(t *testing.T) {
	src := writeSource(t, "lines", "", "a\nb\nc\nd\n")
	var got []string
	require.NoError(t, src.each(context.Background(), 2, func(n uint64, r engine.Pair) error {
		got = append(got, fmt.Sprint(n, string(r.Key)))
		return nil
	}))
	require.Equal(t, []string{"2c", "3d"}, got)
}

func TestDirectoryStandsForItsFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b"), []byte("x\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sub", "a"), []byte("y\n"), 0o600))
	src, err := Open([]string{dir}, "auto", "")
	require.NoError(t, err)
	require.Equal(t, []string{"x=1", "y=1"}, readAllRecords(t, src))
}

// FuzzFormats reads any bytes in every format: no panic, no record from nothing, and
// plain text comes back whole.
func FuzzFormats(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\n\nPackage: b\n x\n"))
	f.Add([]byte(`{"id":1}` + "\n" + `{"key":"x"}`))
	f.Add([]byte("a\n\r\n\nb"))
	f.Add([]byte{0xff, '\n', 0, ':'})
	f.Fuzz(func(t *testing.T, content []byte) {
		detect(content)
		for name, format := range formats {
			rd := format.open(File{Path: "f", Format: name}, newLineReader(bytes.NewReader(content)), "")
			var text []byte
			for {
				r, err := rd.next()
				if err != nil {
					require.True(t, err == io.EOF || name == "json", "%s: %v", name, err)
					break
				}
				require.True(t, len(r.Key) > 0 || name == "deb")
				text = append(append(text, r.Value...), '\n')
			}
			if name == "text" {
				require.Equal(t, string(bytes.TrimSuffix(content, []byte("\n"))), string(bytes.TrimSuffix(text, []byte("\n"))))
			}
		}
	})
}
