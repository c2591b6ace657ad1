package lsm

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
)

// readSet is what a transaction has read of its snapshot: conditions in the making.
type readSet struct {
	points []point
	byHash map[uint64]int // place of the last point with the hash; nil for few points
	ranges []keyRange
	// mergeAt is the number of ranges at which they are merged, lest many short scans over
	// few keys pile up.
	mergeAt int

	expires int64 // the earliest expiry of what was there, 0 if nothing expires
}

// fewPoints are found faster by looking at each.
const fewPoints = 8

// addPoint records that key had the version v. Of two keys with one hash, which chance does
// not bring about, the second may be recorded as often as it is read.
func (s *readSet) addPoint(key []byte, v Version) {
	hash := keys.Hash(key)
	if s.has(key, hash) {
		return
	}
	s.points = append(s.points, point{key: bytes.Clone(key), hash: hash, want: v})
	switch n := len(s.points); {
	case n == fewPoints:
		s.byHash = make(map[uint64]int, 2*fewPoints)
		for i := range s.points {
			s.byHash[s.points[i].hash] = i
		}
	case n > fewPoints:
		s.byHash[hash] = n - 1
	}
}

// has reports whether key has been recorded.
func (s *readSet) has(key []byte, hash uint64) bool {
	if s.byHash != nil {
		i, ok := s.byHash[hash]
		return ok && bytes.Equal(s.points[i].key, key)
	}
	for i := range s.points {
		if s.points[i].hash == hash && bytes.Equal(s.points[i].key, key) {
			return true
		}
	}
	return false
}

// addRange records that the keys of a range, which is not empty, and their absence, were seen.
func (s *readSet) addRange(lower, upper []byte) {
	s.ranges = append(s.ranges, keyRange{lower: bytes.Clone(lower), upper: bytes.Clone(upper)})
	if len(s.ranges) >= max(s.mergeAt, 16) {
		s.ranges = mergeRanges(s.ranges)
		s.mergeAt = 2 * len(s.ranges)
	}
}

// conditions returns what must hold for a commit that has read at the number since, with the
// time at.
func (s *readSet) conditions(since keys.SeqNum, at int64) *conditions {
	c := &conditions{points: s.points, ranges: s.ranges, since: since, at: at, snapshot: true, expires: s.expires}
	c.seal()
	return c
}
