package compaction

import "github.com/loamdb/loam/internal/manifest"

// A table is worth a rewrite when what has expired is at least this part of it.
const expiredPart = 4

// expired returns a job that rewrites one table in its place, of which enough has expired
// for everybody who reads. Where nothing urges, a little is enough once the last entry that
// expires has. Level 0 is merged soon enough, and so are the runs of a level that has several.
func (pk *picker) expired(all bool) *Job {
	if pk.p.ExpiredBy == 0 {
		return nil
	}
	var found *Job
	pk.v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if level == 0 || len(t.Expiring) == 0 || len(pk.v.Levels[level]) > 1 || pk.busy(t) {
			return true
		}
		gone := t.Expiring.BytesBy(pk.p.ExpiredBy)
		if !muchOf(t, gone) && !(all && gone > 0 && t.Expiring.Last() <= pk.p.ExpiredBy) {
			return true
		}
		in := Input{Level: level, Run: run, Tables: []*manifest.Table{t}}
		found = pk.finish(&Job{Reason: ReasonExpired, Output: level, Inputs: []Input{in}})
		return found == nil
	})
	return found
}

func muchOf(t *manifest.Table, bytes uint64) bool {
	return bytes > 0 && bytes*expiredPart >= uint64(t.Bytes)
}

// wholly reports whether everything in a table has expired, for everybody who reads, and
// hides nothing: such a table can go unread.
func (pk *picker) wholly(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
	if t.Expires == 0 || t.Expires+t.Markers != t.Entries || t.RangeDeletes > 0 || t.MaxSeqNum > pk.p.ElideBelow {
		return false
	}
	last := max(t.Expiring.Last(), t.LastMarker)
	if last > min(pk.p.ExpiredBy, pk.p.MarkersBy) || !pk.markersGo(t, last) {
		return false
	}
	alone := true
	s := spanOf(t)
	pk.v.All(func(l manifest.Level, r manifest.RunID, o *manifest.Table) bool {
		older := l > level || l == level && r < run
		alone = !(older && spanOf(o).overlaps(s))
		return alone
	})
	return alone
}

// markersGo reports whether a merge of t leaves out its markers, the latest of which has the
// given expiry, where it would leave out tombstones. It errs on the side of no.
func (pk *picker) markersGo(t *manifest.Table, last int64) bool {
	if last > pk.p.MarkersBy || t.MaxSeqNum > pk.p.MarkersUpTo || pk.p.OldestMerge != 0 && pk.p.OldestMerge < last {
		return false
	}
	goes := true
	pk.v.All(func(_ manifest.Level, _ manifest.RunID, o *manifest.Table) bool {
		goes = !(o.OldestMerge != 0 && o.OldestMerge < last && spanOf(o).overlaps(spanOf(t)))
		return goes
	})
	return goes
}

// NextExpiry returns the earliest time after now at which a table of v becomes worth a
// rewrite for what has expired of it, zero if there is none.
func NextExpiry(v *manifest.Version, now int64) int64 {
	next := int64(0)
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		if len(t.Expiring) == 0 {
			return true
		}
		for _, by := range [...]int64{t.Expiring.Last(), reachesMuch(t)} {
			if by > now {
				next = earliest(next, by)
			}
		}
		return true
	})
	return next
}

func reachesMuch(t *manifest.Table) int64 {
	by, _ := t.Expiring.Reaches((uint64(t.Bytes) + expiredPart - 1) / expiredPart)
	return by
}
