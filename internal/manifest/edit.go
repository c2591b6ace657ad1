package manifest

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// AddedTable is a table that an edit puts into a level and run. A run that the level
// does not have begins to exist.
type AddedTable struct {
	Level Level
	Run   RunID
	Table *Table
}

// DeletedTable is a table that an edit takes out of a level. A table that one edit
// deletes and adds moves.
type DeletedTable struct {
	Level Level
	Num   fileid.Num
}

// Edit is a change of State and Version, durable whole or not at all. Zero fields change
// nothing; marks only rise, so that a lower value changes nothing either (M4). An Edit
// must not be changed once it was applied: states keep what it reaches.
type Edit struct {
	// FormatVersion to LastTime raise the marks of State of the same names. MinSegment
	// also drops the segments below it.
	FormatVersion   uint64
	NextFileNum     fileid.Num
	NextRunID       RunID
	ReservedSeqNum  keys.SeqNum
	ReservedScopeID uint64
	HistoryFloor    keys.SeqNum
	MinSegment      uint64
	FlushedSeqNum   keys.SeqNum
	LastTime        int64

	// Lineage, then Opened, are added to the lineage. Only snapshots use Lineage.
	Lineage []Open
	Opened  *Open
	// Cut replaces the cut.
	Cut *Cut
	// DropSegments empties the list of segments before AddedSegments join it.
	DropSegments  bool
	AddedSegments []Segment
	// Operators join the names of merge operators.
	Operators []string

	// Deleted tables leave the version before Added ones join it.
	Deleted []DeletedTable
	Added   []AddedTable
	// Blobs are the blob files that only Added tables refer to.
	Blobs []*Blob
	// Keyring and Vault replace the anchors of State, unless that is a later one of the same
	// file.
	Keyring, Vault *KeyAnchor
	// MinKey raises the mark of State of that name.
	MinKey seal.KeyID
	// Conversion replaces that of State; one that leads nowhere ends it.
	Conversion *Conversion
	// Extra are fields unknown to this code, ascending by tag.
	Extra []Field
}

// ReplaceSegments makes segments the whole list of the log's segments.
func (e *Edit) ReplaceSegments(segments []Segment) {
	e.DropSegments, e.AddedSegments = true, segments
}

// Snapshot returns the edit that makes s and v out of nothing. It shares memory with
// them.
func Snapshot(s *State, v *Version) *Edit {
	e := &Edit{
		FormatVersion: s.FormatVersion, NextFileNum: s.NextFileNum, NextRunID: s.NextRunID,
		ReservedSeqNum: s.ReservedSeqNum, ReservedScopeID: s.ReservedScopeID,
		HistoryFloor: s.HistoryFloor, MinSegment: s.MinSegment, FlushedSeqNum: s.FlushedSeqNum,
		LastTime: s.LastTime, Lineage: s.Lineage, Cut: s.Cut, AddedSegments: s.Segments,
		Operators: s.Operators, MinKey: s.MinKey, Conversion: s.Conversion, Extra: s.Extra,
	}
	if s.Keyring != (KeyAnchor{}) {
		e.Keyring = &s.Keyring
	}
	if s.Vault != (KeyAnchor{}) {
		e.Vault = &s.Vault
	}
	v.All(func(level Level, run RunID, t *Table) bool {
		e.Added = append(e.Added, AddedTable{Level: level, Run: run, Table: t})
		return true
	})
	for i := range v.Blobs {
		e.Blobs = append(e.Blobs, v.Blobs[i].Blob)
	}
	return e
}
