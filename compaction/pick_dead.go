package compaction

import "github.com/loamdb/loam/internal/manifest"

// Dead says how much of a table is of dropped scopes.
type Dead uint8

// How much of a table is dead.
const (
	DeadNone Dead = iota // nothing
	DeadSome             // anything
	DeadMany             // so much that it is worth a rewrite
	DeadAll              // every key between its bounds
)

// maxDropTables bounds a job that only drops tables, and with it the edit.
const maxDropTables = 1000

// dropDead returns a job that takes out of the version tables of which nothing is alive.
// It reads and writes none of them, so that even a damaged one can go.
func (pk *picker) dropDead() *Job {
	if pk.p.Dead == nil {
		return nil
	}
	j := &Job{Reason: ReasonDead, Drop: true}
	n := 0
	pk.v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if pk.taken[t.Num] || pk.p.Dead(t) != DeadAll {
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

// rewriteDead returns a job that rewrites one table in its place, without what is dead, if
// at least so much of it is. Level 0 is merged soon enough, and so are the runs of a level
// that has several, of which the result would join the newest.
func (pk *picker) rewriteDead(atLeast Dead) *Job {
	if pk.p.Dead == nil {
		return nil
	}
	var found *Job
	pk.v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if level == 0 || len(pk.v.Levels[level]) > 1 || pk.busy(t) || pk.p.Dead(t) < atLeast {
			return true
		}
		in := Input{Level: level, Run: run, Tables: []*manifest.Table{t}}
		found = pk.finish(&Job{Reason: ReasonDead, Output: level, Inputs: []Input{in}})
		return found == nil
	})
	return found
}
