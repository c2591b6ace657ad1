package compaction_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
)

// load drives a tree with flushes of 64 units, a unit standing for 1 MiB, and counts what
// is written. Tables are cut as the real ones are.
type load struct {
	*simulation
	units int64 // written by jobs and flushes
}

func newLoad(t *testing.T) *load {
	s := newSimulation(t, 1)
	s.params = compaction.Params{TableBytes: 64 * cellBytes}
	return &load{simulation: s}
}

// cut makes tables of cells.
func (l *load) cut(cells []cell, splits compaction.Splits) []*manifest.Table {
	ends := compaction.Cutter(splits)
	var out []*manifest.Table
	from := 0
	for i := range cells {
		if ends(int64(i-from)*cellBytes, []byte(cells[i].key)) && i > from {
			out = append(out, l.table(cells[from:i]))
			from = i
		}
	}
	if from < len(cells) {
		out = append(out, l.table(cells[from:]))
	}
	l.units += int64(len(cells))
	return out
}

func (l *load) table(cells []cell) *manifest.Table {
	l.num++
	tab := &manifest.Table{
		Num: l.num, UID: fileid.UID{byte(l.num), byte(l.num >> 8), byte(l.num >> 16)}, Bytes: int64(len(cells)) * cellBytes,
		Smallest: []byte(cells[0].key), Largest: []byte(cells[len(cells)-1].key),
		MinSeqNum: cells[0].seq, MaxSeqNum: cells[0].seq, Entries: uint64(len(cells)),
	}
	for _, c := range cells {
		tab.MinSeqNum, tab.MaxSeqNum = min(tab.MinSeqNum, c.seq), max(tab.MaxSeqNum, c.seq)
	}
	l.content[tab.Num] = cells
	return tab
}

// flushKeys writes one memtable.
func (l *load) flushKeys(key func() string) {
	cells := make([]cell, 64)
	for i := range cells {
		l.seq++
		cells[i] = cell{key: key(), seq: l.seq}
	}
	cells = newestOnly(cells)
	l.flushed += int64(len(cells))
	tables := l.cut(cells, compaction.FlushSplits(l.v, int64(len(cells))*cellBytes, l.params))
	l.run++
	level := compaction.PlaceFlush(l.v, tables, l.params)
	e := &manifest.Edit{}
	for _, tab := range tables {
		e.Added = append(e.Added, manifest.AddedTable{Level: level, Run: compaction.RunFor(l.v, level, l.run), Table: tab})
	}
	l.apply(e)
}

// work runs jobs until none is left, and returns the greatest number of units in one.
func (l *load) work() (largest int64) {
	for {
		j, ok := compaction.Pick(l.v, l.params)
		if !ok {
			return largest
		}
		if j.Move {
			l.apply(j.Edit(l.v, nil, 0))
			continue
		}
		var cells []cell
		for _, tab := range j.Tables() {
			cells = append(cells, l.content[tab.Num]...)
		}
		cells = newestOnly(cells)
		largest = max(largest, int64(len(cells)))
		l.apply(j.Edit(l.v, l.cut(cells, compaction.SplitsOf(l.v, j, l.params)), 0))
	}
}

// Bytes written by flushes and jobs for each byte flushed, for loads of n memtables of
// 64 MiB. The bounds are what was measured, a little rounded up: they are to notice a
// change of shape.
func TestWriteAmplificationStaysLow(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 9))
	next := 0
	for _, c := range []struct {
		name      string
		memtables int
		key       func() string
		bound     float64
		largest   int64
	}{
		{"ascending", 64, func() string { next++; return fmt.Sprintf("%09d", next) }, 1, 0},
		{"random 1 GiB", 16, func() string { return fmt.Sprintf("%09d", rnd.IntN(1e9)) }, 3, 512},
		{"random 4 GiB", 64, func() string { return fmt.Sprintf("%09d", rnd.IntN(1e9)) }, 6, 800},
		{"random 16 GiB", 256, func() string { return fmt.Sprintf("%09d", rnd.IntN(1e9)) }, 9, 800},
		{"overwriting 2 GiB", 128, func() string { return fmt.Sprintf("%09d", rnd.IntN(2048)) }, 5, 800},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoad(t)
			largest := int64(0)
			for range c.memtables {
				l.flushKeys(c.key)
				largest = max(largest, l.work())
			}
			got := float64(l.units) / float64(l.flushed)
			small, tables := 0, 0
			l.v.All(func(level manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
				if level > 0 {
					tables++
					if tab.Bytes < 20*cellBytes {
						small++
					}
				}
				return true
			})
			t.Logf("write amplification %.2f, largest job %d MiB, %d tables, %d of them small; runs %d", got, largest, tables, small, len(l.v.Levels[0]))
			require.LessOrEqual(t, got, c.bound)
			require.LessOrEqual(t, largest, c.largest)
		})
	}
}
