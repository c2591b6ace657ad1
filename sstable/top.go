package sstable

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/codec"
)

// topIndex says where partitions and filter chunks lie. It is decoded once, when the
// table is opened, and lives on the heap: a few dozen bytes for 64 KiB of index.
type topIndex struct {
	partitions []partitionRef
	chunks     []span
}

// partitionRef is one partition's entry in the top index.
type partitionRef struct {
	last  []byte // separator of its last block
	at    span
	first int // ordinal of its first data block
	count int // data blocks
}

// search returns the first partition whose last separator is not below key, and
// len(t.partitions) if there is none.
func (t *topIndex) search(key []byte) int {
	lo, hi := 0, len(t.partitions)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(t.partitions[mid].last, key) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (t *topIndex) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.partitions)))
	for _, p := range t.partitions {
		dst = appendUvarints(dst, uint64(p.count), uint64(p.at.len))
		dst = codec.AppendLengthPrefixed(dst, p.last)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.chunks)))
	for _, c := range t.chunks {
		dst = binary.AppendUvarint(dst, uint64(c.len))
	}
	return dst
}

// decodeTop decodes the top index of the table whose footer is f, and checks that its
// counts and lengths add up to the footer's. The result owns its memory.
func decodeTop(b []byte, f *footer) (topIndex, error) {
	var t topIndex
	d := codec.NewDecoder(b)
	off, first := f.indexOff, 0
	for range decodeCount(&d, 3) {
		count, length := d.Uvarint(), d.Uvarint()
		last := d.LengthPrefixed()
		if d.Err() != nil {
			break
		}
		left := uint64(f.top.off - off)
		if count == 0 || count > uint64(f.blocks)-uint64(first) || length < minSealed || length > left {
			d.Fail(errMalformed)
			break
		}
		t.partitions = append(t.partitions, partitionRef{
			last: bytes.Clone(last), at: span{off, int64(length)}, first: first, count: int(count)})
		off += int64(length)
		first += int(count)
	}
	failIf(&d, off != f.top.off || uint64(first) != uint64(f.blocks) || len(t.partitions) != int(f.partitions))
	off = f.filterOff
	for range decodeCount(&d, 1) {
		length := d.Uvarint()
		if d.Err() != nil || length < minSealed || length > uint64(f.indexOff-off) {
			d.Fail(errMalformed)
			break
		}
		t.chunks = append(t.chunks, span{off, int64(length)})
		off += int64(length)
	}
	failIf(&d, off != f.indexOff || len(t.chunks) != int(f.chunks) || d.Len() != 0)
	if d.Err() != nil {
		return topIndex{}, fmt.Errorf("top index: %w", d.Err())
	}
	return t, nil
}
