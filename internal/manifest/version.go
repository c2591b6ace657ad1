package manifest

import (
	"bytes"
	"sort"

	"github.com/loamdb/loam/internal/expiry"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// Level is a level of the tree. Flushed data enters at 0 and moves to greater ones.
type Level uint8

// NumLevels is the number of levels; LastLevel is the deepest one.
const (
	NumLevels       = 7
	LastLevel Level = NumLevels - 1
)

// RunID names a sorted run and orders the runs of a level: a greater one is newer. It
// is unique within its level at any time.
type RunID uint64

// Field is a field that a newer version of the code wrote and this one does not know.
// It is kept and written again as it is.
type Field struct {
	Tag   uint64
	Value []byte
}

// Table is a live table: what is known of it without opening its file. It is immutable,
// its slices included.
type Table struct {
	// Num is the file's number and UID its identity, Bytes its length, Digest the hash
	// of its content.
	Num    fileid.Num
	UID    fileid.UID
	Bytes  int64
	Digest uint64
	// Smallest and Largest bound its keys, range tombstones included. Largest itself is
	// outside when LargestExclusive is set.
	Smallest, Largest []byte
	LargestExclusive  bool
	// MinSeqNum and MaxSeqNum bound its sequence numbers.
	MinSeqNum, MaxSeqNum keys.SeqNum
	// Ingested: the table was built outside of the store, and its entries have no numbers in
	// the file. MinSeqNum and MaxSeqNum are equal, and are the number of them all.
	Ingested bool
	// Entries counts points, Deletes the tombstones among them, markers of expired entries
	// included, RangeDeletes the range tombstones.
	Entries, Deletes, RangeDeletes uint64
	// Held counts the points that only a snapshot kept when the table was written: a
	// rewrite leaves them out when it is gone.
	Held uint64
	// Expires counts the entries that expire, or have, and are no markers. Expiring says how
	// many bytes of the file are theirs, by when they expire.
	Expires  uint64
	Expiring expiry.Steps
	// Markers counts what is left of expired entries, which is among Deletes. LastMarker is
	// the latest expiry of them, in milliseconds since 1970.
	Markers    uint64
	LastMarker int64
	// FirstExpiry is the earliest expiry of those entries and markers, zero if there are none.
	FirstExpiry int64
	// OldestMerge is the oldest commit time of a merge operand, in milliseconds since 1970,
	// zero if there are none.
	OldestMerge int64
	// Blobs is what it refers to of blob files, in the order of its own list of them.
	Blobs []BlobRef
	// Key is the data key that its cipher is derived from; 0: it is in clear.
	Key seal.KeyID
	// Extra are fields unknown to this code, ascending by tag.
	Extra []Field
}

// Number returns the sequence number that all entries of an ingested table have, and 0 for
// any other.
func (t *Table) Number() keys.SeqNum {
	if t.Ingested {
		return t.MinSeqNum
	}
	return 0
}

// HasTombstones reports whether the table holds deletes of any kind.
func (t *Table) HasTombstones() bool { return t.Deletes+t.RangeDeletes > 0 }

// EndsBefore reports whether every key of the table is below key.
func (t *Table) EndsBefore(key []byte) bool {
	c := bytes.Compare(t.Largest, key)
	return c < 0 || c == 0 && t.LargestExclusive
}

// OverlapsTable reports whether the key ranges of t and o meet.
func (t *Table) OverlapsTable(o *Table) bool {
	return !t.EndsBefore(o.Smallest) && !o.EndsBefore(t.Smallest)
}

// Run is a sorted run: tables in ascending order that share no user key. It is
// immutable.
type Run struct {
	ID     RunID
	Tables []*Table
}

// Bytes returns the total length of the run's tables.
func (r *Run) Bytes() int64 {
	var n int64
	for _, t := range r.Tables {
		n += t.Bytes
	}
	return n
}

// Overlapping returns the tables of the run that may hold a key of [lower, upper]; the
// upper bound is outside when upperExclusive is set, and a nil upper bound is no bound.
// The slice aliases the run's. An inclusive bound is needed because tables know their
// greatest key, not the key after it.
func (r *Run) Overlapping(lower, upper []byte, upperExclusive bool) []*Table {
	from := sort.Search(len(r.Tables), func(i int) bool { return !r.Tables[i].EndsBefore(lower) })
	to := len(r.Tables)
	if upper != nil {
		to = from + sort.Search(len(r.Tables)-from, func(i int) bool {
			c := bytes.Compare(r.Tables[from+i].Smallest, upper)
			return c > 0 || c == 0 && upperExclusive
		})
	}
	return r.Tables[from:to]
}

// Version is the set of live tables at one moment. It is immutable (M1). Readers look
// at level 0 first, then at 1, and so on; within a level at the first run first.
type Version struct {
	// Levels holds the runs of each level, newest first. Levels below 0 normally have
	// at most one.
	Levels [NumLevels][]Run
	// Blobs are the blob files that its tables refer to, ascending by number.
	Blobs []BlobUse
}

// All calls f for every table with its place, newest data first, until f returns false.
func (v *Version) All(f func(Level, RunID, *Table) bool) {
	for level := range v.Levels {
		for i := range v.Levels[level] {
			r := &v.Levels[level][i]
			for _, t := range r.Tables {
				if !f(Level(level), r.ID, t) {
					return
				}
			}
		}
	}
}

// LevelBytes returns the total length of the tables of a level.
func (v *Version) LevelBytes(level Level) int64 {
	var n int64
	for i := range v.Levels[level] {
		n += v.Levels[level][i].Bytes()
	}
	return n
}

// Bytes returns the total length of all tables.
func (v *Version) Bytes() int64 {
	var n int64
	for level := range v.Levels {
		n += v.LevelBytes(Level(level))
	}
	return n
}

// NumTables returns the number of live tables.
func (v *Version) NumTables() int {
	n := 0
	for level := range v.Levels {
		for i := range v.Levels[level] {
			n += len(v.Levels[level][i].Tables)
		}
	}
	return n
}
