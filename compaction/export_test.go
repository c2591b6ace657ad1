package compaction

import (
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
)

// Drop plays entries through a dropper whose older data lie in tables of the given
// bounds, and calls what with each verdict.
func Drop(snapshots []keys.SeqNum, bound keys.SeqNum, older []*manifest.Table, n int, entry func(int) ([]byte, keys.Trailer), what func(i int, kept, held bool, elided uint64)) {
	u := &inUse{}
	for _, t := range older {
		u.spans = append(u.spans, spanOf(t))
	}
	u.normalize()
	d := newDropper(snapshots, bound, u.gone)
	for i := range n {
		key, t := entry(i)
		d.enter(key)
		before := d.stats.elided
		kept, held := d.keep(t)
		what(i, kept, held, d.stats.elided-before)
	}
}

// Survivors returns what a merge keeps of range tombstones, given the bounds of tables in
// which older data may be.
func Survivors(spans []rangedel.Span, snapshots []keys.SeqNum, bound keys.SeqNum, older []*manifest.Table) ([]rangedel.Span, keys.SeqNum) {
	u := &inUse{}
	for _, t := range older {
		u.spans = append(u.spans, spanOf(t))
	}
	u.normalize()
	return newDropper(snapshots, bound, u.gone).survivors(spans, u)
}

// Cuts returns for each key whether a table of the given size is cut before it.
func Cuts(s Splits, size func(i int) int64, keys [][]byte) []bool {
	sp := splitter{Splits: s}
	out := make([]bool, len(keys))
	for i, k := range keys {
		out[i] = sp.cuts(size(i), sp.pass(k))
	}
	return out
}

var (
	EvenTarget = evenTarget
)

// SplitsOf returns where the output of a job is cut.
func SplitsOf(v *manifest.Version, j *Job, p Params) Splits { return j.splits(v, p.withDefaults()) }

// Cutter returns a function that reports for ascending keys whether a table of the given
// size ends before the key.
func Cutter(s Splits) func(size int64, key []byte) bool {
	sp := splitter{Splits: s}
	return func(size int64, key []byte) bool { return sp.cuts(size, sp.pass(key)) }
}
