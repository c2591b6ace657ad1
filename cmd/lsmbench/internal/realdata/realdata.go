// Package realdata puts records of real files into stores and compares the two, byte for
// byte: by a Get of every key and by scans in both directions, also after the process
// that loaded was killed.
//
// Reading order: this file (what data there is), source.go and source_formats.go (files
// as records), turns.go (records that are made of text), load.go, expected.go and sorted_file.go (what a store must hold),
// verify.go, sample.go, kill.go.
package realdata

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// Dataset is a source with a short name for tables.
type Dataset struct {
	Name   string  `json:"name"`
	Source *Source `json:"source"`
}

// Find looks for real data that this machine already has, writing what it must
// generate into dir: Debian's package index and its largest word list; where either is
// missing, Go's own tree instead: its source text with the Unicode tables first, and
// the names of its API.
func Find(ctx context.Context, dir string) ([]Dataset, error) {
	var sets []Dataset
	packages, err := debianPackages(ctx, dir)
	if err != nil {
		return nil, err
	}
	if packages != "" {
		sets = append(sets, Dataset{"packages", oneFile(packages, "deb")})
	}
	if words := wordList(); words != "" {
		sets = append(sets, Dataset{"words", oneFile(words, "lines")})
	}
	if len(sets) == 2 {
		return sets, nil
	}
	goRoot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return sets, nil // no Go here either: what was found has to do
	}
	root := strings.TrimSpace(string(goRoot))
	if packages == "" {
		if files := goSource(root); len(files) > 0 {
			sets = append([]Dataset{{"source", &Source{Files: files}}}, sets...)
		}
	}
	if wordList() != "" {
		return sets, nil
	}
	names, err := goNames(root, dir)
	if err != nil || len(names) == 0 {
		return sets, err
	}
	return append(sets, Dataset{"names", &Source{Files: names}}), nil
}

// goNames returns Go's exported names or, where a downloaded Go lacks their lists, the
// names of its source files, which are written into dir.
func goNames(root, dir string) ([]File, error) {
	if files := goAPI(root); len(files) > 0 {
		return files, nil
	}
	var names []byte
	for _, f := range goSource(root) {
		names = append(append(names, f.Path...), '\n')
	}
	if len(names) == 0 {
		return nil, nil
	}
	path := filepath.Join(dir, "names")
	return []File{{Path: path, Format: "lines"}}, os.WriteFile(path, names, 0o600)
}

func oneFile(path, format string) *Source {
	return &Source{Files: []File{{Path: path, Format: format}}}
}

// debianPackages writes the package index into dir and returns its path, or "" where
// there is none worth the name.
func debianPackages(ctx context.Context, dir string) (string, error) {
	tool, err := exec.LookPath("apt-cache")
	if err != nil {
		return "", nil
	}
	path := filepath.Join(dir, "packages")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, tool, "dumpavail")
	cmd.Stdout = f
	runErr := cmd.Run()
	info, err := f.Stat()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	const worthwhile = mebi
	if runErr != nil || err != nil || info.Size() < worthwhile {
		return "", err
	}
	return path, nil
}

// wordLists are Debian's, the largest first.
var wordLists = []string{"american-english-insane", "american-english-huge", "american-english-large", "american-english", "words"}

func wordList() string {
	for _, name := range wordLists {
		path := filepath.Join("/usr/share/dict", name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

const mebi = 1 << 20

// goSourceBytes bounds how much of Go's source is taken.
const goSourceBytes = 24 * mebi

// goSource returns files of Go's standard library to be read as text, the Unicode
// tables first.
func goSource(root string) []File {
	var files []File
	seen, total := map[string]bool{}, int64(0)
	add := func(path string, size int64) {
		if !seen[path] && total < goSourceBytes {
			seen[path], total = true, total+size
			files = append(files, File{Path: path, Format: "text"})
		}
	}
	for _, dir := range []string{"src/unicode", "src/vendor/golang.org/x/text/unicode", "src"} {
		// An unreadable part of the tree is no reason to do without the rest.
		_ = filepath.WalkDir(filepath.Join(root, filepath.FromSlash(dir)), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() && strings.HasSuffix(p, ".go") {
				add(p, info.Size())
			}
			return nil
		})
	}
	return files
}

// goAPI returns the lists of Go's exported names, one name to a line.
func goAPI(root string) []File {
	paths, err := filepath.Glob(filepath.Join(root, "api", "go1*.txt"))
	if err != nil {
		return nil
	}
	var files []File
	for _, p := range paths {
		files = append(files, File{Path: p, Format: "lines"})
	}
	return files
}

// Describe says what a Dataset is, for the header.
func (d *Dataset) Describe() string {
	bytes := int64(0)
	for _, f := range d.Source.Files {
		if info, err := os.Stat(f.Path); err == nil {
			bytes += info.Size()
		}
	}
	first := d.Source.Files[0]
	more := ""
	if n := len(d.Source.Files) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%s: %s, format %s, %s%s", d.Name, units.Bytes(bytes), first.Format, filepath.Base(first.Path), more)
}
