package compaction_test

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

const dir = "store"

// entry is an entry of a table.
type entry struct {
	key   string
	t     keys.Trailer
	value string
}

// store is a tree of real tables, without log and memtables.
type store struct {
	t      testing.TB
	fs     vfs.FS
	disk   vfs.FS // fs without faults
	cache  *cache.Cache
	v      *manifest.Version
	env    *compaction.Env
	params compaction.Params
	num    fileid.Num
	run    manifest.RunID
	open   map[fileid.Num]*sstable.Reader
	stats  compaction.Stats
	// rangeBytes of what writeWithRanges makes.
	rangeBytes int
}

func newStore(t testing.TB, fs vfs.FS) *store {
	require.NoError(t, fs.MkdirAll(dir))
	require.NoError(t, fs.SyncDir(""))
	c, err := cache.New(1 << 20)
	require.NoError(t, err)
	s := &store{t: t, fs: fs, disk: fs, cache: c, v: &manifest.Version{}, open: map[fileid.Num]*sstable.Reader{}}
	s.env = &compaction.Env{
		FS: fs, Dir: dir, Open: s.reader, Random: rand.NewChaCha8([32]byte{1}),
		NextFileNum: func() fileid.Num { s.num++; return s.num },
		Writer:      sstable.WriterOptions{BlockBytes: 512, FilterBitsPerKey: 10},
		ElideBelow:  keys.MaxSeqNum,
		Expiry:      compaction.Expiry{MarkersBy: math.MaxInt64, MarkersUpTo: keys.MaxSeqNum},
	}
	s.params = compaction.Params{
		TableBytes: 4 << 10, BaseBytes: 64 << 10, MarkersBy: math.MaxInt64, MarkersUpTo: keys.MaxSeqNum,
	}
	t.Cleanup(func() {
		for _, r := range s.open {
			require.NoError(t, r.Close())
		}
		require.NoError(t, c.Close())
	})
	return s
}

// reader opens a table, once.
func (s *store) reader(tab *manifest.Table) (*sstable.Reader, error) {
	if r := s.open[tab.Num]; r != nil {
		return r, nil
	}
	f, err := s.fs.Open(path.Join(dir, manifest.TableName(tab.Num)), vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	r, err := sstable.Open(f, sstable.ReaderOptions{
		UID: tab.UID, Size: tab.Bytes, Digest: tab.Digest, Cache: s.cache, Name: manifest.TableName(tab.Num),
	})
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s.open[tab.Num] = r
	return r, nil
}

// write writes entries, in any order, as a run of level 0.
func (s *store) write(entries []entry) error { return s.writeWithRanges(entries, nil) }

// writeWithRanges also writes range tombstones.
func (s *store) writeWithRanges(entries []entry, ranges []rangedel.Tombstone) error {
	slices.SortFunc(entries, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
	splits := compaction.FlushSplits(s.v, int64(len(entries)*30), s.params)
	splits.RangeBytes = s.rangeBytes
	w := compaction.NewFlushWriter(s.env, splits, ranges)
	for _, e := range entries {
		if err := w.Add([]byte(e.key), e.t, []byte(e.value)); err != nil {
			w.Abort()
			return err
		}
	}
	r, err := w.Finish()
	if err != nil {
		return err
	}
	s.install(&manifest.Edit{Added: s.placed(r.Tables)})
	return nil
}

func (s *store) placed(tables []*manifest.Table) []manifest.AddedTable {
	s.run++
	level := compaction.PlaceFlush(s.v, tables, s.params)
	var out []manifest.AddedTable
	for _, tab := range tables {
		out = append(out, manifest.AddedTable{Level: level, Run: compaction.RunFor(s.v, level, s.run), Table: tab})
	}
	return out
}

func (s *store) install(e *manifest.Edit) {
	v, err := s.v.Apply(e)
	require.NoError(s.t, err)
	require.NoError(s.t, v.CheckInvariants())
	s.v = v
}

// do runs a job and installs it.
func (s *store) do(j *compaction.Job) error {
	if j.Move {
		s.install(j.Edit(s.v, nil, 0))
		return nil
	}
	r, err := compaction.Run(context.Background(), s.v, j, s.params, s.env)
	if err != nil {
		return err
	}
	s.stats.In += r.Stats.In
	s.stats.Kept += r.Stats.Kept
	s.stats.Shadowed += r.Stats.Shadowed
	s.stats.Elided += r.Stats.Elided
	s.stats.Folded += r.Stats.Folded
	s.install(j.Edit(s.v, r.Tables, r.Stats.HistoryFloor))
	return nil
}

// compact runs what is urgent, or with idle everything.
func (s *store) compact(idle bool) error {
	s.params.Idle = idle
	for range 1000 {
		s.params.ElideBelow = s.elideBelow()
		j, ok := compaction.Pick(s.v, s.params)
		if !ok {
			return nil
		}
		if err := s.do(j); err != nil {
			return err
		}
	}
	require.Fail(s.t, "compaction does not end")
	return nil
}

func (s *store) elideBelow() keys.SeqNum {
	low := s.env.ElideBelow
	for _, snap := range s.env.Snapshots {
		low = min(low, snap)
	}
	return low
}

// all returns every entry of every table, in order.
func (s *store) all() []entry {
	var out []entry
	s.v.All(func(_ manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
		r, err := s.reader(tab)
		require.NoError(s.t, err)
		var it sstable.Iter
		it.Init(r, sstable.IterOptions{})
		n := uint64(0)
		for ok := it.First(); ok; ok = it.Next() {
			out = append(out, entry{string(it.Key()), it.Trailer(), string(it.Value())})
			n++
		}
		require.NoError(s.t, it.Close())
		require.Equal(s.t, tab.Entries, n)
		return true
	})
	slices.SortFunc(out, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
	return out
}

// visible reduces entries, in order, to what a reader at seq can tell: of each key the
// newest version and what that one needs below it, absence being nothing.
func visible(entries []entry, seq keys.SeqNum) []entry {
	var out []entry
	var key string
	done, begun := false, false
	for _, e := range entries {
		if !begun || e.key != key {
			key, done, begun = e.key, false, true
		}
		if done || e.t.SeqNum() > seq {
			continue
		}
		switch e.t.Kind() {
		case keys.KindMerge:
		case keys.KindDelete, keys.KindExpiryMarker:
			done = true
			continue
		default:
			done = true
		}
		out = append(out, e)
	}
	return out
}

// files returns how many tables are in the directory.
func (s *store) files() int {
	names, err := s.fs.List(dir)
	require.NoError(s.t, err)
	return len(names)
}

// timed makes the value of a kind that begins with a time.
func timed(value string) string {
	return string(binary.LittleEndian.AppendUint64(nil, 1_700_000_000_000)) + value
}
