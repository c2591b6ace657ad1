package manifest

import (
	"encoding/binary"
	"math"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/expiry"
)

// What is known of times in a table's entries, fields of an added table:
//
//	expiring     = count, (by - by of the step before, bytes)+   uvarints above zero
//	markers      = count, latest expiry                          uvarints, the count above zero
//	oldest merge = commit time                                   uvarint above zero
//	first expiry = the earliest of entries and markers           uvarint above zero
const (
	tagTableExpiring    = 1 << 1
	tagTableMarkers     = 2 << 1
	tagTableOldestMerge = 3 << 1
	tagTableFirstExpiry = 4 << 1
)

// expiry appends the fields of t that have something to say.
func (enc *encoder) expiry(t *Table) {
	if len(t.Expiring) > 0 {
		p, last := binary.AppendUvarint(nil, t.Expires), int64(0)
		for _, s := range t.Expiring {
			p = binary.AppendUvarint(p, uint64(s.By-last))
			p = binary.AppendUvarint(p, s.Bytes)
			last = s.By
		}
		enc.field(tagTableExpiring, p)
	}
	if t.Markers > 0 {
		p := binary.AppendUvarint(nil, t.Markers)
		enc.field(tagTableMarkers, binary.AppendUvarint(p, uint64(t.LastMarker)))
	}
	enc.number(tagTableOldestMerge, uint64(t.OldestMerge))
	enc.number(tagTableFirstExpiry, uint64(t.FirstExpiry))
}

// decodeExpiry decodes one of these fields and reports whether tag is such a field. What is
// malformed fails d, which the field was read from.
func (t *Table) decodeExpiry(d *codec.Decoder, tag uint64, value []byte) bool {
	f := codec.NewDecoder(value)
	switch tag {
	case tagTableExpiring:
		t.Expires, t.Expiring = f.Uvarint(), decodeSteps(&f)
		if t.Expires == 0 || t.Expires > t.Entries {
			f.Fail(codec.ErrMalformed)
		}
	case tagTableMarkers:
		t.Markers, t.LastMarker = f.Uvarint(), decodeInt64(&f)
		if t.Markers == 0 || t.Markers > t.Deletes {
			f.Fail(codec.ErrMalformed)
		}
	case tagTableOldestMerge:
		if t.OldestMerge = decodeInt64(&f); t.OldestMerge == 0 {
			f.Fail(codec.ErrMalformed)
		}
	case tagTableFirstExpiry:
		if t.FirstExpiry = decodeInt64(&f); t.FirstExpiry == 0 {
			f.Fail(codec.ErrMalformed)
		}
	default:
		return false
	}
	if f.Err() != nil || f.Len() > 0 {
		d.Fail(codec.ErrMalformed)
	}
	return true
}

func decodeSteps(f *codec.Decoder) expiry.Steps {
	var out expiry.Steps
	last := uint64(0)
	for first := true; first || f.Len() > 0; first = false {
		by, bytes := f.Uvarint(), f.Uvarint()
		if f.Err() != nil || by == 0 || by > math.MaxInt64-last || bytes == 0 {
			f.Fail(codec.ErrMalformed)
			return nil
		}
		last += by
		out = append(out, expiry.Step{By: int64(last), Bytes: bytes})
	}
	return out
}
