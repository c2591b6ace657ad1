package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary stand in for the program: -kill starts its own
// executable as the child to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "load" {
		main()
		return
	}
	os.Exit(m.Run())
}

// runLine runs a command line with its stores in a temporary directory of the test.
func runLine(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := command(t.Context(), args, &out)
	return out.String(), err
}

func TestEveryWorkloadRunsOnEveryEngine(t *testing.T) {
	dir := t.TempDir()
	out, err := runLine(t, "bench", "-n", "1000", "-seconds", "0.02", "-rest", "0", "-memtable", "1", "-budget", "16", "-repeats", "2", "-dir", dir)
	require.NoError(t, err)
	for _, w := range workloads {
		for _, e := range engines {
			require.Regexp(t, `(?m)^`+w.name+` +`+engines[0].Name(), out)
			require.Contains(t, out, e.Name())
		}
	}
	require.Equal(t, len(workloads)*len(engines), strings.Count(out, "\n")-strings.Count(out[:strings.Index(out, "workload ")], "\n")-1)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the temporary directory stays behind")
}

func TestSeveralGoroutinesShareAWorkload(t *testing.T) {
	out, err := runLine(t, "bench", "-n", "1000", "-goroutines", "3", "-seconds", "0.02", "-rest", "0", "-dir", t.TempDir(), "-json")
	require.NoError(t, err)
	require.Contains(t, out, `"workload":"fillseq","engine":"pebble","ops":1000,`)
	require.Contains(t, out, `"workload":"fillbatch","engine":"pebble","ops":1000,`)
}

func TestLoadVerifiesOnEveryEngine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(file, jsonLines(500), 0o600))
	for _, compression := range compressions {
		out, err := runLine(t, "load", "-compress", compression, "-dir", t.TempDir(), file)
		require.NoError(t, err)
		for _, step := range []string{"load", "get", "scan", "reverse"} {
			require.Contains(t, out, "events.jsonl "+step)
		}
	}
}

func TestWrongArgumentsAreExplained(t *testing.T) {
	for want, args := range map[string][]string{
		"command \"lode\" is unknown":      {"lode"},
		"engine \"rocks\" is unknown":      {"bench", "-engines", "rocks"},
		"named twice":                      {"bench", "-engines", "pebble,pebble"},
		"workload \"fillall\" is unknown":  {"bench", "-workloads", "fillall"},
		"compression \"lzo\" is unknown":   {"bench", "-compress", "lzo"},
		"format \"xml\" is unknown":        {"load", "-format", "xml", "main.go"},
		"no file to load":                  {"load"},
		"keys of 3 bytes cannot number":    {"bench", "-n", "1000", "-key", "3"},
		"argument \"fillseq\" is not":      {"bench", "fillseq"},
		"-n, -goroutines and -repeats":     {"bench", "-n", "0"},
		"sizes and times must be positive": {"bench", "-memtable", "0"},
	} {
		_, err := runLine(t, args...)
		require.ErrorContains(t, err, want)
	}
}

func TestHelpListsEveryWorkload(t *testing.T) {
	out, err := runLine(t, "help")
	require.NoError(t, err)
	for _, w := range workloads {
		require.Contains(t, out, "  "+w.name+" ")
	}
}
