package compaction

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
)

// Data keys that are to leave: whatever is under one is written anew, under the key that new
// files take. A table is rewritten in its place, and what it refers to of such blob files moves
// with it. Neither brings anything under a key that is to leave, so that this comes to an end.

// retires reports whether the file of t is under a data key that is to leave.
func (pk *picker) retires(t *manifest.Table) bool {
	return pk.p.Retiring != nil && pk.p.Retiring(t.Key)
}

// rekey returns a job that brings something out of a data key that is to leave. Level 0 goes
// first: what it meets in the base level is rewritten once for both.
func (pk *picker) rekey() *Job {
	if pk.p.Retiring == nil {
		return nil
	}
	for level := range manifest.NumLevels {
		if j := pk.rekeyLevel(manifest.Level(level)); j != nil {
			return j
		}
	}
	return nil
}

// rekeyLevel returns such a job for tables of one level. Where it has several runs a table may
// lie above an older one, and is taken down.
func (pk *picker) rekeyLevel(level manifest.Level) *Job {
	runs := pk.v.Levels[level]
	for i := range runs {
		for _, t := range runs[i].Tables {
			blobs := pk.retiringBlobs(t)
			if pk.busy(t) || !pk.retires(t) && len(blobs) == 0 {
				continue
			}
			if j := pk.rekeyTable(level, &runs[i], t, blobs); j != nil {
				return j
			}
		}
	}
	return nil
}

func (pk *picker) rekeyTable(level manifest.Level, r *manifest.Run, t *manifest.Table, blobs []fileid.Num) *Job {
	s := spanOf(t)
	switch {
	case level == 0:
		return pk.intoBase(ReasonKey, &s)
	case len(pk.v.Levels[level]) == 1:
		in := Input{Level: level, Run: r.ID, Tables: []*manifest.Table{t}}
		return pk.finish(&Job{Reason: ReasonKey, Output: level, Inputs: []Input{in}, MoveBlobs: pk.upTo(t, blobs)})
	case level < manifest.LastLevel:
		return pk.down(level, ReasonKey, &s)
	}
	return nil // the result would join the newest run; no store has several there
}

// retiringBlobs returns the blob files under such keys that t refers to, but for damaged ones.
func (pk *picker) retiringBlobs(t *manifest.Table) []fileid.Num {
	var out []fileid.Num
	for _, r := range t.Blobs {
		u := pk.v.Blob(r.Num)
		if u != nil && pk.p.Retiring(u.Key) && !(pk.p.Avoid != nil && pk.p.Avoid(r.Num)) {
			out = append(out, r.Num)
		}
	}
	return out
}
