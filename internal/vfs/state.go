package vfs

import "fmt"

// State is what a power cut may leave. It never changes; any goroutine may use it.
type State struct {
	point int
	what  string
	sum   uint64
	image *image
}

// Point returns how many operations had returned when the power was cut.
func (s State) Point() int { return s.point }

// Hash returns a checksum of all names and contents. States of the same checksum hold
// the same files, be they of other points or other logs. Whether two names are links
// of one file does not enter into it.
func (s State) Hash() uint64 { return s.sum }

// String says how the state came about, such as "after 17: prefix 3/5".
func (s State) String() string { return fmt.Sprintf("after %d: %s", s.point, s.what) }

// Mem returns a new file system with this content, which logs nothing. Content is
// shared until written, so this costs about as much as there are files.
func (s State) Mem() *Mem { return s.image.mem(false) }

// CrashMem is Mem with a log: for a second power cut, inside recovery from the first.
// All content of the state is durable.
func (s State) CrashMem() *Mem { return s.image.mem(true) }

// StateOptions say how many states of a point are produced. The zero value is usable.
type StateOptions struct {
	// Seed chooses the random states, and which bytes stand in blocks never written.
	Seed uint64
	// Random is how many random subsets are added.
	Random int
	// Pending bounds the families "prefix", "all but one" and "only one" where more
	// operations than that are pending: the oldest, the newest and some between are
	// taken, operations on directories and on content apart. 0 means 16.
	Pending int
	// Cuts bounds at how many sector boundaries a write is torn. 0 means 8.
	Cuts int
	// Expect, when not 0, names what the caller demands of a state: for example one
	// more than the number of acknowledged commits. A content that was yielded
	// under the same Expect, at this point or an earlier one, is then not yielded
	// again. With 0 it is left out only within one point. It must change whenever
	// the demand does: the state that is fine before an acknowledgement may be the
	// loss after it.
	Expect uint64
}

// CrashCopy returns what a power cut now leaves when nothing that is pending made it:
// the state that a missing sync loses to. The copy logs nothing. It is nil when m
// logs nothing.
func (m *Mem) CrashCopy() *Mem {
	e := m.Explore()
	if e == nil {
		return nil
	}
	e.AdvanceTo(e.Len())
	im := e.build(nothing)
	im.freeze()
	return im.mem(false)
}

// Copy returns what a killed process leaves: every byte that was written, and no
// lock. The copy logs nothing. It is of one instant when m logs; otherwise each file
// is of one instant.
func (m *Mem) Copy() *Mem { return m.live().mem(false) }

// CopyDurable is Copy with a log, in which all content is durable: the start of a
// history that is to be explored from here on.
func (m *Mem) CopyDurable() *Mem { return m.live().mem(true) }

// live returns an image of what readers see.
func (m *Mem) live() *image {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.log != nil {
		m.log.mu.Lock()
		defer m.log.mu.Unlock()
	}
	im := newImage()
	var walk func(n *node)
	walk = func(n *node) {
		if !n.dir() {
			n.mu.Lock()
			n.data.freeze()
			im.inodes[n.ino] = &inode{data: n.data}
			n.mu.Unlock()
			return
		}
		entries := make(map[string]uint64, len(n.entries))
		for name, child := range n.entries {
			entries[name] = child.ino
			if im.inodes[child.ino] == nil {
				walk(child)
			}
		}
		im.inodes[n.ino] = &inode{entries: entries}
	}
	walk(m.root)
	return im
}
