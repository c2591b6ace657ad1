package privacy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// walker goes through one document, and copies what changes on its way.
type walker struct {
	rules    []rule
	keys     Keys
	replace  bool // put marks into the result
	reveals  bool // turn marks back instead
	path     []step
	findings []Finding
}

// enter applies the rules for the place that the walker is at.
func (w *walker) enter(m *modes) {
	for i := range w.rules {
		if w.rules[i].matches(w.path) {
			w.rules[i].apply(m)
		}
	}
}

// value returns what a value becomes, and whether it changed.
func (w *walker) value(value any, m *modes) (any, bool, error) {
	switch v := value.(type) {
	case nil:
		return nil, false, nil
	case []any:
		return w.list(v, m)
	case map[string]any:
		return w.fields(v, m)
	case bool, int64, uint64, float64, string, []byte, time.Time:
		if w.reveals {
			return w.reveal(value)
		}
		return w.protect(value, m)
	}
	return nil, false, &TypeError{Path: pathText(w.path), Type: fmt.Sprintf("%T", value)}
}

func (w *walker) list(v []any, m *modes) (any, bool, error) {
	out, copied := v, false
	for i, element := range v {
		now, changed, err := w.inside(step{index: i}, element, m)
		if err != nil {
			return nil, false, err
		}
		if changed {
			if !copied {
				out, copied = slices.Clone(v), true
			}
			out[i] = now
		}
	}
	return out, copied, nil
}

func (w *walker) fields(v map[string]any, m *modes) (any, bool, error) {
	out, copied := v, false
	for name, field := range v {
		now, changed, err := w.inside(step{name: name, index: -1}, field, m)
		if err != nil {
			return nil, false, err
		}
		if changed {
			if !copied {
				out, copied = maps.Clone(v), true
			}
			out[name] = now
		}
	}
	return out, copied, nil
}

// inside goes one step down: a sensitive name covers what is below, then rules may say else.
func (w *walker) inside(s step, v any, m *modes) (any, bool, error) {
	if len(w.path) >= MaxDepth {
		return nil, false, ErrTooDeep
	}
	w.path = append(w.path, s)
	inner := m
	covers := s.index < 0 && m.of[Field] != Off && sensitive(s.name)
	if covers || len(w.rules) > 0 {
		changed := *m
		if inner = &changed; covers {
			inner.cover = m.of[Field]
		}
		w.enter(inner)
	}
	if s.index < 0 {
		w.name(s.name, inner)
	}
	out, changed, err := w.value(v, inner)
	w.path = w.path[:len(w.path)-1]
	return out, changed, err
}

// name reports what is found in the name of the field that the walker is at.
func (w *walker) name(name string, m *modes) {
	text := *m
	text.cover = Off
	for _, c := range text.findings(name) {
		w.add(Finding{Detector: c.detector, Mode: m.of[c.detector], InName: true, Start: c.start, End: c.end})
	}
}

// add keeps a finding, at the walker's path.
func (w *walker) add(f Finding) {
	f.Path = pathText(w.path)
	w.findings = append(w.findings, f)
}

// everything redacts whatever the detectors find in a text.
var everything = func() (m modes) {
	for d := range Field {
		m.of[d] = Redact
	}
	return m
}()

var escapeName = strings.NewReplacer(`\`, `\\`, `.`, `\.`)

// pathText writes a path as findings and errors have it (P1).
func pathText(path []step) string {
	var out strings.Builder
	for i, s := range path {
		if i > 0 {
			out.WriteByte('.')
		}
		if s.index >= 0 {
			out.WriteString(strconv.Itoa(s.index))
			continue
		}
		done := 0
		for _, c := range everything.findings(s.name) {
			escapeName.WriteString(&out, s.name[done:c.start])
			out.Write(appendMark(nil, Redact, c.detector, nil))
			done = c.end
		}
		escapeName.WriteString(&out, s.name[done:])
	}
	return out.String()
}
