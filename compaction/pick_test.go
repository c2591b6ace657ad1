package compaction_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
)

// A script of picking. Tables of 16 bytes are full, the base level may have 640.
//
//	version                     a version, one table a line:
//	L0 run=2 5 a-f 10-19 size=8 deletes=3
//	pick [idle] [elide=n] [retiring=key] [start]   the next job; with start it goes on running
//	manual [lower=a] [upper=b]  the next job by hand
//	done                        the running jobs end, without effect
//	avoid 5                     a damaged table
//	place a-f [tombstones]      where a flush of one such table goes
//	debt
func TestPicking(t *testing.T) {
	v := &manifest.Version{}
	params := compaction.Params{TableBytes: 16}
	golden.Run(t, "testdata/pick.txt", func(b *golden.Block) string {
		params.ElideBelow = keys.SeqNum(b.Int("elide", int(params.ElideBelow)))
		switch b.Command {
		case "version":
			v, params = parseVersion(t, b.Input), compaction.Params{TableBytes: 16}
			return ""
		case "pick":
			_, params.Idle = b.Arg("idle")
			_, start := b.Arg("start")
			params.Retiring = nil
			if _, leaves := b.Arg("retiring"); leaves {
				params.Retiring = only(b.Int("retiring", 0))
			}
			j, ok := compaction.Pick(v, params)
			require.Equal(t, ok, j != nil)
			if ok && start {
				params.Running = append(params.Running, j)
			}
			return showJob(j)
		case "manual":
			j, done := compaction.PickManual(v, bound(b, "lower"), bound(b, "upper"), params)
			if done {
				require.Nil(t, j)
				return "done"
			}
			return showJob(j)
		case "done":
			params.Running = nil
			return ""
		case "avoid":
			num := fileid.Num(b.Int("table", 0))
			params.Avoid = func(n fileid.Num) bool { return n == num }
			return ""
		case "place":
			keysOf, _ := b.Arg("keys")
			lo, hi, _ := strings.Cut(keysOf, "-")
			tab := &manifest.Table{Smallest: []byte(lo), Largest: []byte(hi)}
			if _, with := b.Arg("tombstones"); with {
				tab.Deletes = 1
			}
			return fmt.Sprintf("L%d", compaction.PlaceFlush(v, []*manifest.Table{tab}, params))
		case "debt":
			return fmt.Sprintf("%d to write", compaction.DebtOf(v, params))
		}
		b.Fatalf("unknown command")
		return ""
	})
}

// only reports one data key.
func only(key int) func(seal.KeyID) bool {
	return func(k seal.KeyID) bool { return k == seal.KeyID(key) }
}

func bound(b *golden.Block, name string) []byte {
	if s, ok := b.Arg(name); ok {
		return []byte(s)
	}
	return nil
}

func parseVersion(t *testing.T, text string) *manifest.Version {
	e := &manifest.Edit{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		tab := &manifest.Table{Bytes: 16, Entries: 100}
		number := func(s string) uint64 {
			n, err := strconv.ParseUint(s, 10, 64)
			require.NoError(t, err, line)
			return n
		}
		lo, hi, _ := strings.Cut(f[3], "-")
		from, to, _ := strings.Cut(f[4], "-")
		tab.Num, tab.Smallest, tab.Largest = fileid.Num(number(f[2])), []byte(lo), []byte(hi)
		tab.UID = fileid.UID{byte(tab.Num)}
		tab.MinSeqNum, tab.MaxSeqNum = keys.SeqNum(number(from)), keys.SeqNum(number(to))
		for _, arg := range f[5:] {
			switch name, value, _ := strings.Cut(arg, "="); name {
			case "size":
				tab.Bytes = int64(number(value))
			case "deletes":
				tab.Deletes = number(value)
			case "key":
				tab.Key = seal.KeyID(number(value))
			default:
				require.Fail(t, "unknown argument", line)
			}
		}
		e.Added = append(e.Added, manifest.AddedTable{
			Level: manifest.Level(f[0][1] - '0'), Run: manifest.RunID(number(f[1][4:])), Table: tab,
		})
	}
	v, err := (&manifest.Version{}).Apply(e)
	require.NoError(t, err)
	return v
}

func showJob(j *compaction.Job) string {
	if j == nil {
		return "none"
	}
	var b strings.Builder
	what := "merge"
	if j.Move {
		what = "move"
	}
	fmt.Fprintf(&b, "%s: %s into L%d\n", j.Reason, what, j.Output)
	for _, in := range j.Inputs {
		fmt.Fprintf(&b, "  L%d run %d:", in.Level, in.Run)
		for _, t := range in.Tables {
			fmt.Fprintf(&b, " %d[%s-%s]", t.Num, t.Smallest, t.Largest)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
