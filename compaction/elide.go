package compaction

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
)

// inUse answers for ascending keys whether any of a set of tables may hold the key. The
// set is reduced to disjoint spans once, and a cursor walks along with the keys.
type inUse struct {
	spans []span
	at    int
}

// usedBelow returns the spans where a version older than those a job reads may be: in
// every table that is no input and neither above the job's topmost run nor in a newer
// run of that run's level. The version is the one that the job was picked from; data
// only moves down and newer data only comes in above, so that the answer holds for as
// long as the job runs.
func usedBelow(v *manifest.Version, j *Job) *inUse {
	top := &j.Inputs[0]
	u := &inUse{}
	v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		above := level < top.Level || level == top.Level && run > top.Run
		if mutant.Enabled && mutant.Is(mutant.ElideAboveOlderRuns) {
			above = level <= top.Level
		}
		if s := spanOf(t); !above && s.overlaps(j.span) && !j.Uses(t.Num) {
			u.spans = append(u.spans, s)
		}
		return true
	})
	u.normalize()
	return u
}

// normalize sorts the spans and joins those that overlap.
func (u *inUse) normalize() {
	slices.SortFunc(u.spans, func(a, b span) int { return bytes.Compare(a.lower, b.lower) })
	out := u.spans[:0]
	for _, s := range u.spans {
		if n := len(out); n > 0 && out[n-1].overlaps(s) {
			out[n-1] = out[n-1].join(s)
		} else {
			out = append(out, s)
		}
	}
	u.spans = out
}

// gone reports that no table of the set can hold key, which must not be below that of
// an earlier call.
func (u *inUse) gone(key []byte) bool {
	for u.at < len(u.spans) && u.spans[u.at].endsBefore(key) {
		u.at++
	}
	return u.at == len(u.spans) || bytes.Compare(key, u.spans[u.at].lower) < 0
}
