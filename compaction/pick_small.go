package compaction

import "github.com/loamdb/loam/internal/manifest"

// A table is small below this part of a full one.
const smallPart = 4

// small returns a job that merges small neighbours of a run into one table. They come
// from small flushes of ascending keys, which are never merged with anything else, and
// each costs a file, a line in the manifest and a reader. No table may be more than half
// of the job, so that with each merge a byte comes into a table of at least twice the
// size: it is rewritten a few times at most.
func (pk *picker) small() *Job {
	for level := pk.shape.base; level < manifest.NumLevels; level++ {
		for i := range pk.v.Levels[level] {
			r := &pk.v.Levels[level][i]
			for rest := r.Tables; len(rest) >= pk.p.SmallTables; {
				n := pk.neighbours(rest)
				if n < pk.p.SmallTables {
					rest = rest[max(n, 1):]
					continue
				}
				in := Input{Level: level, Run: r.ID, Tables: rest[:n:n]}
				if j := pk.finish(&Job{Reason: ReasonSmall, Output: level, Inputs: []Input{in}}); j != nil {
					return j
				}
				rest = rest[n:]
			}
		}
	}
	return nil
}

// neighbours returns how many of the first tables can be merged into one, 0 if none.
func (pk *picker) neighbours(tables []*manifest.Table) int {
	n := 0
	var sum, largest int64
	for _, t := range tables {
		if pk.busy(t) || t.Bytes*smallPart >= pk.p.TableBytes || sum+t.Bytes > pk.p.TableBytes {
			break
		}
		n, sum, largest = n+1, sum+t.Bytes, max(largest, t.Bytes)
	}
	if largest*2 > sum {
		return 0
	}
	return n
}
