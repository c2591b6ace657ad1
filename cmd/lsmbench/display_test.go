package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDisplayIsSilentOnAnythingButATerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	require.NoError(t, err)
	d := newDisplay(f)
	d.expect(1)
	d.start("filling")
	d.progress(100)
	d.finish()
	d.erase()
	require.NoError(t, f.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Empty(t, content)
}

func TestDisplayShowsProgressRateAndTimeToGo(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	wide := 0
	d := &display{out: &out, now: func() time.Time { return now }, begun: now, width: func() int { return wide }}
	d.expect(4)
	d.start("fillseq loam")
	require.Equal(t, "\r\x1b[K[1/4] fillseq loam, 0 s", out.String())
	now = now.Add(2 * time.Second)
	out.Reset()
	d.progress(50_000)
	require.Equal(t, "\r\x1b[K[1/4] fillseq loam: 50,000 done, 25.0k/s, 2 s", out.String())
	d.finish()
	out.Reset()
	d.start("fillseq pebble")
	require.Equal(t, "\r\x1b[K[2/4] fillseq pebble, 0 s, 6s to go", out.String())
	wide = 20
	out.Reset()
	d.start("fillrandom of a long name")
	require.Equal(t, "\r\x1b[K[2/4] fillrandom of", out.String(), "a line that wraps could not be painted over")
	d.erase()
	require.True(t, bytes.HasSuffix(out.Bytes(), []byte("\r\x1b[K")))
}

// Millions of operations were shown as 1234,000.
func TestCountsAreWrittenInThousands(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 9999: "9999", 12_345: "12,000", 999_999: "999,000", 1_034_567: "1,034,000", 9_999_999: "9,999,000", 12_345_678: "12 million",
	} {
		require.Equal(t, want, count(n))
	}
}
