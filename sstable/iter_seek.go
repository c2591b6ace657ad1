package sstable

import (
	"bytes"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// SeekGE moves to the first entry within the bounds that does not sort before key and
// t. With keys.SeekTrailer(seq) that is the newest version of key that a reader at seq
// may see, if there is one.
func (it *Iter) SeekGE(key []byte, t keys.Trailer) bool {
	if !it.start() {
		return false
	}
	if it.o.Lower != nil && bytes.Compare(key, it.o.Lower) < 0 {
		key, t = it.o.Lower, seekAll
	}
	t = it.r.stored(t)
	// The target is often near: a key above the block's first and not above its last
	// lies in the block that is at hand, without a search of the index.
	if it.covers(key) {
		if it.rows.SeekGE(key, t) {
			return it.settle(+1)
		}
		if !it.toVersion(it.pi, it.bi+1, key, t) {
			return false
		}
	} else if !it.toKey(key, t, +1) {
		return false
	}
	for !it.rows.SeekGE(key, t) { // versions of key may go on in the next block (S4)
		if !it.toVersion(it.pi, it.bi+1, key, t) {
			return false
		}
	}
	return it.settle(+1)
}

// SeekLT moves to the last entry within the bounds whose user key is below key: the
// oldest version of that key.
func (it *Iter) SeekLT(key []byte) bool {
	if !it.start() {
		return false
	}
	if it.o.Upper != nil && bytes.Compare(key, it.o.Upper) > 0 {
		key = it.o.Upper
	}
	if !it.covers(key) && !it.toKey(key, seekAll, -1) {
		return false
	}
	for !it.rows.SeekLT(key) {
		if !it.toBlock(it.pi, it.bi-1, -1) {
			return false
		}
	}
	return it.settle(-1)
}

// start begins a positioning call.
func (it *Iter) start() bool {
	it.valid = false
	if it.r == nil {
		it.err = ErrClosed
	}
	return it.err == nil
}

// covers reports whether the first version of key, and the last entry below key, can
// only be in the current block.
func (it *Iter) covers(key []byte) bool {
	return it.hasBlock && it.view.CompareKey(0, key) < 0 &&
		it.view.CompareKey(it.view.Count()-1, key) >= 0
}

// settle ends a move in direction dir that found an entry.
func (it *Iter) settle(dir int) bool {
	it.valid = true
	switch {
	case dir > 0 && it.checkUpper:
		it.valid = it.belowUpper()
	case dir < 0 && it.checkLower:
		it.valid = it.notBelowLower()
	}
	return it.valid
}

func (it *Iter) belowUpper() bool    { return bytes.Compare(it.rows.Key(), it.o.Upper) < 0 }
func (it *Iter) notBelowLower() bool { return bytes.Compare(it.rows.Key(), it.o.Lower) >= 0 }

// toKey makes the block current in which entries at or above key and t begin or, in
// direction -1, in which the last entry below key may be.
func (it *Iter) toKey(key []byte, t keys.Trailer, dir int) bool {
	pi := it.r.top.search(key)
	if pi == len(it.r.top.partitions) {
		if dir > 0 || pi == 0 {
			return false
		}
		return it.toBlock(pi-1, it.r.top.partitions[pi-1].count-1, dir)
	}
	if !it.toPartition(pi) {
		return false
	}
	p := &it.part.part
	bi, equal, err := p.search(key)
	if err != nil {
		return it.fail(it.r.corrupt(it.r.top.partitions[pi].at.off, err))
	}
	if equal && dir > 0 {
		bi = p.passNewer(bi, t.SeqNum())
	}
	return it.toBlock(pi, bi, dir)
}

// toVersion makes block bi of partition pi current, which may be one behind the
// partition's last, but for blocks of newer versions of key only.
func (it *Iter) toVersion(pi, bi int, key []byte, t keys.Trailer) bool {
	if bi == it.r.top.partitions[pi].count {
		pi, bi = pi+1, 0
	}
	if pi == len(it.r.top.partitions) {
		it.valid = false
		return false
	}
	if !it.toPartition(pi) {
		return false
	}
	p := &it.part.part
	equal, err := p.separatorIs(bi, key)
	if err != nil {
		return it.fail(it.r.corrupt(it.r.top.partitions[pi].at.off, err))
	}
	if equal {
		bi = p.passNewer(bi, t.SeqNum())
	}
	return it.toBlock(pi, bi, +1)
}

// toBlock makes block bi of partition pi current; bi may be one outside of the
// partition, where the neighbour's first or last block is meant. Blocks that Above
// leaves out are passed in direction dir. It is false at the table's end and on error.
func (it *Iter) toBlock(pi, bi, dir int) bool {
	it.valid = false
	for {
		if bi < 0 {
			if pi--; pi < 0 {
				return false
			}
			bi = it.r.top.partitions[pi].count - 1
		}
		if pi >= len(it.r.top.partitions) {
			return false
		}
		if bi >= it.r.top.partitions[pi].count {
			pi, bi = pi+1, 0
			continue
		}
		if !it.toPartition(pi) {
			return false
		}
		if it.o.Above == 0 || it.part.part.maxSeq(bi)+it.r.o.Number > it.o.Above {
			break
		}
		bi += dir
	}
	if it.hasBlock && it.bi == bi {
		return true
	}
	return it.loadBlock(bi)
}

// toPartition makes partition pi current.
func (it *Iter) toPartition(pi int) bool {
	if it.part != nil && it.pi == pi {
		return true
	}
	it.dropBlock()
	it.dropPartition()
	m, err := it.r.meta[pi].Load(), error(nil)
	switch {
	case m != nil:
	case it.o.NoFill:
		m, err = it.stream.partition(it.r, pi)
	default:
		m, err = it.r.loadMeta(pi, &it.scratch)
	}
	if err != nil {
		return it.fail(err)
	}
	it.part, it.pi = m, pi
	return true
}

// loadBlock makes block bi of the current partition current.
func (it *Iter) loadBlock(bi int) bool {
	it.dropBlock()
	p := &it.part.part
	if it.o.NoFill {
		var err error
		if it.view, err = it.stream.block(it.r, p, bi); err != nil {
			return it.fail(err)
		}
	} else {
		slot := it.r.top.partitions[it.pi].first + bi
		h, ok := it.r.cached.Get(slot)
		if !ok {
			var err error
			if h, err = it.r.loadBlock(p, bi, slot); err != nil {
				return it.fail(err)
			}
		}
		it.h, it.view = h, block.View(h.Bytes())
	}
	it.hasBlock, it.bi = true, bi
	it.checkLower = it.o.Lower != nil && it.view.CompareKey(0, it.o.Lower) < 0
	it.checkUpper = it.o.Upper != nil && it.view.CompareKey(it.view.Count()-1, it.o.Upper) >= 0
	it.rows.Init(&it.view)
	return true
}

func (it *Iter) fail(err error) bool {
	if err = swallow(err); err == nil {
		return false
	}
	it.err = fmt.Errorf("sstable: iterate: %w", err)
	return false
}

func (it *Iter) dropBlock() {
	it.h.Release()
	it.hasBlock = false
}

func (it *Iter) dropPartition() {
	if it.part != nil {
		it.part.release()
		it.part = nil
	}
}

// drop releases everything and leaves the iterator without a position.
func (it *Iter) drop() {
	it.dropBlock()
	it.dropPartition()
	it.valid = false
}
