package compaction

import "github.com/loamdb/loam/internal/manifest"

// maxDropTables bounds a job that only drops tables, and with it the edit.
const maxDropTables = 1000

// drop returns a job that takes tables out of the version of which nobody can read anything:
// a range tombstone covers all that they hold, or all between their bounds is of dropped
// scopes, or all of it has expired and hides nothing.
func (pk *picker) drop() *Job {
	if covered := pk.p.Covered; covered != nil {
		j := pk.dropAll(ReasonCovered, func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool { return covered(t) })
		if j != nil {
			return j
		}
	}
	if pk.p.Dead != nil {
		j := pk.dropAll(ReasonDead, func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
			return pk.p.Dead(t) == DeadAll
		})
		if j != nil {
			return j
		}
	}
	if pk.p.ExpiredBy == 0 {
		return nil
	}
	j := pk.dropAll(ReasonExpired, pk.wholly)
	if j != nil {
		j.each(func(_ *Input, t *manifest.Table) { j.Floor = max(j.Floor, t.MaxSeqNum) })
	}
	return j
}

// dropAll returns a job that drops the tables for which gone is true. It reads and writes none
// of them, so that even a damaged one can go.
func (pk *picker) dropAll(why Reason, gone func(manifest.Level, manifest.RunID, *manifest.Table) bool) *Job {
	j := &Job{Reason: why, Drop: true}
	n := 0
	pk.v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if pk.taken[t.Num] || !gone(level, run, t) {
			return true
		}
		if last := len(j.Inputs) - 1; last >= 0 && j.Inputs[last].Level == level && j.Inputs[last].Run == run {
			j.Inputs[last].Tables = append(j.Inputs[last].Tables, t)
		} else {
			j.Inputs = append(j.Inputs, Input{Level: level, Run: run, Tables: []*manifest.Table{t}})
		}
		n++
		return n < maxDropTables
	})
	if n == 0 {
		return nil
	}
	// Nothing is written, so that no range needs to be kept free; the span serves those
	// jobs that are told of this one.
	j.Output, j.span = j.Inputs[0].Level, spanOf(j.Inputs[0].Tables[0])
	return j
}
