package fuzz

import (
	"path"
	"strings"
	"sync/atomic"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// census is a file system that counts what a history reaches, by the names of files. It
// shows that a history did what it was made for without asking the store.
type census struct {
	vfs.FS
	manifests, tables, blobs, slots, segments atomic.Int64
}

// manifestPrefix begins the names of manifest files.
const manifestPrefix = "MANIFEST-"

// Create implements vfs.FS.
func (c *census) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	if err != nil {
		return nil, err
	}
	base := path.Base(name)
	switch {
	case strings.HasPrefix(base, manifestPrefix):
		c.manifests.Add(1)
	case strings.HasSuffix(base, ".sst"):
		c.tables.Add(1)
	case strings.HasSuffix(base, ".blob"):
		c.blobs.Add(1)
	case isSlot(base):
		c.slots.Add(1)
		return &slotCensus{f, c}, nil
	}
	return f, nil
}

// Open implements vfs.FS.
func (c *census) Open(name string, mode vfs.OpenMode) (vfs.File, error) {
	f, err := c.FS.Open(name, mode)
	if err == nil && isSlot(path.Base(name)) {
		return &slotCensus{f, c}, nil
	}
	return f, err
}

func isSlot(base string) bool {
	_, ok := wal.ParseSlotName(base)
	return ok
}

// slotCensus counts the headers written to a slot of the log: one for each segment that
// has lived in it.
type slotCensus struct {
	vfs.File
	c *census
}

// WriteAt implements vfs.File.
func (s *slotCensus) WriteAt(p []byte, off int64) (int, error) {
	if off == 0 && len(p) > 0 && p[0] != 0 {
		s.c.segments.Add(1)
	}
	return s.File.WriteAt(p, off)
}
