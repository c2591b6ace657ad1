//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// program is a command line in a process of its own, as people start it.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// What an interrupted run has measured is kept and shown; its stores are not left behind,
// whatever the signal: that of a terminal that was closed ended it on the spot.
func TestSignalsLeaveNothingButResults(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		dir, lines := t.TempDir(), filepath.Join(t.TempDir(), "results.jsonl")
		args := append([]string{"bench", "-engines", "loam,bbolt", "-workloads", "fillseq,readrandom"}, tiny(t, "-dir", dir, "-out", lines, "-seconds", "600")...)
		cmd := program(t, args...)
		var out, complaints bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaints
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool {
			set, err := result.ReadFile(lines)
			return err == nil && len(set.Runs) == 2
		}, time.Minute, 10*time.Millisecond)
		require.NoError(t, cmd.Process.Signal(sig))
		_ = cmd.Wait() // its status says what became of it
		require.Equal(t, 130, cmd.ProcessState.ExitCode(), complaints.String())
		require.Equal(t, "lsmbench: interrupted\n", complaints.String())
		require.Contains(t, out.String(), "fillseq")
		requireEmpty(t, dir)
		set, err := result.ReadFile(lines)
		require.NoError(t, err)
		require.Len(t, set.Runs, 2)
	}
}

// Whoever reads the table may have gone, as head does: then the program ended on the spot
// too, with its stores.
func TestAReaderThatGoesLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	cmd := program(t, append([]string{"bench", "-engines", "loam", "-workloads", "fillseq", "-json"}, tiny(t, "-dir", dir)...)...)
	cmd.Stdout = writer
	require.Error(t, cmd.Run())
	require.NoError(t, writer.Close())
	require.True(t, cmd.ProcessState.Exited(), "no signal has ended it")
	requireEmpty(t, dir)
}
