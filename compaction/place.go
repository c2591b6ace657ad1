package compaction

import "github.com/loamdb/loam/internal/manifest"

// PlaceFlush returns the level that the tables of a flushed memtable are put into: the
// deepest one, from the base level on, that can be reached without passing or meeting
// another table, so that ascending loads are written once; level 0 where there is none.
// Tables with tombstones stay in level 0, from where a merge takes them to what they
// delete.
//
// Of params it uses the sizes and Running: what a running job will write to is no free
// place, even in a gap between its inputs.
func PlaceFlush(v *manifest.Version, tables []*manifest.Table, params Params) manifest.Level {
	if len(tables) == 0 {
		return 0
	}
	s := spanOf(tables[0])
	for _, t := range tables {
		if t.HasTombstones() {
			return 0
		}
		s = s.join(spanOf(t))
	}
	// Levels above the base level are not used, however free: they would become levels.
	base, level := shapeOf(v, params.withDefaults()).base, manifest.Level(0)
	for to := manifest.Level(0); to < manifest.NumLevels && !s.overlapsLevel(v, to); to++ {
		if to >= base && !reserved(params.Running, to, s) {
			level = to
		}
	}
	return level
}
