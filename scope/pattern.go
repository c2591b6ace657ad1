package scope

import (
	"fmt"
	"strings"

	"github.com/loamdb/loam/internal/glob"
)

// Pattern says which scopes are meant. It is made by ParsePattern, never changes, and may
// be used by many goroutines. The zero Pattern matches no scope.
type Pattern struct {
	text     string
	all      bool
	kind     Kind
	id, step glob.Glob
}

// ParsePattern returns the pattern of a text: ** is every scope; otherwise it is the text
// form of a scope, in whose ids and names * stands for any run of characters, and \* for a
// star. Each kind is meant alone: workflow:* is no step, workflow:*:step:* every one, and
// global is Global, not what lies below it. Errors match ErrInvalid.
func ParsePattern(text string) (Pattern, error) {
	if text == "**" {
		return Pattern{text: text, all: true}, nil
	}
	// Of the escapes of the two languages, \: is of scopes alone and \* of globs alone.
	parts, err := splitPattern(text)
	if err != nil {
		return Pattern{}, err
	}
	s, err := fromParts(parts)
	if err != nil {
		return Pattern{}, err
	}
	p := Pattern{text: text, kind: s.kind}
	for _, part := range []struct {
		glob *glob.Glob
		text string
		has  bool
	}{{&p.id, s.id, s.kind != KindGlobal}, {&p.step, s.step, s.kind == KindStep}} {
		if part.has && part.text == "" {
			return Pattern{}, fmt.Errorf("%w: pattern %.40q: an empty part matches nothing", ErrInvalid, text)
		}
		if *part.glob, err = glob.Parse(part.text); err != nil {
			return Pattern{}, fmt.Errorf("%w: pattern %.40q: %w", ErrInvalid, text, err)
		}
	}
	return p, nil
}

// splitPattern cuts a text at the colons that are not escaped. It takes \: apart and leaves
// the other escapes to the globs.
func splitPattern(text string) ([]string, error) {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == ':':
			parts = append(parts, part.String())
			part.Reset()
		case text[i] == '\\' && i+1 == len(text):
			return nil, fmt.Errorf(`%w: pattern ends with \`, ErrInvalid)
		case text[i] == '\\':
			if i++; text[i] != ':' {
				part.WriteByte('\\')
			}
			part.WriteByte(text[i])
		default:
			part.WriteByte(text[i])
		}
	}
	return append(parts, part.String()), nil
}

// Match reports whether the pattern means s.
func (p *Pattern) Match(s Scope) bool {
	switch {
	case p.all:
		return s.kind != AnyKind
	case s.kind != p.kind || s.kind == AnyKind:
		return false
	}
	return p.id.Match(s.id) && (s.kind != KindStep || p.step.Match(s.step))
}

// Kind returns the kind of the scopes that are meant, AnyKind for those of every kind.
func (p Pattern) Kind() Kind { return p.kind }

// String returns the text that the pattern was made from.
func (p Pattern) String() string { return p.text }
