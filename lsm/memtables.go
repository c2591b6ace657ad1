package lsm

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/expiry"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/offheap"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/memtable"
	"github.com/loamdb/loam/wal"
)

// mutableTable is a memtable with its arena, its place in the log and its readers. It
// is written by the leader, then frozen by being replaced, then flushed.
type mutableTable struct {
	*memtable.Memtable

	region   *offheap.Region
	capacity int64
	arenas   *arenaPool

	// firstSegment is the log segment that was current when the memtable became the
	// mutable one: none of its entries are in an earlier segment.
	firstSegment wal.SegmentNum

	// Written by the leader, read by the flusher after the freeze.
	firstSeqNum keys.SeqNum // of the oldest entry
	lastSeqNum  keys.SeqNum // of the newest entry
	logical     int64       // bytes of keys and values
	deletes     int64       // entries that are tombstones
	operands    int64       // entries that are merge operands

	expiring *expiry.Builder // of the entries that expire; nil: none does
	soonest  int64           // expiry of the first of those that the expirer was not told of; 0: none
	madeAt   int64           // time of the last group before it
	// oldestMerge is the commit time of the oldest merge operand, 0 if there is none. Written
	// by the leader.
	oldestMerge atomic.Int64
	// firstExpiry and lastExpiry are the earliest and the latest expiry of an entry, 0 if none
	// expires. Written by the leader.
	firstExpiry, lastExpiry atomic.Int64

	// ranges are the range tombstones, replaced by the leader with each one more. A reader
	// loads them after its sequence number.
	ranges     atomic.Pointer[rangedel.Set]
	tombstones int64 // range tombstones written, by the leader
	counted    int   // pairs of ranges that the budget was told of, by the leader
	rangeBytes int64 // of their ends

	refs atomic.Int32 // read states that reach it
}

// empty reports whether nothing was written to it. Len counts points.
func (m *mutableTable) empty() bool { return m.lastSeqNum == 0 }

// The range tombstones of a memtable are no memory of the arena's, and have bounds of their own:
// some megabytes. There can be thrice as many pairs when a group lies over all that are there, and
// more of both where a group has more by itself: a few for each of its tombstones.
const (
	maxRangePairs = 32 << 10 // numbers of spans
	maxRangeBytes = 8 << 20  // of the ends of tombstones
)

// fits reports whether so many operations can be inserted, of which so many delete a range.
func (m *mutableTable) fits(ops, ranges int, bytes int64) bool {
	if !m.Fits(ops, int(bytes)) {
		return false
	}
	r := m.ranges.Load()
	return r == nil || r.Pairs()+r.Growth(ranges) < maxRangePairs && (ranges == 0 || m.rangeBytes+bytes <= maxRangeBytes)
}

// insertRange adds a range tombstone over [lower, upper), with a number above those of
// all before it. It copies the bounds. The readers are those that may exist now or later.
func (m *mutableTable) insertRange(lower, upper []byte, seq keys.SeqNum, readers rangedel.Readers) {
	if m.lastSeqNum == 0 {
		m.firstSeqNum = seq
	}
	m.lastSeqNum = seq
	m.tombstones++
	bounds := slices.Concat(lower, upper)
	n := len(lower)
	m.rangeBytes += int64(len(bounds))
	set := m.ranges.Load().With(bounds[:n:n], bounds[n:], seq, readers)
	m.ranges.Store(set)
	if by := set.Pairs() - m.counted; by >= countedPairs || by <= -countedPairs {
		m.counted += by
		m.arenas.countRanges(int64(by) * rangePairBytes)
	}
}

// The budget is told of the range tombstones of a memtable when so many more are there, or
// fewer, and of each of them this many bytes: a span, a number and two short bounds.
const (
	countedPairs   = 512
	rangePairBytes = 128
)

// insert adds an entry, whose number must be above those of all before it.
func (m *mutableTable) insert(key []byte, t keys.Trailer, value []byte) {
	m.insertBy(0, false, key, t, value)
}

// insertBy is insert by one of the memtable's fingers. With again the key is likely to be in the memtable: one
// that is deleted was often written a moment ago.
func (m *mutableTable) insertBy(finger int, again bool, key []byte, t keys.Trailer, value []byte) {
	if m.lastSeqNum == 0 {
		m.firstSeqNum = t.SeqNum()
	}
	m.lastSeqNum = t.SeqNum()
	if k := t.Kind(); k == keys.KindDelete {
		m.deletes++
	} else if k != keys.KindSet {
		m.noteTime(k, key, value)
	}
	if again {
		m.AddAgain(finger, key, t, value)
	} else {
		m.AddBy(finger, key, t, value)
	}
}

// memtableBytesFor is the size of a memtable that surely takes so many entries with so
// many bytes of keys and values.
func memtableBytesFor(ops int, bytes int64) int64 {
	if bytes > math.MaxInt/4 || ops > math.MaxInt/4/memtable.EntryOverhead {
		return math.MaxInt64 // too much, and on a 32-bit machine more than an int holds
	}
	return int64(memtable.RegionBytes(ops, int(bytes)))
}

// maxMutableBytes is the largest memtable: its offsets have 32 bits.
const maxMutableBytes = min(4<<30, math.MaxInt)

func (m *mutableTable) ref() { m.refs.Add(1) }

func (m *mutableTable) unref() {
	if m.refs.Add(-1) == 0 {
		m.arenas.countRanges(-int64(m.counted) * rangePairBytes)
		m.arenas.give(m.region, m.capacity)
	}
}

// arenaPool makes the memory of memtables, and keeps the arenas of flushed ones: first
// touches of fresh memory cost more than inserting into it. Only arenas of the full size
// are kept, at most two, and not by a store at rest.
type arenaPool struct {
	fullBytes int64
	// resized is told, under mu, how much memory the arenas and range tombstones take together,
	// before more is taken and after some was given back.
	resized func(total int64)

	mu     sync.Mutex
	kept   []*offheap.Region
	keep   bool  // a memtable was asked for since trim
	total  int64 // bytes of all arenas, kept ones included, and of ranges
	ranges int64 // bytes of range tombstones, those of open tables too
}

const maxKeptArenas = 2

func (p *arenaPool) take(n int64) (*offheap.Region, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep = true
	if n == p.fullBytes && len(p.kept) > 0 {
		r := p.kept[len(p.kept)-1]
		p.kept = p.kept[:len(p.kept)-1]
		return r, nil
	}
	p.resizeLocked(n)
	r, err := offheap.New(int(n))
	if err != nil {
		p.resizeLocked(-n)
	}
	return r, err
}

func (p *arenaPool) give(r *offheap.Region, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keep && n == p.fullBytes && len(p.kept) < maxKeptArenas {
		r.Poison() // readers have left, and must find nothing if they have not
		p.kept = append(p.kept, r)
		return
	}
	p.freeLocked(r, n)
}

// trim frees what the pool keeps, and lets it keep nothing until the next memtable is
// asked for.
func (p *arenaPool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.kept {
		p.freeLocked(r, p.fullBytes)
	}
	p.kept, p.keep = nil, false
}

// giveMemoryBack gives the system what memtables do not need now: kept arenas, and what of the
// mutable one was touched before it was last made. Called by the leader, when no burst of
// writes is to be expected.
func (d *DB) giveMemoryBack() {
	d.arenas.trim()
	offheap.Discard(d.mutable.Unused())
}

// close frees what the pool keeps, and makes it keep nothing more.
func (p *arenaPool) close() {
	p.trim()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fullBytes = -1
}

func (p *arenaPool) freeLocked(r *offheap.Region, n int64) {
	_ = r.Free() // unmapping our own mapping cannot fail; nothing could be done
	p.resizeLocked(-n)
}

// countRanges notes that range tombstones take more memory, or less.
func (p *arenaPool) countRanges(by int64) {
	if by == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ranges += by
	p.resizeLocked(by)
}

// rangeBytes returns what range tombstones take.
func (p *arenaPool) rangeBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ranges
}

func (p *arenaPool) resizeLocked(by int64) {
	p.total += by
	if p.resized != nil {
		p.resized(p.total)
	}
}

// shareBudget gives the block cache what memtables and range tombstones do not take: nearly
// all of the budget in a store that is read, the floor in one that is written as fast as it
// can be.
func (d *DB) shareBudget(others int64) { d.cache.SetLimit(d.opts.MemoryBudget - others) }

// newMutable makes an empty memtable of n bytes.
func (d *DB) newMutable(n int64, segment wal.SegmentNum) (*mutableTable, error) {
	region, err := d.arenas.take(n)
	if err != nil {
		return nil, err
	}
	return &mutableTable{
		Memtable:     memtable.New(region.Bytes(), d.heightSeed),
		region:       region,
		capacity:     n,
		arenas:       &d.arenas,
		firstSegment: segment,
		madeAt:       d.groupTime,
	}, nil
}
