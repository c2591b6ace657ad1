package vfs

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// pageBytes is the unit of storage and of copy-on-write: small enough that a crash state which differs in
// one record costs one page.
const pageBytes = 4096

// maxFileBytes bounds the page table of one file, so that a wild length is an error
// and not an allocation.
const maxFileBytes = 1 << 36

type page [pageBytes]byte

// zeroPage is never written.
var zeroPage page

// pages is the content of one file: a table of pages, nil where nothing was written, zeroPage
// where whole pages of zeros were.
//
// A value may be copied once it is frozen; the copies then share table and pages, and
// each thaws, with its own table, when it is first written. Bytes of the last page
// beyond size are zero.
type pages struct {
	table   []*page
	foreign []bool   // foreign[i]: table[i] belongs to another copy too; nil: none does
	sums    []uint64 // sums[i]: checksum of page i, 0 unknown; nil where nobody asks
	size    int64
	frozen  bool
}

// freeze makes p safe to copy. It writes nothing when p is frozen already, so that
// copies of a frozen value may be frozen concurrently.
func (p *pages) freeze() {
	if !p.frozen {
		p.frozen = true
	}
}

// thaw gives p its own table; its pages stay shared until written.
func (p *pages) thaw() {
	if !p.frozen {
		return
	}
	p.table = append(make([]*page, 0, len(p.table)+1), p.table...)
	p.foreign = make([]bool, len(p.table), cap(p.table))
	for i := range p.foreign {
		p.foreign[i] = true
	}
	if p.sums != nil {
		p.sums = append(make([]uint64, 0, cap(p.table)), p.sums...)
	}
	p.frozen = false
}

// writable returns page i for writing. p is thawed.
func (p *pages) writable(i int) *page {
	pg := p.table[i]
	switch {
	case pg == nil:
		pg = new(page)
		p.table[i] = pg
	case pg == &zeroPage || p.foreign != nil && p.foreign[i]:
		pg = new(page)
		*pg = *p.table[i]
		p.table[i] = pg
	}
	if p.foreign != nil {
		p.foreign[i] = false
	}
	if p.sums != nil {
		p.sums[i] = 0
	}
	return pg
}

// resize sets the number of pages. p is thawed.
func (p *pages) resize(n int) {
	old := len(p.table)
	if n < old {
		clear(p.table[n:]) // let the pages go
		p.table = p.table[:n]
		if p.foreign != nil {
			p.foreign = p.foreign[:n]
		}
		if p.sums != nil {
			p.sums = p.sums[:n]
		}
		return
	}
	// Entries between length and capacity may be stale; append overwrites them.
	p.table = append(p.table, make([]*page, n-old)...)
	if p.foreign != nil {
		p.foreign = append(p.foreign, make([]bool, n-old)...)
	}
	if p.sums != nil {
		p.sums = append(p.sums, make([]uint64, n-old)...)
	}
}

func pageCount(size int64) int { return int((size + pageBytes - 1) / pageBytes) }

// readAt copies what there is of [off, off+len(b)) and returns its length.
func (p *pages) readAt(b []byte, off int64) int {
	if off >= p.size {
		return 0
	}
	if rest := p.size - off; int64(len(b)) > rest {
		b = b[:rest]
	}
	n := 0
	for n < len(b) {
		at := int((off + int64(n)) % pageBytes)
		var c int
		if pg := p.table[(off+int64(n))/pageBytes]; pg != nil {
			c = copy(b[n:], pg[at:])
		} else {
			c = copy(b[n:], zeroPage[at:])
		}
		n += c
	}
	return n
}

// writeAt writes b at off, extending the file. off+len(b) is at most maxFileBytes.
func (p *pages) writeAt(b []byte, off int64) {
	if len(b) == 0 {
		return
	}
	p.thaw()
	end := off + int64(len(b))
	if end > p.size {
		if n := pageCount(end); n > len(p.table) {
			p.resize(n)
		}
		p.size = end
	}
	for len(b) > 0 {
		i, n := int(off/pageBytes), pageBytes
		if off%pageBytes == 0 && len(b) >= pageBytes && bytes.Equal(b[:pageBytes], zeroPage[:]) {
			p.setZero(i)
		} else {
			n = copy(p.writable(i)[off%pageBytes:], b)
		}
		b, off = b[n:], off+int64(n)
	}
}

// setZero makes page i one of written zeros, of which logs and manifests are full when they are
// new: all such pages are the same one. p is thawed.
func (p *pages) setZero(i int) {
	p.table[i] = &zeroPage
	if p.sums != nil {
		p.sums[i] = zeroSum
	}
}

// truncate sets the length, at most maxFileBytes.
func (p *pages) truncate(size int64) {
	if size == p.size {
		return
	}
	p.thaw()
	n := pageCount(size)
	p.resize(n)
	if size < p.size && size%pageBytes != 0 && p.table[n-1] != nil {
		clear(p.writable(n - 1)[size%pageBytes:])
	}
	p.size = size
}

// restore sets the length, and makes pages [lo, hi) those of from, which is frozen.
func (p *pages) restore(from *pages, lo, hi int, size int64) {
	p.freeze() // which makes every page foreign, so that none of from's is written
	p.thaw()
	p.resize(pageCount(size))
	p.size = size
	for i := lo; i < min(hi, len(p.table)); i++ {
		p.table[i], p.foreign[i] = nil, true
		if p.sums != nil {
			p.sums[i] = 0
		}
		if i < len(from.table) {
			p.table[i] = from.table[i]
			if p.sums != nil && from.sums != nil {
				p.sums[i] = from.sums[i]
			}
		}
	}
}

// backed reports whether the page that holds off has ever been written.
func (p *pages) backed(off int64) bool {
	return off < p.size && p.table[off/pageBytes] != nil
}

// firstHole returns the offset of the first page that was never written, or the length.
func (p *pages) firstHole() int64 {
	for i, pg := range p.table {
		if pg == nil {
			return int64(i) * pageBytes
		}
	}
	return p.size
}

// mappedSize is how much of the file a mapping shows: whole pages.
func (p *pages) mappedSize() int64 { return int64(pageCount(p.size)) * pageBytes }

var zeroSum = xxhash.Sum64(zeroPage[:])

// hash returns a checksum of content and length. Holes and written zeros are equal.
// It remembers the checksums of pages, so that a second call after a small write is
// cheap; it therefore writes to p, and to copies only of a value that was never hashed.
func (p *pages) hash() uint64 {
	if p.sums == nil {
		p.sums = make([]uint64, len(p.table), cap(p.table))
	}
	sum := mix(uint64(p.size))
	for i, pg := range p.table {
		s := p.sums[i]
		if s == 0 {
			if s = zeroSum; pg != nil && pg != &zeroPage {
				s = xxhash.Sum64(pg[:])
			}
			p.sums[i] = s
		}
		if s != zeroSum {
			sum += mix(s + mix(uint64(i)))
		}
	}
	return sum
}

// mix is the finalizer of splitmix64: a bijection whose outputs look independent, so
// that sums of mixed values serve as checksums of sets.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func mixString(s string) uint64 { return xxhash.Sum64String(s) }

// randomBytes fills b from seed: the rubbish of a block that was never written.
func randomBytes(b []byte, seed uint64) {
	var word [8]byte
	for i := 0; i < len(b); i += 8 {
		seed = mix(seed)
		binary.LittleEndian.PutUint64(word[:], seed)
		copy(b[i:], word[:])
	}
}
