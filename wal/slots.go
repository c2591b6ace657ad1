package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// freeSlot is a slot file that no listed segment lives in.
type freeSlot struct {
	slot Slot
	// proven is how many of its bytes are known to be written and synced, its directory
	// entry too, because a header of this store, which is written last, says so; but if
	// the file is a copy it may have holes all the same. Zero: nothing is known, the file
	// may not be there.
	proven int64
	uid    fileid.UID // of its last life, if proven is not zero
	fresh  bool       // the file has to be created
}

// slotSet knows which slots are free. It is not safe for concurrent use.
type slotSet struct {
	free  []freeSlot // ascending by proven
	taken map[Slot]bool
}

// findSlots lists the slot files in the directory. Those of listed are in use. Free ones of which it is not known that
// all their lives were encrypted are removed where the log is.
func findSlots(o Options, listed []Segment) (*slotSet, error) {
	set := &slotSet{taken: make(map[Slot]bool)}
	for _, seg := range listed {
		set.taken[seg.Slot] = true
	}
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("wal: list slots: %w", err)
	}
	for _, name := range names {
		slot, ok := ParseSlotName(name)
		if !ok || set.taken[slot] {
			continue
		}
		free, sealed, err := inspectFree(o, slot)
		if err != nil {
			return nil, err
		}
		// What follows a segment in its slot is from earlier lives. Killed by TestAStoreInClearIsEncrypted.
		if o.NewCipher != nil && !sealed && !(mutant.Enabled && mutant.Is(mutant.KeepClearSlot)) {
			if err := removeFile(o, free); err != nil {
				return nil, err
			}
			continue
		}
		set.put(free)
	}
	return set, nil
}

// inspectFree reads how much of a free slot an earlier life has written, and whether that was encrypted.
func inspectFree(o Options, slot Slot) (free freeSlot, sealed bool, err error) {
	free = freeSlot{slot: slot}
	f, err := o.FS.Open(slotPath(o.Dir, slot), vfs.ReadOnly)
	if err != nil {
		return free, false, fmt.Errorf("wal: open slot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return free, false, fmt.Errorf("wal: size of %s: %w", SlotName(slot), err)
	}
	if size < minSegmentBytes {
		return free, false, nil
	}
	p := make([]byte, headerSize)
	if _, err := f.ReadAt(p, 0); err != nil {
		return free, false, fmt.Errorf("wal: read %s: %w", SlotName(slot), err)
	}
	// A slot of unknown content is written from the start.
	if h, err := decodeHeader(p); err == nil && h.store == o.Store && h.bytes <= size {
		free.proven, free.uid, sealed = h.bytes, h.uid, h.keyID != 0
	}
	return free, sealed, nil
}

// put makes a slot free.
func (s *slotSet) put(f freeSlot) {
	s.taken[f.slot] = true
	at, _ := slices.BinarySearchFunc(s.free, f, func(a, b freeSlot) int { return cmp.Compare(a.proven, b.proven) })
	s.free = slices.Insert(s.free, at, f)
}

// take returns the free slot with the most written bytes, or a new one.
func (s *slotSet) take() freeSlot {
	if n := len(s.free); n > 0 {
		f := s.free[n-1]
		s.free = s.free[:n-1]
		return f
	}
	for slot := Slot(1); ; slot++ {
		if !s.taken[slot] {
			s.taken[slot] = true
			return freeSlot{slot: slot, fresh: true}
		}
	}
}

// keepFree is how many free slots stay on disk: at the default sizes somewhat more than
// the flush of a memtable frees at once, so that a log in steady use writes no new ones.
const keepFree = 8

// excess takes out the smallest free slot if there are more than keepFree.
func (s *slotSet) excess() (freeSlot, bool) {
	if len(s.free) <= keepFree {
		return freeSlot{}, false
	}
	f := s.free[0]
	s.free = slices.Delete(s.free, 0, 1)
	return f, true
}

// forget makes the name of a removed slot free for a new file.
func (s *slotSet) forget(f freeSlot) { delete(s.taken, f.slot) }

// removeFile unlinks a slot's file.
func removeFile(o Options, f freeSlot) error {
	err := o.FS.Remove(slotPath(o.Dir, f.slot))
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return fmt.Errorf("wal: remove slot: %w", err)
	}
	return nil
}

// errRepeats: what tells the lives of a slot apart (W2) does not.
var errRepeats = errors.New("the random source repeats itself")

// newHeader draws the identity of a new life of a slot.
func newHeader(o Options, num SegmentNum, bytes int64) (header, error) {
	h := header{store: o.Store, num: num, bytes: bytes}
	var err error
	if h.uid, err = fileid.NewUID(o.Random); err != nil {
		return h, err
	}
	h.salt, err = seal.NewSalt(o.Random)
	return h, err
}
