package manifest

import (
	"bytes"
	"fmt"
	"math"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// DecodeEdit decodes what AppendEdit appended, and nothing else: what it accepts encodes
// to the same bytes. The edit owns its memory. A field that must be understood and is
// not gives an error that matches ErrTooNew.
func DecodeEdit(p []byte) (*Edit, error) {
	e := &Edit{}
	d := codec.NewDecoder(p)
	last := uint64(0)
	for d.Len() > 0 {
		tag := d.Uvarint()
		value := d.LengthPrefixed()
		if d.Err() != nil {
			break
		}
		if tag < last {
			return nil, fmt.Errorf("%w: field %d after field %d", errMalformed, tag>>1, last>>1)
		}
		last = tag
		if err := e.decodeField(tag, value); err != nil {
			return nil, fmt.Errorf("field %d: %w", tag>>1, err)
		}
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	// Order within repeated fields, fields given twice, zeros where absence is meant:
	// whatever no encoder produces differs when encoded again.
	if !bytes.Equal(AppendEdit(nil, e), p) {
		return nil, fmt.Errorf("%w: not what an encoder produces", errMalformed)
	}
	return e, nil
}

// decodeField decodes one field's value.
func (e *Edit) decodeField(tag uint64, value []byte) error {
	d := codec.NewDecoder(value)
	switch tag {
	case tagLineage:
		e.Lineage = append(e.Lineage, decodeOpen(&d))
	case tagOpened:
		o := decodeOpen(&d)
		e.Opened = &o
	case tagCut:
		c := decodeCut(&d)
		e.Cut = &c
	case tagDropSegments:
		e.DropSegments = true
	case tagSegment:
		e.AddedSegments = append(e.AddedSegments, decodeSegment(&d))
	case tagOperator:
		e.Operators = append(e.Operators, string(d.Bytes(d.Len())))
	case tagDeleted:
		e.Deleted = append(e.Deleted, DeletedTable{Level: decodeLevel(&d), Num: fileid.Num(d.Uvarint())})
	case tagAdded:
		a, err := decodeAdded(&d)
		if err != nil {
			return err
		}
		e.Added = append(e.Added, a)
	case tagBlob:
		e.Blobs = append(e.Blobs, decodeBlob(&d))
	case tagKeyring:
		e.Keyring = decodeKeyAnchor(&d)
	case tagVault:
		e.Vault = decodeKeyAnchor(&d)
	case tagConversion:
		e.Conversion = decodeConversion(&d)
	default:
		if e.decodeMark(tag, &d) {
			break
		}
		f, err := unknownField(tag, value)
		if err != nil {
			return err
		}
		e.Extra = append(e.Extra, f)
		return nil
	}
	if d.Err() == nil && d.Len() > 0 {
		d.Fail(codec.ErrMalformed)
	}
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}

// decodeMark decodes a field that is one number, and reports whether tag is such a field.
func (e *Edit) decodeMark(tag uint64, d *codec.Decoder) bool {
	switch tag {
	case tagFormatVersion:
		e.FormatVersion = d.Uvarint()
	case tagNextFileNum:
		e.NextFileNum = fileid.Num(d.Uvarint())
	case tagNextRunID:
		e.NextRunID = RunID(d.Uvarint())
	case tagReservedSeqNum:
		e.ReservedSeqNum = keys.SeqNum(d.Uvarint())
	case tagReservedScopeID:
		e.ReservedScopeID = d.Uvarint()
	case tagHistoryFloor:
		e.HistoryFloor = keys.SeqNum(d.Uvarint())
	case tagMinSegment:
		e.MinSegment = d.Uvarint()
	case tagMinKey:
		e.MinKey = seal.KeyID(d.Uvarint())
	case tagFlushedSeqNum:
		e.FlushedSeqNum = keys.SeqNum(d.Uvarint())
	case tagLastTime:
		e.LastTime = decodeInt64(d)
	default:
		return false
	}
	return true
}

// unknownField keeps a field that need not be understood.
func unknownField(tag uint64, value []byte) (Field, error) {
	if tag&1 != 0 {
		return Field{}, fmt.Errorf("%w: unknown field", ErrTooNew)
	}
	return Field{Tag: tag, Value: bytes.Clone(value)}, nil
}

func decodeUID(d *codec.Decoder) (u fileid.UID) {
	copy(u[:], d.Bytes(len(u)))
	return u
}

func decodeInt64(d *codec.Decoder) int64 {
	n := d.Uvarint()
	if n > math.MaxInt64 {
		d.Fail(codec.ErrMalformed)
		return 0
	}
	return int64(n)
}

// decodeKey decodes what appendKey appended.
func decodeKey(d *codec.Decoder) seal.KeyID {
	if d.Err() != nil || d.Len() == 0 {
		return 0
	}
	return seal.KeyID(d.Uvarint())
}

func decodeLevel(d *codec.Decoder) Level {
	n := d.Uvarint()
	if n >= NumLevels {
		d.Fail(codec.ErrMalformed)
		return 0
	}
	return Level(n)
}

func decodeOpen(d *codec.Decoder) Open {
	o := Open{ID: decodeUID(d), First: keys.SeqNum(d.Uvarint())}
	if d.Len() > 0 {
		o.Gap = keys.SeqNum(d.Uvarint())
	}
	return o
}

func decodeCut(d *codec.Decoder) Cut {
	return Cut{Segment: d.Uvarint(), UID: decodeUID(d), Bytes: decodeInt64(d), LastSeqNum: keys.SeqNum(d.Uvarint())}
}

func decodeSegment(d *codec.Decoder) Segment {
	s := Segment{Num: d.Uvarint()}
	slot := d.Uvarint()
	if slot > math.MaxUint32 {
		d.Fail(codec.ErrMalformed)
	}
	s.Slot, s.UID, s.Bytes = uint32(slot), decodeUID(d), decodeInt64(d)
	s.Key = decodeKey(d)
	return s
}

func decodeAdded(d *codec.Decoder) (AddedTable, error) {
	t := &Table{}
	a := AddedTable{Level: decodeLevel(d), Run: RunID(d.Uvarint()), Table: t}
	t.Num, t.UID, t.Bytes, t.Digest = fileid.Num(d.Uvarint()), decodeUID(d), decodeInt64(d), d.Uint64()
	flags := d.Uint8()
	if flags&^(flagLargestExclusive|flagIngested) != 0 {
		d.Fail(codec.ErrMalformed)
	}
	t.LargestExclusive, t.Ingested = flags&flagLargestExclusive != 0, flags&flagIngested != 0
	t.Smallest, t.Largest = bytes.Clone(d.LengthPrefixed()), bytes.Clone(d.LengthPrefixed())
	t.MinSeqNum = keys.SeqNum(d.Uvarint())
	span := keys.SeqNum(d.Uvarint())
	if t.MinSeqNum > keys.MaxSeqNum || span > keys.MaxSeqNum-t.MinSeqNum {
		d.Fail(codec.ErrMalformed)
	}
	t.MaxSeqNum = t.MinSeqNum + span
	t.Entries, t.Deletes, t.RangeDeletes, t.Held = d.Uvarint(), d.Uvarint(), d.Uvarint(), d.Uvarint()
	last := uint64(0)
	for d.Len() > 0 {
		tag, value := d.Uvarint(), d.LengthPrefixed()
		if d.Err() != nil || tag <= last {
			d.Fail(codec.ErrMalformed)
			break
		}
		last = tag
		if tag == tagTableBlobs {
			t.decodeBlobRefs(d, value)
			continue
		}
		if t.decodeExpiry(d, tag, value) {
			continue
		}
		if tag == tagTableKey {
			f := codec.NewDecoder(value)
			if t.Key = decodeKey(&f); f.Err() != nil || f.Len() > 0 {
				d.Fail(codec.ErrMalformed)
			}
			continue
		}
		f, err := unknownField(tag, value)
		if err != nil {
			return a, fmt.Errorf("table: %w", err)
		}
		t.Extra = append(t.Extra, f)
	}
	return a, nil
}
