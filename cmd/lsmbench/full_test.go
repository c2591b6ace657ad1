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
	opts, _, err := flags.parse(args)
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
