package memtable

import (
	"sync/atomic"
	"unsafe"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/prefetch"
)

// Invariants of the list. Tests name the one they try to break.
//
//   - M1. On every level, the nodes reachable from the head are strictly ascending by
//     keys.Compare, and are a subset of those of the level below.
//   - M2. A node's trailer, key, value and own links are complete before the first store
//     that makes it reachable. All later stores to it are atomic.
//   - M3. Levels are published from the bottom up, each by one atomic store, and the
//     backward link after level 0. A reader that finds a node on some level finds it on
//     every level below.
//   - M4. Every link holds the code of its target relative to the node that holds it,
//     as code.go defines it; code and target change together, in one word.
//   - M5. Nothing that is published is ever unlinked or moved: a node once reached stays
//     valid, and its links only ever move closer to it.
//   - M6. front + reserve ≤ back, where reserve covers the heights that past draws left
//     unused: what Fits promised, Add has.
//   - M7. The hash index is entered last, so that what it leads to is in the list. When Add returns, the entry is found by every operation that begins after,
//     forward and backward.
//   - M8. For each finger, node[i] is, on level i, the last node before the last one that it searched a place for, and
//     shared[i] the length of the prefix their user keys share, the head's being empty.

const (
	// EntryOverhead is how many bytes of the region one entry may take beyond its key and
	// value, the hash index aside: header, links, and what is set aside for taller nodes.
	EntryOverhead = nodeHeader + wordsPerEntry*8

	// A node has two links on average, fewer when keys ascend. Each entry pays for three,
	// and saves what it does not use, up to maxCredit, for the next tall one; a node is
	// never taller than what is saved. So the sum of heights is bounded, Fits need not
	// charge every entry for the tallest tower, and the bound cuts a tower about never.
	wordsPerEntry = 3
	maxCredit     = 48

	headBytes = nodeHeader + maxHeight*8
)

// RegionBytes returns the size of a region that takes so many entries with so many
// bytes of keys and values in all. It is about 16/15 of what the entries need: the
// rest is the hash index. RegionBytes(0, 0) is the least that New accepts.
func RegionBytes(entries, keyValueBytes int) int {
	// The slack: alignment of the region and of both ends of the index.
	need := headBytes + maxCredit*8 + 3*lineBytes + entries*EntryOverhead + keyValueBytes
	return need + need/(indexShare-1) + lineBytes
}

// Memtable is a sorted multi-version map in one region of memory.
//
// One goroutine at a time may call Add and Fits. All other methods may be called on any
// goroutine, at the same time.
type Memtable struct {
	// Constant after construction.
	base   unsafe.Pointer // of region
	region []byte

	height atomic.Int32 // levels in use, at least 1

	index index // its base and size are constant, too

	// Of the writer.
	front   int // first free byte of the node part
	back    int // first used byte of the data part
	credit  int // links paid for and not used
	random  uint64
	fingers [Fingers]finger
	inUse   int // fingers above are untouched
	newest  keys.Trailer
	beside  finger // no finger: the path of what is inserted without a search

	// Written by the writer, read by all.
	used  atomic.Int64
	count atomic.Int64

	hook func(point) // set by tests only, before use
}

// point is a place where a test may interrupt an operation.
type point uint8

const (
	pointLoad  point = iota // before a reader's or the writer's load of a link
	pointStore              // before a store of the writer that readers can see
)

// pause lets a test switch to another operation. Callers guard it with
// invariants.Enabled.
func (m *Memtable) pause(p point) {
	if m.hook != nil {
		m.hook(p)
	}
}

// New returns an empty memtable in region, which it owns until the caller, having seen
// the last reader out, uses the region again. The region need not be zeroed; it should
// be aligned to 8 bytes, must have at least RegionBytes(0, 0) bytes, and is used up to
// 4 GiB. The seed decides the heights of nodes; it should differ from store to store, so
// that nobody can choose keys that make the list slow.
func New(region []byte, seed uint64) *Memtable {
	// Atomic words of 64 bits need their alignment on every machine.
	region = region[misaligned(unsafe.Pointer(unsafe.SliceData(region)), 8):]
	if limit := uint64(maxRegion); uint64(len(region)) > limit {
		region = region[:limit]
	}
	m := &Memtable{
		base:   unsafe.Pointer(unsafe.SliceData(region)),
		region: region,
		back:   len(region),
		credit: maxCredit,
		random: seed*0x9e3779b97f4a7c15 | 1,
	}
	start := headBytes + misaligned(unsafe.Pointer(&region[headBytes]), lineBytes)
	m.index.lines = uint64(max(1, len(region)/indexShare/lineBytes))
	m.front = start + int(m.index.lines)*lineBytes
	m.index.base = unsafe.Pointer(&region[start])
	clear(region[start:m.front])

	clear(region[:nodeHeader])
	*(*uint32)(m.word(head, 2)) = maxHeight << keyLenBits
	for i := range maxHeight {
		m.initLink(head, i, endLink)
	}
	m.height.Store(1)
	m.used.Store(int64(m.front))
	return m
}

// misaligned returns how far p is below the next multiple of alignment.
func misaligned(p unsafe.Pointer, alignment uintptr) int {
	return int(-uintptr(p) & (alignment - 1))
}

// Fits reports whether as many more entries, with so many bytes of keys and values in
// all, surely have room. Numbers that do not fit an int's range are the caller's error.
func (m *Memtable) Fits(entries, keyValueBytes int) bool {
	free := m.back - m.front - m.credit*8
	return keyValueBytes <= free && entries <= (free-keyValueBytes)/EntryOverhead
}

// Add inserts an entry; key, of less than 16 MiB, and value are copied. The pair of key and trailer must be
// new, and Fits must have promised the room. Sequence numbers usually ascend, but any
// order is right. Readers see the entry when Add returns, and may see it before.
func (m *Memtable) Add(key []byte, t keys.Trailer, value []byte) { m.AddBy(0, key, t, value) }

// AddBy is Add by one of several fingers, 0 to Fingers-1. Where a batch has keys of several places, as a
// document and its index entries are, and the next batch has keys near to these, each of them finds its
// place from where the last of its kind is. Which finger is taken decides about speed and nothing else.
func (m *Memtable) AddBy(by int, key []byte, t keys.Trailer, value []byte) {
	m.add(by, false, key, t, value)
}

// add is AddBy, or AddAgain.
func (m *Memtable) add(by int, again bool, key []byte, t keys.Trailer, value []byte) {
	hash := keys.Hash(key)
	m.prefetchTargets(hash, len(key)+len(value))
	own := &m.fingers[by]
	f, height, found := &m.beside, 1, false
	if again || m.expectsAgain(own, key) {
		height, found = m.before(f, key, t, hash)
	}
	if !found {
		f = own
		m.inUse = max(m.inUse, by+1)
		m.locate(f, key, t)
		// The backward link of the next node will be stored: a miss of its own.
		prefetch.Line(m.word(nodeRef(m.link(f.node[0], 0)&offsetMask), 1))
		height = m.drawHeight(f, height)
	}
	n := nodeRef(m.front / 8)
	m.front += nodeHeader + height*8
	m.back -= len(key) + len(value)
	if invariants.Enabled && m.front+m.credit*8 > m.back {
		panic("memtable: Add without room (M6)")
	}
	if mutant.Enabled && mutant.Is(mutant.EarlyPublish) {
		clear(m.region[int(n)*8 : m.front])
		m.publish(f, n, key, height)
		m.fill(f, n, height, key, t, value)
	} else {
		m.fill(f, n, height, key, t, value)
		m.publish(f, n, key, height)
	}
	own.learn(n, m.enter(n, key, t, hash))
	m.newest = max(m.newest, t)
	f.last, f.lastHeight = n, height
	if (m.inUse > 1 || found) && !(mutant.Enabled && mutant.Is(mutant.StaleFinger)) {
		m.keepUp(f, key, t)
	}
	m.count.Store(m.count.Load() + 1)
	m.used.Store(int64(m.front + len(m.region) - m.back))
}

// prefetchTargets asks, before the search, for the lines that will be written after it.
// Each publishing store waits until all stores before it are done, so their misses would
// come after those of the search, not under them. Measured: the lines of node, key and
// value make 20 % of a random insert.
func (m *Memtable) prefetchTargets(hash uint64, size int) {
	prefetch.Line(unsafe.Pointer(m.index.slot(m.index.line(hash), 0)))
	prefetch.Line(unsafe.Add(m.base, m.front+EntryOverhead-8))
	// Of long values the processor fetches the rest itself.
	for i := lineBytes; i <= min(size, 4*lineBytes); i += lineBytes {
		prefetch.Line(unsafe.Add(m.base, m.back-i))
	}
}

// fill writes what of a node never changes (M2).
func (m *Memtable) fill(f *finger, n nodeRef, height int, key []byte, t keys.Trailer, value []byte) {
	data := m.region[m.back : m.back+len(key)+len(value)]
	copy(data, key)
	copy(data[len(key):], value)
	*(*keys.Trailer)(m.word(n, 0)) = t
	*(*uint32)(m.word(n, 1)) = uint32(m.back)
	*(*uint32)(unsafe.Add(m.word(n, 1), 4)) = uint32(f.node[0])
	*(*uint32)(m.word(n, 2)) = uint32(len(key)) | uint32(height)<<keyLenBits
	*(*uint32)(unsafe.Add(m.word(n, 2), 4)) = uint32(len(value))
}

// publish links n behind the nodes of the path.
func (m *Memtable) publish(f *finger, n nodeRef, key []byte, height int) {
	var after nodeRef
	for i := range height {
		old := m.link(f.node[i], i)
		if i == 0 {
			after = nodeRef(old & offsetMask)
		}
		m.initLink(n, i, m.linkBeyond(key, f.shared[i], old, f.over))
	}
	for i := range height {
		if invariants.Enabled {
			m.pause(pointStore)
		}
		m.storeLink(f.node[i], i, makeLink(makeCode(key, f.shared[i]), n))
		if i == 0 {
			if invariants.Enabled {
				m.pause(pointStore)
			}
			m.prevField(after).Store(uint32(n))
		}
	}
	if int32(height) > m.height.Load() {
		if invariants.Enabled {
			m.pause(pointStore)
		}
		m.height.Store(int32(height))
	}
}

// linkBeyond returns the link from a new node with this key to the target of old, a
// link from a node that shares `shared` bytes with the key and sorts before it. The node over
// has the same key, if it is not the head.
func (m *Memtable) linkBeyond(key []byte, shared int, old uint64, over nodeRef) uint64 {
	if target := nodeRef(old & offsetMask); target == over && over != head {
		return makeLink(makeCode(key, len(key)), target)
	}
	code := old >> offsetBits
	// Where the two differ before the last bytes that the code covers, the new node
	// differs from the target just where the old one did: the code stays (M4).
	if x := code ^ makeCode(key, shared); !firstByteEqual(x) {
		return old
	}
	target := nodeRef(old & offsetMask)
	if target == head {
		return old
	}
	if code == makeCode(key, shared) && shared >= wholeFrom(key) && m.keyLen(target) == len(key) {
		return makeLink(makeCode(key, len(key)), target) // another version
	}
	b := m.key(target)
	return makeLink(makeCode(b, commonPrefix(key, b, min(shared, maxShared))), target)
}

// Len returns the number of entries.
func (m *Memtable) Len() int { return int(m.count.Load()) }

// Empty reports whether there are no entries.
func (m *Memtable) Empty() bool { return nodeRef(m.link(head, 0)&offsetMask) == head }

// UsedBytes returns how many bytes of the region are taken.
func (m *Memtable) UsedBytes() int { return int(m.used.Load()) }

// Unused returns the part of the region that nothing is in yet, for the writer to discard: what
// it holds does not matter. It is the writer's until the next Add.
func (m *Memtable) Unused() []byte { return m.region[m.front:m.back] }

// CapacityBytes returns the size of the part of the region that is used.
func (m *Memtable) CapacityBytes() int { return len(m.region) }
