package sstable

import "github.com/loamdb/loam/sstable/block"

// streamBytes is how much a no-fill iterator reads at a time.
const streamBytes = 512 << 10

// stream reads blocks for one iterator, in large pieces and past the cache. It
// verifies every block, each time. The zero stream is ready.
type stream struct {
	buf []byte // the piece of the file at off
	off int64
	raw []byte // payload of the last compressed block
	// opened is the last block of an encrypted table: the piece stays as it was read, for
	// another look.
	opened []byte
	// seen, if set, is shown every piece that is read.
	seen func(off int64, p []byte)
}

// forget drops what was read, for another file, and keeps the memory unless it became
// large.
func (s *stream) forget() {
	s.buf, s.off, s.raw, s.opened = keepSmall(s.buf), 0, keepSmall(s.raw), keepSmall(s.opened)
}

// piece returns the bytes at a place, valid until the next call. Data blocks lie in
// [headerLen, end).
func (s *stream) piece(r *Reader, at span, end int64) ([]byte, error) {
	if at.off < s.off || at.end() > s.off+int64(len(s.buf)) {
		// Going back, the piece ends with the block; going on, it begins with it.
		off := at.off
		if at.off < s.off {
			off = max(headerLen, min(at.off, at.end()-streamBytes))
		}
		n := min(max(at.end()-off, streamBytes), end-off)
		if int64(cap(s.buf)) < n {
			s.buf = make([]byte, n)
		}
		s.buf, s.off = s.buf[:n], off
		if err := r.readAt(s.buf, off); err != nil {
			s.buf = s.buf[:0]
			return nil, err
		}
		if s.seen != nil {
			s.seen(off, s.buf)
		}
	}
	from := at.off - s.off
	return s.buf[from : from+at.len], nil
}

// block returns block i of partition p, valid until the next call.
func (s *stream) block(r *Reader, p *partition, i int) (block.Block, error) {
	at, err := p.block(i, r.footer.ranges.off)
	if err != nil {
		return block.Block{}, r.corrupt(p.base, err)
	}
	sealed, err := s.piece(r, at, r.footer.ranges.off)
	if err != nil {
		return block.Block{}, err
	}
	if r.guard.Encrypted() {
		s.opened = append(s.opened[:0], sealed...)
		sealed = s.opened
	}
	payload, err := r.open(&s.raw, sealed, at, r.props.RawBytes)
	if err != nil {
		return block.Block{}, err
	}
	return r.decodeBlock(payload, at)
}

// partition returns partition m, the reader's if it keeps it.
func (s *stream) partition(r *Reader, m int) (*metaBlock, error) {
	if kept := r.meta[m].Load(); kept != nil {
		return kept, nil
	}
	payload, err := r.readSealed(r.top.partitions[m].at, 0)
	if err != nil {
		return nil, err
	}
	p, err := r.decodePartition(payload, m)
	if err != nil {
		return nil, err
	}
	return &metaBlock{data: payload, part: p, kept: true}, nil
}
