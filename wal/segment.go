package wal

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// SegmentNum numbers the segments of a store in the order of their use. Numbers ascend
// and are never reused; zero is no segment.
type SegmentNum uint64

// Slot numbers the files that segments live in. A slot is used again and again, by one
// segment at a time; zero is no slot.
type Slot uint32

// Segment is what the owner's manifest lists about a segment.
type Segment struct {
	// Num is the segment's number.
	Num SegmentNum
	// Slot is the file that holds it.
	Slot Slot
	// UID is the random identity of this use of the slot.
	UID fileid.UID
	// Bytes is the length of the segment, its header included.
	Bytes int64
	// Key is the data key that its cipher is derived from; 0: its records are in clear. A
	// file whose header has another one is not the segment.
	Key seal.KeyID
}

// Position is a place in the log. Positions returned by one Log are ordered by its
// methods; a Position is comparable with ==.
type Position struct {
	// Segment and Offset say where: Offset is in bytes from the start of the slot file.
	Segment SegmentNum
	Offset  int64
	stream  uint64 // bytes of the log since Open; what Sync compares
}

func (p Position) less(q Position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// Link names the end of a log: the segment that the next one continues. The zero Link
// stands for a store that had no log.
type Link struct {
	// Num and UID are the last segment's.
	Num SegmentNum
	UID fileid.UID
	// Length is where its last record ends; later bytes do not belong to the log.
	Length int64
	// LastSeqNum is the last sequence number in the log up to there.
	LastSeqNum keys.SeqNum
}

// SlotName returns the name, within the store's directory, of a slot's file.
func SlotName(s Slot) string { return fmt.Sprintf("wal-%04d", s) }

// ParseSlotName is the inverse of SlotName. It accepts exactly what SlotName returns.
func ParseSlotName(name string) (Slot, bool) {
	digits, ok := strings.CutPrefix(name, "wal-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 || SlotName(Slot(n)) != name {
		return 0, false
	}
	return Slot(n), true
}

func slotPath(dir string, s Slot) string { return path.Join(dir, SlotName(s)) }
