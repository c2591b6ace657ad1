package lsm

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable"
)

// conditions are what a commit depends on: keys that must have certain versions, and
// ranges in which nothing may have been written since a snapshot. They are judged twice:
// by the committer, against everything that is visible, with reads of the ordinary kind
// and no lock (judge); and by the leader, against the ring of what was committed after
// that (ring.go).
//
// Invariants:
//
//   - V1. A condition that the committer has found to hold, having loaded upTo before it
//     looked, holds at a number n >= upTo if no write that concerns it has a number within
//     (upTo, n].
//   - V2. A range is judged while a snapshot at since is open, so that compaction keeps
//     every tombstone above it that hides something.
//   - V3. The delete of a key that was absent at since is no write that concerns a range, nor
//     is it one to a key that must be absent.
type conditions struct {
	points []point    // ascending by hash once sealed
	byKey  []int32    // places of the points, ascending by key, once sealed; nil for few points
	ranges []keyRange // ascending and disjoint once sealed
	since  keys.SeqNum
	at     int64 // the time of the snapshot at since
	// snapshot says that the points, too, were read at since: nothing can have changed while
	// nothing has become visible.
	snapshot bool

	// expires is when the first of the keys that must be there is not any more, 0 if none
	// expires: the commit must come before.
	expires int64
	sealed  bool // by whoever judges them first beside others: who is alone is spared that

	// raw: versions are those of entries that have not expired yet, or whatever is left of
	// those that have.
	raw bool

	upTo keys.SeqNum // the committer has looked at everything up to here

	// With ErrConflict or errOverrun from the leader: what must be visible before another
	// attempt can see what stopped this one.
	blocker keys.SeqNum
}

// point is a key, behind its scope's id, and the version that it must have.
type point struct {
	key  []byte
	hash uint64 // of the key, once sealed
	want Version
	asOf keys.SeqNum // it had that version when this was visible and nothing above; 0: nobody knows
}

// keyRange is a range of keys, each bound behind its scope's id: [lower, upper).
type keyRange struct{ lower, upper []byte }

func newPoint(prefix, key []byte, want Version) point {
	k := append(append(make([]byte, 0, len(prefix)+len(key)), prefix...), key...)
	return point{key: k, hash: keys.Hash(k), want: want}
}

func (c *conditions) empty() bool { return len(c.points) == 0 && len(c.ranges) == 0 }

// hasSince reports whether it is a condition, one of a few, that key has a version with a number from first on.
func (c *conditions) hasSince(key []byte, first keys.SeqNum) bool {
	if len(c.points) > fewPoints {
		return false
	}
	for i := range c.points {
		if p := &c.points[i]; p.want != Absent && keys.SeqNum(p.want) >= first && bytes.Equal(p.key, key) {
			return true
		}
	}
	return false
}

// seal puts the conditions in the order in which the leader searches them, unless they are.
func (c *conditions) seal() {
	if c.sealed {
		return
	}
	c.sealed = true
	for i := range c.points {
		if p := &c.points[i]; p.hash == 0 {
			p.hash = keys.Hash(p.key)
		}
	}
	slices.SortFunc(c.points, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	if len(c.points) > fewPoints {
		c.byKey = make([]int32, len(c.points))
		for i := range c.byKey {
			c.byKey[i] = int32(i)
		}
		slices.SortFunc(c.byKey, func(a, b int32) int { return bytes.Compare(c.points[a].key, c.points[b].key) })
	}
	c.ranges = mergeRanges(c.ranges)
}

// mergeRanges sorts ranges, in place, and makes one of those that touch.
func mergeRanges(rs []keyRange) []keyRange {
	slices.SortFunc(rs, func(a, b keyRange) int { return bytes.Compare(a.lower, b.lower) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && bytes.Compare(r.lower, out[n-1].upper) <= 0 {
			if bytes.Compare(r.upper, out[n-1].upper) > 0 {
				out[n-1].upper = r.upper
			}
			continue
		}
		out = append(out, r)
	}
	clear(rs[len(out):])
	return out
}

// concernedBy reports whether a write to key, or to [key, upper) if upper is not nil, may
// change a condition. The conditions are sealed.
func (c *conditions) concernedBy(key, upper []byte, hash uint64) bool {
	if upper != nil {
		return c.hasPoint(key, upper) || c.overlaps(key, upper)
	}
	i, _ := slices.BinarySearchFunc(c.points, hash, func(p point, h uint64) int { return cmp.Compare(p.hash, h) })
	for ; i < len(c.points) && c.points[i].hash == hash; i++ {
		if bytes.Equal(c.points[i].key, key) {
			return true
		}
	}
	return len(c.ranges) > 0 && c.overlaps(key, nil)
}

// hasPoint reports whether the key of a point lies within [lower, upper).
func (c *conditions) hasPoint(lower, upper []byte) bool {
	if c.byKey == nil {
		return slices.ContainsFunc(c.points, func(p point) bool {
			return bytes.Compare(lower, p.key) <= 0 && bytes.Compare(p.key, upper) < 0
		})
	}
	i, _ := slices.BinarySearchFunc(c.byKey, lower, func(p int32, k []byte) int { return bytes.Compare(c.points[p].key, k) })
	return i < len(c.byKey) && bytes.Compare(c.points[c.byKey[i]].key, upper) < 0
}

// overlaps reports whether a range holds key, or with upper any key of [key, upper).
func (c *conditions) overlaps(key, upper []byte) bool {
	// The first range that ends after key is the only candidate, or the first of several.
	i, _ := slices.BinarySearchFunc(c.ranges, key, func(r keyRange, k []byte) int {
		if bytes.Compare(r.upper, k) <= 0 {
			return -1
		}
		return 1
	})
	if i == len(c.ranges) {
		return false
	}
	if upper == nil {
		return bytes.Compare(c.ranges[i].lower, key) <= 0
	}
	return bytes.Compare(c.ranges[i].lower, upper) < 0
}

// judge returns nil when the conditions hold in what a reader at seq sees, which with
// MaxSeqNum is everything visible, at the given time, and ErrConflict when they do not.
func (d *DB) judge(c *conditions, seq keys.SeqNum, at int64) error {
	if c.raw {
		at = atNever
	}
	if c.snapshot && c.since == c.upTo {
		return nil
	}
	var scratch [512]byte
	buf := scratch[:0]
	for i := range c.points {
		p := &c.points[i]
		if p.asOf != 0 && (p.asOf == c.upTo || mutant.Enabled && mutant.Is(mutant.TrustOldReads)) {
			continue // whoever requires it has looked at everything up to there
		}
		n := scopePrefixLen(p.key)
		value, got, err := d.pointRead(buf[:0], p.key[:n], p.key[n:], seq, at, false)
		if known(err) != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if got.version != p.want {
			return ErrConflict
		}
		if !c.raw {
			c.noteExpiry(got.expires)
		}
		buf = value
	}
	if mutant.Enabled && mutant.Is(mutant.SkipRangeReads) {
		return nil
	}
	for i := range c.ranges {
		written, err := d.writtenWithin(&c.ranges[i], c)
		if err != nil {
			return err
		}
		if written {
			return ErrConflict
		}
	}
	return nil
}

// writtenWithin reports whether something was written to the range that concerns it (V3), with
// a number within (c.since, c.upTo]. It need not look at tables without newer numbers, nor at
// anything in order.
func (d *DB) writtenWithin(r *keyRange, c *conditions) (bool, error) {
	if c.since >= c.upTo {
		return false, nil
	}
	guard := d.readers.Enter()
	s := d.state.Load()
	s.refs.Add(1)
	guard.Leave()
	defer s.unref()
	for i := range 1 + len(s.frozen) {
		m := s.mutable
		if i > 0 {
			m = s.frozen[i-1]
		}
		if m.ranges.Load().Within(r.lower, r.upper, c.since, c.upTo) {
			return true, nil
		}
		it := m.Iter()
		for ok := it.SeekGE(r.lower, keys.SeekTrailer(keys.MaxSeqNum)); ok && bytes.Compare(it.Key(), r.upper) < 0; ok = it.Next() {
			if concerns, err := d.concerns(it.Key(), it.Trailer(), c); concerns || err != nil {
				return concerns, err
			}
		}
	}
	for i := range s.version.runs {
		found, err := s.version.runs[i].deletedWithin(r, c.since, c.upTo)
		if !found && err == nil {
			found, err = s.version.runs[i].writtenWithin(d, r, c)
		}
		if found || err != nil {
			return found, d.tableError(err)
		}
	}
	return false, nil
}

// concerns reports whether an entry of a range that was read was written within (c.since,
// c.upTo], and was no delete of what was absent already (V3): so the sweep deletes what had
// expired (expiry_sweep.go). What expires meanwhile is the matter of c.expires.
func (d *DB) concerns(key []byte, t keys.Trailer, c *conditions) (bool, error) {
	if t.SeqNum() <= c.since || t.SeqNum() > c.upTo {
		return false, nil
	}
	if t.Kind() != keys.KindDelete {
		return true, nil
	}
	var discard [512]byte
	n := scopePrefixLen(key)
	_, _, err := d.pointRead(discard[:0], key[:n], key[n:], c.since, c.at, false)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// deletedWithin does it for the range tombstones of a run. What a memtable or a merge has
// left out of them lies under one with a greater number, which is found here or is in the
// ring.
func (r *run) deletedWithin(k *keyRange, after, upTo keys.SeqNum) (bool, error) {
	for _, t := range r.ranged {
		if t.meta.MaxSeqNum <= after || t.meta.EndsBefore(k.lower) || bytes.Compare(t.meta.Smallest, k.upper) >= 0 {
			continue
		}
		if _, err := t.open(); err != nil {
			return false, err
		}
		if t.ranges.Within(k.lower, k.upper, after, upTo) {
			return true, nil
		}
	}
	return false, nil
}

// writtenWithin does it for the other entries.
func (r *run) writtenWithin(d *DB, k *keyRange, c *conditions) (found bool, err error) {
	var newer []sstable.RunTable
	for i, t := range r.tables {
		if t.meta.MaxSeqNum > c.since && !t.meta.EndsBefore(k.lower) && bytes.Compare(t.meta.Smallest, k.upper) < 0 {
			newer = append(newer, r.sources[i])
		}
	}
	if len(newer) == 0 {
		return false, nil
	}
	var it sstable.RunIter
	it.Init(newer, sstable.IterOptions{Lower: k.lower, Upper: k.upper})
	for ok := it.First(); ok && !found && err == nil; ok = it.Next() {
		found, err = d.concerns(it.Key(), it.Trailer(), c)
	}
	if cerr := it.Close(); err == nil && !found {
		err = cerr
	}
	return found, err
}
