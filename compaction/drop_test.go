package compaction_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// A script of dropping: entries in order, and what becomes of them.
//
//	drop [snapshots=10,20] [bound=n] [used=a-c,f-g)]
//	a 25 SET
func TestDropping(t *testing.T) {
	golden.Run(t, "testdata/drop.txt", func(b *golden.Block) string {
		var snapshots []keys.SeqNum
		if list, ok := b.Arg("snapshots"); ok {
			for _, s := range strings.Split(list, ",") {
				n, err := strconv.ParseUint(s, 10, 56)
				require.NoError(t, err)
				snapshots = append(snapshots, keys.SeqNum(n))
			}
		}
		var older []*manifest.Table
		if list, ok := b.Arg("used"); ok {
			for _, s := range strings.Split(list, ",") {
				s, exclusive := strings.CutSuffix(s, ")")
				lo, hi, _ := strings.Cut(s, "-")
				older = append(older, &manifest.Table{Smallest: []byte(lo), Largest: []byte(hi), LargestExclusive: exclusive})
			}
		}
		lines := strings.Split(strings.TrimSpace(b.Input), "\n")
		var out strings.Builder
		limit := keys.MaxSeqNum
		if n := b.Int("bound", -1); n >= 0 {
			limit = keys.SeqNum(n)
		}
		compaction.Drop(snapshots, limit, older, len(lines),
			func(i int) ([]byte, keys.Trailer) { return parseEntry(t, lines[i]) },
			func(i int, kept, held bool, elided uint64) {
				verdict := "shadowed"
				switch {
				case held:
					verdict = "held"
				case kept:
					verdict = "kept"
				case elided > 0:
					verdict = "elided"
				}
				fmt.Fprintf(&out, "%-14s %s\n", lines[i], verdict)
			})
		return out.String()
	})
}

var kinds = map[string]keys.Kind{}

func init() {
	for k := keys.KindDelete; k.Valid(); k++ {
		kinds[k.String()] = k
	}
}

func parseEntry(t *testing.T, line string) ([]byte, keys.Trailer) {
	f := strings.Fields(line)
	seq, err := strconv.ParseUint(f[1], 10, 56)
	require.NoError(t, err)
	require.NotZero(t, kinds[f[2]], line)
	return []byte(f[0]), keys.MakeTrailer(keys.SeqNum(seq), kinds[f[2]])
}
