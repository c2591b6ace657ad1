package compaction

import "github.com/loamdb/loam/internal/manifest"

// shape is what the levels should look like for the amount of data that there is.
type shape struct {
	base   manifest.Level            // where level 0 is merged into
	target [manifest.NumLevels]int64 // bytes that levels from base on may hold
	bytes  [manifest.NumLevels]int64 // that they hold
	runs   [manifest.NumLevels]int   // that they have
	total  int64                     // of all levels but 0
}

// shapeOf derives the shape: the last level takes everything, each level above it a
// Fanout-th, and there are as many levels as it takes to make the base level's target
// no greater than BaseBytes. A level above that which holds tables, as in a store that
// has shrunk, is the base level until it is empty: data must not be put below it.
func shapeOf(v *manifest.Version, p *Params) *shape {
	s := &shape{base: manifest.LastLevel}
	for level := range v.Levels {
		s.bytes[level] = v.LevelBytes(manifest.Level(level))
		s.runs[level] = len(v.Levels[level])
		if level > 0 {
			s.total += s.bytes[level]
		}
	}
	s.target[s.base] = s.total
	for s.base > 1 && s.target[s.base] > p.BaseBytes {
		s.base--
		s.target[s.base] = s.target[s.base+1] / p.Fanout
	}
	for level := manifest.Level(1); level < s.base; level++ {
		if s.runs[level] > 0 {
			s.base = level
		}
	}
	return s
}

// without takes off the shape what running jobs will take out of their levels.
func (s *shape) without(running []*Job) *shape {
	out := *s
	for _, j := range running {
		for _, in := range j.Inputs {
			out.bytes[in.Level] -= bytesOf(in.Tables)
		}
		if j.Output == 0 {
			out.runs[0] -= len(j.Inputs) - 1
		}
	}
	return &out
}

// score returns how much a level is out of shape; above 1 it should be compacted.
func (s *shape) score(level manifest.Level, p *Params) float64 {
	switch {
	case level == 0:
		return float64(s.runs[0]) / float64(p.L0Trigger) * levelZeroWeight
	case level == manifest.LastLevel || s.bytes[level] == 0:
		return 0
	case s.target[level] == 0:
		return levelZeroWeight // a level that should not be there
	}
	return float64(s.bytes[level]) / float64(s.target[level])
}

// levelZeroWeight makes a level 0 that is just full more urgent than levels that are a
// little too large: its runs cost every read and delay writes.
const levelZeroWeight = 1.25

// wantsBase reports whether level 0 holds enough to be merged into the base level:
// merging rewrites the base level, so the more comes with one merge, the less is
// rewritten for each new byte.
func (s *shape) wantsBase(p *Params) bool {
	return s.bytes[0]*p.L0Divisor >= s.bytes[s.base]
}
