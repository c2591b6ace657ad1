package tidy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/tidy"
	"github.com/stretchr/testify/require"
)

// Programs in documents are what users copy first. Each is built as a package of the
// root module, by way of an overlay that adds it without writing into the tree, and
// run in an empty directory. One go command builds them all.
func TestProgramsInDocumentsRun(t *testing.T) {
	ordinary(t)
	sources := map[string]string{}
	for _, s := range tidy.Snippets(repository(t)) {
		if s.Program() {
			sources[fmt.Sprintf("%s_%d", strings.NewReplacer("/", "_", ".", "_").Replace(s.Path), s.Line)] = s.Src
		}
	}
	require.NotEmpty(t, sources)
	dir, out, err := buildPrograms(t, sources)
	require.NoError(t, err, "%s", out)
	for name := range sources {
		t.Run(name, func(t *testing.T) {
			out, err := runProgram(t, dir, name)
			require.NoError(t, err, "%s", out)
		})
	}
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
	_, out, err := buildPrograms(t, map[string]string{
		"sound": "package main\n\nfunc main() {}\n", "broken": "package main\n\nfunc main() { undefined() }\n",
	})
	require.Error(t, err)
	require.Contains(t, out, "undefined")
	require.Contains(t, out, "broken")
	dir, out, err := buildPrograms(t, map[string]string{
		"panics": "package main\n\nfunc main() { panic(1) }\n",
		"prints": "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(`hello`) }\n",
	})
	require.NoError(t, err, "%s", out)
	_, err = runProgram(t, dir, "panics")
	require.Error(t, err)
	out, err = runProgram(t, dir, "prints")
	require.NoError(t, err)
	require.Equal(t, "hello", out)
}

// buildPrograms builds programs, by name, into a directory, and returns what the compiler said.
func buildPrograms(t *testing.T, sources map[string]string) (dir, out string, err error) {
	t.Helper()
	absRoot, err := filepath.Abs(root)
	require.NoError(t, err)
	scratch := t.TempDir()
	overlay := filepath.Join(scratch, "overlay.json")
	dir = filepath.Join(scratch, "programs")
	require.NoError(t, os.Mkdir(dir, 0o700))
	replace := map[string]string{}
	args := []string{"build", "-overlay", overlay, "-ldflags=-s", "-o", dir}
	for name, src := range sources {
		file := filepath.Join(scratch, name+".go")
		require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
		replace[filepath.Join(absRoot, name, "main.go")] = file
		args = append(args, "./"+name)
	}
	p, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, p, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = absRoot
	said, err := build.CombinedOutput()
	return dir, string(said), err
}

// runProgram runs a program in an empty directory and returns what it printed.
func runProgram(t *testing.T, dir, name string) (string, error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, filepath.Join(dir, name))
	program.Dir = t.TempDir()
	out, err := program.CombinedOutput()
	return string(out), err
}
