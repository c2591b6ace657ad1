package vfs

import (
	"maps"
	"sync/atomic"
)

// image is a file system's durable content, or what some power cut leaves of it: a
// table of inodes, of which only those reachable from the root exist to a reader.
//
// Images share inodes. An inode is changed only by the image whose token it carries;
// freeze gives the image a new token, so that it copies whatever it changes next.
type image struct {
	token  uint64
	inodes map[uint64]*inode
	dirty  []*inode // inodes that carry the token
}

// inode is a file or a directory of an image.
type inode struct {
	token   uint64
	entries map[string]uint64 // nil in a file
	data    pages             // frozen whenever the inode is shared
	sum     uint64            // of data; 0 unknown
}

func (n *inode) dir() bool { return n.entries != nil }

var tokens atomic.Uint64

func newImage() *image {
	im := &image{token: tokens.Add(1), inodes: map[uint64]*inode{}}
	im.add(rootIno, true)
	im.freeze()
	return im
}

// add makes an empty inode, which no directory names yet.
func (im *image) add(ino uint64, dir bool) {
	n := &inode{token: im.token}
	if dir {
		n.entries = map[string]uint64{}
	}
	im.inodes[ino] = n
	im.dirty = append(im.dirty, n)
}

// freeze makes every inode safe to share.
func (im *image) freeze() {
	if len(im.dirty) == 0 {
		return
	}
	for _, n := range im.dirty {
		n.data.freeze()
	}
	im.dirty = im.dirty[:0]
	im.token = tokens.Add(1)
}

// fork returns a second image with the same content. im is frozen; fork does not
// write to it.
func (im *image) fork() *image {
	return &image{token: tokens.Add(1), inodes: maps.Clone(im.inodes)}
}

// clone is freeze and fork.
func (im *image) clone() *image {
	im.freeze()
	return im.fork()
}

// edit returns an inode for changing, nil when there is none.
func (im *image) edit(ino uint64) *inode {
	n := im.inodes[ino]
	if n == nil || n.token == im.token {
		return n
	}
	c := &inode{token: im.token, entries: maps.Clone(n.entries), data: n.data, sum: n.sum}
	im.inodes[ino] = c
	im.dirty = append(im.dirty, c)
	return c
}

// write is a write of an inode's content.
func (im *image) write(ino uint64, p []byte, off int64) {
	if n := im.edit(ino); n != nil {
		n.data.writeAt(p, off)
		n.sum = 0
	}
}

func (im *image) truncate(ino uint64, size int64) {
	if n := im.edit(ino); n != nil {
		n.data.truncate(size)
		n.sum = 0
	}
}

// The two halves of an operation. Only a rename has a second.
const (
	mainHalf  = 1 // the write, the truncation, the entry that comes or goes
	leaveHalf = 2 // of a rename: the old name goes
)

// apply does one half of an operation. It returns the inode that lost a name, 0 when
// none did.
func (im *image) apply(o *op, half uint8) (lost uint64) {
	switch {
	case o.kind == opWrite:
		im.write(o.ino, o.data, o.off)
	case o.kind == opTruncate:
		im.truncate(o.ino, o.off)
	case half == leaveHalf:
		lost = im.name(o.from, o.oldName, 0)
	case o.kind == opLeave:
		lost = im.name(o.dir, o.name, 0)
	default:
		lost = im.name(o.dir, o.name, o.ino)
	}
	return lost
}

// name sets an entry of a directory, or removes it when ino is 0, and returns what it
// named before.
func (im *image) name(dir uint64, name string, ino uint64) (lost uint64) {
	d := im.edit(dir)
	if d == nil {
		return 0
	}
	lost = d.entries[name]
	if ino == 0 {
		delete(d.entries, name)
	} else {
		d.entries[name] = ino
	}
	return lost
}

// hash returns a checksum of all names, and of the content of all files, that can be
// reached. It remembers what it computes in the inodes, so two images that share
// inodes must not be hashed concurrently; an image that was hashed may be read.
func (im *image) hash() uint64 { return im.hashOf(rootIno) }

func (im *image) hashOf(ino uint64) uint64 {
	n := im.inodes[ino]
	if !n.dir() {
		if n.sum == 0 {
			n.sum = n.data.hash()
		}
		return n.sum
	}
	sum := uint64(1)
	for name, child := range n.entries {
		sum += mix(mixString(name) + mix(im.hashOf(child)))
	}
	return mix(sum)
}

// mem returns a file system with the image's content. im is frozen and was hashed.
func (im *image) mem(logging bool) *Mem {
	m := NewMem()
	m.root = im.node(rootIno, map[uint64]*node{}, logging)
	for ino := range im.inodes {
		m.nextIno = max(m.nextIno, ino+1)
	}
	if logging {
		m.log = &opLog{base: im}
	}
	return m
}

// node returns the node of an inode and all below it; made holds those that exist, for
// files with two names.
func (im *image) node(ino uint64, made map[uint64]*node, logging bool) *node {
	if n := made[ino]; n != nil {
		return n
	}
	from := im.inodes[ino]
	n := &node{ino: ino}
	made[ino] = n
	if from.dir() {
		n.entries = make(map[string]*node, len(from.entries))
		for name, child := range from.entries {
			n.entries[name] = im.node(child, made, logging)
		}
		return n
	}
	n.data = from.data
	n.data.sums = nil
	if logging {
		n.synced = n.data
	}
	return n
}
