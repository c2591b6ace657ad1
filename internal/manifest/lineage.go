package manifest

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
)

// Positions on the lineage. A number alone does not say where in which history it is: after
// a crash, or in a copy of the directory, another opening may give it out again.

// Found returns the last number of the history that the opening found.
func (o *Open) Found() keys.SeqNum {
	if o.Gap >= o.First {
		return 0
	}
	return o.First - 1 - o.Gap
}

// Place returns the opening that gave out the last number at or below n which is part of the
// store's history, and that number: what the store holds at n. The zero UID and 0 are the
// beginning. What a store held before its first opening, as a salvaged one, counts as the
// first opening's. ok is false where no opening can be named.
func (s *State) Place(n keys.SeqNum) (opening fileid.UID, number keys.SeqNum, ok bool) {
	for i := len(s.Lineage) - 1; i >= 0; i-- {
		o := &s.Lineage[i]
		if n >= o.First {
			return o.ID, n, true
		}
		n = min(n, o.Found())
	}
	switch {
	case n == 0:
		return fileid.UID{}, 0, true
	case len(s.Lineage) == 0 || n != s.Lineage[0].Found():
		return fileid.UID{}, 0, false
	}
	return s.Lineage[0].ID, n, true
}

// OnLineage reports whether Place can have returned these for this history: the opening is
// part of it, and what it had given out up to the number, at least, is what the next opening
// has found. Behind the last opening any number is; how far the history goes is for its owner
// to say.
func (s *State) OnLineage(opening fileid.UID, number keys.SeqNum) bool {
	if number == 0 {
		return opening == fileid.UID{}
	}
	for i := range s.Lineage {
		o := &s.Lineage[i]
		if o.ID != opening {
			continue
		}
		if number < o.First {
			return i == 0 && number == o.Found()
		}
		return i+1 == len(s.Lineage) || number <= s.Lineage[i+1].Found()
	}
	return false
}
