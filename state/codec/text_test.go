package codec

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// What is not UTF-8 is found wherever it stands, in strings of any length.
func TestStringsAreLookedAtAsAWhole(t *testing.T) {
	for n := range 70 {
		require.True(t, validString(strings.Repeat("x", n)), n)
		for at := range n {
			for _, part := range []string{"\xff", "é", "日", "😀", "\xc3", "\xe2\x82"} {
				if s := strings.Repeat("x", at) + part; len(s) <= n {
					s += strings.Repeat("y", n-len(s))
					require.Equal(t, utf8.ValidString(s), validString(s), "%q", s)
				}
			}
		}
	}
}

// A word is less for the lesser of two strings, and of all that begin alike the same.
func TestWordsAreInTheOrderOfStrings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		b := make([]byte, r.IntN(11))
		for i := range b {
			b[i] = "\x00a\x7f\x80\xff"[r.IntN(5)]
		}
		return string(b)
	}
	for range 20_000 {
		s, u := text(), text()
		if order := cmp.Compare(word(s), word(u)); order != 0 {
			require.Equal(t, strings.Compare(s, u), order, "%q %q", s, u)
		} else {
			pad := func(s string) string { return (s + strings.Repeat("\x00", 8))[:8] }
			require.Equal(t, pad(s), pad(u))
		}
	}
}
