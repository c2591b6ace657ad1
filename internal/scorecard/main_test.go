package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLineOfAFigure(t *testing.T) {
	f := figure{"crash-states", 20001, "states", atLeast(20000)}
	require.Equal(t, []string{"R1", "crash-states", "20001", "states", ">=20000", "pass"}, strings.Fields(f.line("R1")))
	f.value = 19999
	require.Equal(t, []string{"R1", "crash-states", "19999", "states", ">=20000", "FAIL"}, strings.Fields(f.line("R1")))
	f = figure{"lost", 1, "batches", exactly(0)}
	require.Equal(t, []string{"R1", "lost", "1", "batches", "=0", "FAIL"}, strings.Fields(f.line("R1")))
	f = figure{"grown", 2, "KiB", atMost(2)}
	require.Equal(t, []string{"R1", "grown", "2", "KiB", "<=2", "pass"}, strings.Fields(f.line("R1")))
	f.value = 3
	require.Equal(t, []string{"R1", "grown", "3", "KiB", "<=2", "FAIL"}, strings.Fields(f.line("R1")))
	f = figure{"operations", 0.5, "ops", target{}}
	require.Equal(t, []string{"R1", "operations", "0.5", "ops", "-", "pass"}, strings.Fields(f.line("R1")))
}

func TestAFigureThatFallsShortFailsTheRun(t *testing.T) {
	saved := table
	t.Cleanup(func() { table = saved })
	value := 2.0
	table = []measure{{"R0", func(config) ([]figure, error) {
		return []figure{{"things", value, "things", atLeast(2)}}, nil
	}}}
	var out strings.Builder
	passed, err := run(nil, &out)
	require.NoError(t, err)
	require.True(t, passed)
	value = 1
	passed, err = run([]string{"-only", "R0"}, &out)
	require.NoError(t, err)
	require.False(t, passed)
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-full", "-short"}, {"-only", "R1,R999"}, {"R1"}} {
		_, err := parse(args)
		require.Error(t, err, "%q", args)
	}
	c, err := parse([]string{"-short", "-only", "R1,R27", "-seed", "9"})
	require.NoError(t, err)
	require.Equal(t, config{size: short, only: []string{"R1", "R27"}, seed: 9}, c)
}

func TestTableOfPlantedBugsIsRead(t *testing.T) {
	rows, err := parsePlanted("| bug | what | by |\n|---|---|---|\n| `a-b` | does `x` | |\n| `c` | y | `./wal TestIt` |\n| `d` | y | `./wal TestIt` with race |\n")
	require.NoError(t, err)
	require.Equal(t, []planted{{bug: "a-b"}, {"c", "./wal", "TestIt", ""}, {"d", "./wal", "TestIt", "race"}}, rows)
	_, err = parsePlanted("| `c` | y | TestIt |\n")
	require.Error(t, err)
	_, err = parsePlanted("nothing")
	require.Error(t, err)
}

// Every row has its turn once in n commits, and those of a small program in the same one.
func TestEveryPlantedBugHasItsTurn(t *testing.T) {
	var rows []planted
	for i := range 50 {
		rows = append(rows, planted{fmt.Sprint("large-", i), "./lsm", "TestIt", ""})
		rows = append(rows, planted{fmt.Sprint("small-", i), fmt.Sprint("./p", i/3), "TestIt", ""})
	}
	rows = append(rows, planted{bug: "untested"})
	seen := map[string]int{}
	for commit := 7; commit < 10; commit++ {
		chosen := turn(rows, 3, commit)
		require.InDelta(t, len(rows)/3, len(chosen), 3)
		programs := map[string]int{}
		for _, row := range chosen {
			seen[row.bug]++
			programs[row.program()]++
		}
		require.Less(t, len(programs), 10)
	}
	for _, row := range rows[:100] {
		require.Equal(t, 1, seen[row.bug], row.bug)
	}
	require.Equal(t, 3, seen["untested"])
	require.Len(t, turn(rows, 1, 5), len(rows))
}

// A bug counts as killed only when its test passes without it and fails with it.
func TestOnlyAFailingTestKillsABug(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	script := "#!/bin/sh\n" +
		"if [ \"$LOAM_MUTANT\" = weak ]; then echo '--- FAIL: TestIt (0.00s)'; exit 1; fi\necho '--- PASS: TestIt (0.00s)'\n"
	require.NoError(t, os.WriteFile(program, []byte(script), 0o700))
	if _, err := runTest(program, planted{pkg: "."}, ""); err != nil {
		t.Skip("no shell here")
	}
	require.NoError(t, kill(program, planted{bug: "weak", pkg: ".", test: "TestIt"}))
	require.ErrorContains(t, kill(program, planted{bug: "strong", pkg: ".", test: "TestIt"}), "alive")
	require.ErrorContains(t, kill(program, planted{bug: "weak", pkg: ".", test: "TestOther"}), "does not pass")
	// What has passed in the ordinary run is not run again without the bug.
	rows := []planted{{bug: "weak", pkg: ".", test: "TestIt"}, {bug: "weak", pkg: ".", test: "TestOther"}, {bug: "strong", pkg: ".", test: "TestIt"}}
	programs := map[string]string{rows[0].program(): program}
	outcomes := killAll(programs, rows, printed{root: "--- PASS: TestOther (0.00s)\n"})
	require.NoError(t, outcomes[0])
	require.ErrorContains(t, outcomes[1], "alive", "another test has failed")
	require.ErrorContains(t, outcomes[2], "alive")
}

func TestFuzzTargetsOfThisTreeAreFound(t *testing.T) {
	targets, err := findTargets("../..")
	require.NoError(t, err)
	require.Contains(t, targets, fuzzTarget{"../../internal/tuple", "FuzzDecode"})
}
