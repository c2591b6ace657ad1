package compaction

import "github.com/loamdb/loam/internal/manifest"

// maxDropTables bounds a job that only drops tables, and with it the edit.
const maxDropTables = 1000

// drop returns a job that takes tables out of the version of which nobody can read anything:
// a range tombstone covers all that they hold, or all between their bounds is of dropped
// scopes.
func (pk *picker) drop() *Job {
	if j := pk.dropAll(ReasonCovered, pk.p.Covered); j != nil {
		return j
	}
	if pk.p.Dead == nil {
		return nil
	}
	return pk.dropAll(ReasonDead, func(t *manifest.Table) bool { return pk.p.Dead(t) == DeadAll })
}

// dropAll returns a job that drops the tables for which gone is true. It reads and writes none
// of them, so that even a damaged one can go.
func (pk *picker) dropAll(why Reason, gone func(*manifest.Table) bool) *Job {
	if gone == nil {
		return nil
	}
	j := &Job{Reason: why, Drop: true}
	n := 0
	pk.v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if pk.taken[t.Num] || !gone(t) {
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
