package manifest_test

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
)

const dir = "store"

var storeUID = fileid.UID{0x10, 0xa3}

func newRandom(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func newFS(t testing.TB) vfs.FS {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll(dir))
	return fs
}

// form is how the files of a store are written.
type form struct {
	newCipher  seal.NewCipher
	openCipher seal.OpenCipher
}

const ring = sealtest.Ring(3)

var inClear, sealed = form{}, form{ring.New, ring.Open}

func (f form) options(fs vfs.FS) manifest.LogOptions {
	return manifest.LogOptions{
		FS: fs, Dir: dir, Random: newRandom(7), RollBytes: 1 << 10, NewCipher: f.newCipher, OpenCipher: f.openCipher,
	}
}

// open creates or loads the store in fs and opens its log.
func (f form) open(fs vfs.FS) (*manifest.Log, error) {
	loaded, err := manifest.Load(fs, dir, f.openCipher)
	if err == manifest.ErrNoStore {
		o := f.options(fs)
		o.Random = newRandom(3)
		loaded, err = manifest.Create(storeUID, o)
	}
	if err != nil {
		return nil, err
	}
	return manifest.OpenLog(loaded, f.options(fs))
}

func (f form) mustOpen(t testing.TB, fs vfs.FS) *manifest.Log {
	t.Helper()
	l, err := f.open(fs)
	require.NoError(t, err)
	return l
}

func (f form) mustLoad(t testing.TB, fs vfs.FS) *manifest.Loaded {
	t.Helper()
	l, err := manifest.Load(fs, dir, f.openCipher)
	require.NoError(t, err)
	return l
}

func options(fs vfs.FS) manifest.LogOptions { return inClear.options(fs) }

func open(fs vfs.FS) (*manifest.Log, error) { return inClear.open(fs) }

func mustOpen(t testing.TB, fs vfs.FS) *manifest.Log { return inClear.mustOpen(t, fs) }

func mustLoad(t testing.TB, fs vfs.FS) *manifest.Loaded { return inClear.mustLoad(t, fs) }

// table makes a table of keys [smallest, largest] with the numbers seq*10 to seq*10+9.
func table(num fileid.Num, smallest, largest string, seq keys.SeqNum) *manifest.Table {
	return &manifest.Table{
		Num: num, UID: fileid.UID{byte(num), byte(num >> 8), 1}, Bytes: 1000 + int64(num), Digest: uint64(num) * 0x9e3779b97f4a7c15,
		Smallest: []byte(smallest), Largest: []byte(largest),
		MinSeqNum: seq * 10, MaxSeqNum: seq*10 + 9, Entries: 10,
	}
}

func added(level manifest.Level, run manifest.RunID, tables ...*manifest.Table) []manifest.AddedTable {
	var out []manifest.AddedTable
	for _, t := range tables {
		out = append(out, manifest.AddedTable{Level: level, Run: run, Table: t})
	}
	return out
}

func segment(num uint64) manifest.Segment {
	return manifest.Segment{Num: num, Slot: uint32(num % 5), UID: fileid.UID{9, byte(num)}, Bytes: 1 << 18}
}

// edit returns the i-th edit of a history in which tables come, move and go, as flushes
// and compactions make them.
func edit(i int) *manifest.Edit {
	num := fileid.Num(i + 1)
	e := &manifest.Edit{NextFileNum: num + 1, NextRunID: manifest.RunID(num + 1), ReservedSeqNum: keys.SeqNum(num) * 1000}
	switch i % 4 {
	case 0, 1:
		e.Added = added(0, manifest.RunID(num), table(num, "a", "m", keys.SeqNum(num)))
		e.FlushedSeqNum, e.LastTime = keys.SeqNum(num)*10+9, int64(i)*1000
		e.AddedSegments = []manifest.Segment{segment(uint64(num))}
		e.MinSegment = uint64(max(num, 3) - 3)
	case 2:
		e.Deleted = []manifest.DeletedTable{{Level: 0, Num: num - 1}, {Level: 0, Num: num - 2}}
		if i > 2 {
			e.Deleted = append(e.Deleted, manifest.DeletedTable{Level: 6, Num: num - 4})
		}
		e.Added = added(6, 1, table(num, "a", "m", keys.SeqNum(num)))
		e.HistoryFloor = keys.SeqNum(num) * 10
	case 3:
		e.Opened = &manifest.Open{ID: fileid.UID{7, byte(i)}, First: keys.SeqNum(num) * 1000}
		e.Operators = []string{"op" + string(rune('a'+i%26)), "counter"}
		e.Cut = &manifest.Cut{Segment: uint64(num - 2), UID: fileid.UID{9, byte(num - 2)}, Bytes: 4096 + int64(i), LastSeqNum: 17}
		e.ReservedScopeID = uint64(i)
	}
	return e
}

// appendEdits appends the edits from..to of the history and returns the states after
// each; the first is that before them.
func appendEdits(t testing.TB, l *manifest.Log, from, to int) []contents {
	t.Helper()
	out := []contents{of(l)}
	for i := from; i < to; i++ {
		require.NoError(t, l.Append(edit(i)))
		out = append(out, of(l))
	}
	return out
}

// contents are a state and a version as bytes that can be compared.
type contents string

func of(l *manifest.Log) contents { return encode(l.State(), l.Version()) }

func encode(s *manifest.State, v *manifest.Version) contents {
	return contents(manifest.AppendEdit(nil, manifest.Snapshot(s, v)))
}

func loadedContents(l *manifest.Loaded) contents { return encode(l.State, l.Version) }

func readFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(path.Join(dir, name), vfs.ReadOnly)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	p := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(p, 0)
		require.NoError(t, err)
	}
	return p
}

func writeFile(t testing.TB, fs vfs.FS, name string, p []byte) {
	t.Helper()
	name = path.Join(dir, name)
	if _, err := fs.Size(name); err == nil {
		require.NoError(t, fs.Remove(name))
	}
	f, err := fs.Create(name)
	require.NoError(t, err)
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
