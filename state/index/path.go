package index

import (
	"errors"
	"fmt"
	"strings"

	"github.com/loamdb/loam/state/codec"
)

// Limits of paths.
const (
	maxPathLen   = 256
	maxPathSteps = 32
)

// path leads from a document to values within it.
type path struct {
	text  string // in the one spelling that there is for it
	steps []step
	names []string // of the steps, if none of them is over elements of a list
	each  bool     // one is
}

// step goes to the value of a key, or to every element of a list.
type step struct {
	name string
	each bool
}

var pathEscaper = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `*`, `\*`)

// parsePath reads a path: names joined by dots, * for every element of a list. The error says
// which rule the text breaks.
func parsePath(text string) (path, error) {
	if text == "" || len(text) > maxPathLen {
		return path{}, fmt.Errorf("a path has 1 to %d bytes", maxPathLen)
	}
	var p path
	for rest, more := text, true; more; {
		var s step
		var err error
		if s, rest, more, err = parseStep(rest); err != nil {
			return path{}, err
		}
		if p.steps = append(p.steps, s); len(p.steps) > maxPathSteps {
			return path{}, fmt.Errorf("a path has at most %d steps", maxPathSteps)
		}
		p.each = p.each || s.each
	}
	spelt := make([]string, len(p.steps))
	for i, s := range p.steps {
		if spelt[i] = pathEscaper.Replace(s.name); s.each {
			spelt[i] = "*"
		}
	}
	for i := 0; i < len(p.steps) && !p.each; i++ {
		p.names = append(p.names, p.steps[i].name)
	}
	p.text = strings.Join(spelt, ".")
	return p, nil
}

// astray says why a path leads to nothing in any document of a shape, or returns "".
func (p *path) astray(in codec.Shape) string {
	for _, s := range p.steps {
		var ok bool
		if s.each {
			if in, ok = in.Elements(); !ok {
				return fmt.Sprintf("path %q: the type has no list there", p.text)
			}
		} else if in, ok = in.Key(s.name); !ok {
			return fmt.Sprintf("path %q: the type has no field %q there", p.text, s.name)
		}
	}
	return ""
}

// parseStep reads up to the first dot that nothing escapes, and reports whether there is one.
func parseStep(text string) (s step, rest string, more bool, err error) {
	var name strings.Builder
	star := false
	for i := 0; ; i++ {
		if i == len(text) || text[i] == '.' {
			if more = i < len(text); more {
				rest = text[i+1:]
			}
			break
		}
		switch c := text[i]; c {
		case '*':
			star = true
		case '\\':
			if i++; i == len(text) || !strings.ContainsRune(`.*\`, rune(text[i])) {
				return s, "", false, errors.New(`\ stands before none of . * \`)
			}
			name.WriteByte(text[i])
		default:
			name.WriteByte(c)
		}
	}
	switch {
	case star && name.Len() > 0:
		return s, "", false, errors.New("* stands for elements of a list, alone between dots")
	case !star && name.Len() == 0:
		return s, "", false, errors.New("an empty step leads nowhere")
	}
	return step{name.String(), star}, rest, more, nil
}

// value returns what a path without stars leads to, or a node of kind Invalid.
func (p *path) value(n codec.Node) codec.Node {
	for _, s := range p.steps {
		n = n.Field(s.name)
	}
	return n
}

// values returns all that a path leads to: at least one node, of kind Invalid if there is nothing.
func (p *path) values(n codec.Node) []codec.Node {
	if !p.each {
		return []codec.Node{p.value(n)}
	}
	if found := walk(nil, n, p.steps); len(found) > 0 {
		return found
	}
	return []codec.Node{{}}
}

func walk(found []codec.Node, n codec.Node, steps []step) []codec.Node {
	switch {
	case len(steps) == 0:
		return append(found, n)
	case !steps[0].each:
		return walk(found, n.Field(steps[0].name), steps[1:])
	}
	for e := range n.Elements() {
		found = walk(found, e, steps[1:])
	}
	return found
}
