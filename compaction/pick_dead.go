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
