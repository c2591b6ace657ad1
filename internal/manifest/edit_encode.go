package manifest

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/seal"
)

// An encoded edit is a sequence of fields, ascending by tag, repeated ones ascending by
// what identifies them; docs/formats/manifest.md has the list.
//
//	field  = tag value
//	tag    = uvarint: field number << 1 | 1 when a reader must understand it
//	value  = uvarint length, bytes
//	number = a value that is one uvarint, never zero
//	table  = level run num uid[16] bytes digest[8] flags[1] smallest largest
//	         minseq maxseq-minseq entries deletes rangedeletes held field*
//	blob   = blobs.go, as are a table's references
//
// (numbers are uvarints, keys have a uvarint length). Equal edits have equal bytes.
const (
	tagFormatVersion   = 1<<1 | 1
	tagNextFileNum     = 2<<1 | 1
	tagNextRunID       = 3<<1 | 1
	tagReservedSeqNum  = 4<<1 | 1
	tagReservedScopeID = 5<<1 | 1
	tagHistoryFloor    = 6<<1 | 1
	tagMinSegment      = 7<<1 | 1
	tagFlushedSeqNum   = 8<<1 | 1
	tagLastTime        = 9<<1 | 1
	tagLineage         = 10<<1 | 1
	tagOpened          = 11<<1 | 1
	tagCut             = 12<<1 | 1
	tagDropSegments    = 13<<1 | 1
	tagSegment         = 14<<1 | 1
	tagOperator        = 15<<1 | 1
	tagDeleted         = 16<<1 | 1
	tagAdded           = 17<<1 | 1
	tagBlob            = 19<<1 | 1
	tagKeyring         = 20<<1 | 1
	tagVault           = 21<<1 | 1
	tagMinKey          = 22<<1 | 1
	tagConversion      = 23<<1 | 1
)

// tagTableKey is the field of an added table that has the id of its data key.
const tagTableKey = 6<<1 | 1

const (
	flagLargestExclusive = 1
	flagIngested         = 2
)

// encoder appends fields to dst; scratch holds the value under construction.
type encoder struct{ dst, scratch []byte }

// AppendEdit appends the encoding of e.
func AppendEdit(dst []byte, e *Edit) []byte {
	enc := encoder{dst: dst}
	enc.number(tagFormatVersion, e.FormatVersion)
	enc.number(tagNextFileNum, uint64(e.NextFileNum))
	enc.number(tagNextRunID, uint64(e.NextRunID))
	enc.number(tagReservedSeqNum, uint64(e.ReservedSeqNum))
	enc.number(tagReservedScopeID, e.ReservedScopeID)
	enc.number(tagHistoryFloor, uint64(e.HistoryFloor))
	enc.number(tagMinSegment, e.MinSegment)
	enc.number(tagFlushedSeqNum, uint64(e.FlushedSeqNum))
	enc.number(tagLastTime, uint64(e.LastTime))
	for i := range e.Lineage {
		enc.field(tagLineage, appendOpen(enc.scratch[:0], &e.Lineage[i]))
	}
	if e.Opened != nil {
		enc.field(tagOpened, appendOpen(enc.scratch[:0], e.Opened))
	}
	if e.Cut != nil {
		enc.field(tagCut, appendCut(enc.scratch[:0], e.Cut))
	}
	if e.DropSegments {
		enc.field(tagDropSegments, nil)
	}
	for i := range e.AddedSegments {
		enc.field(tagSegment, appendSegment(enc.scratch[:0], &e.AddedSegments[i]))
	}
	operators := slices.Clone(e.Operators)
	slices.Sort(operators)
	for _, name := range slices.Compact(operators) {
		enc.field(tagOperator, append(enc.scratch[:0], name...))
	}
	enc.tables(e)
	enc.blobs(e)
	if e.Keyring != nil {
		enc.field(tagKeyring, appendKeyAnchor(enc.scratch[:0], e.Keyring))
	}
	if e.Vault != nil {
		enc.field(tagVault, appendKeyAnchor(enc.scratch[:0], e.Vault))
	}
	enc.number(tagMinKey, uint64(e.MinKey))
	if e.Conversion != nil {
		enc.field(tagConversion, appendConversion(enc.scratch[:0], e.Conversion))
	}
	enc.fields(e.Extra)
	return enc.dst
}

// tables appends the changes of the version.
func (enc *encoder) tables(e *Edit) {
	deleted := slices.Clone(e.Deleted)
	slices.SortFunc(deleted, func(a, b DeletedTable) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Num, b.Num))
	})
	for _, d := range deleted {
		p := binary.AppendUvarint(enc.scratch[:0], uint64(d.Level))
		enc.field(tagDeleted, binary.AppendUvarint(p, uint64(d.Num)))
	}
	added := slices.Clone(e.Added)
	slices.SortFunc(added, func(a, b AddedTable) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Run, b.Run), cmp.Compare(a.Table.Num, b.Table.Num))
	})
	for i := range added {
		enc.field(tagAdded, appendAdded(enc.scratch[:0], &added[i]))
	}
}

func (enc *encoder) number(tag, n uint64) {
	if n != 0 {
		enc.field(tag, binary.AppendUvarint(enc.scratch[:0], n))
	}
}

// field appends one field and keeps its value's memory for the next.
func (enc *encoder) field(tag uint64, value []byte) {
	enc.dst = codec.AppendLengthPrefixed(binary.AppendUvarint(enc.dst, tag), value)
	enc.scratch = value
}

func (enc *encoder) fields(extra []Field) {
	for _, f := range extra {
		enc.dst = codec.AppendLengthPrefixed(binary.AppendUvarint(enc.dst, f.Tag), f.Value)
	}
}

func appendOpen(p []byte, o *Open) []byte {
	p = binary.AppendUvarint(append(p, o.ID[:]...), uint64(o.First))
	if o.Gap > 0 {
		p = binary.AppendUvarint(p, uint64(o.Gap))
	}
	return p
}

func appendCut(p []byte, c *Cut) []byte {
	p = append(binary.AppendUvarint(p, c.Segment), c.UID[:]...)
	p = binary.AppendUvarint(p, uint64(c.Bytes))
	return binary.AppendUvarint(p, uint64(c.LastSeqNum))
}

func appendSegment(p []byte, s *Segment) []byte {
	p = binary.AppendUvarint(p, s.Num)
	p = append(binary.AppendUvarint(p, uint64(s.Slot)), s.UID[:]...)
	return appendKey(binary.AppendUvarint(p, uint64(s.Bytes)), s.Key)
}

// appendKey appends the id of a data key, the last part of a value, if there is one.
func appendKey(p []byte, id seal.KeyID) []byte {
	if id == 0 {
		return p
	}
	return binary.AppendUvarint(p, uint64(id))
}

func appendAdded(p []byte, a *AddedTable) []byte {
	t := a.Table
	p = binary.AppendUvarint(p, uint64(a.Level))
	p = binary.AppendUvarint(p, uint64(a.Run))
	p = append(binary.AppendUvarint(p, uint64(t.Num)), t.UID[:]...)
	p = binary.AppendUvarint(p, uint64(t.Bytes))
	p = binary.LittleEndian.AppendUint64(p, t.Digest)
	flags := byte(0)
	if t.LargestExclusive {
		flags |= flagLargestExclusive
	}
	if t.Ingested {
		flags |= flagIngested
	}
	p = append(p, flags)
	p = codec.AppendLengthPrefixed(p, t.Smallest)
	p = codec.AppendLengthPrefixed(p, t.Largest)
	p = binary.AppendUvarint(p, uint64(t.MinSeqNum))
	p = binary.AppendUvarint(p, uint64(t.MaxSeqNum-t.MinSeqNum))
	p = binary.AppendUvarint(p, t.Entries)
	p = binary.AppendUvarint(p, t.Deletes)
	p = binary.AppendUvarint(p, t.RangeDeletes)
	p = binary.AppendUvarint(p, t.Held)
	enc := encoder{dst: p}
	enc.expiry(t)
	enc.blobRefs(t)
	enc.number(tagTableKey, uint64(t.Key))
	enc.fields(t.Extra)
	return enc.dst
}
