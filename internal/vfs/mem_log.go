package vfs

import (
	"bytes"
	"sync"
)

// opKind is a kind of logged operation.
type opKind uint8

const (
	opWrite      opKind = iota + 1 // ino, off, data, dsync
	opTruncate                     // ino, off (the new length)
	opSync                         // ino
	opSyncFailed                   // ino, drop
	opEnter                        // dir, name → ino: create, link, mkdir
	opLeave                        // dir, name: unlink, rmdir
	opRename                       // dir, name → ino, and from, oldName gone
	opSyncDir                      // dir
	opForce                        // ino, off: the index of a dsync write, which has returned
)

// op is one mutating operation, in the order in which it took effect.
type op struct {
	kind          opKind
	dsync, drop   bool
	isDir         bool   // opEnter: ino is a new directory
	ino, dir      uint64 // the file; the directory
	from          uint64 // opRename: the directory it leaves
	off           int64
	name, oldName string
	data          []byte
}

// opLog is the log of a Mem. A nil log drops everything.
type opLog struct {
	// mu is held while an operation takes effect and is appended, so that the log's
	// order is the order that readers saw.
	mu   sync.Mutex
	ops  []op
	base *image // what is durable before the first operation; never changed
}

// add appends o; for operations on directories, whose order Mem.mu keeps already.
func (l *opLog) add(o op) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(o)
}

// append appends o under mu.
func (l *opLog) append(o op) { l.ops = append(l.ops, o) }

// zeroRun is never written. It is longer than what package wal zeroes by one write.
var zeroRun [64 << 10]byte

// keepBytes returns a copy of p that nobody writes. Zeros, which fill whole log
// segments, are all the same ones.
func keepBytes(p []byte) []byte {
	if len(p) <= len(zeroRun) && bytes.Equal(p, zeroRun[:len(p)]) {
		return zeroRun[:len(p):len(p)]
	}
	return bytes.Clone(p)
}

// Ops returns how many operations have been logged, hence the crash point that lies
// after all of them; 0 when nothing is logged. An operation that ended before the call
// is counted, and whatever it made durable is in every state of that point.
func (m *Mem) Ops() int {
	if m.log == nil {
		return 0
	}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	return len(m.log.ops)
}
