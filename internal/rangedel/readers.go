package rangedel

import (
	"slices"

	"github.com/loamdb/loam/internal/keys"
)

// Readers are the numbers at which somebody may read, now or later.
type Readers struct {
	// Snapshots are open, ascending.
	Snapshots []keys.SeqNum
	// Visible is the number from which on every number may be read at. The zero value
	// leaves no number out.
	Visible keys.SeqNum
	// Unread, if not 0, is the first number of what is to become visible at once, in the end:
	// nobody will ever read between two numbers from it on.
	Unread keys.SeqNum
}

// Latest are the readers of data that is all visible, when there are only these snapshots.
func Latest(snapshots []keys.SeqNum) Readers {
	return Readers{Snapshots: snapshots, Visible: keys.MaxSeqNum}
}

// needed returns those of the numbers, which descend, that a reader could miss: the
// newest, and each older one that is the newest for some reader.
func (r *Readers) needed(seqs []keys.SeqNum) []keys.SeqNum {
	out := seqs[:0:0]
	for _, n := range seqs {
		if len(out) == 0 || r.between(n, out[len(out)-1]) {
			out = append(out, n)
		}
	}
	return out
}

// between reports whether somebody may read at a number within [older, newer).
func (r *Readers) between(older, newer keys.SeqNum) bool {
	if r.Unread != 0 && older >= r.Unread {
		return false
	}
	if newer > r.Visible {
		return true
	}
	i, _ := slices.BinarySearch(r.Snapshots, older)
	return i < len(r.Snapshots) && r.Snapshots[i] < newer
}
