package compaction

import (
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// Reason says why a job was picked.
type Reason uint8

// Reasons.
const (
	ReasonLevel0  Reason = iota + 1 // level 0 has too many runs
	ReasonSize                      // a level is too large
	ReasonGarbage                   // a table is dense with tombstones, or with what snapshots kept
	ReasonSmall                     // tables are small
	ReasonIdle                      // nothing urges
	ReasonManual                    // asked for
	ReasonCovered                   // a range tombstone covers all of a table
	ReasonDead                      // tables hold entries of dropped scopes
	ReasonExpired                   // much of a table has expired
	ReasonBlobs                     // blob files hold much garbage, or are small and many
	ReasonKey                       // a data key is to leave
)

var reasonNames = [...]string{"none", "level0", "size", "garbage", "small", "idle", "manual", "covered", "dead", "expired", "blobs", "key"}

// String returns the reason's name.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Input are the tables that a job takes from one run, in key order.
type Input struct {
	Level  manifest.Level
	Run    manifest.RunID
	Tables []*manifest.Table
}

// Job is one compaction. It is immutable.
type Job struct {
	Reason Reason
	// Inputs are the runs to be merged, newest first.
	Inputs []Input
	// Output is the level of the result. In level 0 it takes the place of the newest
	// input run.
	Output manifest.Level
	// Move: the only input table need not be rewritten. It changes its level by an edit.
	Move bool
	// Drop: nobody can read anything of the input tables. An edit takes them out, unread;
	// there is no output.
	Drop bool
	// Floor is the greatest number of what a Drop leaves out that hid something older.
	Floor keys.SeqNum
	// MoveBlobs are the blob files whose values are moved into new ones, or back into the
	// tables. References into all others pass through.
	MoveBlobs []fileid.Num

	span span
}

// Lowest reports whether no table of v, the version that the job was picked from, lies below
// its output: what it writes stays until newer data comes down to it.
func (j *Job) Lowest(v *manifest.Version) bool {
	for level := j.Output + 1; level < manifest.NumLevels; level++ {
		if j.span.overlapsLevel(v, level) {
			return false
		}
	}
	return j.Output > 0
}

// moves returns the set of MoveBlobs.
func (j *Job) moves() map[fileid.Num]bool {
	out := make(map[fileid.Num]bool, len(j.MoveBlobs))
	for _, num := range j.MoveBlobs {
		out[num] = true
	}
	return out
}

// Bytes returns the total length of the input tables.
func (j *Job) Bytes() int64 {
	var n int64
	j.each(func(_ *Input, t *manifest.Table) { n += t.Bytes })
	return n
}

// Entries returns the number of points in the input tables.
func (j *Job) Entries() uint64 {
	var n uint64
	j.each(func(_ *Input, t *manifest.Table) { n += t.Entries })
	return n
}

// Uses reports whether the table is an input.
func (j *Job) Uses(num fileid.Num) bool {
	found := false
	j.each(func(_ *Input, t *manifest.Table) { found = found || t.Num == num })
	return found
}

// each calls f for every input table, newest run first.
func (j *Job) each(f func(*Input, *manifest.Table)) {
	for i := range j.Inputs {
		for _, t := range j.Inputs[i].Tables {
			f(&j.Inputs[i], t)
		}
	}
}

// Tables returns the input tables, newest run first.
func (j *Job) Tables() []*manifest.Table {
	var out []*manifest.Table
	j.each(func(_ *Input, t *manifest.Table) { out = append(out, t) })
	return out
}

// Edit returns the version edit that replaces the inputs by tables, the job's result;
// for a Move, tables is ignored, and for a Drop there are none. v is the version to which the edit will be applied, and
// floor is Stats.HistoryFloor.
func (j *Job) Edit(v *manifest.Version, tables []*manifest.Table, floor keys.SeqNum) *manifest.Edit {
	e := &manifest.Edit{HistoryFloor: floor}
	j.each(func(in *Input, t *manifest.Table) {
		e.Deleted = append(e.Deleted, manifest.DeletedTable{Level: in.Level, Num: t.Num})
	})
	if j.Move {
		tables = j.Tables()
	}
	run := RunFor(v, j.Output, j.Inputs[0].Run)
	for _, t := range tables {
		e.Added = append(e.Added, manifest.AddedTable{Level: j.Output, Run: run, Table: t})
	}
	return e
}

// RunFor returns the run that tables join at a level of v: in level 0 the given one,
// below it the only one that is there, if any. It is asked when the edit is made, for
// another job may have made that run since the tables were begun.
func RunFor(v *manifest.Version, level manifest.Level, run manifest.RunID) manifest.RunID {
	if runs := v.Levels[level]; level > 0 && len(runs) > 0 {
		return runs[0].ID
	}
	return run
}
