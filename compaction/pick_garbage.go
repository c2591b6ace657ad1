package compaction

import "github.com/loamdb/loam/internal/manifest"

// A table is worth a job of its own when tombstones, and versions that only snapshots
// kept, are at least this part of its entries.
const garbagePart = 4

// garbageIn counts what of a table is worth nothing by itself. Markers of expired entries are
// where they may go.
func (pk *picker) garbageIn(t *manifest.Table) uint64 {
	n := t.Deletes + t.RangeDeletes + t.Held
	if t.Markers > 0 && !pk.markersGo(t, t.LastMarker) {
		n -= t.Markers
	}
	return n
}

func (pk *picker) dense(t *manifest.Table) bool {
	garbage := pk.garbageIn(t)
	return garbage > 0 && garbage*garbagePart >= t.Entries
}

// garbage returns a job for a table that is dense with tombstones, or held versions,
// which no snapshot and no horizon needs any more: a merge with the level below, or at
// the last level a rewrite. Space is given back when they meet what they delete; reads
// stop paying for them when they are gone.
func (pk *picker) garbage() *Job {
	if j := pk.sink(ReasonGarbage, pk.dense); j != nil {
		return j
	}
	return pk.rewrite(ReasonGarbage, nil, pk.dense)
}

// sink returns a job that takes a table with tombstones, or held versions, that nobody
// needs down from a level between level 0 and the last one.
func (pk *picker) sink(why Reason, wanted func(*manifest.Table) bool) *Job {
	for level := pk.shape.base; level < manifest.LastLevel; level++ {
		for i := range pk.v.Levels[level] {
			r := &pk.v.Levels[level][i]
			for _, t := range r.Tables {
				if pk.garbageIn(t) == 0 || t.MaxSeqNum > pk.p.ElideBelow || !wanted(t) {
					continue
				}
				s := spanOf(t)
				if j := pk.down(level, why, &s); j != nil {
					return j
				}
			}
		}
	}
	return nil
}

// reclaim returns a job that rewrites a table of the last level without what nobody
// needs, however little that is.
func (pk *picker) reclaim(why Reason, within *span) *Job {
	return pk.rewrite(why, within, func(*manifest.Table) bool { return true })
}

func (pk *picker) rewrite(why Reason, within *span, wanted func(*manifest.Table) bool) *Job {
	for i := range pk.v.Levels[manifest.LastLevel] {
		r := &pk.v.Levels[manifest.LastLevel][i]
		for _, t := range r.Tables {
			if !wanted(t) || !pk.reclaims(t, manifest.LastLevel) || within != nil && !within.overlaps(spanOf(t)) {
				continue
			}
			in := Input{Level: manifest.LastLevel, Run: r.ID, Tables: []*manifest.Table{t}}
			if j := pk.finish(&Job{Reason: why, Output: manifest.LastLevel, Inputs: []Input{in}}); j != nil {
				return j
			}
		}
	}
	return nil
}
