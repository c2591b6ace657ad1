package lsm

import (
	"sort"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/sstable"
)

// Range tombstones. A memtable keeps its own in a set that the leader replaces with each
// one more; a table's are read when it is opened. Both are consulted apart from the points,
// and from filters: of a source that may hold a key, the newest tombstone over the key
// deletes what is older there, and everything in older sources.

// rangeReaders returns who may read now or later, for tombstones of a part with the given
// first number. Called by the leader.
//
// The visible number is loaded before the snapshots: one that is taken in between reads at
// this number or a later one.
func (d *DB) rangeReaders(first keys.SeqNum) rangedel.Readers {
	r := rangedel.Readers{Visible: d.visible.load(), Unread: first}
	if !(mutant.Enabled && mutant.Is(mutant.ForgetRangeReaders)) {
		r.Snapshots = d.snapshots.list()
	}
	return r
}

// rangesOf returns the set of a table's range tombstones, nil if it has none.
func rangesOf(fragments []sstable.Fragment) *rangedel.Set {
	var spans []rangedel.Span
	for i, f := range fragments {
		if i > 0 && string(fragments[i-1].Lower) == string(f.Lower) {
			last := &spans[len(spans)-1]
			last.Seqs = append(last.Seqs, f.Trailer.SeqNum())
			continue
		}
		spans = append(spans, rangedel.Span{Lower: f.Lower, Upper: f.Upper, Seqs: []keys.SeqNum{f.Trailer.SeqNum()}})
	}
	return rangedel.Of(spans)
}

// tombstonesOf returns the tombstones of a memtable, cut as they are in its set.
func tombstonesOf(s *rangedel.Set) []rangedel.Tombstone {
	var out []rangedel.Tombstone
	for _, span := range s.Spans() {
		for _, seq := range span.Seqs {
			out = append(out, rangedel.Tombstone{Lower: span.Lower, Upper: span.Upper, Seq: seq})
		}
	}
	return out
}

// rangeSource is what an iterator asks for the range tombstones of one of its sources.
type rangeSource struct {
	age int           // of the source: its place among the iterator's
	mem *rangedel.Set // of a memtable, as the iterator found it
	run []*table      // those of a run that have any, ascending
}

// at returns the newest tombstone over key that seq sees, and around key the bounds within
// which that is so; nil is no bound.
func (r *rangeSource) at(key []byte, seq keys.SeqNum) (newest keys.SeqNum, lower, upper []byte, err error) {
	if r.run == nil {
		newest, lower, upper = r.mem.At(key, seq)
		return newest, lower, upper, nil
	}
	i := sort.Search(len(r.run), func(i int) bool { return !r.run[i].meta.EndsBefore(key) })
	if i < len(r.run) && string(r.run[i].meta.Smallest) <= string(key) {
		t := r.run[i]
		if _, err := t.open(); err != nil {
			return 0, nil, nil, err
		}
		newest, lower, upper = t.ranges.At(key, seq)
		if lower == nil {
			lower = t.meta.Smallest
		}
		if upper == nil && i+1 < len(r.run) {
			upper = r.run[i+1].meta.Smallest
		}
		return newest, lower, upper, nil
	}
	// Between tables. The greatest key of the one before is covered by none of its
	// tombstones, for else their end would be its bound.
	if i > 0 {
		lower = r.run[i-1].meta.Largest
	}
	if i < len(r.run) {
		upper = r.run[i].meta.Smallest
	}
	return 0, lower, upper, nil
}

// rangeWindow is where an iterator knows what covers its keys.
type rangeWindow struct {
	known        bool
	lower, upper []byte // bounds; nil is none
	newest       keys.SeqNum
	age          int // of the source that the newest tombstone is in
}

// ranged returns the tables that have range tombstones.
func ranged(tables []*table) []*table {
	var out []*table
	for _, t := range tables {
		if t.meta.RangeDeletes > 0 {
			out = append(out, t)
		}
	}
	return out
}

// coveredTables returns a function that reports whether a table is covered by a range
// tombstone of another one, as compaction.Params.Covered wants it, or nil if none of the
// version's tables has any. Tables that cannot be read cover nothing.
func (v *version) coveredTables(elideBelow keys.SeqNum) func(*manifest.Table) bool {
	var covering []*table
	for i := range v.runs {
		for _, t := range v.runs[i].ranged {
			if _, err := t.open(); err == nil {
				covering = append(covering, t)
			}
		}
	}
	if covering == nil {
		return nil
	}
	return func(victim *manifest.Table) bool {
		for _, t := range covering {
			if t.meta.Num != victim.Num && t.meta.MaxSeqNum > victim.MaxSeqNum &&
				t.ranges.Covers(victim.Smallest, victim.Largest, victim.LargestExclusive, victim.MaxSeqNum, elideBelow) {
				return true
			}
		}
		return false
	}
}

// openRanged opens the tables that have range tombstones, so that nothing has to be read
// under the locks of a picker.
func (d *DB) openRanged() {
	guard := d.readers.Enter()
	v := d.state.Load().version
	v.ref()
	guard.Leave()
	defer v.unref()
	for i := range v.runs {
		for _, t := range v.runs[i].ranged {
			_, _ = t.open() // who needs it meets the error
		}
	}
}
