package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/glob"
)

func TestStarsStandForAnyRun(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, not []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a", "a:b"}, nil},
		{"user:*", []string{"user:", "user:1:name"}, []string{"user", "auser:1"}},
		{"*:name", []string{":name", "user:name"}, []string{"name", "user:names"}},
		{"a*a", []string{"aa", "aba"}, []string{"a", "ab"}},
		{"a*b*c", []string{"abc", "axxbyyc", "abbc"}, []string{"acb", "ac", "abcd"}},
		{"**x**", []string{"x", "axb"}, []string{"", "ab"}},
		{`a\*`, []string{"a*"}, []string{"a", "ab"}},
		{`a\\*`, []string{`a\`, `a\b`}, []string{"ab"}},
	} {
		g, err := glob.Parse(c.pattern)
		require.NoError(t, err)
		for _, s := range c.yes {
			require.True(t, g.Match(s), "%q must match %q", c.pattern, s)
		}
		for _, s := range c.not {
			require.False(t, g.Match(s), "%q must not match %q", c.pattern, s)
		}
		require.Equal(t, c.pattern == "*", g.Any(), c.pattern)
	}
}

func TestPatternsThatMeanNothingAreRefused(t *testing.T) {
	for _, p := range []string{`\`, `a\b`, strings.Repeat("a", glob.MaxLen+1)} {
		_, err := glob.Parse(p)
		require.ErrorIs(t, err, glob.ErrInvalid)
	}
}

// A pattern matches what the regular expression of the same meaning matches.
func FuzzMatch(f *testing.F) {
	f.Add("a*b*c", "abbc")
	f.Add(`x\**`, "x*y")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		g, err := glob.Parse(pattern)
		if err != nil {
			return
		}
		var re strings.Builder
		for i := 0; i < len(pattern); i++ {
			switch {
			case pattern[i] == '*':
				re.WriteString(`(?s:.*)`)
				continue
			case pattern[i] == '\\':
				i++
			}
			re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
		r, err := regexp.Compile(`\A` + re.String() + `\z`)
		if err != nil {
			return // bytes that are no UTF-8
		}
		if !strings.ContainsFunc(s+pattern, func(r rune) bool { return r > 127 }) {
			require.Equal(t, r.MatchString(s), g.Match(s))
		}
	})
}

func TestHeadsOfPatterns(t *testing.T) {
	for pattern, want := range map[string]struct {
		head          string
		literal, open bool
	}{
		"": {"", true, false}, "abc": {"abc", true, false}, `a\*`: {`a*`, true, false}, "*": {"", false, true},
		"a*": {"a", false, true}, "a**": {"a", false, true}, "a*b": {"a", false, false}, "a*b*": {"a", false, false}, "*b": {"", false, false},
	} {
		g, err := glob.Parse(pattern)
		require.NoError(t, err)
		require.Equal(t, want.head, g.Head(), pattern)
		text, literal := g.Literal()
		require.Equal(t, want.head, text, pattern)
		require.Equal(t, want.literal, literal, pattern)
		require.Equal(t, want.open, g.Open(), pattern)
	}
}
