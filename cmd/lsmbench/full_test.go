package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

func groupsOf(t *testing.T, all bool, args ...string) []group {
	t.Helper()
	flags := newFlags("full", "all", "none", func(io.Writer) {})
	flags.addWorkloadFlags(fullParams, fullWorkloads, 3)
	opts, _, err := flags.parse(args, io.Discard)
	require.NoError(t, err)
	groups, err := fullGroups(opts, all)
	require.NoError(t, err)
	for _, g := range groups {
		require.NoError(t, g.params.Check(), g.name)
	}
	return groups
}

// Every workload has a row in the full comparison.
func TestTheFullComparisonHasEveryWorkload(t *testing.T) {
	has := map[*workload.Workload]bool{}
	for _, g := range groupsOf(t, false) {
		for _, c := range g.choices {
			has[c.Workload] = true
		}
	}
	for _, w := range workload.All() {
		require.True(t, has[w], w.Name)
	}
}

// Operations have limits of their own, which flags can only lower.
func TestOperationsAreAGroupOfTheirOwn(t *testing.T) {
	groups := groupsOf(t, true)
	require.Len(t, groups, 7)
	ops := groups[2]
	require.Equal(t, "operations", ops.name)
	require.EqualValues(t, operationsRecords, ops.params.Records)
	require.Equal(t, operationsLimit, ops.params.Limit)
	require.Equal(t, operationsWriteLimit, ops.params.WriteLimit)
	require.Equal(t, "100", ops.params.Value)
	require.EqualValues(t, fullParams.Records, groups[0].params.Records)

	ops = groupsOf(t, false, "-n", "1000", "-seconds", "0.1", "-write-seconds", "0.2")[2]
	require.EqualValues(t, 1000, ops.params.Records)
	require.Equal(t, 100*time.Millisecond, ops.params.Limit)
	require.Equal(t, 200*time.Millisecond, ops.params.WriteLimit)
}

// The tables with compression had blocks of the size that goes with none, and the header
// said nothing of their settings.
func TestTablesWithCompressionHaveItsBlocksAndSettings(t *testing.T) {
	flags := newFlags("full", "all", "none", func(io.Writer) {})
	flags.addWorkloadFlags(fullParams, fullWorkloads, 3)
	opts, _, err := flags.parse(nil, io.Discard)
	require.NoError(t, err)
	groups, err := fullGroups(opts, true)
	require.NoError(t, err)
	for _, g := range groups {
		want := 4 << 10
		if g.config.Compression != "none" {
			want = 16 << 10
		}
		require.Equal(t, want, g.config.BlockBytes, g.name)
	}
	settings := opts.settings(groups)
	require.Contains(t, settings["loam none"], "block 4 KiB")
	require.Contains(t, settings["loam s2"], "block 16 KiB")
	require.Contains(t, settings["pebble s2"], "compression Snappy")
	require.Contains(t, opts.settings(groups[:3]), "loam", "where there is one compression its name is left out")
}

func TestOnlySomeTablesOfTheFullComparison(t *testing.T) {
	all := []group{{name: "100-byte values"}, {name: "YCSB records"}, {name: "100-byte values, s2"}}
	for text, want := range map[string]int{"": 3, "YCSB": 1, "100-byte": 2} {
		got, err := onlyGroups(all, text)
		require.NoError(t, err)
		require.Len(t, got, want, text)
	}
	_, err := onlyGroups(all, "values of 9")
	require.ErrorContains(t, err, "YCSB records", "it names what there is")
}
