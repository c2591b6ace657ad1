package sstable

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// Properties describe a table without reading its blocks. They are written by the
// Writer, but for the Annotations, which its caller knows. A decoded Properties owns
// its memory; it must not be changed.
type Properties struct {
	// Entries, KeyBytes and ValueBytes count the points: every entry but range
	// tombstones.
	Entries, KeyBytes, ValueBytes uint64
	// Kinds counts by kind, range tombstones included. Index it by keys.Kind.
	Kinds [keys.KindSetSealedExpiryBlob + 1]KindCount
	// Smallest and Largest bound all keys, range tombstones included. Largest itself is
	// outside when LargestExclusive is set: it is then the end of a range tombstone.
	Smallest, Largest []byte
	LargestExclusive  bool
	// Points and Ranges are the sequence numbers of points and of range tombstones; the
	// zero value where there are none.
	Points, Ranges SeqRange
	// Expiry spans the expiry times of entries that have one.
	Expiry TimeRange
	// OldestMerge is the oldest commit time of a merge operand, in milliseconds since
	// 1970, when HasMerge is set.
	OldestMerge int64
	HasMerge    bool
	// Blocks counts data blocks, RawBytes their size before compression and
	// StoredBytes in the file.
	Blocks, RawBytes, StoredBytes uint64
	// Filter says how to read the filter; the zero value when there is none.
	Filter FilterProps
	// Codec is the block.Codec that blocks were offered to.
	Codec uint8
	// Scopes lists, in key order, scopes with more bytes than a data block holds.
	// ScopesExact is set when no scope was left out.
	Scopes      []ScopeUsage
	ScopesExact bool
	// KeyID names the data key of an encrypted table.
	KeyID seal.KeyID

	Annotations
}

// Annotations are the properties that a Writer cannot derive from the entries.
type Annotations struct {
	// Commits spans the commit times of the entries.
	Commits TimeRange
	// Stamps counts entries by schema stamp, ascending by stamp.
	Stamps []StampCount
	// Blobs lists the blob files that values refer to, in the order in which the
	// references count them.
	Blobs []BlobUsage
	// Dictionaries lists the ids of the dictionaries that blocks need, ascending.
	Dictionaries []uint64
}

// KindCount counts the entries of one kind.
type KindCount struct {
	// Entries counts them, Bytes their keys and values.
	Entries, Bytes uint64
}

// SeqRange is a closed range of sequence numbers.
type SeqRange struct{ Min, Max keys.SeqNum }

// TimeRange is a closed range of times in milliseconds since 1970; empty unless Set.
type TimeRange struct {
	Min, Max int64
	Set      bool
}

// extend makes r include t.
func (r *TimeRange) extend(t int64) {
	if !r.Set {
		*r = TimeRange{t, t, true}
		return
	}
	r.Min, r.Max = min(r.Min, t), max(r.Max, t)
}

// FilterProps say how a table's filter is to be read.
type FilterProps struct {
	// Policy and Hash are package filter's identifiers on disk. A reader that does not
	// know either does not use the filter. Policy 0: there is no filter.
	Policy, Hash uint8
	// BitsPerKey is what the filter was built for.
	BitsPerKey uint64
	// Lines counts the filter's lines.
	Lines uint64
}

// ScopeUsage is what a table holds of one scope. Values in blob files count with their length.
type ScopeUsage struct {
	// Prefix is what the scope's keys begin with.
	Prefix []byte
	// Entries and Bytes count its points, and their keys and values.
	Entries, Bytes uint64
}

// StampCount counts the entries written under one schema stamp.
type StampCount struct{ Stamp, Entries uint64 }

// BlobUsage is how many bytes of a blob file a table refers to.
type BlobUsage struct {
	// UID is the blob file's identity.
	UID fileid.UID
	// Bytes is what the values referred to take in the file.
	Bytes uint64
}

// count adds an entry of kind to the counts.
func (p *Properties) count(kind keys.Kind, keyLen, valueLen int) {
	c := &p.Kinds[kind]
	c.Entries++
	c.Bytes += uint64(keyLen) + uint64(valueLen)
}

// countTime enters the time that an entry of some kinds carries.
func (p *Properties) countTime(kind keys.Kind, value []byte) {
	if kind.MinValueLen() == 0 {
		return
	}
	at := int64(binary.LittleEndian.Uint64(value))
	switch kind {
	case keys.KindMerge, keys.KindMergeBlob:
		if !p.HasMerge || at < p.OldestMerge {
			p.OldestMerge, p.HasMerge = at, true
		}
	default:
		p.Expiry.extend(at)
	}
}

// seqRange returns the range of all sequence numbers of the table.
func (p *Properties) seqRange() SeqRange {
	switch {
	case p.Kinds[keys.KindRangeDelete].Entries == 0:
		return p.Points
	case p.Entries == 0:
		return p.Ranges
	}
	return SeqRange{min(p.Points.Min, p.Ranges.Min), max(p.Points.Max, p.Ranges.Max)}
}

// deletes counts the point tombstones: markers of expired entries hide what is below them,
// too.
func (p *Properties) deletes() uint64 {
	return p.Kinds[keys.KindDelete].Entries + p.Kinds[keys.KindExpiryMarker].Entries
}
