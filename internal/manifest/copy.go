package manifest

import (
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
)

// Copy returns the state of a store that holds the tables of s and nothing else: what was
// committed up to FlushedSeqNum, without a log. Numbers, marks and the history floor carry
// over; the history is another one from there on, which opening, a random id, begins at the
// number after the last. lastTime is the copy's engine time.
//
// Openings that gave out only numbers above that one are left out: a position that names
// one of them lies on the original's lineage, and not on the copy's. The vault is shared; the
// keyring is not, and its anchor is for the copy's owner to set.
func (s *State) Copy(store, opening fileid.UID, lastTime int64) *State {
	n := *s
	n.Store = store
	n.Segments, n.MinSegment, n.Cut = nil, 0, nil
	n.Keyring = KeyAnchor{}
	n.LastTime = max(s.LastTime, lastTime)
	n.Lineage = nil
	for _, o := range s.Lineage {
		if o.First <= s.FlushedSeqNum {
			n.Lineage = append(n.Lineage, o)
		}
	}
	n.Lineage = append(n.Lineage, Open{ID: opening, First: s.FlushedSeqNum + 1})
	return &n
}

// CreateCopy makes the first manifest of a store in o.Dir, with the given contents, and
// CURRENT, and makes them durable, with every other entry of the directory: CURRENT is
// there only when these are. The files of the version's tables must be synced before. After
// an error CURRENT may be there, or come back after a power cut.
//
// While the rest of a copy is made, and until CreateCopy has returned, a file of the name
// UnfinishedName must lie in the directory, its entry durable before any other.
func CreateCopy(state *State, version *Version, o LogOptions) error {
	l := &Log{o: o, state: state, version: version}
	if err := l.roll(state, version); err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("manifest: close %s: %w", l.Name(), err)
	}
	return nil
}
