package vfs

import (
	"fmt"
	"path"
)

// Explorer walks through the log of a Mem and produces, at each point, the states that
// a power cut there may leave.
//
// At point k the first k operations have been called and have returned. Those that a
// later operation, itself among the k, made durable are in every state: writes and
// truncations by a Sync of their file, entries by a SyncDir of their directory (F2,
// F3), a write through a DSync descriptor by its own return, which is an operation of
// its own: at the point between the two the write is in flight, and may be there in
// part or not at all (F4). The others are pending; a
// state contains any subset of them, applied in the order of the log. Entries and
// content are independent: a name may be durable while the file's content is not, and
// a file whose name is not durable cannot be reached. A rename is two halves, of which
// the disappearance of the old name never comes first. A failed sync leaves what it
// was for pending for ever, whatever later syncs say.
//
// The durable image is kept up to date while walking, and images share pages and
// inodes, so that a point costs about as much as it has states. An Explorer belongs to
// one goroutine. The States it yields may be used by any.
type Explorer struct {
	ops  []op
	k    int
	base *image    // what is durable, but for what settle held back
	live *image    // what a reader sees
	kept *image    // for each file, what a failed sync that drops writes goes back to
	pend []pending // in log order
	// refs counts the entries of base and the pending operations that name an inode.
	// Without one no state can reach it, and its operations do not matter.
	refs    map[uint64]int
	names   map[uint64]string // the last name of each inode, for descriptions
	blocked map[uint64]bool   // of settle

	dropped bool // live lacks something that is pending
	plain   bool // the last operation made nothing durable
	given   given
}

// pending is an operation of which something is not in base.
type pending struct {
	op     *op
	at     int   // its index in the log
	halves uint8 // those not in base
	forced uint8 // those of halves that are durable all the same
	orphan bool  // a sync failed: no later one makes it durable
}

// free returns the halves that a power cut may drop.
func (p *pending) free() uint8 { return p.halves &^ p.forced }

// object returns the inode that a half changes.
func (o *op) object(half uint8) uint64 {
	switch {
	case o.kind == opWrite || o.kind == opTruncate:
		return o.ino
	case half == leaveHalf:
		return o.from
	}
	return o.dir
}

// Explore returns an Explorer over the operations logged so far, at point 0, or nil
// when m logs nothing. m may go on meanwhile; what it logs later is not explored.
func (m *Mem) Explore() *Explorer {
	if m.log == nil {
		return nil
	}
	m.log.mu.Lock()
	ops := m.log.ops[:len(m.log.ops):len(m.log.ops)]
	m.log.mu.Unlock()
	e := &Explorer{
		ops: ops, base: m.log.base.fork(), live: m.log.base.fork(), kept: m.log.base.fork(),
		refs: map[uint64]int{}, names: map[uint64]string{}, blocked: map[uint64]bool{},
	}
	e.adopt(rootIno)
	return e
}

// adopt counts the entries of a directory of the image at the start.
func (e *Explorer) adopt(dir uint64) {
	for name, ino := range e.base.inodes[dir].entries {
		e.refs[ino]++
		e.names[ino] = path.Join(e.names[dir], name)
		if e.base.inodes[ino].dir() {
			e.adopt(ino)
		}
	}
}

// Len returns the number of operations, hence the last point.
func (e *Explorer) Len() int { return len(e.ops) }

// Point returns the point at which the explorer stands.
func (e *Explorer) Point() int { return e.k }

// AdvanceTo moves to point k, or to the last one when k lies beyond it. An explorer
// does not move backwards: a k that was passed changes nothing.
func (e *Explorer) AdvanceTo(k int) {
	for e.k < min(k, len(e.ops)) {
		e.step(e.k)
		e.k++
	}
}

// step takes in one operation.
func (e *Explorer) step(at int) {
	o := &e.ops[at]
	e.plain = true
	switch o.kind {
	case opWrite, opTruncate:
		e.live.apply(o, mainHalf)
		if e.refs[o.ino] == 0 {
			return
		}
		e.pend = append(e.pend, pending{op: o, at: at, halves: mainHalf})
	case opForce:
		e.forceWrite(o)
	case opEnter, opRename:
		e.enter(at)
	case opLeave:
		e.live.apply(o, mainHalf)
		e.pend = append(e.pend, pending{op: o, at: at, halves: mainHalf})
	case opSync:
		e.live.freeze()
		e.kept.inodes[o.ino] = e.live.inodes[o.ino]
		e.forceData(o.ino)
	case opSyncFailed:
		e.failSync(o)
	case opSyncDir:
		e.forceDir(o.dir)
	}
}

// enter takes in an operation that gives an inode a name.
func (e *Explorer) enter(at int) {
	o := &e.ops[at]
	halves := uint8(mainHalf)
	if o.kind == opRename {
		halves |= leaveHalf
	} else if e.live.inodes[o.ino] == nil {
		e.base.add(o.ino, o.isDir)
		e.live.add(o.ino, o.isDir)
		e.kept.add(o.ino, o.isDir)
	}
	e.refs[o.ino]++
	e.names[o.ino] = path.Join(e.names[o.dir], o.name)
	e.live.apply(o, mainHalf)
	if o.kind == opRename {
		e.live.apply(o, leaveHalf)
	}
	e.pend = append(e.pend, pending{op: o, at: at, halves: halves})
}

// isData reports whether o changes the content of the file ino.
func (o *op) isData(ino uint64) bool {
	return (o.kind == opWrite || o.kind == opTruncate) && o.ino == ino
}

// forceData makes the content of a file durable.
func (e *Explorer) forceData(ino uint64) {
	for i := range e.pend {
		if p := &e.pend[i]; p.op.isData(ino) && !p.orphan {
			e.force(p, mainHalf)
		}
	}
	e.settle()
}

// forceWrite makes one write durable: that of a DSync descriptor, which has returned.
func (e *Explorer) forceWrite(o *op) {
	if e.refs[o.ino] == 0 {
		return
	}
	for i := range e.pend {
		if p := &e.pend[i]; p.at == int(o.off) {
			e.force(p, mainHalf)
		}
	}
	e.kept.apply(&e.ops[o.off], mainHalf)
	e.settle()
}

// forceDir makes the entries of a directory durable. The old name of a rename goes
// only with the new one, in whatever directory that is.
func (e *Explorer) forceDir(dir uint64) {
	for i := range e.pend {
		p := &e.pend[i]
		switch kind := p.op.kind; {
		case kind == opRename && p.op.from == dir:
			e.force(p, mainHalf|leaveHalf)
		case kind == opRename || kind == opEnter || kind == opLeave:
			if p.op.dir == dir {
				e.force(p, mainHalf)
			}
		}
	}
	e.settle()
}

// force makes halves of a pending operation durable.
func (e *Explorer) force(p *pending, halves uint8) {
	if halves &= p.free(); halves != 0 {
		p.forced |= halves
		e.plain = false
	}
}

// settle moves into base what is durable. Something durable stays behind when an
// earlier pending operation changes the same file or directory: base is to be the
// state to which pending operations are applied in order.
func (e *Explorer) settle() {
	clear(e.blocked)
	kept := e.pend[:0]
	var lost []uint64
	for i := range e.pend {
		p := e.pend[i]
		for _, half := range [...]uint8{mainHalf, leaveHalf} {
			switch {
			case p.halves&half == 0:
			case p.forced&half == 0 || e.blocked[p.op.object(half)]:
				e.blocked[p.op.object(half)] = true
			default:
				if ino := e.base.apply(p.op, half); ino != 0 {
					lost = append(lost, ino)
				}
				p.halves &^= half
				p.forced &^= half
			}
		}
		if p.halves != 0 {
			kept = append(kept, p)
		}
	}
	clear(e.pend[len(kept):])
	e.pend = kept
	for _, ino := range lost {
		e.unref(ino)
	}
}

// unref takes one reference from an inode, and forgets it after the last.
func (e *Explorer) unref(ino uint64) {
	if e.refs[ino]--; e.refs[ino] > 0 {
		return
	}
	delete(e.refs, ino)
	n := e.base.inodes[ino]
	delete(e.base.inodes, ino)
	delete(e.live.inodes, ino)
	delete(e.kept.inodes, ino)
	kept := e.pend[:0]
	for _, p := range e.pend {
		if !p.op.isData(ino) {
			kept = append(kept, p)
		}
	}
	clear(e.pend[len(kept):])
	e.pend = kept
	for _, child := range n.entries {
		e.unref(child)
	}
}

// failSync takes in a sync that failed.
func (e *Explorer) failSync(o *op) {
	for i := range e.pend {
		if p := &e.pend[i]; p.op.isData(o.ino) {
			p.orphan = true
		}
	}
	if o.drop && e.refs[o.ino] > 0 {
		e.kept.freeze()
		e.live.inodes[o.ino] = e.kept.inodes[o.ino]
		e.dropped, e.plain = true, false
	}
}

// rebuild makes inodes of im what they are in base with those halves of pending
// operations that are durable or chosen. base is frozen.
func (e *Explorer) rebuild(im *image, chosen func(*pending) uint8, inos ...uint64) {
	for _, ino := range inos {
		im.inodes[ino] = e.base.inodes[ino]
	}
	for i := range e.pend {
		p := &e.pend[i]
		for _, half := range [...]uint8{mainHalf, leaveHalf} {
			if p.halves&half == 0 || !within(p.op.object(half), inos) {
				continue
			}
			if p.forced&half != 0 || chosen(p)&half != 0 {
				im.apply(p.op, half)
			}
		}
	}
}

func within(ino uint64, inos []uint64) bool {
	for _, i := range inos {
		if i == ino {
			return true
		}
	}
	return false
}

// Describe says what operation i of the log did, for messages of failed tests. Paths
// are those at the explorer's point.
func (e *Explorer) Describe(i int) string {
	o := &e.ops[i]
	file, dir := e.names[o.ino], e.names[o.dir]
	switch o.kind {
	case opWrite:
		how := "write"
		if o.dsync {
			how = "dsync write"
		}
		return fmt.Sprintf("%d: %s %s [%d,%d)", i, how, file, o.off, o.off+int64(len(o.data)))
	case opForce:
		return fmt.Sprintf("%d: end of dsync write %d to %s", i, o.off, file)
	case opTruncate:
		return fmt.Sprintf("%d: truncate %s to %d", i, file, o.off)
	case opSync:
		return fmt.Sprintf("%d: sync %s", i, file)
	case opSyncFailed:
		return fmt.Sprintf("%d: failed sync %s", i, file)
	case opEnter:
		return fmt.Sprintf("%d: enter %s", i, path.Join(dir, o.name))
	case opLeave:
		return fmt.Sprintf("%d: remove %s", i, path.Join(dir, o.name))
	case opRename:
		return fmt.Sprintf("%d: rename %s to %s", i, path.Join(e.names[o.from], o.oldName), path.Join(dir, o.name))
	}
	return fmt.Sprintf("%d: sync directory %s/", i, dir)
}
