package compaction

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/expiry"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable"
)

// Expiry tells a merge what has expired. Of such an entry the value is left out: a marker
// with the same number and expiry stays in its place and hides what is below it, as the
// entry did. The zero Expiry says that nothing has expired. Times are in milliseconds since
// 1970, in engine time.
type Expiry struct {
	// Now is the time before the snapshots were listed: whoever is not among them reads at
	// this time or later.
	Now int64
	// ReadTime returns, for an entry's number, the earliest time at which anybody reads
	// the entry: that of a snapshot, or Now.
	ReadTime func(keys.SeqNum) int64
	// MarkersBy and MarkersUpTo are the latest expiry and the greatest number of markers that
	// may go. The others are still needed, by whoever tells users of expired entries.
	MarkersBy   int64
	MarkersUpTo keys.SeqNum
	// OldestMerge is the oldest commit time of a merge operand that is in no table, zero if
	// there is none. Tables are all tables there are besides, after Now, and may be nil: those
	// of the version that the job was picked from.
	OldestMerge int64
	Tables      *manifest.Version
}

// expirer is what a dropper knows of the expiry of entries.
type expirer struct {
	Expiry
	// elsewhere is the oldest commit time of a merge operand that may be for one of the keys
	// and is in none of the inputs, zero if there is none.
	elsewhere int64

	seq     keys.SeqNum
	at      int64  // when the entry that is looked at expires, of those that do
	operand int64  // oldest commit time of an operand for the current key, zero if there is none
	expired uint64 // values left out
}

// expire makes the dropper leave out what has expired.
func (d *dropper) expire(e Expiry, elsewhere int64) {
	d.expiry = &expirer{Expiry: e, elsewhere: earliest(elsewhere, e.OldestMerge)}
}

// earliest returns the earlier one of two times, of which zero is none.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// enter begins a new user key.
func (e *expirer) enter() { e.operand = 0 }

// look is shown every entry whose value begins with a time, and returns what is to be kept
// of it if it is kept. value aliases what it was given.
//
// The marker of an expired entry goes where a tombstone goes, unless an operand that was
// committed before the expiry may be above it: that one was meant for a value that has
// expired with the entry, and would come to life without the marker.
func (d *dropper) look(t keys.Trailer, value []byte) (keys.Trailer, []byte) {
	e := d.expiry
	at := int64(binary.LittleEndian.Uint64(value))
	e.seq = t.SeqNum()
	switch t.Kind() {
	case keys.KindMerge, keys.KindMergeBlob:
		e.operand = earliest(e.operand, max(at, 1))
	case keys.KindExpiryMarker:
		e.at = at
	case keys.KindSetWithExpiry, keys.KindSetWithExpiryBlob, keys.KindSetSealedExpiry, keys.KindSetSealedExpiryBlob:
		e.at = at
		if e.ReadTime != nil && at <= e.readTime(t.SeqNum()) {
			e.expired++
			return keys.MakeTrailer(t.SeqNum(), keys.KindExpiryMarker), value[:keys.ExpiryLen]
		}
	}
	return t, value
}

func (e *expirer) readTime(seq keys.SeqNum) int64 {
	if mutant.Enabled && mutant.Is(mutant.ExpireUnderSnapshot) {
		return e.Now
	}
	return e.ReadTime(seq)
}

// hidesOnly reports whether an entry of this kind, the one that was looked at, is worth
// nothing but for what it hides.
func (d *dropper) hidesOnly(k keys.Kind) bool {
	if k == keys.KindDelete {
		return true
	}
	return k == keys.KindExpiryMarker && d.expiry.markerGoes()
}

// markerGoes reports whether nothing but older data needs the marker that was looked at.
func (e *expirer) markerGoes() bool {
	if e.MarkersBy == 0 || e.at > e.MarkersBy || e.seq > e.MarkersUpTo {
		return false
	}
	operand := earliest(e.operand, e.elsewhere)
	return operand == 0 || operand >= e.at || mutant.Enabled && mutant.Is(mutant.DropMarkerEarly)
}

// operandsElsewhere returns the oldest commit time of a merge operand in tables that overlap
// the job and are none of its inputs, zero if there is none. Those that come in after e.Now
// were committed after everything that the job finds expired.
func operandsElsewhere(v *manifest.Version, j *Job, e *Expiry) int64 {
	oldest := int64(0)
	if e.Tables != nil {
		v = e.Tables
	}
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		if t.OldestMerge != 0 && spanOf(t).overlaps(j.span) && !j.Uses(t.Num) {
			oldest = earliest(oldest, t.OldestMerge)
		}
		return true
	})
	return oldest
}

// TableExpiry collects what the manifest is to know of times in a table's entries. The zero
// TableExpiry is that of no entries.
type TableExpiry struct {
	expiring   *expiry.Builder // nil: none of the entries expires
	markers    uint64
	lastMarker int64
}

// Count counts an entry that is neither a Set nor a Delete, written at the time now.
func (x *TableExpiry) Count(key []byte, k keys.Kind, value []byte, now int64) {
	switch k {
	case keys.KindExpiryMarker:
		x.markers++
		x.lastMarker = max(x.lastMarker, int64(binary.LittleEndian.Uint64(value)))
	case keys.KindSetWithExpiry, keys.KindSetWithExpiryBlob, keys.KindSetSealedExpiry, keys.KindSetSealedExpiryBlob:
		if x.expiring == nil {
			x.expiring = expiry.NewBuilder(now)
		}
		x.expiring.Add(int64(binary.LittleEndian.Uint64(value)), len(key)+len(value))
	}
}

// Fill enters what was counted into a table's line, which has its length already. p are the
// table's properties.
func (x *TableExpiry) Fill(t *manifest.Table, p *sstable.Properties) {
	t.Markers, t.LastMarker = x.markers, x.lastMarker
	if p.HasMerge {
		t.OldestMerge = max(p.OldestMerge, 1)
	}
	if p.Expiry.Set {
		t.FirstExpiry = max(p.Expiry.Min, 1)
	}
	if x.expiring == nil {
		return
	}
	t.Expires, t.Expiring = x.expiring.Entries(), x.expiring.Steps()
	scale := float64(t.Bytes) / float64(max(p.KeyBytes+p.ValueBytes, 1)) // as they are in the file
	for i := range t.Expiring {
		s := &t.Expiring[i]
		s.Bytes = max(uint64(float64(s.Bytes)*scale), 1)
	}
}
