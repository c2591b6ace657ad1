package manifest

import (
	"cmp"
	"slices"

	"github.com/loamdb/loam/internal/keys"
)

// Apply returns the state after e; s stays as it is. The error matches ErrInvalidEdit.
func (s *State) Apply(e *Edit) (*State, error) {
	n := *s
	n.FormatVersion = max(s.FormatVersion, e.FormatVersion)
	n.NextFileNum = max(s.NextFileNum, e.NextFileNum)
	n.NextRunID = max(s.NextRunID, e.NextRunID)
	n.ReservedSeqNum = max(s.ReservedSeqNum, e.ReservedSeqNum)
	n.ReservedScopeID = max(s.ReservedScopeID, e.ReservedScopeID)
	n.HistoryFloor = max(s.HistoryFloor, e.HistoryFloor)
	n.MinSegment = max(s.MinSegment, e.MinSegment)
	n.FlushedSeqNum = max(s.FlushedSeqNum, e.FlushedSeqNum)
	n.LastTime = max(s.LastTime, e.LastTime)
	if max(n.ReservedSeqNum, n.HistoryFloor, n.FlushedSeqNum) > keys.MaxSeqNum {
		return nil, invalid("sequence number above %d", keys.MaxSeqNum)
	}
	if err := n.applyLineage(e); err != nil {
		return nil, err
	}
	if err := n.applySegments(e); err != nil {
		return nil, err
	}
	if e.Cut != nil {
		n.Cut = e.Cut
	}
	if len(e.Operators) > 0 {
		n.Operators = append(slices.Clone(s.Operators), e.Operators...)
		slices.Sort(n.Operators)
		n.Operators = slices.Compact(n.Operators)
	}
	n.MinKey = max(s.MinKey, e.MinKey)
	n.Conversion = s.Conversion.after(e.Conversion)
	n.Keyring, n.Vault = s.Keyring.raise(e.Keyring), s.Vault.raise(e.Vault)
	n.Extra = mergeFields(s.Extra, e.Extra)
	for i := range e.Added {
		if num := e.Added[i].Table.Num; num >= n.NextFileNum {
			return nil, invalid("table %d at or above the next file number %d", num, n.NextFileNum)
		}
	}
	for _, b := range e.Blobs {
		if b.Num >= n.NextFileNum {
			return nil, invalid("blob file %d at or above the next file number %d", b.Num, n.NextFileNum)
		}
	}
	return &n, nil
}

// applyLineage adds openings, and drops those that no position can name: a position names
// the opening that gave out its number, so an opening that gave out none is dropped when
// the next one begins at the same number. All others stay, however old: a key that nobody
// has written since still has its number, and whoever compares and sets holds that number
// with its opening. The history floor does not matter: it bounds differences between
// positions, not the age of what a key holds. The list grows by about 26 bytes for each
// opening that wrote something, or came after a crash.
func (s *State) applyLineage(e *Edit) error {
	old := s.Lineage
	all := append(slices.Clone(old), e.Lineage...)
	if e.Opened != nil {
		all = append(all, *e.Opened)
	}
	s.Lineage = all[:0]
	for i, o := range all {
		if o.First > keys.MaxSeqNum {
			return invalid("sequence number above %d", keys.MaxSeqNum)
		}
		if o.Gap > 0 && o.Gap >= o.First {
			return invalid("%d numbers below %d", o.Gap, o.First)
		}
		if i > 0 && o.First < all[i-1].First {
			return invalid("lineage goes back from %d to %d", all[i-1].First, o.First)
		}
		if i+1 == len(all) || o.First < all[i+1].First {
			s.Lineage = append(s.Lineage, o)
		}
	}
	if len(s.Lineage) == len(old) && e.Opened == nil && len(e.Lineage) == 0 {
		s.Lineage = old
	}
	return nil
}

func (s *State) applySegments(e *Edit) error {
	if !e.DropSegments && len(e.AddedSegments) == 0 && e.MinSegment == 0 {
		return nil
	}
	var live []Segment
	if !e.DropSegments {
		live = append(live, s.Segments...)
	}
	live = append(live, e.AddedSegments...)
	slots := make(map[uint32]bool, len(live))
	for i, seg := range live {
		if i > 0 && seg.Num <= live[i-1].Num {
			return invalid("segment %d after %d", seg.Num, live[i-1].Num)
		}
		if seg.Bytes <= 0 {
			return invalid("segment %d of %d bytes", seg.Num, seg.Bytes)
		}
		if seg.Num < s.MinSegment {
			continue
		}
		if slots[seg.Slot] {
			return invalid("two segments in slot %d", seg.Slot)
		}
		slots[seg.Slot] = true
	}
	s.Segments = slices.DeleteFunc(live, func(seg Segment) bool { return seg.Num < s.MinSegment })
	return nil
}

// mergeFields returns base with those of add put in; both ascend by tag.
func mergeFields(base, add []Field) []Field {
	if len(add) == 0 {
		return base
	}
	out := slices.Clone(base)
	for _, f := range add {
		i, found := slices.BinarySearchFunc(out, f.Tag, func(x Field, tag uint64) int { return cmp.Compare(x.Tag, tag) })
		if found {
			out[i] = f
		} else {
			out = slices.Insert(out, i, f)
		}
	}
	return out
}
