package compaction

import "github.com/loamdb/loam/internal/manifest"

// down returns a job that moves tables of a level to the next one. within restricts it
// to tables that touch a span.
func (pk *picker) down(level manifest.Level, why Reason, within *span) *Job {
	runs := pk.v.Levels[level]
	for n := len(runs); n > 1; n-- {
		if j := pk.bestGroup(why, level, level+1, runs[len(runs)-n:], within); j != nil {
			return j
		}
	}
	if len(runs) == 0 {
		return nil
	}
	j := pk.bestTable(why, level, level+1, &runs[len(runs)-1], within)
	if j == nil && within != nil && len(runs) > 1 {
		return pk.down(level, why, nil)
	}
	return j
}
