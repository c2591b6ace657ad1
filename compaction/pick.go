package compaction

import (
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
)

// Pick returns the most urgent job that can start beside those that run, and whether
// there is one. It is pure and does not change what it is given; the job shares memory
// with v. It costs time in proportion to the number of tables.
func Pick(v *manifest.Version, params Params) (*Job, bool) {
	pk := newPicker(v, &params)
	if j := pk.drop(); j != nil {
		return j, true // it costs an edit, and makes other jobs smaller
	}
	for _, level := range pk.urgent() {
		var j *Job
		if level == 0 {
			j = pk.level0(ReasonLevel0, nil)
		} else {
			j = pk.down(level, ReasonSize, nil)
		}
		if j != nil {
			return j, true
		}
	}
	if j := pk.garbage(); j != nil {
		return j, true
	}
	if j := pk.rewriteDead(DeadMany); j != nil {
		return j, true
	}
	if j := pk.expired(false); j != nil {
		return j, true
	}
	if j := pk.small(); j != nil {
		return j, true
	}
	if j := pk.blobs(); j != nil {
		return j, true
	}
	if j := pk.rekey(); j != nil {
		return j, true
	}
	if pk.p.Idle {
		if j := pk.settle(); j != nil {
			return j, true
		}
	}
	return nil, false
}

// picker is one act of picking.
type picker struct {
	v     *manifest.Version
	p     *Params
	shape *shape
	// manual: whatever has expired is worth a rewrite.
	manual bool
	taken  map[fileid.Num]bool // inputs of running jobs
}

func newPicker(v *manifest.Version, params *Params) *picker {
	pk := &picker{v: v, p: params.withDefaults(), taken: map[fileid.Num]bool{}}
	pk.shape = shapeOf(v, pk.p)
	for _, j := range pk.p.Running {
		j.each(func(_ *Input, t *manifest.Table) { pk.taken[t.Num] = true })
	}
	return pk
}

// urgent returns the levels that will be out of shape when the running jobs have ended,
// the worst first.
func (pk *picker) urgent() []manifest.Level {
	left := pk.shape.without(pk.p.Running)
	var levels []manifest.Level
	for level := manifest.Level(0); level < manifest.LastLevel; level++ {
		if left.score(level, pk.p) > 1 {
			levels = append(levels, level)
		}
	}
	slices.SortStableFunc(levels, func(a, b manifest.Level) int {
		sa, sb := left.score(a, pk.p), left.score(b, pk.p)
		switch {
		case sa > sb:
			return -1
		case sa < sb:
			return 1
		}
		return 0
	})
	return levels
}

// settle returns a job of a store at rest: level 0 goes into the base level, then what
// holds anything to reclaim goes down, however little it is, to be left out at the last
// level; what dropped scopes have left goes wherever it is.
func (pk *picker) settle() *Job {
	if pk.shape.runs[0] > 0 {
		return pk.intoBase(ReasonIdle, nil)
	}
	if j := pk.sink(ReasonIdle, func(*manifest.Table) bool { return true }); j != nil {
		return j
	}
	if j := pk.reclaim(ReasonIdle, nil); j != nil {
		return j
	}
	if j := pk.rewriteDead(DeadSome); j != nil {
		return j
	}
	return pk.expired(true)
}

// busy reports whether no new job may touch t.
func (pk *picker) busy(t *manifest.Table) bool {
	return pk.taken[t.Num] || pk.p.Avoid != nil && pk.p.Avoid(t.Num)
}

func (pk *picker) anyBusy(tables []*manifest.Table) bool {
	return slices.ContainsFunc(tables, pk.busy)
}

// reserved reports whether a running job writes to the level where s is (C2). Runs of
// level 0 may overlap.
func reserved(running []*Job, level manifest.Level, s span) bool {
	return level > 0 && slices.ContainsFunc(running, func(j *Job) bool {
		return j.Output == level && j.span.overlaps(s)
	})
}

// finish fills in what follows from the inputs, which come newest first, and returns nil
// if the job may not start now. That no table is shared is not enough for C2: between
// the inputs of a running job there may be gaps, which its output will span.
func (pk *picker) finish(j *Job) *Job {
	j.Inputs = slices.DeleteFunc(j.Inputs, func(in Input) bool { return len(in.Tables) == 0 })
	j.span = spanOf(j.Inputs[0].Tables[0])
	for i := range j.Inputs {
		if pk.anyBusy(j.Inputs[i].Tables) {
			return nil
		}
		for _, t := range j.Inputs[i].Tables {
			j.span = j.span.join(spanOf(t))
		}
	}
	if reserved(pk.p.Running, j.Output, j.span) {
		return nil
	}
	return j
}

// inputs returns the tables of runs of one level that overlap s, newest run first.
func (pk *picker) inputs(level manifest.Level, s span) []Input {
	var out []Input
	for i := range pk.v.Levels[level] {
		r := &pk.v.Levels[level][i]
		if tables := s.overlapping(r); len(tables) > 0 {
			out = append(out, Input{Level: level, Run: r.ID, Tables: tables})
		}
	}
	return out
}

// reclaims reports whether a rewrite of t at the given level would leave something out:
// versions that a snapshot held, or tombstones with nothing below them.
func (pk *picker) reclaims(t *manifest.Table, level manifest.Level) bool {
	if pk.manual && t.Expiring.BytesBy(pk.p.ExpiredBy) > 0 {
		return true
	}
	if t.Held > 0 && t.MaxSeqNum <= pk.p.HeldBelow {
		return true
	}
	if t.MaxSeqNum > pk.p.ElideBelow || pk.garbageIn(t) == 0 {
		return false
	}
	for below := level + 1; below < manifest.NumLevels; below++ {
		if spanOf(t).overlapsLevel(pk.v, below) {
			return false
		}
	}
	return true
}
