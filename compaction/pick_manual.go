package compaction

import (
	"bytes"

	"github.com/loamdb/loam/internal/manifest"
)

// PickManual returns the next job on the way of moving everything within [lower, upper)
// to the last level and leaving out there what nobody needs; nil bounds are no bounds. done
// says that nothing is left to do. Neither a job nor done: what is left has to wait for
// running jobs, or is to be avoided.
func PickManual(v *manifest.Version, lower, upper []byte, params Params) (j *Job, done bool) {
	pk := newPicker(v, &params)
	pk.manual = true
	within, any := clip(v, lower, upper)
	if !any {
		return nil, true
	}
	for level := manifest.Level(0); level < manifest.LastLevel; level++ {
		if !within.overlapsLevel(v, level) {
			continue
		}
		if level == 0 {
			return pk.intoBase(ReasonManual, &within), false
		}
		return pk.down(level, ReasonManual, &within), false
	}
	if j := pk.reclaim(ReasonManual, &within); j != nil {
		return j, false
	}
	return nil, !pk.reclaimsWithin(&within)
}

// clip returns the part of [lower, upper) from the first to the last key of any table.
func clip(v *manifest.Version, lower, upper []byte) (s span, any bool) {
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		if any {
			s = s.join(spanOf(t))
		} else {
			s, any = spanOf(t), true
		}
		return true
	})
	if !any {
		return s, false
	}
	if lower != nil && bytes.Compare(lower, s.lower) > 0 {
		s.lower = lower
	}
	if upper != nil && bytes.Compare(upper, s.upper) <= 0 {
		s.upper, s.open = upper, true
	}
	c := bytes.Compare(s.lower, s.upper)
	return s, c < 0 || c == 0 && !s.open
}

// reclaimsWithin reports whether the last level has something to leave out in s, be it
// that a job has to wait.
func (pk *picker) reclaimsWithin(s *span) bool {
	for i := range pk.v.Levels[manifest.LastLevel] {
		for _, t := range s.overlapping(&pk.v.Levels[manifest.LastLevel][i]) {
			if pk.reclaims(t, manifest.LastLevel) && !(pk.p.Avoid != nil && pk.p.Avoid(t.Num)) {
				return true
			}
		}
	}
	return false
}
