package wal

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// segment is a prepared segment with its files. The same descriptors stay open from
// its preparation to its retirement, so that no error of the device is reported to a
// descriptor that nobody asks.
type segment struct {
	Segment
	sums   checksummer
	sealer *seal.Sealer // nil: records are in clear
	bound  []byte       // the start of its header, which the link binds
	file   vfs.File
	dsync  vfs.File   // nil where the system has no O_DSYNC
	mapped vfs.Mapped // nil in mode Written
	limit  int64      // where batches must end: the close record always fits behind

	// Set when it becomes current, by Append's caller under Log.mu.
	base uint64 // position in the stream of its offset 0
	prev Link   // what its first record names
	// Set when the next one becomes current, under Log.mu. Zero before.
	length int64
	// A sync was asked for while it was current; under Log.mu.
	awaited bool
}

// overhead is how many bytes longer than its payload what a record stores is.
func (s *segment) overhead() int64 {
	if s.sealer == nil {
		return 0
	}
	return seal.Overhead
}

// streamEnd is the stream position of the segment's end, once it has one.
func (s *segment) streamEnd() uint64 { return s.base + uint64(s.length) }

// streamStart is the stream position of its first record, which equals the end of its
// predecessor.
func (s *segment) streamStart() uint64 { return s.base + headerSize }

// close closes what is open. It is safe on a partly opened segment.
func (s *segment) close() error {
	var errs []error
	if s.mapped != nil {
		errs = append(errs, s.mapped.Close())
	}
	if s.dsync != nil {
		errs = append(errs, s.dsync.Close())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	s.mapped, s.dsync, s.file = nil, nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("wal: close segment %d: %w", s.Num, err)
	}
	return nil
}

// errDevice marks a write or a sync that failed while a slot was prepared.
var errDevice = errors.New("wal: device")

// errStopped: the log is being closed, or has failed.
var errStopped = errors.New("wal: stopped")

// retryable reports whether a failed preparation leaves the log whole: it lacked
// space, or could not open something. A failed write or sync does not.
func retryable(err error) bool {
	return errors.Is(err, vfs.ErrNoSpace) || !errors.Is(err, errDevice)
}

// preparation readies one slot for one segment.
type preparation struct {
	o      Options
	mapped bool
	num    SegmentNum
	want   int64
	stop   func() bool // nil: never
}

// check returns errStopped once nothing more may be written: the log is being closed, or
// has failed (W6).
func (p *preparation) check() error {
	if p.stop != nil && p.stop() {
		return errStopped
	}
	return nil
}

// run writes the slot's blocks, then its header, each synced (W1). On an error
// nothing is open, and the slot's content is unknown.
func (p *preparation) run(slot freeSlot) (seg *segment, err error) {
	seg = &segment{}
	defer func() {
		if err != nil {
			_ = seg.close() // the slot is given up; err is the cause
			seg, err = nil, fmt.Errorf("wal: prepare %s: %w", SlotName(slot.slot), err)
		}
	}()
	name := slotPath(p.o.Dir, slot.slot)
	if slot.fresh {
		seg.file, err = p.o.FS.Create(name)
	} else {
		seg.file, err = p.o.FS.Open(name, vfs.ReadWrite)
	}
	if err != nil {
		return seg, err
	}
	bytes := max(p.want, slot.proven)
	written, err := unholed(seg.file, slot.proven)
	if err == nil {
		err = p.writeBlocks(seg.file, written, bytes)
	}
	if err != nil {
		return seg, err
	}
	h, err := newHeader(p.o, p.num, bytes)
	if err == nil && slot.proven > 0 && h.uid == slot.uid {
		err = errRepeats
	}
	if err == nil {
		seg.sealer, err = p.o.newSealer(&h)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return seg, err
	}
	page := h.encode()
	seg.bound = page[:boundBytes]
	if _, err = seg.file.WriteAt(page, 0); err != nil {
		return seg, fmt.Errorf("%w: %w", errDevice, err)
	}
	if err = p.check(); err != nil {
		return seg, err
	}
	if err = seg.file.Sync(); err != nil {
		return seg, fmt.Errorf("%w: %w", errDevice, err)
	}
	seg.Segment = Segment{Num: p.num, Slot: slot.slot, UID: h.uid, Bytes: bytes, Key: h.keyID}
	seg.sums.seed = recordSeed(h.uid)
	seg.limit = bytes - recordSize(closeSize+seg.overhead())
	return seg, p.openWays(seg, name)
}

// openWays opens the O_DSYNC descriptor and the mapping.
func (p *preparation) openWays(seg *segment, name string) error {
	var err error
	seg.dsync, err = p.o.FS.Open(name, vfs.ReadWriteDSync)
	if errors.Is(err, vfs.ErrNotSupported) {
		seg.dsync, err = nil, nil
	}
	if err != nil {
		return err
	}
	if p.mapped {
		seg.mapped, err = seg.file.Map(seg.Bytes, vfs.ReadWrite)
	}
	return err
}

// unholed returns proven if the file has written blocks up to there, and 0 otherwise. What
// a header says of them is true of the file that was written, and not of a copy that
// leaves out zeros ("cp --sparse", "tar"): a store into its holes would need space.
func unholed(f vfs.File, proven int64) (int64, error) {
	if proven == 0 {
		return 0, nil
	}
	hole, err := f.FirstHole()
	if err != nil || hole < proven {
		return 0, err
	}
	return proven, nil
}

// zeroBytes is how much of a slot is zeroed by one write; tests, whose slots are small, have less. On Linux the page
// cache of ext4 builds folios as large as the writes. The first store into each page of a clean folio costs the less the
// larger the folio is, but makes all of it dirty, and whatever is synced next, a record written through O_DSYNC too, brings
// all of it to the device. Measured with 4, 16, 32 KiB and 1 MiB: stores of 168 bytes after each other take 146, 64, 36
// and 22 ns; a store and a sync bring 4.4, 16.7, 33 and 1,049 KB to the device, the first three in the same time; a
// record through O_DSYNC alone 4.4 KB (docs/adr/0045-slots-zeroed-in-16-kib.md).
var zeroBytes int64 = 16 << 10

var zeros [16 << 10]byte

// A sync in between keeps the device's queue short for the commits that run beside.
const zeroSyncBytes = 4 << 20

// writeBlocks zero-writes [from, to) of a slot, and makes its content up to there and
// its directory entry durable. It does nothing when all of it is proven.
func (p *preparation) writeBlocks(f vfs.File, from, to int64) error {
	if from >= to {
		return nil
	}
	if err := f.Preallocate(from, to-from); err != nil && !errors.Is(err, vfs.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errDevice, err)
	}
	unsynced := int64(0)
	for off := from; off < to; off += zeroBytes {
		if err := p.check(); err != nil {
			return err
		}
		if _, err := f.WriteAt(zeros[:min(zeroBytes, to-off)], off); err != nil {
			return fmt.Errorf("%w: %w", errDevice, err)
		}
		if unsynced += zeroBytes; unsynced >= zeroSyncBytes {
			unsynced = 0
			if err := f.Sync(); err != nil {
				return fmt.Errorf("%w: %w", errDevice, err)
			}
		}
	}
	if err := p.check(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errDevice, err)
	}
	if err := p.check(); err != nil {
		return err
	}
	if from > 0 {
		return nil // the entry was synced before the header that proves [0, from) was written
	}
	if err := p.o.FS.SyncDir(p.o.Dir); err != nil {
		return fmt.Errorf("%w: %w", errDevice, err)
	}
	return nil
}

// Prepared is a segment that is ready but belongs to no log yet.
type Prepared struct {
	seg    *segment
	mapped bool
}

// Segment is what the owner lists in its manifest.
func (p *Prepared) Segment() Segment { return p.seg.Segment }

// Close gives the segment up. It is for an owner that does not go on to Open, and a
// no-op after it did.
func (p *Prepared) Close() error {
	if p.seg == nil {
		return nil
	}
	seg := p.seg
	p.seg = nil
	return seg.close()
}

// PrepareFirst readies the segment with which a process begins to write; num must be
// greater than every number the store ever listed. listed are all segments that the
// synced manifest lists: their slots are left alone, any other slot file in the
// directory may be used. The owner then lists the segment in the manifest edit that it
// syncs before Open. A failed PrepareFirst may be repeated.
func PrepareFirst(o Options, num SegmentNum, listed []Segment) (*Prepared, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if num == 0 || len(listed) > 0 && num <= listed[len(listed)-1].Num {
		return nil, fmt.Errorf("%w: segment number %d is not new", ErrInvalid, num)
	}
	mapped, err := o.mapped()
	if err != nil {
		return nil, err
	}
	slots, err := findSlots(o, listed)
	if err != nil {
		return nil, err
	}
	slot := slots.take()
	p := preparation{o: o, mapped: mapped, num: num, want: o.MinSegmentBytes}
	seg, err := p.run(slot)
	if err != nil {
		// What a failed write left in the slot is not trusted: its name is used again only
		// by a new file.
		return nil, errors.Join(err, removeFile(o, slot))
	}
	return &Prepared{seg: seg, mapped: mapped}, nil
}
