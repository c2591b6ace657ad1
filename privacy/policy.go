package privacy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mode is what becomes of a finding.
type Mode uint8

// Modes. Where findings overlap, Block goes before the modes that replace, these before
// Detect.
const (
	Off      Mode = iota // not looked for
	Detect               // reported, and left as it is
	Redact               // replaced by a mark that says what it was
	Hash                 // replaced by HMAC-SHA-256 under the keys: equal values, equal marks
	Tokenise             // replaced by a token: equal values, equal tokens; the keys turn it back
	Encrypt              // replaced by a ciphertext, another one each time; the keys turn it back
	Block                // the document is refused

	modeCount = int(Block) + 1
)

var modeNames = [modeCount]string{"off", "detect", "redact", "hash", "tokenise", "encrypt", "block"}

// String returns the mode's name.
func (m Mode) String() string {
	if int(m) < modeCount {
		return modeNames[m]
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// replaces reports whether the mode puts a mark in the place of what was found.
func (m Mode) replaces() bool { return m >= Redact && m <= Encrypt }

// rank orders modes where findings overlap.
func (m Mode) rank() int {
	switch {
	case m == Block:
		return 2
	case m.replaces():
		return 1
	}
	return 0
}

// Policy says what becomes of what is found. The zero Policy looks for nothing.
type Policy struct {
	// Default is the mode of every detector that Modes does not name.
	Default Mode
	// Modes has the modes of detectors, everywhere.
	Modes map[Detector]Mode
	// Rules change modes for fields. A rule holds for the values at its path and for all
	// they hold; of two that hold for a value the one met deeper wins, then the later one.
	Rules []Rule
}

// Rule sets the mode of the values at a path.
type Rule struct {
	// Path is a pattern: names joined by dots, * for one name or position in a list, and at
	// most one ** for any number of them, none included. The path "" is the document.
	// Dots and backslashes in names, and a name that is a star, are escaped by a backslash.
	Path string
	// Detectors are those whose mode is set. None means that the values are taken whole,
	// whatever they hold: every leaf, nil and bools apart, is a finding of Field. With
	// mode Off they are left alone, whatever they hold.
	Detectors []Detector
	// Mode is the mode from here on.
	Mode Mode
}

// modes are the modes that hold at some place in a document.
type modes struct {
	of    [detectors]Mode
	cover Mode // of the leaf as a whole; Off: it is looked into only
}

// looks returns the set of detectors that look into text.
func (m *modes) looks() uint32 {
	var set uint32
	for d := range Field {
		if m.of[d] != Off {
			set |= 1 << d
		}
	}
	return set
}

// rule is a Rule made ready.
type rule struct {
	pattern   []string
	star      int // the position of ** in the pattern, -1: none
	detectors []Detector
	mode      Mode
}

// compile checks the policy and makes it ready. Every problem is reported.
func (p *Policy) compile() (modes, []rule, error) {
	var m modes
	var errs []error
	check := func(where string, mode Mode, detectors ...Detector) {
		if int(mode) >= modeCount {
			errs = append(errs, fmt.Errorf("%w: %s: no %s", ErrInvalidPolicy, where, mode))
		}
		for _, d := range detectors {
			if d > Field {
				errs = append(errs, fmt.Errorf("%w: %s: no %s", ErrInvalidPolicy, where, d))
			}
		}
	}
	check("Default", p.Default)
	for d := range m.of {
		m.of[d] = p.Default
	}
	for d, mode := range p.Modes {
		check("Modes", mode, d)
		if d <= Field {
			m.of[d] = mode
		}
	}
	var rules []rule
	for i, r := range p.Rules {
		where := fmt.Sprintf("Rules[%d]", i)
		check(where, r.Mode, r.Detectors...)
		pattern, star, err := parsePattern(r.Path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %v", ErrInvalidPolicy, where, err))
		}
		rules = append(rules, rule{pattern, star, slices.Clone(r.Detectors), r.Mode})
	}
	return m, rules, errors.Join(errs...)
}

// Elements of a pattern that are no names: a name that is one of these has had its
// backslash taken away, and so cannot be told by its text alone.
const (
	anyName  = "\x00*"
	anyNames = "\x00**"
)

// parsePattern returns the elements of a pattern, and where ** is among them.
func parsePattern(path string) ([]string, int, error) {
	star := -1
	if path == "" {
		return nil, star, nil
	}
	var out []string
	var name strings.Builder
	raw := 0 // where the current element begins
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] == '\\' {
			if i++; i == len(path) {
				return nil, star, fmt.Errorf("path %q ends in a backslash", path)
			}
			name.WriteByte(path[i])
			continue
		}
		if i < len(path) && path[i] != '.' {
			name.WriteByte(path[i])
			continue
		}
		switch element := path[raw:i]; element {
		case "":
			return nil, star, fmt.Errorf("path %q has an empty name", path)
		case "*":
			out = append(out, anyName)
		case "**":
			if star >= 0 {
				return nil, star, fmt.Errorf("path %q has more than one **", path)
			}
			star = len(out)
			out = append(out, anyNames)
		default:
			out = append(out, name.String())
		}
		name.Reset()
		raw = i + 1
	}
	return out, star, nil
}

// step is one step of a path: a name, or a position in a list.
type step struct {
	name  string
	index int // -1: a name
}

// is reports whether an element of a pattern matches the step.
func (s step) is(element string) bool {
	if element == anyName {
		return true
	}
	if s.index < 0 {
		return element == s.name
	}
	n, err := strconv.Atoi(element)
	return err == nil && n == s.index && element[0] != '+' && (n == 0) == (element[0] == '0')
}

// matches reports whether the rule's pattern matches the path, from end to end.
func (r *rule) matches(path []step) bool {
	head, tail := r.pattern, []string(nil)
	if r.star >= 0 {
		head, tail = r.pattern[:r.star], r.pattern[r.star+1:]
	}
	if len(path) < len(head)+len(tail) || r.star < 0 && len(path) != len(head) {
		return false
	}
	for i, element := range head {
		if !path[i].is(element) {
			return false
		}
	}
	path = path[len(path)-len(tail):]
	for i, element := range tail {
		if !path[i].is(element) {
			return false
		}
	}
	return true
}

// apply changes the modes as the rule says.
func (r *rule) apply(m *modes) {
	switch {
	case len(r.detectors) == 0 && r.mode == Off:
		*m = modes{}
	case len(r.detectors) == 0:
		m.cover = r.mode
	}
	for _, d := range r.detectors {
		if m.of[d] = r.mode; d == Field && m.cover != Off {
			m.cover = r.mode
		}
	}
}
