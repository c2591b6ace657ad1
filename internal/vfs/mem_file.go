package vfs

import (
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
)

// memFile is an open file of a Mem.
type memFile struct {
	fs     *Mem
	node   *node
	name   string
	mode   OpenMode
	born   uint64 // fs.kills when it was opened
	closed atomic.Bool
}

// gone reports whether the file was closed or its process killed.
func (f *memFile) gone() bool { return f.closed.Load() || f.born != f.fs.kills.Load() }

func (n *node) size() int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.data.size
}

func (f *memFile) check(op string, write bool) error {
	switch {
	case f.gone():
		return pathError(op, f.name, fs.ErrClosed)
	case write && !f.mode.writes():
		return pathError(op, f.name, errReadOnly)
	}
	return nil
}

// ReadAt implements File.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, errNegative)
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.node.mu.RLock()
	n := f.node.data.readAt(p, off)
	f.node.mu.RUnlock()
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements File.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	switch {
	case off < 0:
		return 0, pathError("write", f.name, errNegative)
	case off > maxFileBytes-int64(len(p)):
		return 0, pathError("write", f.name, syscall.ENOSPC)
	}
	f.fs.write(f.node, p, off, f.mode == ReadWriteDSync)
	return len(p), nil
}

// write changes the content of n and logs it.
func (m *Mem) write(n *node, p []byte, off int64, dsync bool) {
	if len(p) == 0 {
		return
	}
	if m.log != nil {
		m.log.mu.Lock()
		defer m.log.mu.Unlock()
		m.log.append(op{kind: opWrite, ino: n.ino, off: off, data: keepBytes(p), dsync: dsync})
		if dsync {
			// Two operations: a power cut between them meets the write in flight.
			m.log.append(op{kind: opForce, ino: n.ino, off: int64(len(m.log.ops) - 1)})
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.data.writeAt(p, off)
	if dsync && m.log != nil {
		n.synced.writeAt(p, off)
	}
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	if err := f.check("truncate", true); err != nil {
		return err
	}
	switch {
	case size < 0:
		return pathError("truncate", f.name, errNegative)
	case size > maxFileBytes:
		return pathError("truncate", f.name, syscall.ENOSPC)
	}
	if log := f.fs.log; log != nil {
		log.mu.Lock()
		defer log.mu.Unlock()
		log.append(op{kind: opTruncate, ino: f.node.ino, off: size})
	}
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	f.node.data.truncate(size)
	return nil
}

// Preallocate implements File. Memory needs no blocks.
func (f *memFile) Preallocate(off, n int64) error {
	if err := f.check("preallocate", true); err != nil {
		return err
	}
	if off < 0 || n < 0 {
		return pathError("preallocate", f.name, errNegative)
	}
	return nil
}

// Sync implements File.
func (f *memFile) Sync() error {
	if err := f.check("sync", false); err != nil {
		return err
	}
	log := f.fs.log
	if log == nil {
		return nil
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	log.append(op{kind: opSync, ino: f.node.ino})
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	f.node.data.freeze()
	f.node.synced = f.node.data
	return nil
}

// failSync is what Faults calls in place of a Sync that is to fail: from now on a sync
// says nothing of the writes before. With drop they also vanish from what is read, as
// when the system has given up the dirty pages.
func (f *memFile) failSync(drop bool) {
	log := f.fs.log
	if log == nil {
		return
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	log.append(op{kind: opSyncFailed, ino: f.node.ino, drop: drop})
	if !drop {
		return
	}
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	f.node.synced.freeze()
	f.node.data = f.node.synced
}

// Size implements File.
func (f *memFile) Size() (int64, error) {
	if err := f.check("stat", false); err != nil {
		return 0, err
	}
	return f.node.size(), nil
}

// FirstHole implements File.
func (f *memFile) FirstHole() (int64, error) {
	if err := f.check("seek", false); err != nil {
		return 0, err
	}
	f.node.mu.RLock()
	defer f.node.mu.RUnlock()
	return f.node.data.firstHole(), nil
}

// Map implements File.
func (f *memFile) Map(size int64, mode OpenMode) (Mapped, error) {
	if err := f.check("map", mode != ReadOnly); err != nil {
		return nil, err
	}
	switch {
	case size < 0:
		return nil, pathError("map", f.name, errNegative)
	case size > f.node.size():
		return nil, pathError("map", f.name, errBeyond)
	}
	return &memMapped{fs: f.fs, node: f.node, name: f.name, size: size, mode: mode, born: f.born}, nil
}

// Close implements File.
func (f *memFile) Close() error {
	if f.gone() || f.closed.Swap(true) {
		return pathError("close", f.name, fs.ErrClosed)
	}
	return nil
}

// memMapped is a mapping of a file of a Mem. Stores are writes of the log like others.
type memMapped struct {
	fs     *Mem
	node   *node
	name   string
	size   int64
	mode   OpenMode
	born   uint64 // fs.kills when its file was opened
	closed atomic.Bool
}

// gone reports whether the mapping was closed or its process killed.
func (m *memMapped) gone() bool { return m.closed.Load() || m.born != m.fs.kills.Load() }

// inMapping checks that [off, off+n) lies in a mapping of size bytes.
func inMapping(off int64, n int, size int64) error {
	if off < 0 || int64(n) > size || off > size-int64(n) {
		return errOutside
	}
	return nil
}

// Load implements Mapped.
func (m *memMapped) Load(p []byte, off int64) error {
	if err := inMapping(off, len(p), m.size); err != nil {
		return pathError("load", m.name, err)
	}
	if m.gone() {
		return pathError("load", m.name, fs.ErrClosed)
	}
	m.node.mu.RLock()
	n := m.node.data.readAt(p, off)
	lost := off+int64(len(p)) > m.node.data.mappedSize()
	m.node.mu.RUnlock()
	if lost {
		return pathError("load", m.name, ErrFault)
	}
	clear(p[n:]) // the rest of the file's last page
	return nil
}

// Store implements Mapped.
func (m *memMapped) Store(off int64, p []byte) error {
	err := inMapping(off, len(p), m.size)
	switch {
	case err != nil:
	case m.gone():
		err = fs.ErrClosed
	case m.mode == ReadOnly:
		err = errReadOnly
	default:
		err = m.fs.store(m.node, p, off)
	}
	if err != nil {
		return pathError("store", m.name, err)
	}
	return nil
}

// store writes within the file; memory that the file has lost is a fault. In the rest of
// the file's last page there is memory, and no file behind it.
func (m *Mem) store(n *node, p []byte, off int64) error {
	if m.log != nil {
		m.log.mu.Lock()
		defer m.log.mu.Unlock()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if off+int64(len(p)) > n.data.mappedSize() {
		return ErrFault
	}
	p = p[:max(0, min(int64(len(p)), n.data.size-off))]
	if len(p) == 0 {
		return nil
	}
	if m.log != nil {
		m.log.append(op{kind: opWrite, ino: n.ino, off: off, data: keepBytes(p)})
	}
	n.data.writeAt(p, off)
	return nil
}

// Close implements Mapped.
func (m *memMapped) Close() error {
	if m.gone() || m.closed.Swap(true) {
		return pathError("unmap", m.name, fs.ErrClosed)
	}
	return nil
}
