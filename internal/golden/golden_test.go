package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorder is a testing.TB that records failures of the code under test.
type recorder struct {
	testing.TB
	failures []string
}

type stopped struct{}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(stopped{})
}

// failures runs f and returns what it reported.
func failures(t *testing.T, f func(testing.TB)) []string {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != (stopped{}) {
				panic(p)
			}
		}()
		f(r)
	}()
	return r.failures
}

func TestAssertAcceptsEqualAndReportsDifferent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "file.txt")
	missing := failures(t, func(tb testing.TB) { assert(tb, path, []byte("x"), false) })
	require.Len(t, missing, 1)
	require.Contains(t, missing[0], "is missing")

	require.Empty(t, failures(t, func(tb testing.TB) { assert(tb, path, []byte("one\ntwo\n"), true) }))
	require.Empty(t, failures(t, func(tb testing.TB) { assert(tb, path, []byte("one\ntwo\n"), false) }))

	differs := failures(t, func(tb testing.TB) { assert(tb, path, []byte("one\ntoo\n"), false) })
	require.Len(t, differs, 1)
	require.Contains(t, differs[0], "byte 5, line 2")
	shorter := failures(t, func(tb testing.TB) { assert(tb, path, []byte("one\n"), false) })
	require.Len(t, shorter, 1)
	binary := failures(t, func(tb testing.TB) { assert(tb, path, []byte{'o', 0xff}, false) })
	require.Contains(t, binary[0], "ff ")
}

func script(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// echo is the interpreter of these tests: it prints what it was given.
func echo(b *Block) string {
	if b.Command == "lines" {
		return strings.Repeat("\n.\n", b.Int("n", 1))
	}
	word, _ := b.Arg("word")
	return word + b.Input
}

func TestRunPlaysTheScriptBesideThisTest(t *testing.T) {
	Run(t, "testdata/echo", echo)
}

func TestRunReportsOutputsThatDiffer(t *testing.T) {
	path := script(t, "echo word=a\n----\na\n\necho word=b\n----\nnot b\n")
	got := failures(t, func(tb testing.TB) { run(tb, path, echo, false) })
	require.Len(t, got, 1)
	require.Contains(t, got[0], ":5: echo")
}

func TestRunReportsArgumentsNobodyRead(t *testing.T) {
	path := script(t, "echo wrod=a\n----\n")
	got := failures(t, func(tb testing.TB) { run(tb, path, echo, false) })
	require.Len(t, got, 1)
	require.Contains(t, got[0], `"wrod"`)
}

func TestRunRefusesMalformedScripts(t *testing.T) {
	for name, text := range map[string]string{
		"nothing in it": "# only a comment\n", "no separator": "echo\ninput\n",
		"a line of spaces": "  \n----\n", "no integer": "lines n=two\n----\n",
	} {
		path := script(t, text)
		require.NotEmpty(t, failures(t, func(tb testing.TB) { run(tb, path, echo, false) }), name)
	}
	require.NotEmpty(t, failures(t, func(tb testing.TB) { run(tb, "testdata/absent", echo, false) }))
}

// Rewriting keeps comments and inputs, and what it wrote then passes unchanged.
func TestUpdateRewritesOutputsAndNothingElse(t *testing.T) {
	path := script(t, "# head\n\necho\nin\n\nput\n----\nold\n\n# between\nlines n=2\n----\n\n# tail\n")
	require.Empty(t, failures(t, func(tb testing.TB) { run(tb, path, echo, true) }))
	want := "# head\n\necho\nin\n\nput\n----\nin\n.\nput\n\n# between\nlines n=2\n----\n.\n..\n.\n..\n\n# tail\n"
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
	require.Empty(t, failures(t, func(tb testing.TB) { run(tb, path, echo, false) }))
}
