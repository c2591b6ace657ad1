package report

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEnginesKeepTheirColours(t *testing.T) {
	few := assignColours([]string{"pebble", "loam"})
	require.Equal(t, map[string]int{"loam": 0, "pebble": 1}, few)
	many := assignColours([]string{"x", "loam", "lmdb", "a"})
	require.Equal(t, map[string]int{"loam": 0, "lmdb": 7, "a": 9, "x": 8}, many)
	require.Equal(t, many, assignColours([]string{"a", "x", "lmdb", "loam"}), "whatever the order")
	crowd := assignColours(strings.Split("abcdefghijklmno", ""))
	require.Len(t, crowd, 15)
	for _, c := range crowd {
		require.Less(t, c, colours)
	}
}

var property = regexp.MustCompile(`--(\w+): (#[0-9a-f]{6})`)

// palettes reads the properties of style.css: the light ones, and those that the dark
// block replaces.
func palettes(t *testing.T) map[string]map[string]string {
	css, err := files.ReadFile("style.css")
	require.NoError(t, err)
	light, rest, found := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	require.True(t, found)
	dark, _, _ := strings.Cut(rest, "* {")
	out := map[string]map[string]string{}
	for name, block := range map[string]string{"light": light, "dark": dark} {
		out[name] = map[string]string{}
		for _, m := range property.FindAllStringSubmatch(block, -1) {
			out[name][m[1]] = m[2]
		}
	}
	return out
}

// luminance is WCAG's relative luminance of a colour.
func luminance(t *testing.T, hex string) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		require.NoError(t, err)
		v := float64(n) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestColoursStandOutFromThePaper(t *testing.T) {
	for name, p := range palettes(t) {
		require.GreaterOrEqual(t, contrast(t, p["ink"], p["paper"]), 7.0, name)
		require.GreaterOrEqual(t, contrast(t, p["soft"], p["paper"]), 4.5, name)
		for c := range colours {
			require.GreaterOrEqual(t, contrast(t, p["c"+strconv.Itoa(c)], p["paper"]), 3.0, "%s, colour %d", name, c)
		}
	}
}
