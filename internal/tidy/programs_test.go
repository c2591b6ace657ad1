package tidy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/tidy"
	"github.com/stretchr/testify/require"
)

// What users copy first, the programs in documents and under examples/, runs, and prints what is
// said of it. Programs in documents say so themselves; what an example prints is in its output.txt.
func TestProgramsRun(t *testing.T) {
	ordinary(t)
	tree := repository(t)
	programs, prints := map[string]string{}, map[string]string{}
	for _, s := range tidy.Snippets(tree) {
		if s.Program() {
			name := fmt.Sprintf("%s:%d", s.Path, s.Line)
			programs[name], prints[name] = s.Src, s.Prints
		}
	}
	require.NotEmpty(t, programs)
	examples := 0
	for _, f := range tree.Files {
		if dir, _ := path.Split(f.Path); path.Dir(path.Clean(dir)) == "examples" && strings.HasSuffix(f.Path, ".go") {
			require.Equal(t, "main.go", path.Base(f.Path), "an example is one file: %s", f.Path)
			programs[f.Path+":1"] = f.Src
			examples++
		}
	}
	require.NotZero(t, examples)
	b := build(t, programs)
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		t.Run(name, func(t *testing.T) {
			out := b.run(t, name)
			if dir, ok := strings.CutSuffix(name, "/main.go:1"); ok {
				golden.Assert(t, root+"/"+dir+"/output.txt", []byte(out))
			} else if prints[name] != "" {
				require.Equal(t, prints[name], out)
			}
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
	const head = "package main\n\nimport \"fmt\"\n\n"
	_, err := tryBuild(t, map[string]string{"docs/a.md:7": head + "func main() { undefined(fmt.Sprint()) }\n"})
	require.ErrorContains(t, err, "docs/a.md:11:15: undefined: undefined")

	b := build(t, map[string]string{
		"fails:1":  head + "func main() { panic(fmt.Sprint(1)) }\n",
		"prints:1": head + "func main() { fmt.Print(`hello`) }\n",
	})
	require.Equal(t, "hello", b.run(t, "prints:1"))
	_, err = b.tryRun(t, "fails:1")
	require.Error(t, err)
}

// binary has several programs in it: to link each of them would take far longer than to compile
// them all.
type binary struct {
	path string
}

func build(t *testing.T, programs map[string]string) binary {
	t.Helper()
	b, err := tryBuild(t, programs)
	require.NoError(t, err)
	return b
}

var mainPackage, mainFunc = regexp.MustCompile(`(?m)^package main$`), regexp.MustCompile(`(?m)^func main\(\)`)

// tryBuild builds programs, whose names say where they begin, as in docs/a.md:7. Each becomes a
// package of the root module beside a main package that calls the one that its argument names, by
// way of an overlay, which adds them without writing into the tree.
func tryBuild(t *testing.T, programs map[string]string) (binary, error) {
	t.Helper()
	dir := t.TempDir()
	absRoot, err := filepath.Abs(root)
	require.NoError(t, err)
	overlay := map[string]string{}
	add := func(name, src string) {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
		overlay[filepath.Join(absRoot, "programs", filepath.FromSlash(name))] = file
	}
	var imports, calls strings.Builder
	for i, name := range slices.Sorted(maps.Keys(programs)) {
		src := mainPackage.ReplaceAllString(programs[name], fmt.Sprintf("package p%d", i))
		add(fmt.Sprintf("p%d/main.go", i), "//line "+name+":1\n"+mainFunc.ReplaceAllString(src, "func Main()"))
		fmt.Fprintf(&imports, "import \"%s/programs/p%d\"\n", tidy.Module, i)
		fmt.Fprintf(&calls, "%q: p%d.Main,\n", name, i)
	}
	add("main.go", "package main\n\nimport \"os\"\n"+imports.String()+
		"\nfunc main() { map[string]func(){\n"+calls.String()+"}[os.Args[1]]() }\n")
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600))

	b := binary{filepath.Join(dir, "programs")}
	if runtime.GOOS == "windows" {
		b.path += ".exe"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s", "-overlay", filepath.Join(dir, "overlay.json"), "-o", b.path, "./programs")
	cmd.Dir = absRoot
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("%w\n%s", err, out)
	}
	return b, nil
}

func (b binary) run(t *testing.T, name string) string {
	t.Helper()
	out, err := b.tryRun(t, name)
	require.NoError(t, err)
	return out
}

// tryRun runs a program in an empty directory and returns what it has printed.
func (b binary) tryRun(t *testing.T, name string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path, name)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		err = fmt.Errorf("%w\n%s%s", err, out, failed.Stderr)
	}
	return string(out), err
}
