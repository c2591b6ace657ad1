package sstable_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

var errDevice = errors.New("the device says no")

// faultyFile fails its operation number failAt, counted from 0, with errDevice; with
// forEver also those after it.
type faultyFile struct {
	vfs.File
	failAt  int
	forEver bool
	ops     int
}

func (f *faultyFile) fault() error {
	n := f.ops
	f.ops++
	if n == f.failAt || f.forEver && n > f.failAt {
		return errDevice
	}
	return nil
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fault(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fault(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Sync() error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Size() (int64, error) {
	if err := f.fault(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultyFile) Map(size int64, mode vfs.OpenMode) (vfs.Mapped, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	m, err := f.File.Map(size, mode)
	return &faultyMap{m, f}, err
}

type faultyMap struct {
	vfs.Mapped
	f *faultyFile
}

func (m *faultyMap) Load(p []byte, off int64) error {
	if err := m.f.fault(); err != nil {
		return err
	}
	return m.Mapped.Load(p, off)
}

// A read that fails, whichever it is, is an error of what needed it; what did not need
// it answers rightly; an iterator keeps its error; and a later attempt succeeds.
func TestEveryFailedReadSurfaces(t *testing.T) {
	for _, codec := range []block.Codec{block.CodecNone, block.CodecZstd} {
		for _, mapped := range []bool{false, true} {
			tb := small(t, codec)
			step := 1
			if invariants.Enabled {
				step = 5
			}
			for at := 0; ; at += step {
				if !readWithFault(t, tb, at, mapped) {
					require.Greater(t, at, 10)
					break
				}
			}
		}
	}
}

// readWithFault opens and reads the table while its operation number at fails, and
// reports whether it came to that.
func readWithFault(t *testing.T, tb *table, at int, mapped bool) bool {
	t.Helper()
	inner, err := tb.fs.Open(tb.name, vfs.ReadOnly)
	require.NoError(t, err)
	f := &faultyFile{File: inner, failAt: at}
	o := readerOptions(&tb.meta, newCache(t, 0)) // nothing is cached: every access reads
	o.Mapped = mapped
	r, err := sstable.Open(f, o)
	if err != nil {
		require.ErrorIs(t, err, errDevice)
		require.NotErrorIs(t, err, sstable.ErrCorrupt)
		require.NoError(t, inner.Close())
		return true
	}
	defer func() { require.NoError(t, r.Close()) }()
	check := func(before int, err error) {
		t.Helper()
		if failed := before <= at && at < f.ops; failed {
			require.ErrorIs(t, err, errDevice)
			require.NotErrorIs(t, err, sstable.ErrCorrupt)
		} else {
			require.NoError(t, err)
		}
	}
	for i := 0; i < len(tb.entries); i += 9 {
		e := &tb.entries[i]
		before := f.ops
		out, _, found, err := r.Get(nil, e.key, filter.Hash(e.key), e.t.SeqNum())
		check(before, err)
		require.Equal(t, err == nil, found)
		require.Equal(t, err == nil, string(out) == string(e.value))
	}
	for _, noFill := range []bool{false, true} {
		var it sstable.Iter
		it.Init(r, sstable.IterOptions{NoFill: noFill})
		before, n := f.ops, 0
		for ok := it.First(); ok; ok = it.Next() {
			checkAt(t, &it, tb.entries, n, "scan")
			n++
		}
		check(before, it.Err())
		require.Equal(t, it.Err() == nil, n == len(tb.entries))
		if it.Err() != nil {
			require.False(t, it.First() || it.Last() || it.SeekGE(nil, 0) || it.SeekLT(nil) || it.Next() || it.Prev())
			require.ErrorIs(t, it.Close(), errDevice)
		}
		it.Init(r, sstable.IterOptions{NoFill: noFill})
		before = f.ops
		for ok := it.Last(); ok; ok = it.Prev() {
		}
		check(before, it.Close())
	}
	before := f.ops
	check(before, r.Verify(context.Background()))
	return f.ops > at
}

// A mapped table needs no descriptor, so that thousands of tables may be open.
func TestAMappedTableClosesItsFile(t *testing.T) {
	tb := small(t, block.CodecNone)
	for _, mapped := range []bool{false, true} {
		f, err := vfs.NewFaults(tb.fs, vfs.Rule{Kinds: vfs.OpMap, Err: vfs.ErrNotSupported}).Open(tb.name, vfs.ReadOnly)
		if mapped {
			f, err = tb.fs.Open(tb.name, vfs.ReadOnly)
		}
		require.NoError(t, err)
		file := &closedFile{File: f}
		o := readerOptions(&tb.meta, newCache(t, 1<<20))
		o.Mapped = true
		r, err := sstable.Open(file, o)
		require.NoError(t, err)
		require.Equal(t, mapped, file.closes == 1)
		require.NoError(t, r.Verify(context.Background()))
		checkGet(t, r, tb.entries, tb.entries[0].key, keys.MaxSeqNum)
		require.NoError(t, r.Close())
		require.Equal(t, 1, file.closes)
	}
}

// closedFile counts how often it was closed.
type closedFile struct {
	vfs.File
	closes int
}

func (f *closedFile) Close() error {
	f.closes++
	return f.File.Close()
}

func TestAFileThatShrankIsAnError(t *testing.T) {
	tb := small(t, block.CodecNone)
	f, err := tb.fs.Open(tb.name, vfs.ReadWrite)
	require.NoError(t, err)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	require.NoError(t, f.Truncate(200))
	_, _, _, err = r.Get(nil, []byte("key/050"), filter.Hash([]byte("key/050")), keys.MaxSeqNum)
	require.ErrorIs(t, err, sstable.ErrCorrupt)
	require.NoError(t, f.Close())
}

// A write or a sync that fails, whichever it is, fails the table, for ever.
func TestEveryFailedWriteFailsTheTable(t *testing.T) {
	value := make([]byte, 10_000)
	for at := 0; ; at++ {
		fs := vfs.NewMem()
		inner, err := fs.Create("t")
		require.NoError(t, err)
		f := &faultyFile{File: inner, failAt: at}
		w, err := sstable.NewWriter(f, options())
		require.NoError(t, err)
		var first error
		for i := range 200 {
			if first = w.Add([]byte{byte(i)}, keys.MakeTrailer(1, keys.KindSet), value); first != nil {
				break
			}
		}
		meta, err := w.Finish()
		if f.ops <= at {
			require.NoError(t, first)
			require.NoError(t, err)
			require.Equal(t, uint64(200), meta.Entries)
			require.Greater(t, at, 4, "several writes and a sync")
			return
		}
		require.ErrorIs(t, err, errDevice)
		if first != nil {
			require.Equal(t, first, err)
		}
		require.Zero(t, meta.Size)
		_, err = w.Finish()
		require.ErrorIs(t, err, errDevice, "the error sticks")
		require.ErrorIs(t, w.Add([]byte("z"), 1<<8|2, nil), errDevice)
		require.ErrorIs(t, w.AddRangeTombstone([]byte("y"), []byte("z"), keys.MakeTrailer(1, keys.KindRangeDelete)), errDevice)
		w.Abort()
	}
}

func TestFinishSyncsTheFile(t *testing.T) {
	fs := vfs.NewMem()
	inner, err := fs.Create("t")
	require.NoError(t, err)
	f := &syncedFile{File: inner}
	w, err := sstable.NewWriter(f, options())
	require.NoError(t, err)
	require.NoError(t, w.Add(nil, keys.MakeTrailer(1, keys.KindSet), nil))
	meta, err := w.Finish()
	require.NoError(t, err)
	require.Equal(t, meta.Size, f.synced, "all of it is durable")
}

// syncedFile knows how long the file was at its last sync.
type syncedFile struct {
	vfs.File
	end, synced int64
}

func (f *syncedFile) WriteAt(p []byte, off int64) (int, error) {
	f.end = max(f.end, off+int64(len(p)))
	return f.File.WriteAt(p, off)
}

func (f *syncedFile) Sync() error {
	f.synced = f.end
	return f.File.Sync()
}
