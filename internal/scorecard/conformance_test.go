package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatTestsOfConformancePrintIsRead(t *testing.T) {
	out := "=== RUN   TestIt\n=== ATTR  TestIt histories 200\n=== ATTR  TestIt illegal 0\n--- PASS: TestIt (1.00s)\n"
	require.Equal(t, map[string]float64{"histories": 200, "illegal": 0}, attributes(out))
	out = "--- FAIL: TestEthdb (0.53s)\n" +
		"    --- PASS: TestEthdb/killed/scope=false (0.40s)\n        --- PASS: TestEthdb/killed/scope=false/Iterator (0.03s)\n" +
		"            --- PASS: TestEthdb/killed/scope=false/Iterator/empty (0.03s)\n" +
		"    --- FAIL: TestEthdb/power_cut/scope=true (0.20s)\n        --- FAIL: TestEthdb/power_cut/scope=true/Batch (0.03s)\n"
	var runs []string
	for _, m := range suiteRun.FindAllStringSubmatch(out, -1) {
		runs = append(runs, m[1])
	}
	require.Equal(t, []string{"PASS", "FAIL"}, runs)
	require.Len(t, suiteTest.FindAllString(out, -1), 3)
}

func TestWhatTestsHavePrintedIsReadByPackage(t *testing.T) {
	out := "=== RUN   TestIt\n--- PASS: TestIt (0.00s)\nPASS\nok  \tgithub.com/loamdb/loam/wal\t0.1s\n" +
		"?   \tgithub.com/loamdb/loam/internal/mutant\t[no test files]\n" +
		"=== RUN   TestIt\n--- FAIL: TestIt (0.00s)\nFAIL\nFAIL\tgithub.com/loamdb/loam/lsm\t0.1s\n" +
		"=== RUN   FuzzIt\n=== RUN   FuzzIt/seed#0\n--- PASS: FuzzIt (0.00s)\nPASS\nok  \tgithub.com/loamdb/loam/sstable/blob\t(cached)\n"
	c := config{printed: parsePrinted(out)}
	require.Len(t, c.printed, 2)
	got, err := c.ordinary([]string{"./wal", "./sstable/blob"})
	require.NoError(t, err)
	require.Contains(t, got, "--- PASS: TestIt")
	require.Len(t, seedRun.FindAllString(got, -1), 1)
	_, err = c.ordinary([]string{"./wal", "./lsm"})
	require.ErrorContains(t, err, "./lsm", "one that has failed does not count")
	require.True(t, c.printed.passed("./wal", "TestIt"))
	for _, not := range [][2]string{{"./wal", "TestI"}, {"./lsm", "TestIt"}, {"./memtable", "TestIt"}} {
		require.False(t, c.printed.passed(not[0], not[1]), not)
	}
	require.False(t, printed(nil).passed("./wal", "TestIt"))
}
