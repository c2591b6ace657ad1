package golden

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files and scripts that differ")

// Assert fails t unless the file at path, relative to the test's package, holds
// exactly got. With -update it writes got there instead, making directories as needed.
// It does not keep got. It stops the test on a mismatch.
func Assert(t testing.TB, path string, got []byte) {
	t.Helper()
	assert(t, path, got, *update)
}

func assert(t testing.TB, path string, got []byte, rewrite bool) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err == nil && bytes.Equal(want, got) {
		return
	}
	if rewrite {
		write(t, path, got)
		return
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Fatalf("golden: %s is missing: run with -update and read what it writes", path)
	case err != nil:
		t.Fatalf("golden: %v", err)
	}
	at := firstDifference(want, got)
	t.Fatalf("golden: %s differs at byte %d, line %d\nwant …%s\ngot  …%s",
		path, at, 1+bytes.Count(want[:at], []byte("\n")), excerpt(want, at), excerpt(got, at))
}

func write(t testing.TB, path string, p []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatalf("golden: %v", err)
	}
	if err := os.WriteFile(path, p, 0o644); err != nil {
		t.Fatalf("golden: %v", err)
	}
}

// firstDifference returns how long the common prefix of a and b is.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// excerpt returns up to 60 bytes of p from at on, as text when it is text.
func excerpt(p []byte, at int) []byte {
	p = p[at:min(len(p), at+60)]
	for _, c := range p {
		if c != '\n' && c != '\t' && (c < ' ' || c > '~') {
			return []byte(hexDump(p))
		}
	}
	return p
}

func hexDump(p []byte) string {
	const digits = "0123456789abcdef"
	var out []byte
	for _, c := range p {
		out = append(out, digits[c>>4], digits[c&15], ' ')
	}
	return string(out)
}
