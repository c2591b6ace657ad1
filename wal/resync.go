package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/vfs"
)

// SyncSegments makes durable what Replay has read: only then may the next log claim to
// stand on it.
//
// Syncing the files is not enough. A process whose sync failed leaves pages that read
// well, count as clean, and are not on the device; a later sync passes them over and
// succeeds. So what no claim covers is written again, the same bytes to the same place,
// and synced then.
func SyncSegments(o Options, rec *Recovery) error {
	for _, seg := range rec.Live {
		from, to := int64(headerSize), seg.Bytes
		switch {
		case seg.Num < rec.Synced.Segment:
			continue // a claim covers the segments before its own
		case seg.Num == rec.Synced.Segment:
			from = max(from, rec.Synced.Offset)
		}
		if seg.Num == rec.End.Num {
			to = rec.End.Length
		}
		if err := rewrite(o, seg, from, to); err != nil {
			return fmt.Errorf("wal: sync %s: %w", slotPath(o.Dir, seg.Slot), err)
		}
	}
	return nil
}

// rewrite writes the bytes [from, to) of a segment once more and syncs its file.
func rewrite(o Options, seg Segment, from, to int64) error {
	f, err := o.FS.Open(slotPath(o.Dir, seg.Slot), vfs.ReadWrite)
	if err != nil {
		return err
	}
	buf := make([]byte, min(max(to-from, 0), 256<<10))
	for err == nil && from < to {
		p := buf[:min(to-from, int64(len(buf)))]
		if _, err = f.ReadAt(p, from); err == nil {
			_, err = f.WriteAt(p, from)
		}
		from += int64(len(p))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// checkUnlisted looks for segments that were used but are not listed. A segment is
// listed durably before its first record is written, and numbers ascend: so a used one
// with a number above all listed ones says that the list is older than the log.
func (r *replayer) checkUnlisted() error {
	names, err := r.o.FS.List(r.o.Dir)
	if err != nil {
		return fmt.Errorf("wal: list directory: %w", err)
	}
	last, listed := SegmentNum(0), map[Slot]bool{}
	for _, seg := range r.live {
		last, listed[seg.Slot] = max(last, seg.Num), true
	}
	for _, name := range names {
		slot, ok := ParseSlotName(name)
		if !ok || listed[slot] {
			continue
		}
		num, used, err := r.peek(slot)
		if err != nil {
			return err
		}
		if used && num > last {
			return &CorruptionError{File: slotPath(r.o.Dir, slot), Segment: num, Err: errUnlisted}
		}
	}
	return nil
}

// peek reads the start of an unlisted slot: which segment of this store it held, and
// whether that was used.
func (r *replayer) peek(slot Slot) (num SegmentNum, used bool, err error) {
	f, err := r.o.FS.Open(slotPath(r.o.Dir, slot), vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("wal: open slot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size < minSegmentBytes {
		return 0, false, err
	}
	p := make([]byte, minSegmentBytes)
	if _, err := f.ReadAt(p, 0); err != nil {
		return 0, false, fmt.Errorf("wal: read slot: %w", err)
	}
	h, err := decodeHeader(p)
	if err != nil || h.store != r.o.Store {
		return 0, false, nil // a free slot may hold anything
	}
	r.scan.reset(f, Segment{Num: h.num, Slot: slot, UID: h.uid, Bytes: h.bytes}, nil)
	rec, ok := parseRecord(p[headerSize:], &r.scan.sums, h.num, headerSize, h.bytes)
	if !ok || !rec.mayBeLink() {
		return h.num, false, nil
	}
	// Its checksum will do, sealed or not: the key may be gone, and the number is all that counts.
	stored := p[headerSize+recordHeaderSize:][:rec.payloadLen]
	return h.num, codec.Checksum(0, stored) == rec.payloadCRC, nil
}
