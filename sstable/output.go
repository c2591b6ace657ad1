package sstable

import (
	"fmt"
	"sync"

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
	buf     []byte
	limit   int
	written int64
	digest  xxhash.Digest
	err     error
}

// buffers are shared by all tables that are written: one that grew with its table left
// five times its length to the collector, most of the garbage of a store.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, outputBytes+64<<10) // the last block may pass the limit
	return &b
}}

func (o *output) init(f vfs.File, limit int) {
	*o = output{f: f, limit: limit, buf: (*buffers.Get().(*[]byte))[:0]}
	o.digest.Reset()
}

// release gives the buffer back. Nothing may be appended afterwards.
func (o *output) release() {
	if b := o.buf; cap(b) <= 2*outputBytes {
		buffers.Put(&b)
	}
	o.buf = nil
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
