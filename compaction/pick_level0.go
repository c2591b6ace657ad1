package compaction

import (
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
)

// level0 returns a job that lowers the number of runs in level 0: into the base level,
// or among themselves, whichever is right for their size, and the other where that one
// has to wait. within restricts it to jobs that touch a span.
func (pk *picker) level0(why Reason, within *span) *Job {
	if pk.shape.wantsBase(pk.p) {
		if j := pk.intoBase(why, within); j != nil {
			return j
		}
		return pk.amongThemselves(why)
	}
	if j := pk.amongThemselves(why); j != nil {
		return j
	}
	return pk.intoBase(why, within)
}

// amongThemselves returns a job that merges consecutive runs of level 0 whole, so that
// the numbers in the result stay between those of the runs around it. It takes the
// runs with the fewest bytes for each run that goes away.
func (pk *picker) amongThemselves(why Reason) *Job {
	runs := pk.v.Levels[0]
	from, to, best := 0, 0, 0.0
	for i := range runs {
		var sum int64
		for k := i; k < len(runs) && !pk.anyBusy(runs[k].Tables); k++ {
			sum += runs[k].Bytes()
			if k == i {
				continue
			}
			if cost := float64(sum) / float64(k-i); to == 0 || cost <= best {
				from, to, best = i, k+1, cost
			}
		}
	}
	if to == 0 {
		return nil
	}
	j := &Job{Reason: why, Output: 0}
	for _, r := range runs[from:to] {
		j.Inputs = append(j.Inputs, Input{Level: 0, Run: r.ID, Tables: r.Tables})
	}
	return pk.finish(j)
}

// intoBase returns a job that moves tables of level 0 down: with all runs if the narrowest
// range that this needs is small enough, else with the older ones only.
func (pk *picker) intoBase(why Reason, within *span) *Job {
	runs := pk.v.Levels[0]
	for n := len(runs); n > 0; n-- {
		if j := pk.bestGroup(why, 0, pk.shape.base, runs[len(runs)-n:], within); j != nil {
			return j
		}
	}
	if len(runs) == 0 {
		return nil
	}
	j := pk.bestTable(why, 0, pk.shape.base, &runs[len(runs)-1], within)
	if j == nil && within != nil {
		// What is wanted lies above older tables elsewhere, too much at once: those go first.
		return pk.intoBase(why, nil)
	}
	return j
}

// bestGroup looks at the groups that the given oldest runs of a level form with the level
// below, and returns a job for the one that rewrites the least for what it brings.
func (pk *picker) bestGroup(why Reason, level, below manifest.Level, runs []manifest.Run, within *span) *Job {
	var all []*manifest.Run
	for i := range runs {
		all = append(all, &runs[i])
	}
	for i := range pk.v.Levels[below] {
		all = append(all, &pk.v.Levels[below][i])
	}
	var best *Job
	bestShare := 0.0
	for _, g := range groups(all) {
		j, upper, touched := &Job{Reason: why, Output: below}, int64(0), within == nil
		for rank, r := range all {
			in := Input{Level: below, Run: r.ID}
			if rank < len(runs) {
				in.Level = level
			}
			for _, t := range g.tables {
				if t.rank == rank {
					in.Tables = append(in.Tables, t.Table)
					touched = touched || rank < len(runs) && within.overlaps(spanOf(t.Table))
				}
			}
			if rank < len(runs) {
				upper += bytesOf(in.Tables)
			}
			j.Inputs = append(j.Inputs, in)
		}
		size := j.Bytes()
		if upper == 0 || size > pk.p.MaxJobBytes || !touched {
			continue
		}
		share := float64(upper) / float64(size)
		if best != nil && share <= bestShare {
			continue
		}
		if j = pk.finish(j); j != nil {
			best, bestShare = j, share
		}
	}
	return pk.easier(best)
}

// bestTable returns a job for that table of the oldest run of a level which rewrites the
// least of the level below. It is what C1 demands at the least.
func (pk *picker) bestTable(why Reason, level, below manifest.Level, r *manifest.Run, within *span) *Job {
	var best *Job
	bestShare := 0.0
	for _, t := range r.Tables {
		if within != nil && !within.overlaps(spanOf(t)) {
			continue
		}
		j := &Job{Reason: why, Output: below, Inputs: []Input{{Level: level, Run: r.ID, Tables: []*manifest.Table{t}}}}
		j.Inputs = append(j.Inputs, pk.inputs(below, spanOf(t))...)
		share := float64(t.Bytes) / float64(j.Bytes())
		if best != nil && share <= bestShare {
			continue
		}
		if j = pk.finish(j); j != nil {
			best, bestShare = j, share
		}
	}
	return pk.easier(best)
}

// easier turns a job with a single input table into a move to the deepest level that it
// can reach without passing another table, unless a rewrite there leaves something out, or
// brings the table under another data key.
func (pk *picker) easier(j *Job) *Job {
	if j == nil || len(j.Inputs) != 1 || len(j.Inputs[0].Tables) != 1 {
		return j
	}
	t := j.Inputs[0].Tables[0]
	to := j.Output
	for to < manifest.LastLevel && !j.span.overlapsLevel(pk.v, to+1) {
		to++
	}
	moved := pk.finish(&Job{Reason: j.Reason, Output: to, Inputs: j.Inputs})
	if moved == nil {
		return j
	}
	// Killed by TestPicking.
	keep := mutant.Enabled && mutant.Is(mutant.KeepRetiringTable)
	moved.Move = !pk.reclaims(t, to) && (keep || !pk.retires(t))
	return moved
}
