package realdata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// detectFormat looks at the beginning of a file: a first line that is a JSON object
// means JSON lines, a control field "Package" means Debian stanzas, all else is lines.
func detectFormat(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	return detect(head[:n]), nil
}

var packageField = regexp.MustCompile(`(?m)^Package: *[a-z0-9]`)

func detect(head []byte) string {
	head = bytes.TrimLeft(head, " \t\r\n")
	first, _, whole := bytes.Cut(head, []byte("\n"))
	switch {
	case len(first) > 0 && first[0] == '{' && (!whole || json.Valid(first)):
		return "json"
	case controlField(first) != "" && packageField.Match(head):
		return "deb"
	}
	return "lines"
}

// numberedKey appends a key for a record that has no key of its own. The digits make
// byte order the order of lines.
func numberedKey(dst []byte, path string, line int) []byte {
	return fmt.Appendf(dst, "%s:%012d", path, line)
}

// jsonRecords reads JSON lines.
type jsonRecords struct {
	file   File
	lines  *lineReader
	fields []string
	key    []byte
}

func newJSONRecords(f File, lines *lineReader, keyField string) recordReader {
	fields := []string{"id", "_id", "key"}
	if keyField != "" {
		fields = []string{keyField}
	}
	return &jsonRecords{file: f, lines: lines, fields: fields}
}

func (r *jsonRecords) next() (engine.Pair, error) {
	for {
		line, err := r.lines.next()
		if err != nil {
			return engine.Pair{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(line, &object); err != nil {
			return engine.Pair{}, err
		}
		r.key = r.key[:0]
		for _, field := range r.fields {
			if raw, ok := object[field]; ok {
				r.key = appendScalar(r.key, raw)
				break
			}
		}
		if len(r.key) == 0 {
			r.key = numberedKey(r.key, r.file.Path, r.lines.number)
		}
		return engine.Pair{Key: r.key, Value: line}, nil
	}
}

// appendScalar appends a JSON value as a key: a string's content, of all else its text.
func appendScalar(dst []byte, raw json.RawMessage) []byte {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return append(dst, s...)
	}
	return append(dst, raw...)
}

// stanzaRecords reads paragraphs of "Name: value" fields, with continuation lines that
// begin with a blank, separated by empty lines.
type stanzaRecords struct {
	file  File
	lines *lineReader
	key   []byte
	value []byte
}

func newStanzaRecords(f File, lines *lineReader, _ string) recordReader {
	return &stanzaRecords{file: f, lines: lines}
}

func (r *stanzaRecords) next() (engine.Pair, error) {
	r.value = r.value[:0]
	start := 0
	var parts [3][]byte // Package, Version, Architecture
	for {
		line, err := r.lines.next()
		if err != nil && (err != io.EOF || len(r.value) == 0) {
			return engine.Pair{}, err
		}
		if err == io.EOF || len(line) == 0 && len(r.value) > 0 {
			break
		}
		if len(line) == 0 {
			continue
		}
		if len(r.value) == 0 {
			start = r.lines.number
		}
		if len(r.value)+len(line) > maxLineBytes {
			return engine.Pair{}, errLineTooLong
		}
		r.value = append(append(r.value, line...), '\n')
		if i := keyPart(controlField(line)); i >= 0 {
			parts[i] = bytes.Clone(bytes.TrimSpace(line[bytes.IndexByte(line, ':')+1:]))
		}
	}
	r.key = r.key[:0]
	if parts[0] == nil {
		r.key = numberedKey(r.key, r.file.Path, start)
	} else {
		r.key = append(r.key, bytes.Join(parts[:], []byte("/"))...)
	}
	return engine.Pair{Key: r.key, Value: r.value}, nil
}

func keyPart(field string) int {
	switch field {
	case "Package":
		return 0
	case "Version":
		return 1
	case "Architecture":
		return 2
	}
	return -1
}

// controlField returns the name of the field that a line begins, or "".
func controlField(line []byte) string {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return ""
	}
	for _, c := range line[:i] {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return string(line[:i])
}

// wordRecords reads a word list.
type wordRecords struct {
	lines *lineReader
	value []byte
}

func newWordRecords(_ File, lines *lineReader, _ string) recordReader {
	return &wordRecords{lines: lines}
}

func (r *wordRecords) next() (engine.Pair, error) {
	for {
		line, err := r.lines.next()
		if err != nil {
			return engine.Pair{}, err
		}
		if len(line) > 0 {
			r.value = strconv.AppendInt(r.value[:0], int64(r.lines.number), 10)
			return engine.Pair{Key: line, Value: r.value}, nil
		}
	}
}

// textRecords reads any text line by line.
type textRecords struct {
	file  File
	lines *lineReader
	key   []byte
}

func newTextRecords(f File, lines *lineReader, _ string) recordReader {
	return &textRecords{file: f, lines: lines}
}

func (r *textRecords) next() (engine.Pair, error) {
	line, err := r.lines.next()
	if err != nil {
		return engine.Pair{}, err
	}
	r.key = numberedKey(r.key[:0], r.file.Path, r.lines.number)
	return engine.Pair{Key: r.key, Value: line}, nil
}

// wholeFile reads a file as one record; an empty one is none.
type wholeFile struct {
	file  File
	lines *lineReader
	done  bool
}

func newWholeFile(f File, lines *lineReader, _ string) recordReader {
	return &wholeFile{file: f, lines: lines}
}

func (r *wholeFile) next() (engine.Pair, error) {
	if r.done {
		return engine.Pair{}, io.EOF
	}
	r.done = true
	p, err := io.ReadAll(io.LimitReader(r.lines.r, maxLineBytes+1))
	switch {
	case err != nil:
		return engine.Pair{}, err
	case len(p) > maxLineBytes:
		return engine.Pair{}, errLineTooLong
	case len(p) == 0:
		return engine.Pair{}, io.EOF
	}
	return engine.Pair{Key: []byte(r.file.Path), Value: p}, nil
}
