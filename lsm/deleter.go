package lsm

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// deleter removes obsolete tables, slowly: unlinking gigabytes at once stalls the file
// system's journal, and with it every commit. A file comes here when a durable edit has
// removed it and the last reader is gone. What is not removed before the process ends
// is an orphan that comes here at the next opening.
type deleter struct {
	db    *DB
	alarm alarm

	mu    sync.Mutex
	files []obsoleteFile
}

type obsoleteFile struct {
	name  string
	bytes int64
}

// deletedBytesPerSec is the pace. It is above what flushes and compactions can write, so
// that the backlog always shrinks.
const deletedBytesPerSec = 1 << 30

func (t *deleter) add(name string, bytes int64) {
	t.mu.Lock()
	t.files = append(t.files, obsoleteFile{name, bytes})
	t.mu.Unlock()
	t.alarm.wake()
}

func (t *deleter) pop() (f obsoleteFile, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.files) == 0 {
		return f, false
	}
	f = t.files[0]
	t.files = t.files[1:]
	return f, true
}

func (t *deleter) loop() {
	ctx := t.db.background.ctx
	for t.alarm.wait(ctx, 0) {
		for f, ok := t.pop(); ok; f, ok = t.pop() {
			if mutant.Enabled && mutant.Is(mutant.DeleteAtClose) {
				t.add(f.name, f.bytes)
				return
			}
			t.remove(t.db, f)
			pause := time.Duration(f.bytes) * time.Second / deletedBytesPerSec
			if !sleep(ctx, pause) {
				return
			}
		}
	}
}

// drain removes what is left without pause, at Close.
func (t *deleter) drain(d *DB) {
	for f, ok := t.pop(); ok; f, ok = t.pop() {
		t.remove(d, f)
	}
}

func (t *deleter) remove(d *DB, f obsoleteFile) {
	if d.poison.err() != nil {
		return // after a failure nothing is certain: the next opening sorts it out
	}
	if err := d.opts.seams.FS.Remove(d.path(f.name)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		d.event("obsolete file not removed", "file", f.name, "cause", err)
		return
	}
	d.metrics.deletedFiles.Add(1)
	d.rotator.stepped()
}

// sleep returns false when the context ended first.
func sleep(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
