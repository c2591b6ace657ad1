package compaction

import "github.com/loamdb/loam/internal/manifest"

// DebtOf estimates how many bytes jobs would have to write before none is urgent: how far
// the tree is from its shape. Running jobs do not lower it until they are installed. Of
// params it uses the sizes. It is a figure for people; writers are slowed by the number of
// runs in level 0.
func DebtOf(v *manifest.Version, params Params) int64 {
	p := params.withDefaults()
	s := shapeOf(v, p)
	debt := int64(0)
	carried := int64(0) // what the levels above would bring
	if s.runs[0] >= p.L0Trigger {
		carried = s.bytes[0]
		debt += carried
		if s.wantsBase(p) {
			debt += s.bytes[s.base]
		}
	}
	for level := s.base; level < manifest.LastLevel; level++ {
		excess := max(s.bytes[level]+carried-s.target[level], 0)
		if s.target[level] > 0 {
			debt += excess * (1 + s.bytes[level+1]/s.target[level])
		} else {
			debt += excess
		}
		carried = excess
	}
	return debt
}
