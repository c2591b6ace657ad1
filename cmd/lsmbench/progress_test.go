package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProgressIsSilentOnAnythingButATerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	require.NoError(t, err)
	p := newProgress(f)
	p.start("filling", new(atomic.Int64))
	p.stop()
	require.NoError(t, f.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Empty(t, content)
}

func TestProgressErasesItsLine(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out}
	for range 2 {
		p.start("filling", new(atomic.Int64))
		p.stop()
		p.stop()
	}
	require.True(t, bytes.HasSuffix(out.Bytes(), []byte("\r\x1b[K")))
}
