package sstable

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// finishBlock ends the data block under construction; sep is its separator.
func (w *Writer) finishBlock(sep []byte) error {
	payload := w.block.Finish()
	w.props.Blocks++
	w.props.RawBytes += uint64(len(payload))
	at := w.appendSealed(payload, w.o.Codec)
	w.props.StoredBytes += uint64(at.len)
	w.index.add(sep, at, w.block.MaxSeqNum())
	w.block.Reset()
	w.bound = 0
	return w.fail(w.out.err)
}

// Finish writes what remains, syncs the file and returns what the table is. Nothing
// may be done with the writer afterwards. After an error the file is worthless.
func (w *Writer) Finish() (Meta, error) {
	if w.err != nil {
		return Meta{}, w.err
	}
	p := &w.props
	if p.Entries == 0 && p.Kinds[keys.KindRangeDelete].Entries == 0 {
		return Meta{}, w.fail(ErrEmpty)
	}
	if w.block.Len() > 0 {
		if err := w.finishBlock(w.lastKey); err != nil {
			return Meta{}, err
		}
	}
	f := footer{uid: w.o.UID, keyID: w.head.keyID, blocks: uint32(p.Blocks)}
	f.ranges.off = w.out.offset()
	if w.ranges.Len() > 0 {
		f.ranges = w.appendSealed(w.ranges.Finish(), w.o.Codec)
	}
	f.filterOff = w.out.offset()
	w.finishFilter()
	f.chunks = uint32(len(w.top.chunks))
	f.indexOff = w.out.offset()
	w.finishIndex()
	f.partitions = uint32(len(w.top.partitions))
	f.top = w.appendSealed(w.top.append(nil), block.CodecNone)
	if err := w.blobs.finish(p); err != nil {
		return Meta{}, w.fail(err)
	}
	w.finishProperties()
	f.props = w.appendSealed(p.append(nil), block.CodecNone)
	f.fileLen = f.props.end() + w.head.footerSpace()
	var err error
	w.out.buf, err = w.head.appendFooter(w.out.buf, &w.guard, &f)
	w.out.fail("seal", err)
	w.out.flush()
	w.out.sync()
	w.out.release()
	if w.out.err != nil {
		return Meta{}, w.fail(w.out.err)
	}
	w.err = ErrFinished
	return newMeta(w.out.written, w.out.digest.Sum64(), w.props), nil
}

// appendSealed seals a payload at the end of the file and returns its place.
func (w *Writer) appendSealed(payload []byte, codec block.Codec) span {
	off := w.out.offset()
	var err error
	w.out.buf, err = block.Seal(w.out.buf, codec, &w.guard, off, payload)
	w.out.fail("seal", err)
	at := span{off, w.out.offset() - off}
	w.out.flushIfFull()
	return at
}

// finishFilter writes the filter's chunks.
func (w *Writer) finishFilter() {
	if w.o.FilterBitsPerKey == 0 || w.props.Entries == 0 {
		return
	}
	if !mutant.Enabled || !mutant.Is(mutant.FilterOffByOne) {
		w.filter.Add(w.lastHash)
	}
	bits := w.filter.AppendTo(nil, w.o.FilterBitsPerKey)
	w.filter.Reset()
	w.props.Filter = FilterProps{Policy: filter.Policy, Hash: filter.HashID,
		BitsPerKey: uint64(w.o.FilterBitsPerKey), Lines: uint64(len(bits) / filter.LineBytes)}
	for len(bits) > 0 {
		n := min(len(bits), filter.ChunkBytes)
		w.top.chunks = append(w.top.chunks, w.appendSealed(bits[:n], block.CodecNone))
		bits = bits[n:]
	}
}

// finishIndex writes the partitions.
func (w *Writer) finishIndex() {
	w.index.cut()
	first := 0
	for _, b := range w.index.done {
		at := w.appendSealed(b.payload, block.CodecNone)
		w.top.partitions = append(w.top.partitions, partitionRef{last: b.last, at: at, first: first, count: b.blocks})
		first += b.blocks
	}
}

// finishProperties fills in what is known only at the end.
func (w *Writer) finishProperties() {
	p := &w.props
	p.Codec = uint8(w.o.Codec)
	if w.o.Scope != nil {
		w.scopes.finish(p, w.o.BlockBytes)
	}
	if p.Entries > 0 {
		p.Largest = bytes.Clone(w.lastKey)
	}
	if w.ranges.Len() == 0 {
		return
	}
	if p.Entries == 0 || bytes.Compare(w.firstLower, p.Smallest) < 0 {
		p.Smallest = w.firstLower
	}
	if p.Entries == 0 || bytes.Compare(w.lastRange.Upper, p.Largest) > 0 {
		p.Largest, p.LargestExclusive = bytes.Clone(w.lastRange.Upper), true
	}
}

func newMeta(size int64, digest uint64, p Properties) Meta {
	seqs := p.seqRange()
	return Meta{
		Size: size, Digest: digest,
		Smallest: p.Smallest, Largest: p.Largest, LargestExclusive: p.LargestExclusive,
		MinSeqNum: seqs.Min, MaxSeqNum: seqs.Max,
		Entries: p.Entries, Deletes: p.deletes(), RangeDeletes: p.Kinds[keys.KindRangeDelete].Entries,
		Props: p,
	}
}
