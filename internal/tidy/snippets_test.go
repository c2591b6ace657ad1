package tidy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/tidy"
	"github.com/stretchr/testify/require"
)

// Programs in documents are what users copy first. Each is built as a package of the
// root module, by way of an overlay that adds it without writing into the tree, and
// run in an empty directory.
func TestProgramsInDocumentsRun(t *testing.T) {
	ordinary(t)
	tree := repository(t)
	programs := 0
	for i, s := range tidy.Snippets(tree) {
		if !s.Program() {
			continue
		}
		programs++
		t.Run(fmt.Sprintf("%s:%d", s.Path, s.Line), func(t *testing.T) {
			out, err := runProgram(t, i, s.Src)
			require.NoError(t, err, "%s", out)
		})
	}
	require.NotZero(t, programs)
}

// ordinary skips a test in its short form, which other lanes run under other builds: the
// go command that it runs makes the same programs in all of them.
func ordinary(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs, which no tag of the test's own build changes")
	}
}

func TestProgramsThatDoNotBuildOrFailAreFound(t *testing.T) {
	ordinary(t)
	out, err := runProgram(t, 1000, "package main\n\nfunc main() { undefined() }\n")
	require.Error(t, err)
	require.Contains(t, out, "undefined")
	_, err = runProgram(t, 1001, "package main\n\nfunc main() { panic(1) }\n")
	require.Error(t, err)
	out, err = runProgram(t, 1002, "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Print(`hello`) }\n")
	require.NoError(t, err)
	require.Equal(t, "hello", out)
}

// runProgram builds and runs src and returns what the compiler or the program printed.
func runProgram(t *testing.T, n int, src string) (string, error) {
	t.Helper()
	absRoot, err := filepath.Abs(root)
	require.NoError(t, err)
	dir := t.TempDir()
	file, overlay, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
	pkg := fmt.Sprintf("snippet%d", n)
	replace, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(absRoot, pkg, "main.go"): file},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "./"+pkg)
	build.Dir = absRoot
	if out, err := build.CombinedOutput(); err != nil {
		return string(out), err
	}
	program := exec.CommandContext(ctx, binary)
	program.Dir = t.TempDir()
	out, err := program.CombinedOutput()
	return string(out), err
}
