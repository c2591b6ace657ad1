package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Mem is a file system in memory. It is what a store without files runs on, so every
// operation is cheap, and it is what power cuts are tried on: made by NewCrashMem or
// State.Mem it logs every mutating operation in one order, from which Explore produces
// what a power cut may leave.
//
// It keeps rules F1 to F5 and is stricter than any disk: an fsync of a file says
// nothing of its name, and Link, Rename and Remove are lost without SyncDir.
//
// All methods may be called from any number of goroutines. Paths are slash-separated;
// "a", "/a" and "./a" are the same file. The root directory exists from the start.
type Mem struct {
	// Lock order: mu, log.mu, node.mu.
	mu      sync.RWMutex // directories: entries of all nodes, and nextIno
	root    *node
	nextIno uint64

	log *opLog // nil: nothing is logged

	locks memLocks
	kills atomic.Uint64 // what was opened before the last one is dead
}

// node is a file or a directory.
type node struct {
	ino     uint64
	entries map[string]*node // directories only, guarded by Mem.mu; nil in a file

	mu     sync.RWMutex
	data   pages // guarded by mu
	synced pages // what the last sync left, guarded by mu; only when logging
}

func (n *node) dir() bool { return n.entries != nil }

const rootIno = 1

// NewMem returns an empty file system that logs nothing.
func NewMem() *Mem {
	return &Mem{root: &node{ino: rootIno, entries: map[string]*node{}}, nextIno: rootIno + 1}
}

// NewCrashMem returns an empty file system that logs every mutating operation.
func NewCrashMem() *Mem {
	m := NewMem()
	m.log = &opLog{base: newImage()}
	return m
}

// split returns the path's elements; none for the root.
func split(name string) []string {
	name = path.Clean("/" + filepath.ToSlash(name))[1:]
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// find returns the node at elems. Under mu.
func (m *Mem) find(elems []string) (*node, error) {
	n := m.root
	for _, e := range elems {
		if !n.dir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[e]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// parent returns the directory that holds name, and name's last element. Under mu.
func (m *Mem) parent(name string) (*node, string, error) {
	elems := split(name)
	if len(elems) == 0 {
		return nil, "", fs.ErrExist // the root has no parent and cannot be replaced
	}
	dir, err := m.find(elems[:len(elems)-1])
	if err != nil {
		return nil, "", err
	}
	if !dir.dir() {
		return nil, "", syscall.ENOTDIR
	}
	return dir, elems[len(elems)-1], nil
}

// file returns the file, not directory, at name. Under mu.
func (m *Mem) file(name string) (*node, error) {
	n, err := m.find(split(name))
	if err != nil {
		return nil, err
	}
	if n.dir() {
		return nil, errIrregular
	}
	return n, nil
}

// create makes a file. Under mu, held for writing.
func (m *Mem) create(name string) (*node, error) {
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, err
	}
	if dir.entries[base] != nil {
		return nil, fs.ErrExist
	}
	n := &node{ino: m.nextIno}
	m.nextIno++
	dir.entries[base] = n
	m.log.add(op{kind: opEnter, dir: dir.ino, name: base, ino: n.ino})
	return n, nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.create(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	return &memFile{fs: m, node: n, name: name, mode: ReadWrite, born: m.kills.Load()}, nil
}

// Open implements FS.
func (m *Mem) Open(name string, mode OpenMode) (File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.file(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &memFile{fs: m, node: n, name: name, mode: mode, born: m.kills.Load()}, nil
}

// Remove implements FS. Open files and mappings of the file go on.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	switch n := dir.entries[base]; {
	case n == nil:
		return pathError("remove", name, fs.ErrNotExist)
	case len(n.entries) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	delete(dir.entries, base)
	m.log.add(op{kind: opLeave, dir: dir.ino, name: base})
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldName, newName); err != nil {
		return pathError("rename", oldName+" to "+newName, err)
	}
	return nil
}

func (m *Mem) rename(oldName, newName string) error {
	from, oldBase, err := m.parent(oldName)
	if err != nil {
		return err
	}
	to, newBase, err := m.parent(newName)
	if err != nil {
		return err
	}
	n, target := from.entries[oldBase], to.entries[newBase]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case n == target:
		return nil // two names of one file: POSIX does nothing, and so do we
	case target != nil && target.dir() != n.dir():
		return fs.ErrExist
	case target != nil && len(target.entries) > 0:
		return syscall.ENOTEMPTY
	case n.dir() && slices.Equal(split(oldName), split(newName)[:min(len(split(oldName)), len(split(newName)))]):
		return syscall.EINVAL // a directory cannot move into itself
	}
	delete(from.entries, oldBase)
	to.entries[newBase] = n
	m.log.add(op{kind: opRename, dir: to.ino, name: newBase, from: from.ino, oldName: oldBase, ino: n.ino})
	return nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.link(oldName, newName); err != nil {
		return pathError("link", oldName+" to "+newName, err)
	}
	return nil
}

func (m *Mem) link(oldName, newName string) error {
	n, err := m.file(oldName)
	if err != nil {
		return err
	}
	dir, base, err := m.parent(newName)
	if err != nil {
		return err
	}
	if dir.entries[base] != nil {
		return fs.ErrExist
	}
	dir.entries[base] = n
	m.log.add(op{kind: opEnter, dir: dir.ino, name: base, ino: n.ino})
	return nil
}

// MkdirAll implements FS. Each directory it makes is an entry of its parent, durable
// only after SyncDir of that parent.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, e := range split(dir) {
		if !n.dir() {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		next := n.entries[e]
		if next == nil {
			next = &node{ino: m.nextIno, entries: map[string]*node{}}
			m.nextIno++
			n.entries[e] = next
			m.log.add(op{kind: opEnter, dir: n.ino, name: e, ino: next.ino, isDir: true})
		}
		n = next
	}
	if !n.dir() {
		return pathError("mkdir", dir, syscall.ENOTDIR)
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find(split(dir))
	if err == nil && !n.dir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	names := make([]string, 0, len(n.entries))
	for name := range n.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Size implements FS.
func (m *Mem) Size(name string) (int64, error) {
	m.mu.RLock()
	n, err := m.file(name)
	m.mu.RUnlock()
	if err != nil {
		return 0, pathError("stat", name, err)
	}
	return n.size(), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find(split(dir))
	if err == nil && !n.dir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("sync", dir, err)
	}
	m.log.add(op{kind: opSyncDir, dir: n.ino})
	return nil
}

// Kill ends the process that uses m, as the system ends one that is killed while the
// machine goes on: its files, mappings and locks are gone, and what it wrote is all
// there. Whatever was opened before fails with fs.ErrClosed from now on; what is pending
// stays pending, for the next process and for Explore. A call that runs meanwhile may
// still take effect, as the process's last.
func (m *Mem) Kill() {
	m.kills.Add(1)
	m.locks.drop()
}

// Traits implements FS.
func (m *Mem) Traits(dir string) (Traits, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find(split(dir)); err != nil {
		return Traits{}, pathError("statfs", dir, err)
	}
	return Traits{MappedStores: true, MappedLoads: true}, nil
}

// Lock implements FS. The holder's text is not part of what a power cut may leave: it
// is not logged, and the lock itself ends with the process.
func (m *Mem) Lock(name string, exclusive bool, holder string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file(name)
	if exclusive && errors.Is(err, fs.ErrNotExist) {
		n, err = m.create(name)
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	held, conflict := m.locks.take(n, exclusive, holder)
	if conflict != nil {
		conflict.Name = name
		return nil, conflict
	}
	if exclusive {
		n.mu.Lock()
		n.data.truncate(0)
		n.data.writeAt([]byte(holder), 0)
		n.mu.Unlock()
	}
	return held, nil
}
