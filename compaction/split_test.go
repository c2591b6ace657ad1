package compaction_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
)

func byteKeys(s string) [][]byte {
	var out [][]byte
	for i := range s {
		out = append(out, []byte(s[i:i+1]))
	}
	return out
}

func TestTablesEndAtTheTargetOrAtABoundary(t *testing.T) {
	s := compaction.Splits{Target: 100, AtBoundary: 30, Boundaries: byteKeys("cfm")}
	for name, c := range map[string]struct {
		size int64
		keys string
		want []bool
	}{
		"small tables do not end":                   {29, "abcdfz", []bool{false, false, false, false, false, false}},
		"larger ones end where a boundary is met":   {30, "abcdfg", []bool{false, false, true, false, true, false}},
		"and where one is passed, or several":       {30, "adz", []bool{false, true, true}},
		"full ones end wherever they are":           {100, "ab", []bool{true, true}},
		"a boundary passed by is not met again":     {30, "dde", []bool{true, false, false}},
		"behind the last boundary the target rules": {99, "nop", []bool{true, false, false}},
	} {
		got := compaction.Cuts(s, func(int) int64 { return c.size }, byteKeys(c.keys))
		require.Equal(t, c.want, got, name)
	}
}

func TestTargetsDivideAJobEvenly(t *testing.T) {
	for bytes := int64(1); bytes < 2000; bytes++ {
		target := compaction.EvenTarget(bytes, 100)
		require.LessOrEqual(t, target, int64(155))
		if n := (bytes + target - 1) / target; n > 1 {
			last := bytes - (n-1)*target
			require.GreaterOrEqual(t, last, target*2/5, "%d bytes", bytes)
		}
	}
}
