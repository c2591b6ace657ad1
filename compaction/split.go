package compaction

import (
	"bytes"
	"math"

	"github.com/loamdb/loam/internal/manifest"
)

// Splits says where a run of new tables is cut, between user keys only (C6).
type Splits struct {
	// Target is the size in bytes at which a table ends wherever it is.
	Target int64
	// AtBoundary is the size from which a table ends at a boundary, if it comes to one.
	AtBoundary int64
	// Boundaries are user keys, ascending, that begin tables of another level: a table
	// that ends there overlaps one table less.
	Boundaries [][]byte
	// RangeBytes is how long the ends of the range tombstones of one table may be together,
	// about. 0 means 128 MiB, half of what a table can hold.
	RangeBytes int
}

// defaultRangeBytes leaves a run few tables that hold nothing but range tombstones.
const defaultRangeBytes = 128 << 20

// A flush may leave tables of a 16th of the target, so that most jobs that take them
// down meet one or two tables; other outputs at least half of it.
const (
	flushShare  = 16
	outputShare = 2
)

// FlushSplits returns where the tables of a flushed memtable with so many bytes are cut:
// at the tables of the level into which they will be merged.
func FlushSplits(v *manifest.Version, bytes int64, params Params) Splits {
	p := params.withDefaults()
	target := evenTarget(bytes, p.TableBytes)
	return Splits{Target: target, AtBoundary: min(target, p.TableBytes/flushShare), Boundaries: starts(v, shapeOf(v, p).base)}
}

// splits returns where the output of a job is cut: at the tables of the level below
// it, with which it will be merged one day. At the last level the old boundaries stay,
// because the runs of level 0 were cut there.
func (j *Job) splits(v *manifest.Version, p *Params) Splits {
	if j.Reason == ReasonSmall {
		// One table, of a size that is known, or the same tables would be small again: while
		// a block is filled its size is estimated as if it could not be compressed.
		return Splits{Target: math.MaxInt64, AtBoundary: math.MaxInt64}
	}
	target := evenTarget(j.Bytes(), p.TableBytes)
	if j.Output == 0 {
		return Splits{Target: target, AtBoundary: min(target, p.TableBytes/flushShare), Boundaries: starts(v, shapeOf(v, p).base)}
	}
	level := min(j.Output+1, manifest.LastLevel)
	return Splits{Target: target, AtBoundary: target / outputShare, Boundaries: starts(v, level)}
}

// starts returns the smallest keys of a level's tables. With several runs, which is
// never for long, those of the newest.
func starts(v *manifest.Version, level manifest.Level) [][]byte {
	var out [][]byte
	if runs := v.Levels[level]; len(runs) > 0 {
		for _, t := range runs[0].Tables {
			out = append(out, t.Smallest)
		}
	}
	return out
}

// evenTarget returns a target near the wanted one that divides bytes evenly, so that no
// job leaves a sliver: slivers would add up to a level of small tables.
func evenTarget(bytes, wanted int64) int64 {
	n := max((bytes+wanted/2)/wanted, 1)
	if n == 1 {
		return wanted + wanted/2
	}
	return bytes/n + bytes/n/32 // sizes are estimated: a little more than the n-th part
}

// splitter walks along the boundaries with the keys of one run.
type splitter struct {
	Splits
	next int // the first boundary not below or at the last key
}

// pass moves behind the boundaries up to key and reports whether there were any.
func (s *splitter) pass(key []byte) bool {
	from := s.next
	for s.next < len(s.Boundaries) && bytes.Compare(s.Boundaries[s.next], key) <= 0 {
		s.next++
	}
	return s.next > from
}

// cuts reports whether a table of so many bytes ends where it is; crossed says that a
// boundary lies there.
func (s *Splits) cuts(size int64, crossed bool) bool {
	return size >= s.Target || crossed && size >= s.AtBoundary
}
