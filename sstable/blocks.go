package sstable

import (
	"fmt"
	"sync"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// How blocks come into memory. A data block in the cache has been accepted by
// block.Decode before it was inserted, so that a hit needs block.View alone.

// metaBlock is an index partition or a filter chunk in the cache.
type metaBlock struct {
	h    cache.Handle
	data []byte
	part partition // of a partition
	kept bool      // held for the reader's life: release does nothing
}

func (m *metaBlock) release() {
	if !m.kept {
		m.h.Release()
	}
}

// loadMeta returns the m-th partition, or filter chunk after those, in *scratch. While
// the cache's share for them lasts it is kept for the reader's life instead: a lookup
// then costs one load of a pointer, and writes no cache line that others read.
func (r *Reader) loadMeta(m int, scratch *metaBlock) (*metaBlock, error) {
	at := r.metaSpan(m)
	h, err := r.metaHandle(m, at)
	if err != nil {
		return nil, err
	}
	*scratch = metaBlock{h: h, data: h.Bytes()}
	if m < len(r.top.partitions) {
		scratch.part, err = r.decodePartition(scratch.data, m)
	} else {
		err = r.checkChunk(m-len(r.top.partitions), scratch.data)
	}
	if err != nil {
		scratch.h.Release()
		return nil, err
	}
	if !r.o.Cache.Reserve(int(at.len)) {
		return scratch, nil
	}
	kept := new(metaBlock)
	*kept = *scratch
	kept.kept = true
	if r.meta[m].CompareAndSwap(nil, kept) {
		return kept, nil
	}
	r.o.Cache.Unreserve(int(at.len)) // another goroutine keeps it already
	return scratch, nil
}

// metaSpan returns where the m-th partition, or filter chunk after those, lies.
func (r *Reader) metaSpan(m int) span {
	if m < len(r.top.partitions) {
		return r.top.partitions[m].at
	}
	return r.top.chunks[m-len(r.top.partitions)]
}

func (r *Reader) metaHandle(m int, at span) (cache.Handle, error) {
	slot := int(r.footer.blocks) + m
	if h, ok := r.cached.Get(slot); ok {
		return h, nil
	}
	buf, err := r.readPlain(at)
	if err != nil {
		return cache.Handle{}, err
	}
	return r.cached.InsertKept(slot, buf), nil
}

// dropMeta gives back what loadMeta has kept.
func (r *Reader) dropMeta() {
	for i := range r.meta {
		if m := r.meta[i].Swap(nil); m != nil {
			m.h.Release()
			r.o.Cache.Unreserve(int(r.metaSpan(i).len))
		}
	}
}

// decodePartition decodes partition m and compares it with the top index.
func (r *Reader) decodePartition(payload []byte, m int) (partition, error) {
	ref := &r.top.partitions[m]
	p, err := decodePartition(payload)
	if err == nil && p.n != ref.count {
		err = fmt.Errorf("partition of %d blocks instead of %d: %w", p.n, ref.count, errMalformed)
	}
	if err != nil {
		return partition{}, r.corrupt(ref.at.off, err)
	}
	return p, nil
}

// checkChunk checks the length of filter chunk c.
func (r *Reader) checkChunk(c int, payload []byte) error {
	if r.filterLines > 0 && len(payload) != min(r.filterLines-c*filter.ChunkLines, filter.ChunkLines)*filter.LineBytes {
		return r.corrupt(r.top.chunks[c].off, fmt.Errorf("filter chunk of %d bytes: %w", len(payload), errLength))
	}
	return nil
}

// loadBlock reads block i of partition p, whose slot is slot, and enters it into the
// cache.
func (r *Reader) loadBlock(p *partition, i, slot int) (cache.Handle, error) {
	at, err := p.block(i, r.footer.ranges.off)
	if err != nil {
		return cache.Handle{}, r.corrupt(p.base, err)
	}
	var buf cache.Buf
	if block.Codec(r.props.Codec) == block.CodecNone {
		buf, err = r.readPlain(at)
	} else {
		buf, err = r.readCompressed(at)
	}
	if err != nil {
		return cache.Handle{}, err
	}
	if _, err := r.decodeBlock(buf.Bytes(), at); err != nil {
		buf.Discard()
		return cache.Handle{}, err
	}
	return r.cached.Insert(slot, buf), nil
}

func (r *Reader) decodeBlock(payload []byte, at span) (block.Block, error) {
	view, err := block.Decode(payload)
	if err != nil {
		return view, r.corrupt(at.off, err)
	}
	return view, nil
}

// readPlain reads a block that is stored as it is, straight into the cache's memory.
func (r *Reader) readPlain(at span) (cache.Buf, error) {
	buf, _ := r.o.Cache.Alloc(int(at.len))
	err := r.readAt(buf.Bytes(), at.off)
	if err == nil {
		_, err = r.open(nil, buf.Bytes(), at, 0)
	}
	if err != nil {
		buf.Discard()
		return cache.Buf{}, err
	}
	return buf.Truncate(int(at.len) - r.guard.TrailerLen()), nil
}

// scratches are buffers for blocks as they are stored. Misses of a compressed table
// would else leave the collector a block each.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// keptBytes is how large a buffer may be that is kept for other blocks: one value of a
// gibibyte would else hold as much memory for good.
const keptBytes = 4 << 20

// keepSmall returns b, without its content, or nil where it is too large to keep.
func keepSmall(b []byte) []byte {
	if cap(b) > keptBytes {
		return nil
	}
	return b[:0]
}

// readCompressed reads a block that may be compressed and decompresses it into the
// cache's memory.
func (r *Reader) readCompressed(at span) (cache.Buf, error) {
	scratch := scratches.Get().(*[]byte)
	defer func() {
		*scratch = keepSmall(*scratch)
		scratches.Put(scratch)
	}()
	if int64(cap(*scratch)) < at.len {
		*scratch = make([]byte, at.len)
	}
	sealed := (*scratch)[:at.len]
	if err := r.readAt(sealed, at.off); err != nil {
		return cache.Buf{}, err
	}
	var buf cache.Buf
	payload, err := block.Open(sealed, &r.guard, at.off, func(n int) []byte {
		if uint64(n) > r.props.RawBytes {
			return nil
		}
		buf, _ = r.o.Cache.Alloc(n)
		return buf.Bytes()
	})
	if err != nil {
		buf.Discard()
		return cache.Buf{}, r.refuse(at.off, err)
	}
	if buf.Bytes() == nil { // it was not worth compressing
		buf, _ = r.o.Cache.Alloc(len(payload))
		copy(buf.Bytes(), payload)
	}
	return buf, nil
}

// readSealed reads and opens the sealed block at a place. The payload, of at most
// limit bytes if it is compressed, is the caller's.
func (r *Reader) readSealed(at span, limit uint64) ([]byte, error) {
	sealed := make([]byte, at.len)
	if err := r.readAt(sealed, at.off); err != nil {
		return nil, err
	}
	var scratch []byte
	return r.open(&scratch, sealed, at, limit)
}

// open opens the sealed block that was read from a place. A compressed payload is
// decompressed into *scratch, which grows up to limit: the length in the block is not
// trusted with more (S6). Without a scratch nothing may be compressed. Of an encrypted
// table sealed is decrypted in place.
func (r *Reader) open(scratch *[]byte, sealed []byte, at span, limit uint64) ([]byte, error) {
	payload, err := block.Open(sealed, &r.guard, at.off, func(n int) []byte {
		if scratch == nil || uint64(n) > limit {
			return nil
		}
		if cap(*scratch) < n {
			*scratch = make([]byte, n)
		}
		return (*scratch)[:n]
	})
	if err != nil {
		return nil, r.refuse(at.off, err)
	}
	return payload, nil
}
