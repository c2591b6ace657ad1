package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/vfs"
)

// Read-ahead of a scan: small at first, so that a short log in a long slot opens
// fast, then large enough that the calls do not count.
const (
	firstReadAhead = 64 << 10
	lastReadAhead  = 1 << 20
)

// scanner reads one segment through a sliding window.
type scanner struct {
	file  vfs.File
	num   SegmentNum
	sums  checksummer
	open  *opener // nil: records are in clear
	end   int64   // the segment's length; the file is at least as long
	buf   []byte  // the window's memory, kept from segment to segment
	start int64   // offset of buf[0]
	valid int     // bytes of the window that are read
	ahead int64
	plain []byte // the payload that was opened last, kept like buf
}

// reset points the scanner at another segment. It keeps the window's memory.
func (s *scanner) reset(file vfs.File, seg Segment, open *opener) {
	*s = scanner{
		file: file, num: seg.Num, sums: checksummer{seed: recordSeed(seg.UID)}, end: seg.Bytes,
		open: open, buf: s.buf, plain: s.plain, ahead: firstReadAhead,
	}
}

// view returns the n bytes at off, off+n being at most the segment's end. They are
// valid until the next call.
func (s *scanner) view(off, n int64) ([]byte, error) {
	if i := off - s.start; i >= 0 && i+n <= int64(s.valid) {
		return s.buf[i : i+n : i+n], nil
	}
	if err := s.fill(off, n); err != nil {
		return nil, err
	}
	return s.buf[:n:n], nil
}

// fill moves the window to off and reads at least n bytes.
func (s *scanner) fill(off, n int64) error {
	size := min(max(n, s.ahead), s.end-off)
	s.ahead = min(2*s.ahead, lastReadAhead)
	kept := 0
	if i := off - s.start; i >= 0 && i < int64(s.valid) {
		kept = copy(s.buf, s.buf[i:s.valid])
	}
	if int64(cap(s.buf)) < size {
		grown := make([]byte, size)
		copy(grown, s.buf[:kept])
		s.buf = grown
	}
	s.buf = s.buf[:cap(s.buf)]
	s.start, s.valid = off, kept
	if size <= int64(kept) {
		return nil
	}
	m, err := s.file.ReadAt(s.buf[kept:size], off+int64(kept))
	if m < int(size)-kept {
		if err == nil || errors.Is(err, io.EOF) {
			return errLength
		}
		return fmt.Errorf("wal: read segment %d at offset %d: %w", s.num, off, err)
	}
	s.valid = int(size)
	return nil
}

// header returns the record header at off, if a valid one is there.
func (s *scanner) header(off int64) (record, bool, error) {
	if s.end-off < recordHeaderSize {
		return record{}, false, nil
	}
	p, err := s.view(off, recordHeaderSize)
	if err != nil {
		return record{}, false, err
	}
	r, ok := parseRecord(p, &s.sums, s.num, off, s.end)
	return r, ok, nil
}

// payload returns the payload of the record whose header r is at off, valid until the next
// call; ok is false if what is stored does not fit its checksum. Beside those of reading the
// error is seal.ErrAuth: what was stored is whole, and is not what was sealed there. No crash
// leaves that.
func (s *scanner) payload(off int64, r *record) (payload []byte, ok bool, err error) {
	p, err := s.view(off, recordHeaderSize+int64(r.payloadLen))
	if err != nil {
		return nil, false, err
	}
	return s.unseal(off, p, r)
}

// unseal is payload for the record p.
func (s *scanner) unseal(off int64, p []byte, r *record) (payload []byte, ok bool, err error) {
	stored := p[recordHeaderSize:]
	if codec.Checksum(0, stored) != r.payloadCRC {
		return nil, false, nil
	}
	if s.open == nil {
		return stored, true, nil
	}
	if s.plain == nil {
		s.plain = make([]byte, 0, len(stored))
	}
	// Not in place: a search for what is left may come back to these bytes.
	if s.plain, err = s.open.open(s.plain[:0], p, off); err != nil {
		return nil, false, err
	}
	return s.plain, true, nil
}

var zeroPage [4096]byte

// lookPast visits every record header it can find from off to the end of the segment,
// though what lies between is damaged, stale or zero. Pages of zeros are compared
// whole, and the rest is filtered by two bytes before any checksum: 64 MiB take some
// 20 ms as zeros and some 50 ms as the remains of an earlier life, reading included.
func (s *scanner) lookPast(off int64, visit func(off int64, r *record)) error {
	for off+recordHeaderSize <= s.end {
		n := min(int64(lastReadAhead), s.end-off)
		p, err := s.view(off, n)
		if err != nil {
			return err
		}
		off = s.lookIn(p, off, visit)
	}
	return nil
}

// lookIn searches the window p, which lies at off and holds at least one header, and
// returns where to go on, which is past off.
func (s *scanner) lookIn(p []byte, off int64, visit func(off int64, r *record)) int64 {
	i := 0
	for i+recordHeaderSize <= len(p) {
		// A header may begin in the last 8 bytes of a zero page: its checksums come first.
		if i+len(zeroPage) <= len(p) && p[i+12] == 0 && bytes.Equal(p[i:i+len(zeroPage)], zeroPage[:]) {
			i += len(zeroPage) - recordAlign
			continue
		}
		stop := min(i+len(zeroPage), len(p)-recordHeaderSize+1)
		for i < stop {
			if p[i+12]-1 < maxTypeSeen && p[i+13]-1 < fragLast {
				at := off + int64(i)
				if r, ok := parseRecord(p[i:], &s.sums, s.num, at, s.end); ok {
					visit(at, &r)
					size := recordSize(int64(r.payloadLen))
					if size > int64(len(p)-i) {
						return at + size
					}
					i += int(size)
					continue
				}
			}
			i += recordAlign
		}
	}
	return off + int64(i)
}
