package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findDatasets looks for real data that this machine already has, writing what it must
// generate into dir: Debian's package index and its largest word list; where either is
// missing, Go's own tree instead: its source text with the Unicode tables first, and
// the names of its API.
func findDatasets(ctx context.Context, dir string) ([]dataset, error) {
	var sets []dataset
	packages, err := debianPackages(ctx, dir)
	if err != nil {
		return nil, err
	}
	if packages != "" {
		sets = append(sets, dataset{"packages", oneFile(packages, "deb")})
	}
	if words := wordList(); words != "" {
		sets = append(sets, dataset{"words", oneFile(words, "lines")})
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
			sets = append([]dataset{{"source", &source{files: files}}}, sets...)
		}
	}
	if files := goAPI(root); len(files) > 0 && wordList() == "" {
		sets = append(sets, dataset{"names", &source{files: files}})
	}
	return sets, nil
}

func oneFile(path, format string) *source {
	return &source{files: []sourceFile{{path: path, format: format}}}
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

// goSourceBytes bounds how much of Go's source is taken.
const goSourceBytes = 24 * mebi

// goSource returns files of Go's standard library to be read as text, the Unicode
// tables first.
func goSource(root string) []sourceFile {
	var files []sourceFile
	seen, total := map[string]bool{}, int64(0)
	add := func(path string, size int64) {
		if !seen[path] && total < goSourceBytes {
			seen[path], total = true, total+size
			files = append(files, sourceFile{path: path, format: "text"})
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
func goAPI(root string) []sourceFile {
	paths, err := filepath.Glob(filepath.Join(root, "api", "go1*.txt"))
	if err != nil {
		return nil
	}
	var files []sourceFile
	for _, p := range paths {
		files = append(files, sourceFile{path: p, format: "lines"})
	}
	return files
}

// describe says what a dataset is, for the header.
func (d dataset) describe() string {
	bytes := int64(0)
	for _, f := range d.src.files {
		if info, err := os.Stat(f.path); err == nil {
			bytes += info.Size()
		}
	}
	first := d.src.files[0]
	more := ""
	if n := len(d.src.files) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%s: %s, format %s, %s%s", d.name, byteSize(bytes), first.format, filepath.Base(first.path), more)
}
