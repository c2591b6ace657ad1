package lsm

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// Where the manifest says that a table has no range tombstones, nobody looks for any: what
// they delete would come back.
func TestRangeTombstonesThatTheManifestDoesNotKnowAreDamage(t *testing.T) {
	fs := vfs.NewMem()
	db, err := Open("db", &Options{seams: seams.Seams{FS: fs}})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	const number = fileid.Num(1_000_000)
	f, err := fs.Create(db.path(manifest.TableName(number)))
	require.NoError(t, err)
	uid := fileid.UID{1, 2, 3}
	w, err := sstable.NewWriter(f, sstable.WriterOptions{UID: uid})
	require.NoError(t, err)
	key := append(append([]byte{}, rootPrefix...), 'k')
	require.NoError(t, w.Add(key, keys.MakeTrailer(1, keys.KindSet), []byte("deleted")))
	require.NoError(t, w.AddRangeTombstone(key, append(key, 0), keys.MakeTrailer(2, keys.KindRangeDelete)))
	meta, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, f.Close())

	tab := &table{db: db, meta: &manifest.Table{Num: number, UID: uid, Bytes: meta.Size}}
	for range 2 {
		_, err = tab.open()
		require.ErrorIs(t, err, ErrCorrupt)
	}
	require.Nil(t, tab.reader.Load())
	require.Zero(t, db.cache.Metrics().Files, "the reader is closed")
}

// The largest key of one table may be the smallest of the next, where it is exclusive.
// A lookup of it took the first table for the only one that may hold it.
func TestTheTableOfAKeyIsNotTheOneThatEndsBeforeIt(t *testing.T) {
	tab := func(lo, hi string, exclusive bool) *table {
		return &table{meta: &manifest.Table{Smallest: []byte(lo), Largest: []byte(hi), LargestExclusive: exclusive}}
	}
	first, second, third := tab("a", "c", true), tab("c", "e", true), tab("g", "k", false)
	r := run{tables: []*table{first, second, third}}
	for key, want := range map[string]*table{
		"": nil, "a": first, "b": first, "c": second, "d": second, "e": nil, "f": nil, "g": third, "k": third, "l": nil,
	} {
		require.Same(t, want, r.find([]byte(key)), key)
	}
}

// An arena that waits for its next memtable holds nothing that a late reader could
// take for an entry.
func TestKeptArenasArePoisoned(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("needs invariants")
	}
	p := arenaPool{fullBytes: 4096}
	defer p.close()
	r, err := p.take(4096)
	require.NoError(t, err)
	kept := r.Bytes()
	p.give(r, 4096)
	for i, b := range kept {
		require.Equal(t, byte(0xDB), b, i)
	}
	again, err := p.take(4096)
	require.NoError(t, err)
	require.Same(t, r, again)
	require.NoError(t, again.Free())
}

// The block cache has what the memtables do not take: nearly all of the budget until they
// grow, and again when the store is at rest and kept arenas are let go.
func TestArenasSayWhatTheyTake(t *testing.T) {
	total := int64(-1)
	p := arenaPool{fullBytes: 4096, resized: func(n int64) { total = n }}
	small, err := p.take(1024)
	require.NoError(t, err)
	full, err := p.take(4096)
	require.NoError(t, err)
	require.EqualValues(t, 5120, total)
	p.give(small, 1024)
	require.EqualValues(t, 4096, total)
	p.give(full, 4096)
	require.EqualValues(t, 4096, total, "it is kept")
	p.trim()
	require.Zero(t, total)
	full, err = p.take(4096)
	require.NoError(t, err)
	p.trim()
	p.give(full, 4096)
	require.Zero(t, total, "at rest nothing is kept")
	p.close()
}
