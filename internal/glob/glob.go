// Package glob matches texts against patterns in which * stands for any run of bytes,
// an empty one too. A backslash takes the meaning from the byte behind it, which is a star
// or another backslash. Everything else stands for itself.
package glob

import (
	"errors"
	"strings"
)

// MaxLen is the length in bytes of the longest pattern.
const MaxLen = 1024

// ErrInvalid is the error of a pattern that cannot be. The text says what is wrong.
var ErrInvalid = errors.New("invalid pattern")

// Glob is a pattern that has been read. The zero Glob matches the empty text only. It is
// not changed after Parse and may be used by many goroutines.
type Glob struct {
	// head, middle and tail are what stands before the first star, between stars, and
	// behind the last one.
	head   string
	middle []string
	tail   string
	star   bool
}

// Parse reads a pattern. Errors match ErrInvalid.
func Parse(text string) (Glob, error) {
	if len(text) > MaxLen {
		return Glob{}, errors.Join(ErrInvalid, errors.New("longer than 1024 bytes"))
	}
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			parts = append(parts, part.String())
			part.Reset()
		case '\\':
			if i++; i == len(text) || text[i] != '*' && text[i] != '\\' {
				return Glob{}, errors.Join(ErrInvalid, errors.New(`\ stands before neither * nor \`))
			}
			part.WriteByte(text[i])
		default:
			part.WriteByte(c)
		}
	}
	if len(parts) == 0 {
		return Glob{head: part.String()}, nil
	}
	g := Glob{head: parts[0], tail: part.String(), star: true}
	for _, p := range parts[1:] {
		if p != "" {
			g.middle = append(g.middle, p)
		}
	}
	return g, nil
}

// Any reports whether every text matches.
func (g Glob) Any() bool { return g.star && g.head == "" && g.tail == "" && len(g.middle) == 0 }

// Literal returns the only text that matches, and whether there is only one.
func (g Glob) Literal() (string, bool) { return g.head, !g.star }

// Head returns what every text that matches begins with.
func (g Glob) Head() string { return g.head }

// Open reports whether every text that begins with Head matches.
func (g Glob) Open() bool { return g.star && g.tail == "" && len(g.middle) == 0 }

// Match reports whether s matches.
func (g *Glob) Match(s string) bool {
	if !g.star {
		return s == g.head
	}
	if len(s) < len(g.head)+len(g.tail) || !strings.HasPrefix(s, g.head) || !strings.HasSuffix(s, g.tail) {
		return false
	}
	s = s[len(g.head) : len(s)-len(g.tail)]
	// The leftmost place of each part leaves the most for those behind it.
	for _, m := range g.middle {
		i := strings.Index(s, m)
		if i < 0 {
			return false
		}
		s = s[i+len(m):]
	}
	return true
}
