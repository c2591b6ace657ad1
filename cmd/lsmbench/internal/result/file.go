package result

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Set is the content of a file of results.
type Set struct {
	Environment Environment
	Runs        []Run
}

// Write writes the set as JSON lines.
func (s *Set) Write(w io.Writer) error {
	if err := WriteLine(w, Line{Environment: &s.Environment}); err != nil {
		return err
	}
	for i := range s.Runs {
		if err := WriteLine(w, Line{Run: &s.Runs[i]}); err != nil {
			return err
		}
	}
	return nil
}

// WriteLine writes one line of a file of results; the environment comes first.
func WriteLine(w io.Writer, l Line) error { return json.NewEncoder(w).Encode(l) }

// Join makes one set of several: with the environment of the first, and what those of the
// others say differently as notes. Their runs of the same row become repeats of each other.
func Join(sets []*Set) *Set {
	joined := &Set{Environment: sets[0].Environment, Runs: slices.Clone(sets[0].Runs)}
	e := &joined.Environment
	e.Notes, e.Settings = slices.Clone(e.Notes), maps.Clone(e.Settings)
	for _, s := range sets[1:] {
		joined.add(s)
	}
	return joined
}

func (s *Set) add(o *Set) {
	s.Runs = append(s.Runs, o.Runs...)
	s.Environment.Notes = append(s.Environment.Notes, o.Environment.Notes...)
	if o.Environment.Commit != s.Environment.Commit || o.Environment.Flags != s.Environment.Flags {
		s.Environment.Notes = append(s.Environment.Notes,
			fmt.Sprintf("also %s at commit %s: %s", o.Environment.Time.Format("2006-01-02 15:04"), o.Environment.Commit, o.Environment.Flags))
	}
	for name, settings := range o.Environment.Settings {
		if s.Environment.Settings == nil {
			s.Environment.Settings = map[string]string{}
		}
		if s.Environment.Settings[name] == "" {
			s.Environment.Settings[name] = settings
		}
	}
}

// maxLine bounds a line: a run with its histograms has some hundred kilobytes at most.
const maxLine = 16 << 20

// Read reads what Write has written, or a run line by line: the environment may come again
// at the end, with the notes that it has by then. Unknown fields are passed over.
func Read(r io.Reader) (*Set, error) {
	set := &Set{}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	for n := 1; scanner.Scan(); n++ {
		var line Line
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case line.Environment != nil:
			if line.Environment.Schema != Schema {
				return nil, fmt.Errorf("line %d: results of schema %d; this program reads %d", n, line.Environment.Schema, Schema)
			}
			set.Environment = *line.Environment
		case set.Environment.Schema == 0:
			return nil, fmt.Errorf("line %d: results must begin with their environment", n)
		case line.Run == nil:
			return nil, fmt.Errorf("line %d: neither environment nor run", n)
		default:
			set.Runs = append(set.Runs, *line.Run)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if set.Environment.Schema == 0 {
		return nil, fmt.Errorf("no results: the file is empty")
	}
	return set, nil
}

// ReadFile reads a file of results.
func ReadFile(name string) (*Set, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	set, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}
