package sstable

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// outputBytes is how much is gathered for one write. A system call for each block of
// 4 KiB would cost about a microsecond each, a twentieth of building the block's entries.
const outputBytes = 512 << 10

// output is the file under construction: bytes are appended, digested and written in
// large pieces. Its first error sticks.
type output struct {
	f       vfs.File
	buf     []byte // grows up to limit, so that a small table stays small in memory
	limit   int
	written int64
	digest  xxhash.Digest
	err     error
}

func (o *output) init(f vfs.File, limit int) {
	*o = output{f: f, limit: limit}
	o.digest.Reset()
}

// offset returns where in the file the next byte of buf goes.
func (o *output) offset() int64 { return o.written + int64(len(o.buf)) }

// flushIfFull writes buf once enough has gathered.
func (o *output) flushIfFull() {
	if len(o.buf) >= o.limit {
		o.flush()
	}
}

func (o *output) flush() {
	if o.err != nil || len(o.buf) == 0 {
		return
	}
	_, _ = o.digest.Write(o.buf) // never fails
	if _, err := o.f.WriteAt(o.buf, o.written); err != nil {
		if mutant.Enabled && mutant.Is(mutant.IgnoreFsyncTable) {
			err = nil
		}
		o.fail("write", err)
	}
	o.written += int64(len(o.buf))
	o.buf = o.buf[:0]
}

// sync makes what was written durable.
func (o *output) sync() {
	if o.err != nil {
		return
	}
	if mutant.Enabled && mutant.Is(mutant.SkipTableSync) {
		return
	}
	err := o.f.Sync()
	if mutant.Enabled && mutant.Is(mutant.IgnoreFsyncTable) {
		err = nil
	}
	o.fail("sync", err)
}

func (o *output) fail(op string, err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("sstable: %s: %w", op, err)
	}
}
