package lsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// Whoever installs something, or picks a compaction, finds ingested tables visible.
func TestIngestedTablesAreVisibleBeforeTheyAreCompacted(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	for i := range 200 {
		writeTable(t, fs, fmt.Sprint(i), fmt.Sprintf("k%03d", i), "v")
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			db.manifestMu.Lock()
			visible := db.visible.load()
			db.manifestLog.Version().All(func(_ manifest.Level, _ manifest.RunID, tb *manifest.Table) bool {
				if tb.MaxSeqNum > visible {
					t.Errorf("a table of number %d while %d is visible", tb.MaxSeqNum, visible)
				}
				return true
			})
			db.manifestMu.Unlock()
		}
	})
	for i := range 200 {
		require.NoError(t, db.Ingest(noDeadline, fmt.Sprint(i)))
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, db.Close())
}

// A reader that has loaded the state before the tables were in it, and the number after they
// were visible, meets no commit that came after them: it sees what was before both.
func TestReadersWithoutIngestedTablesMeetNoLaterCommit(t *testing.T) {
	var opened atomic.Pointer[DB]
	var last atomic.Pointer[readState] // without the tables
	fs := vfs.NewFaults(vfs.NewMem(), vfs.Rule{Kinds: vfs.OpWrite, Glob: "MANIFEST-*", When: func(vfs.Call) bool {
		if db := opened.Load(); db != nil {
			if s := db.state.Load(); s.version.NumTables() < 2 {
				s.refs.Add(1) // until the end of the test
				last.Store(s)
			}
		}
		return false
	}})
	db := openSized(t, fs, Options{}, small())
	opened.Store(db)
	set(t, db, "a", "1")
	writeTable(t, fs, "t", "b", "1")
	require.NoError(t, db.Ingest(noDeadline, "t"))
	before := last.Load()
	require.Equal(t, 1, before.version.NumTables())
	require.Equal(t, 2, db.state.Load().version.NumTables())
	set(t, db, "c", "1")
	require.Zero(t, before.mutable.Len())
	require.Empty(t, before.frozen)
	require.NoError(t, db.Close())
}

// Each writer counts in a key, the ingester in two that stand at both ends: no reader sees
// a commit without the ingest before it, nor half an ingest, and none goes back.
func TestIngestsBesideWritersAndReaders(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	const rounds = 25
	var stop atomic.Bool
	var done atomic.Int64 // ingests that have returned
	var wg sync.WaitGroup
	number := func(get func([]byte) ([]byte, error), key string) int {
		v, err := get([]byte(key))
		if errors.Is(err, ErrNotFound) {
			return 0
		}
		n := 0
		if err == nil {
			_, err = fmt.Sscan(string(v), &n)
		}
		if err != nil {
			t.Error(err)
		}
		return n
	}
	for w := range 2 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				seen := done.Load() // this commit comes after so many ingests
				if err := db.Set(fmt.Appendf(nil, "m%d", w), fmt.Appendf(nil, "%d", seen), NoSync); err != nil {
					t.Error(err)
				}
				if err := db.Set(fmt.Appendf(nil, "fill%d-%d", w, i%300), make([]byte, 100), NoSync); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			last := 0
			for !stop.Load() {
				snap, err := db.NewSnapshot()
				if err != nil {
					t.Error(err)
					return
				}
				a, z := number(snap.Get, "a"), number(snap.Get, "z")
				m := max(number(snap.Get, "m0"), number(snap.Get, "m1"))
				if a != z || a < last || m > a {
					t.Errorf("snapshot: %d and %d of the ingests, %d of the writers, %d before", a, z, m, last)
				}
				last = a
				if again := number(snap.Get, "a"); again != a {
					t.Errorf("a snapshot changed from %d to %d", a, again)
				}
				seen := map[string]int{}
				for e, err := range db.Scan([]byte("m0"), nil) { // m0, m1, z: a commit, then the ingest
					if err != nil {
						t.Error(err)
					}
					n := 0
					_, _ = fmt.Sscan(string(e.Value), &n)
					seen[string(e.Key)] = n
				}
				if max(seen["m0"], seen["m1"]) > seen["z"] {
					t.Errorf("scan: %v", seen)
				}
				_ = snap.Close()
			}
		})
	}
	for i := 1; i <= rounds; i++ {
		file := fmt.Sprint("t", i)
		writeTable(t, fs, file, "a", fmt.Sprint(i), "z", fmt.Sprint(i))
		require.NoError(t, db.Ingest(noDeadline, file))
		done.Store(int64(i))
		requireValue(t, db, "a", fmt.Sprint(i))
		requireValue(t, db, "z", fmt.Sprint(i))
	}
	stop.Store(true)
	wg.Wait()
	requireNoneLeft(t, db, fs)
}
