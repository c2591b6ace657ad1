package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Record is one batch of the log.
type Record struct {
	// Segment is where it begins: a memtable that it opens needs the log from there on.
	Segment SegmentNum
	// Slot and Offset say the same for messages: the file, and where in it, in bytes.
	Slot   Slot
	Offset int64
	// FirstSeqNum and Count number its operations.
	FirstSeqNum keys.SeqNum
	Count       uint32
	// CommitTime is in milliseconds since 1970.
	CommitTime uint64
	// Payload is valid until the callback returns.
	Payload []byte
}

// Replay reads the log in the listed segments, which ascend by number, and calls fn
// with each batch in order. It writes nothing. fn runs before the end of the log has
// been judged: when Replay returns an error, what fn received must be thrown away. An
// error of fn ends the replay and is returned as it is.
//
// Damage that a power cut explains ends the log there, and Recovery says so. Any other
// is a *CorruptionError.
func Replay(o Options, live []Segment, fn func(Record) error) (Recovery, error) {
	r := replayer{o: o, live: live, fn: fn, starts: make([]segmentStart, len(live))}
	for i := range live {
		if i > 0 && live[i].Num <= live[i-1].Num || live[i].Num == 0 {
			return Recovery{}, fmt.Errorf("%w: listed segments do not ascend", ErrInvalid)
		}
		if err := r.inspect(i); err != nil {
			return Recovery{}, err
		}
	}
	if err := r.checkLinks(); err != nil {
		return Recovery{}, err
	}
	if err := r.checkUnlisted(); err != nil {
		return Recovery{}, err
	}
	return r.run()
}

// segmentStart is what the first 8 KiB of a listed segment tell.
type segmentStart struct {
	used bool  // its first record is a valid link
	link Link  // what that names
	size int64 // bytes of the link record
	open *opener
	// What the scans found.
	batches  bool  // it holds at least a part of a batch that was delivered
	furthest int64 // where the furthest record seen ends
}

// replayer is the state of one Replay.
type replayer struct {
	o      Options
	live   []Segment
	fn     func(Record) error
	starts []segmentStart
	scan   scanner

	lastSeq  keys.SeqNum
	lastTime uint64
	claimed  Position // greatest claim seen
	open     openBatch
	closed   uint64 // greatest segment the close record knows; 0: no close record ends the log
}

// openBatch is a batch whose last fragment has not come yet.
type openBatch struct {
	active  bool
	skip    bool // its beginning lies before the first listed segment
	index   int  // segment of its first fragment
	off     int64
	head    record
	payload []byte
}

// corrupt makes the error for damage at off of segment i.
func (r *replayer) corrupt(i int, off int64, cause error) error {
	seg := r.live[i]
	return &CorruptionError{File: slotPath(r.o.Dir, seg.Slot), Segment: seg.Num, Offset: off, Synced: r.claimed, Err: cause}
}

// openSegment opens the file of segment i and checks that it can hold it.
func (r *replayer) openSegment(i int) (vfs.File, error) {
	name := slotPath(r.o.Dir, r.live[i].Slot)
	f, err := r.o.FS.Open(name, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, r.corrupt(i, 0, errMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("wal: open segment: %w", err)
	}
	size, err := f.Size()
	if err == nil && size < r.live[i].Bytes {
		err = r.corrupt(i, size, errLength)
	}
	if err != nil {
		_ = f.Close() // read only: nothing can be lost
		return nil, err
	}
	return f, nil
}

// inspect reads header and link record of segment i.
func (r *replayer) inspect(i int) error {
	seg := r.live[i]
	if seg.Bytes < minSegmentBytes || seg.Bytes > maxSegmentBytes {
		return fmt.Errorf("%w: listed segment %d has %d bytes", ErrInvalid, seg.Num, seg.Bytes)
	}
	f, err := r.openSegment(i)
	if err != nil {
		return err
	}
	defer f.Close()
	r.scan.reset(f, seg, nil)
	r.scan.ahead = minSegmentBytes
	p, err := r.scan.view(0, minSegmentBytes)
	if err != nil {
		return r.damaged(i, 0, err)
	}
	h, err := decodeHeader(p)
	switch {
	case errors.Is(err, ErrTooNew):
		return fmt.Errorf("wal: segment %d in %s: %w", seg.Num, slotPath(r.o.Dir, seg.Slot), err)
	case err != nil:
		return r.corrupt(i, 0, err)
	case h.store != r.o.Store || h.uid != seg.UID || h.num != seg.Num || h.bytes != seg.Bytes:
		return r.corrupt(i, 0, errIdentity)
	}
	s := &r.starts[i]
	s.furthest = headerSize
	if s.open, err = newOpener(r.o.OpenCipher, &h, p); err != nil {
		return fmt.Errorf("wal: segment %d in %s: %w", seg.Num, slotPath(r.o.Dir, seg.Slot), err)
	}
	// Killed by TestPlainSegmentsAreRefused.
	if h.keyID != seg.Key && !(mutant.Enabled && mutant.Is(mutant.IgnoreListedKey)) {
		return r.corrupt(i, 0, fmt.Errorf("%w: data key %d, listed with %d", seal.ErrAuth, h.keyID, seg.Key))
	}
	r.scan.open = s.open
	return r.firstLink(i, p)
}

// firstLink reads the link record of segment i, which begins with p.
func (r *replayer) firstLink(i int, p []byte) error {
	s, seg := &r.starts[i], r.live[i]
	rec, ok := parseRecord(p[headerSize:], &r.scan.sums, seg.Num, headerSize, seg.Bytes)
	if !ok || !rec.mayBeLink() {
		return nil
	}
	body, ok, err := r.scan.unseal(headerSize, p[headerSize:][:recordHeaderSize+rec.payloadLen], &rec)
	if err != nil {
		return r.damaged(i, headerSize, err)
	}
	if !ok {
		return nil
	}
	link, err := decodeLink(body)
	if err != nil {
		return r.corrupt(i, headerSize, err)
	}
	s.used, s.link, s.size = true, link, recordSize(int64(rec.payloadLen))
	return nil
}

// damaged turns an error of the scanner into one of Replay.
func (r *replayer) damaged(i int, off int64, err error) error {
	if errors.Is(err, errLength) || errors.Is(err, seal.ErrAuth) {
		return r.corrupt(i, off, err)
	}
	return err
}

// checkLinks compares every link with the segment listed before it. A valid link that
// names another segment is no crash's doing: segments are listed before they are used
// and dropped from the list oldest first.
func (r *replayer) checkLinks() error {
	// Killed by TestMissingMiddleSegmentIsCorruption.
	if mutant.Enabled && mutant.Is(mutant.SkipLink) {
		return nil
	}
	for i := 1; i < len(r.live); i++ {
		s, prev := &r.starts[i], r.live[i-1]
		if !s.used {
			continue
		}
		if s.link.Num != prev.Num || s.link.UID != prev.UID || s.link.Length < headerSize || s.link.Length > prev.Bytes {
			return r.corrupt(i, headerSize, errLink)
		}
	}
	return nil
}

// run scans the segments in order up to the end of the log.
func (r *replayer) run() (Recovery, error) {
	if len(r.live) > 0 {
		r.lastSeq = r.starts[0].link.LastSeqNum
	}
	for i := range r.live {
		st, err := r.segment(i)
		if err != nil {
			return Recovery{}, err
		}
		if st.cause == nil && st.closed == 0 {
			continue // it ends exactly where the next one's link says
		}
		if mutant.Enabled && r.goOn(i) {
			continue
		}
		r.closed = st.closed
		return r.end(i, st)
	}
	return Recovery{}, nil
}

// goOn is true for the planted bugs that read on where the log has ended.
func (r *replayer) goOn(i int) bool {
	if i+1 == len(r.live) || !r.starts[i+1].used {
		return false
	}
	// KeepAfterCut: killed by TestCutDiscardsLaterSegments.
	return mutant.Is(mutant.KeepAfterCut) || mutant.Is(mutant.SkipLink)
}

// stop says where and why the scan of a segment ended.
type stop struct {
	off    int64
	cause  error  // nil: at the length that the next segment's link gives, or closed
	closed uint64 // payload of the close record that ends the log
}

// segment delivers the batches of segment i.
func (r *replayer) segment(i int) (stop, error) {
	if !r.starts[i].used {
		return stop{off: headerSize, cause: errChecksum}, nil
	}
	limit := int64(0)
	if i+1 < len(r.live) && r.starts[i+1].used && !(mutant.Enabled && mutant.Is(mutant.SkipLink)) {
		limit = r.starts[i+1].link.Length
	}
	if i > 0 && r.starts[i].link.LastSeqNum != r.lastSeq && !(mutant.Enabled && mutant.Is(mutant.SkipLink)) {
		return stop{}, r.corrupt(i, headerSize, errLink)
	}
	f, err := r.openSegment(i)
	if err != nil {
		return stop{}, err
	}
	defer f.Close()
	r.scan.reset(f, r.live[i], r.starts[i].open)
	return r.records(i, limit)
}

// records reads segment i, which is open in r.scan, up to limit if that is not zero.
func (r *replayer) records(i int, limit int64) (stop, error) {
	off := headerSize + r.starts[i].size
	r.starts[i].furthest = off
	for {
		if limit != 0 && off == limit {
			return stop{off: off}, nil
		}
		rec, ok, err := r.scan.header(off)
		if err != nil {
			return stop{}, r.damaged(i, off, err)
		}
		if !ok {
			return stop{off: off, cause: errChecksum}, nil
		}
		size := recordSize(int64(rec.payloadLen))
		if limit != 0 && off+size > limit {
			return stop{off: off, cause: errLink}, nil
		}
		payload, ok, err := r.scan.payload(off, &rec)
		if err != nil {
			return stop{}, r.damaged(i, off, err)
		}
		if !ok {
			return stop{off: off, cause: errChecksum}, nil
		}
		if c := rec.claim(r.scan.num); r.claimed.less(c) {
			r.claimed = c
		}
		if rec.kind != typeBatch {
			cause, closed, err := r.control(i, off, &rec, payload)
			if err != nil || cause != nil {
				return stop{off: off, cause: cause}, err
			}
			if closed != 0 && limit == 0 {
				r.starts[i].furthest = off + size
				return stop{off: off + size, closed: closed}, nil
			}
			if closed != 0 && off+size != limit {
				return stop{off: off + size, cause: errAfterClose}, nil
			}
		} else if cause, err := r.batch(i, off, &rec, payload); err != nil || cause != nil {
			return stop{off: off, cause: cause}, err
		}
		off += size
		r.starts[i].furthest = off
	}
}

// control handles a record that is no batch. closed is the payload of a close record.
func (r *replayer) control(i int, off int64, rec *record, payload []byte) (cause error, closed uint64, err error) {
	switch {
	case rec.kind > typeClose:
		return nil, 0, fmt.Errorf("wal: record of type %d in segment %d: %w", rec.kind, r.live[i].Num, ErrTooNew)
	case r.open.active || rec.fragment != fragFull:
		return errFragment, 0, nil
	case rec.kind == typeLink:
		return errLink, 0, nil // only a segment's first record is one
	case rec.kind == typeMark:
		return nil, 0, nil
	}
	d := codec.NewDecoder(payload)
	closed = d.Uint64()
	if d.Err() != nil || d.Len() != 0 || closed < uint64(r.live[i].Num) {
		return errLength, 0, nil
	}
	return nil, closed, nil
}
