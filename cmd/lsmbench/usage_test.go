package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// Whatever is wrong with a command line is said in one line, and by the exit status 2. The
// flags printed a hundred lines of help first; numbers that are none, or too large, came
// through; an empty list of workloads ended in an empty message.
func TestWrongArgumentsAreExplained(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("no results"), 0o600))
	for _, c := range []struct{ want, line string }{
		{`command "lode" is unknown`, "lode"},
		{"flag provided but not defined: -nosuch; lsmbench bench -help lists the flags", "bench -nosuch"},
		{"not defined: -nosuch; lsmbench -help lists the flags", "-nosuch"},
		{`engine "rocks" is unknown`, "bench -engines rocks"},
		{`store of documents "bbolt" is unknown; there are loam, `, "state -engines bbolt"},
		{`engine "bbolt-json" is unknown`, "bench -engines bbolt-json"},
		{`workload "set" is not one of this command`, "bench -workloads set"},
		{`workload "fillseq" is not one of this command`, "state -workloads fillseq"},
		{"not one of this command", "state -workloads read=100"},
		{"not defined: -key", "state -key 20"},
		{`argument "set" is not`, "state set"},
		{`engine "" is unknown`, "bench -engines="},
		{`engine "pebble" is named twice`, "bench -engines pebble,pebble"},
		{`the reference "bbolt" is not`, "bench -engines loam -reference bbolt"},
		{`workload "fillall" is unknown`, "bench -workloads fillall"},
		{`workload "fillseq" is named twice`, "bench -workloads fillseq,readseq,fillseq"},
		{"no workload is named", "bench -workloads="},
		{"no number of goroutines", "bench -workloads fillseq@x"},
		{"more goroutines than records", "bench -n 10 -workloads readseq,fillseq@11"},
		{"more goroutines than records", "bench -n 10 -goroutines 11"},
		{"the shares make 90", "bench -workloads read=90"},
		{`operation "peek" is unknown`, "bench -workloads peek=100"},
		{`compression "lzo" is unknown`, "bench -compress lzo"},
		{"only load takes several", "bench -compress none,s2"},
		{`compression "lz4" is unknown`, "load -compress s2,lz4 " + file},
		{`argument "fillseq" is not`, "bench fillseq"},
		{"records and goroutines must be", "bench -n 0"},
		{`invalid value "-5" for flag -n`, "bench -n -5"},
		{"18446744073709551615 records cannot be numbered", "bench -n 18446744073709551615"},
		{"keys of 3 bytes cannot number", "bench -key 3"},
		{"is no length", "bench -value uniform:-1-5"},
		{"-memtable must be from", "bench -memtable 0"},
		{"-memtable must be from", "bench -memtable 1e300"},
		{"-budget must be from", "bench -budget NaN"},
		{"-budget must be from 4", "bench -budget 3.9"},
		{"-bits must be from", "load -bits -1 " + file},
		{"-block must be 0 or from 512", "bench -block 511"},
		{"-block must be 0 or from 512", "bench -block 65537"},
		{"-repeats must be from 1", "bench -repeats 0"},
		{"-repeats must be from 1", "load -repeats 0 " + file},
		{"-seconds must be from", "bench -seconds 1e300"},
		{"the limit of reads not zero", "bench -seconds 0"},
		{"-write-seconds must be from", "bench -write-seconds -1"},
		{"-warm must be from", "bench -warm Inf"},
		{"-rest must be from", "bench -rest NaN"},
		{"-rate must be from", "bench -rate NaN"},
		{"-rate must be from", "bench -rate Inf"},
		{"no fraction above 0", "bench -compressible NaN"},
		{"no exponent between 0 and 1", "bench -dist zipfian:2"},
		{`no table has "nothing" in its name`, "full -anyway -only nothing"},
		{`format "xml" is unknown`, "load -format xml " + file},
		{"no such file", "load " + file + ".missing"},
		{"-kill takes one compression", "load -kill -compress all " + file},
		{"-kill says what it found", "load -kill -json " + file},
		{"report takes files", "report"},
		{"-out is for the commands", "report -out x " + file},
		{"line 1", "report " + file},
		{"compare takes two files", "compare one"},
		{"no such file", "compare one two"},
		{`"much" is no percentage`, "compare a b --fail-over much"},
		{`"NaN" is no percentage`, "compare a b --fail-over NaN"},
		{`"" is no percentage`, "compare a b --fail-over="},
		{"dump takes one directory", "dump"},
		{"a -limit that is not negative", "dump -limit -1 x"},
		{"task is for processes that lsmbench", "task"},
	} {
		out, err := runLine(t, strings.Fields(c.line)...)
		require.ErrorContains(t, err, c.want, c.line)
		require.Empty(t, out, c.line)
		var complaints bytes.Buffer
		require.Equal(t, 2, exitStatus(err, false, &complaints), c.line)
		require.Equal(t, 1, strings.Count(complaints.String(), "\n"), complaints.String())
	}
	if _, err := engine.Find("rocksdb"); err != nil {
		_, err := runLine(t, "bench", "-engines", "rocksdb")
		require.ErrorContains(t, err, "build with -tags rocksdb")
	}
}

func TestExitStatuses(t *testing.T) {
	for _, c := range []struct {
		err         error
		interrupted bool
		want        int
		says        string
	}{
		{nil, false, 0, ""},
		{context.Canceled, true, 130, "lsmbench: interrupted\n"},
		{os.ErrNotExist, false, 1, "lsmbench: file does not exist\n"},
		{usagef("-n %d: %w", 5, os.ErrInvalid), false, 2, "lsmbench: -n 5: invalid argument\n"},
	} {
		var complaints bytes.Buffer
		require.Equal(t, c.want, exitStatus(c.err, c.interrupted, &complaints))
		require.Equal(t, c.says, complaints.String())
	}
}

func TestHelpListsEveryWorkload(t *testing.T) {
	out, err := runLine(t, "help")
	require.NoError(t, err)
	for _, w := range workload.All() {
		require.Contains(t, out, "  "+w.Name+" ")
	}
	out, err = runLine(t, "state", "-help")
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, w := range workload.AllDocuments() {
		require.Contains(t, out, "  "+w.Name+" ")
	}
}

// commandsWithHelp are all that people call.
var commandsWithHelp = []string{"", "bench", "full", "load", "state", "report", "compare", "dump"}

// Help is what was asked for, so it goes where it can be paged.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, name := range commandsWithHelp {
		for _, flag := range []string{"-h", "-help", "--help"} {
			out, err := runLine(t, append(strings.Fields(name), flag)...)
			require.Zero(t, exitStatus(err, false, os.Stderr), name)
			require.Contains(t, out, "lsmbench "+name, name)
		}
	}
}

// example is a command line in a text: after spaces, and maybe behind what it is for.
var example = regexp.MustCompile(`(?m)^  .*?\b(?:lsmbench|go run (?:-tags \w+ )?\./cmd/lsmbench)(?:$| +([^&\n]*[^&\n ]))`)

// Every example of every help is understood as it stands. They are called off before the
// first process is started.
func TestExamplesOfTheHelpAreUnderstood(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seen := 0
	for _, name := range commandsWithHelp {
		text, _ := runLine(t, append(strings.Fields(name), "-help")...)
		text, _, _ = strings.Cut(text, "\nFlags:\n")
		t.Chdir(t.TempDir()) // where no file of the examples is
		for _, match := range example.FindAllStringSubmatch(text, -1) {
			line := strings.TrimSpace(match[1])
			if strings.ContainsAny(line, "[…") || strings.Contains(line, "COMMAND") || strings.Contains(line, "OLD NEW") {
				continue // a form, no example
			}
			seen++
			err := command(ctx, words(line), &bytes.Buffer{})
			var misuse usageError
			if !errors.As(err, &misuse) {
				continue
			}
			require.ErrorIs(t, err, os.ErrNotExist, "%s: only its files may be missing", line)
		}
	}
	require.Greater(t, seen, 25)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

// words splits a line as a shell does, as far as the examples need it.
func words(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// What went wrong was in no file: notes come last, and the environment was written first.
func TestNotesAreKeptWithTheResults(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	_, err := runLine(t, append([]string{"bench", "-engines", "loam,pebble", "-workloads", "fillseq,verifychecksum", "-out", lines}, tiny(t)...)...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	require.Len(t, set.Runs, 3)
	require.Equal(t, []string{"verifychecksum on pebble: not supported by this engine"}, set.Environment.Notes)
	out, err := runLine(t, "report", lines)
	require.NoError(t, err)
	require.Contains(t, out, "verifychecksum on pebble: not supported")
}

// A file that cannot be written was only noticed when everything had been measured.
func TestFilesThatCannotBeWrittenAreNoticedAtOnce(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere", "file")
	for _, flag := range []string{"-html", "-gobench", "-out"} {
		out, err := runLine(t, append([]string{"bench", "-engines", "loam", "-workloads", "fillseq", flag, nowhere}, tiny(t)...)...)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Empty(t, out, "nothing was measured")
	}
}

// The flags in a header are a command that can be run again: a mix beside other workloads
// has spaces in it, and a switch takes no value.
func TestTheCommandLineIsWhatAShellTakes(t *testing.T) {
	flags := newFlags("full", "all", "none", usage)
	flags.addWorkloadFlags(fullParams, fullWorkloads, 3)
	flags.set.Bool("all", false, "")
	_, _, err := flags.parse([]string{"-workloads", "read=95,update=5 fillseq", "-all", "-json"}, os.Stdout)
	require.NoError(t, err)
	line := flags.commandLine("it's.jsonl")
	require.Contains(t, line, "lsmbench full -all -bits 10 ")
	require.Contains(t, line, "-workloads 'read=95,update=5 fillseq'")
	require.True(t, strings.HasSuffix(line, ` 'it'\''s.jsonl'`), line)
	require.NotContains(t, line, "-json")
}
