package wal_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

const storeDir = "store"

// randomReader makes UIDs and salts repeatable.
type randomReader struct{ *rand.ChaCha8 }

func newRandom(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return randomReader{rand.NewChaCha8(key)}
}

// owner stands for the store that uses the log: it keeps the list of segments in a
// small manifest that it replaces atomically, as the engine does.
type owner struct {
	opts wal.Options

	mu   sync.Mutex
	list manifest
}

type manifest struct {
	Live    []wal.Segment
	Next    wal.SegmentNum // greater than any number listed so far
	Flushed keys.SeqNum    // batches up to here are in the tables, so to speak
}

var storeUID = fileid.UID{0x10, 0xa3}

// ring has the key of logs that are encrypted. sealed is a mode of tests alone: such a log,
// mapped.
const (
	ring   = sealtest.Ring(3)
	sealed = wal.Mode(0xff)
)

// newOwner returns the owner of a new log. It reads both forms, as an owner does that
// encrypts a store or stops to: the list says which segments are what.
func newOwner(fs vfs.FS, mode wal.Mode, seed uint64) *owner {
	o := &owner{opts: wal.Options{
		FS: fs, Dir: storeDir, Store: storeUID, Random: newRandom(seed), Mode: mode,
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10, OpenCipher: ring.Open,
	}}
	if mode == sealed {
		o.opts.Mode, o.opts.NewCipher = wal.Mapped, ring.New
	}
	o.opts.Register = func(seg wal.Segment) error {
		return o.edit(func(m *manifest) {
			if !slices.Contains(m.Live, seg) {
				m.Live = append(m.Live, seg)
			}
		})
	}
	return o
}

// edit changes the manifest durably: a new file, synced, renamed over the old one.
func (o *owner) edit(change func(*manifest)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := manifest{Live: slices.Clone(o.list.Live), Next: o.list.Next, Flushed: o.list.Flushed}
	change(&next)
	for _, seg := range next.Live {
		next.Next = max(next.Next, seg.Num+1)
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := o.replace(text); err != nil {
		return err
	}
	o.list = next
	return nil
}

func (o *owner) replace(text []byte) error {
	fs, tmp := o.opts.FS, path.Join(storeDir, "MANIFEST.tmp")
	if err := fs.Remove(tmp); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, path.Join(storeDir, "MANIFEST"))
	}
	if err == nil {
		err = fs.SyncDir(storeDir)
	}
	return err
}

// load reads the manifest; a store without one is new.
func (o *owner) load() (manifest, error) {
	if err := o.opts.FS.MkdirAll(storeDir); err != nil {
		return manifest{}, err
	}
	if err := o.opts.FS.SyncDir("."); err != nil {
		return manifest{}, err
	}
	f, err := o.opts.FS.Open(path.Join(storeDir, "MANIFEST"), vfs.ReadOnly)
	if errors.Is(err, vfs.ErrNotExist) {
		return manifest{Next: 1}, nil
	}
	if err != nil {
		return manifest{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return manifest{}, err
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return manifest{}, err
	}
	var m manifest
	err = json.Unmarshal(text, &m)
	return m, err
}

// entry is a batch as the tests see it.
type entry struct {
	First keys.SeqNum
	Count uint32
	Size  int
}

// payload is what entry e carries: a pattern that depends on its number.
func (e entry) payload() []byte {
	p := make([]byte, e.Size)
	for i := range p {
		p[i] = byte(uint64(e.First)*131 + uint64(i)*7 + uint64(i>>8))
	}
	return p
}

func (e entry) batch() wal.Batch {
	p := e.payload()
	return wal.Batch{
		Payload: p, PayloadCRC: wal.PayloadChecksum(p), FirstSeqNum: e.First, Count: e.Count, CommitTime: uint64(e.First) + 1000,
	}
}

func batches(entries ...entry) []wal.Batch {
	var out []wal.Batch
	for _, e := range entries {
		out = append(out, e.batch())
	}
	return out
}

var errWrongPayload = errors.New("a batch came back changed")

// replay reads the log that the manifest lists and writes nothing.
func (o *owner) replay() (wal.Recovery, []entry, error) {
	m, err := o.load()
	if err != nil {
		return wal.Recovery{}, nil, err
	}
	return o.replayList(m.Live)
}

// fileOf returns the name of the file that a position is in: of the others some may be made ahead just now.
func (o *owner) fileOf(t *testing.T, at wal.Position) string {
	t.Helper()
	m, err := o.load()
	require.NoError(t, err)
	for _, seg := range m.Live {
		if seg.Num == at.Segment {
			return wal.SlotName(seg.Slot)
		}
	}
	require.Fail(t, "no such segment", "%+v in %+v", at, m.Live)
	return ""
}

func (o *owner) replayList(live []wal.Segment) (wal.Recovery, []entry, error) {
	var got []entry
	rec, err := wal.Replay(o.opts, live, func(r wal.Record) error {
		e := entry{First: r.FirstSeqNum, Count: r.Count, Size: len(r.Payload)}
		if string(e.payload()) != string(r.Payload) || r.CommitTime != uint64(e.First)+1000 {
			return fmt.Errorf("%w: %+v", errWrongPayload, e)
		}
		got = append(got, e)
		return nil
	})
	return rec, got, err
}

// open recovers the log and begins to write, in the order that the package documents.
func (o *owner) open() (*wal.Log, wal.Recovery, []entry, error) {
	m, err := o.load()
	if err != nil {
		return nil, wal.Recovery{}, nil, err
	}
	o.mu.Lock()
	o.list = m
	o.mu.Unlock()
	rec, got, err := o.replayList(m.Live)
	if err != nil {
		return nil, rec, nil, err
	}
	if err := wal.SyncSegments(o.opts, &rec); err != nil {
		return nil, rec, nil, err
	}
	first, err := wal.PrepareFirst(o.opts, m.Next, m.Live)
	if err != nil {
		return nil, rec, nil, err
	}
	defer first.Close()
	err = o.edit(func(m *manifest) { m.Live = append(slices.Clone(rec.Live), first.Segment()) })
	if err != nil {
		return nil, rec, nil, err
	}
	l, err := wal.Open(o.opts, first, rec.End, rec.Live)
	return l, rec, got, err
}

// drop takes segments below min from the manifest and tells the log.
func (o *owner) drop(l *wal.Log, min wal.SegmentNum) error {
	err := o.edit(func(m *manifest) {
		m.Live = slices.DeleteFunc(m.Live, func(s wal.Segment) bool { return s.Num < min })
	})
	if err == nil {
		l.Obsolete(min)
	}
	return err
}

func (o *owner) mustOpen(t testing.TB) (*wal.Log, wal.Recovery, []entry) {
	t.Helper()
	l, rec, got, err := o.open()
	require.NoError(t, err)
	return l, rec, got
}

// forModes runs a test in both ways of writing, and encrypted.
func forModes(t *testing.T, f func(t *testing.T, mode wal.Mode)) {
	t.Run("mapped", func(t *testing.T) { f(t, wal.Mapped) })
	t.Run("written", func(t *testing.T) { f(t, wal.Written) })
	t.Run("sealed", func(t *testing.T) { f(t, sealed) })
}

// appendAll appends one group per entry.
func appendAll(t testing.TB, l *wal.Log, intent wal.Intent, entries ...entry) {
	t.Helper()
	for _, e := range entries {
		at, err := l.Append(batches(e), intent)
		require.NoError(t, err)
		if intent != wal.NoSync {
			require.NoError(t, l.Sync(at))
		}
	}
}

// sequence returns n entries of the given size, numbered from first.
func sequence(first keys.SeqNum, n, size int) []entry {
	var out []entry
	for i := range n {
		out = append(out, entry{First: first + keys.SeqNum(i), Count: 1, Size: size})
	}
	return out
}

// memFS returns an empty file system in memory, which can be copied at one instant.
func memFS() vfs.FS { return vfs.NewCrashMem() }
