package codec

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// checkKeyPlainly is CheckKey, a rule at a time.
func checkKeyPlainly(key string) error {
	if len(key) == 0 || len(key) > MaxKeyLen {
		return errKeyLen
	}
	for i := range len(key) {
		switch c := key[i]; {
		case c == 0 || c == '\r' || c == '\n':
			return errKeyLines
		case c == '\\':
			return errKeyBackslash
		case c == '/' && i > 0 && key[i-1] == '/':
			return errKeySlashes
		}
	}
	switch {
	case !utf8.ValidString(key):
		return errKeyUTF8
	case strings.HasPrefix(key, "__"):
		return errKeyReserved
	case hasParent(key):
		return errKeyParent
	}
	return nil
}

// CheckKey looks at most bytes once only, and finds what the rules find one after another.
func TestKeysAreCheckedByEachRule(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	parts := []string{"a", "bc", "/", "/", ".", "..", "_", "__", "é", "\xc3", "\x80", "\\", "\n", "\r", "\x00", strings.Repeat("x", 130)}
	met := map[error]bool{}
	for range 50_000 {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		want, got := checkKeyPlainly(b.String()), CheckKey(b.String())
		require.True(t, want == got, "%q: %v, not %v", b.String(), got, want) // the very errors
		met[want] = true
	}
	require.Len(t, met, 8)
}

func BenchmarkCheckKey(b *testing.B) {
	for name, check := range map[string]func(string) error{"once": CheckKey, "plainly": checkKeyPlainly} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if check("conversation/turn-17") != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
