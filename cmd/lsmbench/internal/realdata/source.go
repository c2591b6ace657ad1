package realdata

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// Source is real data: files read as records, in order, as often as needed. Nothing of
// it is kept in memory but the record at hand.
type Source struct {
	// KeyField of JSON lines; "" is the default choice.
	KeyField string `json:"key_field,omitempty"`
	Files    []File `json:"files"`
}

// File is a file and how it is read: one of the names of FormatNames.
type File struct {
	Path   string `json:"path"`
	Format string `json:"format"`
}

// formats are the ways to read a file, by name.
var formats = map[string]struct {
	doc  string
	open func(f File, lines *lineReader, keyField string) recordReader
}{
	"json":  {"JSON lines: the key is the field given by -key, or id, _id or key, or else the line's number; the value is the line", newJSONRecords},
	"deb":   {"Debian control stanzas: the key is Package/Version/Architecture, the value is the stanza", newStanzaRecords},
	"lines": {"a word list: the key is the line, the value its number; empty lines are skipped", newWordRecords},
	"whole": {"any files: the key is the file's path, the value all of it, up to 64 MiB", newWholeFile},
	"text":  {"any text: the key is the file's path and the line's number, the value is the line", newTextRecords},
}

// FormatNames returns the names of the formats, sorted.
func FormatNames() []string {
	var names []string
	for name := range formats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// FormatDoc says how a format is read.
func FormatDoc(name string) string { return formats[name].doc }

// recordReader reads one file. The record lives until the next call; io.EOF ends.
type recordReader interface {
	next() (engine.Pair, error)
}

// Open finds the format of each file by its content, unless format names one.
// A directory stands for all files below it.
func Open(paths []string, format, keyField string) (*Source, error) {
	if _, ok := formats[format]; !ok && format != "auto" {
		return nil, fmt.Errorf("format %q is unknown; there are auto, %s", format, strings.Join(FormatNames(), ", "))
	}
	s := &Source{KeyField: keyField}
	for _, path := range paths {
		files, err := filesUnder(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			f := File{Path: file, Format: format}
			if format == "auto" {
				if f.Format, err = detectFormat(file); err != nil {
					return nil, err
				}
			}
			s.Files = append(s.Files, f)
		}
	}
	if len(s.Files) == 0 {
		return nil, errors.New("no file to load")
	}
	return s, nil
}

// filesUnder returns path itself or, for a directory, the regular files below it.
func filesUnder(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file, and records are read more than once", path)
		}
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, p)
		}
		return err
	})
	return files, err
}

// errStop ends source.each early without an error.
var errStop = errors.New("stop")

// each calls visit with every record and its number, beginning with number from. The
// record lives until visit returns.
func (s *Source) each(ctx context.Context, from uint64, visit func(n uint64, r engine.Pair) error) error {
	n := uint64(0)
	for _, f := range s.Files {
		err := f.each(ctx, s.KeyField, func(r engine.Pair) error {
			n++
			if n <= from {
				return nil
			}
			return visit(n-1, r)
		})
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f File) each(ctx context.Context, keyField string, visit func(engine.Pair) error) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := newLineReader(file)
	rd := formats[f.Format].open(f, lines, keyField)
	for i := 0; ; i++ {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := rd.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", f.Path, lines.number, err)
		}
		if err := visit(r); err != nil {
			return err
		}
	}
}

// lineReader splits a file into lines at newlines and counts them.
type lineReader struct {
	r      *bufio.Reader
	buf    []byte // of a line longer than the reader's buffer
	number int    // of the line last returned, from 1
}

const (
	lineBuffer   = 256 << 10
	maxLineBytes = 64 << 20
)

var errLineTooLong = errors.New("line too long")

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, lineBuffer)}
}

// next returns the next line without its newline; a carriage return before it is part
// of the line. The slice lives until the next call. A last line without newline counts.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		l.buf = l.buf[:0]
		for err == bufio.ErrBufferFull {
			if len(l.buf) > maxLineBytes {
				return nil, errLineTooLong
			}
			l.buf = append(l.buf, line...)
			line, err = l.r.ReadSlice('\n')
		}
		l.buf = append(l.buf, line...)
		line = l.buf
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	l.number++
	if line[len(line)-1] == '\n' {
		line = line[:len(line)-1]
	}
	return line, nil
}
