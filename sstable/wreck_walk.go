package sstable

import (
	"bytes"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// Next moves to the next entry that can be read.
func (w *Wreck) Next() bool {
	for w.err == nil {
		for w.left > 0 {
			i := w.next
			w.next++
			w.left--
			if w.take(i) {
				return true
			}
		}
		if !w.nextBlock() {
			break
		}
	}
	w.bound(nil)
	return false
}

// take makes entry i of the block the current one if it may stand there.
func (w *Wreck) take(i int) bool {
	key, t, value := w.view.AppendKey(w.spare[:0], i), w.view.Trailer(i), w.view.Value(i)
	w.spare = key
	if !validPoint(t.Kind(), value) || w.began && keys.Compare(w.key, w.trailer, key, t) >= 0 {
		if !w.rejected {
			w.rejected = true
			w.lose(Damage{Offset: w.pos, Entries: true, After: bytes.Clone(key), Through: bytes.Clone(key),
				Err: w.refuse(w.pos, fmt.Errorf("entry %d of the block before: %w", i, errOrder))})
		}
		return false
	}
	w.bound(key)
	w.key, w.spare = key, w.key
	w.trailer, w.value, w.began = t, value, true
	w.entries++
	return true
}

// bound gives the damage that was met since the last entry its bounds: that one's key, and
// the next one's, nil at the end.
func (w *Wreck) bound(next []byte) {
	for ; w.unbounded < len(w.damage); w.unbounded++ {
		d := &w.damage[w.unbounded]
		if !d.Entries || d.Ranges || d.After != nil || d.Through != nil {
			continue
		}
		if w.began {
			d.After = bytes.Clone(w.key)
		}
		d.Through = bytes.Clone(next)
	}
}

// nextBlock moves to the next data block that can be read.
func (w *Wreck) nextBlock() bool {
	for {
		if w.err = w.ctx.Err(); w.err != nil {
			w.err = fmt.Errorf("sstable: read %s: %w", w.o.Name, w.err)
			return false
		}
		switch {
		case w.open && w.bi < w.idx.n:
			if w.indexed() {
				return true
			}
		case w.open:
			w.open = false
			w.part++
		case w.scan.from < w.scan.to:
			if w.scanned() {
				return true
			}
		case w.footer != nil && w.top != nil && w.part < len(w.top.partitions):
			w.openPartition()
		case w.pos < w.dataEnd():
			w.scan = w.finderOver(w.pos, w.dataEnd())
			w.pos = w.scan.to
		case w.footer == nil && !w.tailSeen:
			// Nothing says that these were all the blocks.
			w.tailSeen = true
			w.lose(Damage{Offset: w.size, Entries: true, Err: w.refuse(w.size, fmt.Errorf("file ends: %w", errLength))})
		default:
			return false
		}
	}
}

// dataEnd is where data blocks end, as far as that is known.
func (w *Wreck) dataEnd() int64 {
	if w.footer != nil {
		return w.footer.ranges.off
	}
	return w.size
}

// openPartition opens the next partition that can be read. The blocks of those that cannot
// are looked for.
func (w *Wreck) openPartition() {
	for ; w.part < len(w.top.partitions); w.part++ {
		ref := &w.top.partitions[w.part]
		p, err := w.sealed(ref.at, 0)
		if err == nil {
			w.idxBuf = append(w.idxBuf[:0], p...)
			w.idx, err = decodePartition(w.idxBuf)
		}
		if err == nil && w.idx.base < w.pos {
			err = fmt.Errorf("partition begins at %d before %d: %w", w.idx.base, w.pos, errMalformed)
		}
		if err == nil {
			w.open, w.bi = true, 0
			break
		}
		w.lose(Damage{Offset: ref.at.off, Len: ref.at.len, Err: w.refuse(ref.at.off, err)})
		w.sep = append(w.sep[:0], ref.last...)
	}
	to := w.dataEnd()
	if w.open {
		to = min(to, w.idx.base)
	}
	if w.pos < to {
		// First what lies before the partition: its blocks are read once that is done.
		w.scan = w.finderOver(w.pos, to)
		w.open = false
		w.pos = to
	}
}

// indexed reads the next block of the open partition.
func (w *Wreck) indexed() bool {
	i := w.bi
	w.bi++
	d := Damage{Offset: w.idx.base, Entries: true, After: bytes.Clone(w.sep)}
	if suffix, err := w.idx.suffix(i); err == nil {
		w.sep = append(append(w.sep[:0], w.idx.prefix...), suffix...)
		d.Through = bytes.Clone(w.sep)
	}
	at, err := w.idx.block(i, w.dataEnd())
	if err == nil && at.off < w.pos {
		err = fmt.Errorf("block at %d within another: %w", at.off, errMalformed)
	}
	if err == nil {
		d.Offset, d.Len = at.off, at.len
		w.pos = at.end()
		var p []byte
		if p, err = w.sealed(at, w.rawLimit()); err == nil {
			err = w.enter(p)
		}
	}
	if err != nil {
		d.Err = w.refuse(d.Offset, err)
		w.lose(d)
	}
	return err == nil
}

// enter makes a payload the current block. Range tombstones among data blocks, as where
// nothing says where those end, join the others.
func (w *Wreck) enter(payload []byte) error {
	b, err := block.Decode(payload)
	if err != nil {
		return err
	}
	w.rejected = false
	if t := b.Trailer(0); t.Kind() == keys.KindRangeDelete {
		return w.addRanges(payload)
	}
	w.view, w.next, w.left = b, 0, b.Count()
	return nil
}

// rawLimit bounds a decompressed block. Where the properties are lost no block is taken to
// be much longer than its file.
func (w *Wreck) rawLimit() uint64 {
	if w.props != nil {
		return w.props.RawBytes
	}
	return uint64(max(64<<20, 32*w.size))
}
