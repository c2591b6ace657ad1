package manifest

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// FormatVersion is the newest format of a store that this code knows, and the one it
// gives to new stores.
const FormatVersion = 1

// Open is one writable opening of the store, a point of its lineage: a position that
// left the process is an opening and a sequence number, so that two histories that
// gave out the same number are told apart.
type Open struct {
	// ID is random.
	ID fileid.UID
	// First is the first sequence number that the opening could give out.
	First keys.SeqNum
	// Gap is how many numbers right below First belong to no history: an opening that finds
	// the store not closed skips those that may have been given out and lost.
	Gap keys.SeqNum
}

// Segment is a log segment in use or prepared, as package wal describes it.
type Segment struct {
	Num   uint64
	Slot  uint32
	UID   fileid.UID
	Bytes int64
	Key   seal.KeyID
}

// Cut is where a recovery ended the log: what lies behind belongs to no history.
type Cut struct {
	// Segment and UID name the segment, Bytes is its length up to the cut.
	Segment uint64
	UID     fileid.UID
	Bytes   int64
	// LastSeqNum is the last number before the cut.
	LastSeqNum keys.SeqNum
}

// State is everything but the tables. It is immutable (M1), its slices included.
type State struct {
	// Store is the store's identity, from the file's header.
	Store fileid.UID
	// FormatVersion is the oldest format that describes the whole store.
	FormatVersion uint64
	// NextFileNum is greater than every number that a table or blob file has or had.
	NextFileNum fileid.Num
	// NextRunID is greater than every RunID that flushes have used.
	NextRunID RunID
	// ReservedSeqNum is the greatest sequence number that may have been given out, and
	// ReservedScopeID the greatest scope id. An unclean opening starts above them.
	ReservedSeqNum  keys.SeqNum
	ReservedScopeID uint64
	// Lineage lists the writable openings, oldest first: all that may have given out
	// numbers, and the last one. A position belongs to the last opening whose First is not
	// above its number.
	Lineage []Open
	// HistoryFloor is the greatest sequence number of any tombstone that compaction has
	// dropped: differences from positions below it are not known any more.
	HistoryFloor keys.SeqNum
	// Segments lists the log's segments, ascending. Those below MinSegment are gone.
	Segments   []Segment
	MinSegment uint64
	// FlushedSeqNum: everything up to it is in tables.
	FlushedSeqNum keys.SeqNum
	// Cut is the last cut of the log, or nil.
	Cut *Cut
	// LastTime is the greatest engine time recorded, in milliseconds since 1970.
	LastTime int64
	// Operators are the names of the merge operators in use, sorted.
	Operators []string
	// Keyring and Vault are the anchors of the store's files of keys as it last knew them.
	Keyring, Vault KeyAnchor
	// MinKey: what is under a data key below it is to be written anew.
	MinKey seal.KeyID
	// Conversion is that which is under way, or nil.
	Conversion *Conversion
	// Extra are fields unknown to this code, ascending by tag.
	Extra []Field
}
