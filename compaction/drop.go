package compaction

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
)

// dropper decides, entry by entry in internal-key order, what survives a merge (C3,
// C4). Snapshots cut the sequence numbers into stripes: stripe 0 up to and including
// the oldest snapshot, and so on, the last one open. A reader sees of each key the
// newest version in its stripe and, where that is none, in an older one; so within a
// stripe whatever lies behind a version that needs nothing below it is out of sight.
//
// A range tombstone hides what it covers in its own stripe, and needs nothing below it.
//
// Its owner takes the snapshots after every entry it will see was published: a snapshot
// taken later is then in the open stripe.
type dropper struct {
	snapshots []keys.SeqNum // ascending
	bound     keys.SeqNum   // tombstones above it stay
	gone      func(key []byte) bool
	dead      func(key []byte) bool // keys that no reader can reach; nil: none
	ranges    []rangedel.Span       // those that end after the current key
	expiry    *expirer              // expire.go

	over    []keys.SeqNum // range tombstones over the current key, newest first
	key     []byte        // the current user key, a copy
	begun   bool
	covered int  // the stripe in which an older version is out of sight; -1: none
	hidden  bool // without snapshots every older version would be out of sight
	lost    bool // no reader can reach the key
	stats   dropStats
}

// dropStats count what a dropper did with the entries it saw.
type dropStats struct {
	in, kept, shadowed, elided, dead uint64
	folded                           uint64 // kept, but for the folder

	floor keys.SeqNum // greatest number of a tombstone left out
}

// newDropper returns a dropper. gone reports that no version of a key is in older
// tables than those merged; it is called with ascending keys. Without it, tombstones
// stay.
func newDropper(snapshots []keys.SeqNum, bound keys.SeqNum, gone func(key []byte) bool) *dropper {
	if mutant.Enabled && mutant.Is(mutant.DropUnderSnapshot) {
		snapshots = nil
	}
	d := &dropper{snapshots: slices.Clone(snapshots), bound: bound, gone: gone}
	slices.Sort(d.snapshots)
	d.expire(Expiry{}, 0)
	return d
}

// enter begins a new user key if key is one, and reports that.
func (d *dropper) enter(key []byte) bool {
	if d.begun && bytes.Equal(d.key, key) {
		return false
	}
	d.key = append(d.key[:0], key...)
	d.begun, d.covered, d.hidden = true, -1, false
	d.expiry.enter()
	if d.lost = d.dead != nil && d.dead(key); d.lost {
		return true
	}
	if len(d.ranges) > 0 {
		d.over = d.covering(key)
	}
	return true
}

// covering returns the range tombstones over key. Keys ascend, so that spans are passed
// once.
func (d *dropper) covering(key []byte) []keys.SeqNum {
	for len(d.ranges) > 0 && bytes.Compare(d.ranges[0].Upper, key) <= 0 {
		d.ranges = d.ranges[1:]
	}
	if len(d.ranges) == 0 || bytes.Compare(key, d.ranges[0].Lower) < 0 {
		return nil
	}
	return d.ranges[0].Seqs
}

// covers reports whether one of the range tombstones over the key hides a version of the
// given number and stripe, and whether it would without snapshots.
func (d *dropper) covers(seq keys.SeqNum, stripe int) (now, ever bool) {
	for _, n := range d.over {
		if n > seq {
			ever = true
			now = now || d.stripe(n) == stripe
		}
	}
	return now, ever
}

// keep decides about the next version of the key that was entered. held says of one that
// stays that only a snapshot keeps it.
func (d *dropper) keep(t keys.Trailer) (kept, held bool) {
	d.stats.in++
	if d.lost {
		d.stats.dead++
		return false, false
	}
	stripe := d.stripe(t.SeqNum())
	if stripe == d.covered {
		d.stats.shadowed++
		return false, false
	}
	held = d.hidden
	if len(d.over) > 0 {
		covered, ever := d.covers(t.SeqNum(), stripe)
		if covered && !(mutant.Enabled && mutant.Is(mutant.KeepCovered)) {
			d.stats.shadowed++
			return false, false
		}
		held = held || ever
	}
	if kind := t.Kind(); overwrites(kind) {
		d.covered, d.hidden = stripe, true
		if d.hidesOnly(kind) && stripe == 0 && d.elides(t.SeqNum()) {
			d.stats.elided++
			d.stats.floor = max(d.stats.floor, t.SeqNum())
			return false, false
		}
	}
	d.stats.kept++
	return true, held
}

// elides reports whether a tombstone of the current key in the oldest stripe can go.
func (d *dropper) elides(seq keys.SeqNum) bool {
	if mutant.Enabled && mutant.Is(mutant.DropExpired) && seq == d.expiry.seq {
		return true
	}
	if mutant.Enabled && mutant.Is(mutant.DropTombstone) {
		return true
	}
	return seq <= d.bound && d.gone != nil && d.gone(d.key)
}

// stripe returns the index of the oldest snapshot that sees seq. There are few
// snapshots, mostly none.
func (d *dropper) stripe(seq keys.SeqNum) int {
	if len(d.snapshots) == 0 {
		return 0
	}
	i, _ := slices.BinarySearch(d.snapshots, seq)
	return i
}

// overwrites reports whether a version of this kind needs nothing below it, so that
// older versions are out of its readers' sight. Merge operands need what is below, and
// kinds that this package does not know might.
func overwrites(k keys.Kind) bool {
	switch k {
	case keys.KindSet, keys.KindSetWithExpiry, keys.KindDelete, keys.KindSetBlob, keys.KindSetWithExpiryBlob,
		keys.KindExpiryMarker, keys.KindSetSealed, keys.KindSetSealedBlob, keys.KindSetSealedExpiry, keys.KindSetSealedExpiryBlob:
		return true
	}
	return false
}
