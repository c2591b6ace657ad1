package compaction

import "github.com/loamdb/loam/internal/manifest"

// Debt says how far the tree is from its shape: what back-pressure is computed from.
type Debt struct {
	// L0Runs and L0Bytes are the runs in level 0 and their length.
	L0Runs  int
	L0Bytes int64
	// Bytes estimates how many bytes jobs would have to write before none is urgent.
	Bytes int64
}

// DebtOf returns the debt of a version. Running jobs do not lower it until they are
// installed. Of params it uses the sizes.
func DebtOf(v *manifest.Version, params Params) Debt {
	p := params.withDefaults()
	s := shapeOf(v, p)
	d := Debt{L0Runs: s.runs[0], L0Bytes: s.bytes[0]}
	carried := int64(0) // what the levels above would bring
	if s.runs[0] >= p.L0Trigger {
		carried = s.bytes[0]
		d.Bytes += carried
		if s.wantsBase(p) {
			d.Bytes += s.bytes[s.base]
		}
	}
	for level := s.base; level < manifest.LastLevel; level++ {
		excess := max(s.bytes[level]+carried-s.target[level], 0)
		if s.target[level] > 0 {
			d.Bytes += excess * (1 + s.bytes[level+1]/s.target[level])
		} else {
			d.Bytes += excess
		}
		carried = excess
	}
	return d
}
