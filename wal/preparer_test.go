package wal_test

import (
	"bytes"
	"path"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// gatedFS stops the n-th sync of one file until the gate opens.
type gatedFS struct {
	vfs.FS
	name          string
	reached, gate chan struct{}

	mu sync.Mutex
	n  int
}

type gatedFile struct {
	vfs.File
	fs *gatedFS
}

func (g *gatedFS) Create(name string) (vfs.File, error) {
	f, err := g.FS.Create(name)
	if err != nil || path.Base(name) != g.name {
		return f, err
	}
	return gatedFile{f, g}, nil
}

func (f gatedFile) Sync() error {
	f.fs.mu.Lock()
	f.fs.n--
	stop := f.fs.n == 0
	f.fs.mu.Unlock()
	if stop {
		close(f.fs.reached)
		<-f.fs.gate
	}
	return f.File.Sync()
}

// A log whose sync has failed must write and register nothing more, but the preparer went
// on with the segment it was at: it wrote a header, synced it and listed the segment in
// the manifest of a store that had stopped.
func TestFailedSyncStopsThePreparer(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		for n := 1; n <= 2; n++ { // of the blocks, of the header
			faults := vfs.NewFaults(vfs.NewCrashMem())
			fs := &gatedFS{FS: faults, name: wal.SlotName(2), n: n, reached: make(chan struct{}), gate: make(chan struct{})}
			o := newOwner(fs, mode, 97)
			registered := 0
			register := o.opts.Register
			o.opts.Register = func(seg wal.Segment) error { registered++; return register(seg) }
			l, _, _ := o.mustOpen(t)
			appendAll(t, l, wal.WillSync, sequence(1, 10, 100)...) // enough to want a second segment
			<-fs.reached
			at, err := l.Append(batches(entry{11, 1, 10}), wal.WillSync)
			require.NoError(t, err)
			faults.Add(vfs.Rule{Kinds: vfs.OpSync, Err: errDisk})
			require.ErrorIs(t, l.Sync(at), wal.ErrFailed)
			before := faults.Count(vfs.OpWrites, "")
			close(fs.gate)
			require.ErrorIs(t, l.Close(), errDisk)
			require.Zero(t, registered)
			require.Equal(t, before+1, faults.Count(vfs.OpWrites, ""), "but for the sync under way")
		}
	})
}

// When no segment could be prepared ahead, nobody tried again before the current one was
// full, and then a commit had to wait for 64 MiB of zeros.
func TestPreparationAheadIsTriedAgain(t *testing.T) {
	faults := vfs.NewFaults(memFS())
	o := newOwner(faults, wal.Mapped, 98)
	o.opts.MinSegmentBytes, o.opts.MaxSegmentBytes = 64<<10, 64<<10
	registered := make(chan struct{})
	var once sync.Once
	register := o.opts.Register
	o.opts.Register = func(seg wal.Segment) error {
		once.Do(func() { close(registered) })
		return register(seg)
	}
	l, _, _ := o.mustOpen(t)
	before := l.Attempts()
	faults.Add(vfs.Rule{Kinds: vfs.OpCreate, Glob: wal.SlotName(2), Err: syscall.ENOSPC})
	const few = 400 // of 1200 that fit: more than an eighth, from which on one is wanted
	appendAll(t, l, wal.NoSync, sequence(1, few, 8)...)
	for l.Attempts() == before {
		runtime.Gosched() // nothing is appended until the first try is over
	}
	require.Len(t, faults.Fired(), 1)
	appendAll(t, l, wal.NoSync, sequence(1+few, few, 8)...)
	require.Equal(t, wal.SegmentNum(1), l.Current())
	<-registered
	require.NoError(t, l.Close())
}

// The header of a slot says that its blocks are written, which is not true of a copy that
// leaves out zeros. A store into a hole needs a new block, and on a full device it is a
// fault in the middle of a commit, which poisons.
func TestSlotsOfASparseCopyAreWrittenAnew(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 99)
	next := keys.SeqNum(1)
	for range 3 { // leaves free slots, and segments in use that were hardly filled
		l, _, _ := o.mustOpen(t)
		appendAll(t, l, wal.NoSync, sequence(next, 100, 100)...)
		next += 100
		require.NoError(t, o.drop(l, l.Current()))
		require.NoError(t, l.Close())
	}
	sparse := copySparsely(t, o.opts.FS)
	again := newOwner(sparse, wal.Mapped, 100)
	l, _, _ := again.mustOpen(t)
	reused := 0
	for range 6 {
		appendAll(t, l, wal.NoSync, sequence(next, 100, 100)...)
		next += 100
		for _, seg := range again.listed() {
			if seg.Num < l.Current() {
				continue // what came before this process is only read
			}
			f, err := sparse.Open(path.Join(storeDir, wal.SlotName(seg.Slot)), vfs.ReadOnly)
			require.NoError(t, err)
			hole, err := f.FirstHole()
			require.NoError(t, err)
			require.GreaterOrEqual(t, hole, seg.Bytes, "segment %d in slot %d", seg.Num, seg.Slot)
			require.NoError(t, f.Close())
			reused++
		}
		require.NoError(t, again.drop(l, l.Current()))
	}
	require.Positive(t, reused)
	require.NoError(t, l.Close())
}

func (o *owner) listed() []wal.Segment {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]wal.Segment(nil), o.list.Live...)
}

// copySparsely copies the store, but for blocks of zeros, as "cp --sparse=always" does.
func copySparsely(t *testing.T, from vfs.FS) vfs.FS {
	to := memFS()
	require.NoError(t, to.MkdirAll(storeDir))
	names, err := from.List(storeDir)
	require.NoError(t, err)
	for _, name := range names {
		p := readAll(t, from, name)
		f, err := to.Create(path.Join(storeDir, name))
		require.NoError(t, err)
		require.NoError(t, f.Truncate(int64(len(p))))
		for off := 0; off < len(p); off += 4096 {
			block := p[off:min(off+4096, len(p))]
			if !bytes.Equal(block, make([]byte, len(block))) {
				_, err = f.WriteAt(block, int64(off))
			}
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
	}
	return to
}
