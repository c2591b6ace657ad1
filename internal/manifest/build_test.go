package manifest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// randomEdit makes an edit that adds and deletes a few tables; most fit.
func randomEdit(r *rand.Rand, live []manifest.AddedTable, next *fileid.Num) *manifest.Edit {
	e := &manifest.Edit{}
	for range r.IntN(3) {
		if len(live) > 0 {
			d := live[r.IntN(len(live))]
			e.Deleted = append(e.Deleted, manifest.DeletedTable{Level: d.Level, Num: d.Table.Num})
			if r.IntN(3) == 0 { // it moves, nearly always
				e.Added = append(e.Added, manifest.AddedTable{Level: manifest.Level(r.IntN(3)), Run: d.Run, Table: d.Table})
			}
		}
	}
	if r.IntN(20) == 0 {
		e.Deleted = append(e.Deleted, manifest.DeletedTable{Level: manifest.Level(r.IntN(8)), Num: fileid.Num(r.IntN(int(*next) + 1))})
	}
	for range r.IntN(3) {
		lo := r.IntN(60)
		num := *next
		*next++
		if r.IntN(20) == 0 {
			num = fileid.Num(r.IntN(int(num) + 1))
		}
		t := table(num, fmt.Sprintf("%02d", lo), fmt.Sprintf("%02d", lo+r.IntN(4)), keys.SeqNum(r.IntN(40)))
		t.LargestExclusive = r.IntN(4) == 0
		e.Added = append(e.Added, manifest.AddedTable{Level: manifest.Level(r.IntN(3)), Run: manifest.RunID(1 + r.IntN(3)), Table: t})
	}
	return e
}

// naive applies an edit to a list of tables and checks the whole of the result; it
// shares no code with Apply but the full check.
func naive(live []manifest.AddedTable, e *manifest.Edit) ([]manifest.AddedTable, *manifest.Version, bool) {
	live = slices.Clone(live)
	for _, d := range e.Deleted {
		i := slices.IndexFunc(live, func(a manifest.AddedTable) bool { return a.Level == d.Level && a.Table.Num == d.Num })
		if i < 0 {
			return nil, nil, false
		}
		live = slices.Delete(live, i, i+1)
	}
	live = append(live, e.Added...)
	v := &manifest.Version{}
	for level := range v.Levels {
		for run := manifest.RunID(9); run > 0; run-- {
			var tables []*manifest.Table
			for _, a := range live {
				if int(a.Level) == level && a.Run == run {
					tables = append(tables, a.Table)
				}
			}
			slices.SortFunc(tables, func(a, b *manifest.Table) int { return bytes.Compare(a.Smallest, b.Smallest) })
			if len(tables) > 0 {
				v.Levels[level] = append(v.Levels[level], manifest.Run{ID: run, Tables: tables})
			}
		}
	}
	return live, v, v.CheckInvariants() == nil
}

// Apply looks only at the neighbours of what changes, and accepts exactly what a check
// of everything accepts.
func TestApplyChecksAsMuchAsACheckOfEverything(t *testing.T) {
	accepted, refused := 0, 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		v, next := &manifest.Version{}, fileid.Num(1)
		var live []manifest.AddedTable
		for range 400 {
			e := randomEdit(r, live, &next)
			before := encode(&manifest.State{}, v)
			after, want, fits := naive(live, e)
			got, err := v.Apply(e)
			require.Equal(t, before, encode(&manifest.State{}, v), "the old version changed")
			if !fits {
				require.ErrorIs(t, err, manifest.ErrInvalidEdit, "%+v", e)
				refused++
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
			v, live = got, after
			accepted++
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	require.Greater(t, accepted, 1000)
	require.Greater(t, refused, 1000)
}

// Loading collects the tables and builds one version; the log has applied its edits one
// by one.
func TestLoadingManyEditsGivesWhatApplyingEachGives(t *testing.T) {
	for seed := range uint64(5) {
		fs := newFS(t)
		loaded, err := manifest.Create(storeUID, options(fs))
		require.NoError(t, err)
		o := options(fs)
		o.RollBytes = 1 << 20 // one file holds them all
		l, err := manifest.OpenLog(loaded, o)
		require.NoError(t, err)
		require.NoError(t, l.Append(&manifest.Edit{NextFileNum: 1 << 20}))
		r, next := rand.New(rand.NewPCG(seed, 2)), fileid.Num(1)
		kept := 0
		for range 600 {
			var live []manifest.AddedTable
			l.Version().All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
				live = append(live, manifest.AddedTable{Level: level, Run: run, Table: t})
				return true
			})
			err := l.Append(randomEdit(r, live, &next))
			if err != nil {
				require.ErrorIs(t, err, manifest.ErrInvalidEdit)
				continue
			}
			kept++
		}
		require.Greater(t, kept, 200)
		again := mustLoad(t, fs)
		require.Equal(t, of(l), loadedContents(again))
		require.NoError(t, again.Version.CheckInvariants())
		require.NoError(t, l.Close())
	}
}

// manyTables returns an edit that makes n tables in the deepest level.
func manyTables(n int) *manifest.Edit {
	e := &manifest.Edit{NextFileNum: fileid.Num(n + 1)}
	for i := range n {
		e.Added = append(e.Added, added(6, 1, table(fileid.Num(i+1), fmt.Sprintf("key%08d", 2*i), fmt.Sprintf("key%08d", 2*i+1), 1))...)
	}
	return e
}

// replaceOne returns an edit that rewrites one of manyTables's tables.
func replaceOne(v *manifest.Version, num fileid.Num) *manifest.Edit {
	tables := v.Levels[6][0].Tables
	t := *tables[int(num)%len(tables)]
	e := &manifest.Edit{NextFileNum: num + 1, Deleted: []manifest.DeletedTable{{Level: 6, Num: t.Num}}}
	t.Num, t.UID = num, fileid.UID{byte(num), byte(num >> 8), byte(num >> 16), 2}
	e.Added = added(6, 1, &t)
	return e
}

const benchTables = 5000

func BenchmarkApply(b *testing.B) {
	v, err := (&manifest.Version{}).Apply(manyTables(benchTables))
	require.NoError(b, err)
	e := replaceOne(v, benchTables+1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Apply(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	const edits = 2000
	fs := vfs.NewMem()
	require.NoError(b, fs.MkdirAll(dir))
	loaded, err := manifest.Create(storeUID, options(fs))
	require.NoError(b, err)
	l, err := manifest.OpenLog(loaded, options(fs))
	require.NoError(b, err)
	require.NoError(b, l.Append(manyTables(benchTables)))
	name := l.Name()
	for i := range fileid.Num(edits) {
		require.NoError(b, l.Append(replaceOne(l.Version(), benchTables+1+i)))
	}
	require.Equal(b, name, l.Name(), "one file holds all edits")
	require.NoError(b, l.Close())
	for b.Loop() {
		if _, err := manifest.Load(fs, dir, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/edits, "µs/edit")
}
