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
	d := &display{out: &out, now: func() time.Time { return now }, begun: now}
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
	d.erase()
	require.True(t, bytes.HasSuffix(out.Bytes(), []byte("\r\x1b[K")))
}
