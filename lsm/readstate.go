package lsm

import (
	"bytes"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/sstable"
)

// readState is everything a reader needs, immutable: the memtables and the version.
// Readers reach it through one atomic pointer, inside the epoch; an iterator takes a
// reference and leaves the epoch. What it reaches is released when it has been
// replaced, every reader of that time has left, and its references are gone.
type readState struct {
	mutable *mutableTable
	// frozen are the memtables that wait to be flushed, newest first.
	frozen  []*mutableTable
	version *version

	db     *DB
	serial uint64 // states are numbered as they are made
	refs   atomic.Int64
}

// newReadState makes a state with one reference, which its installer holds.
func (d *DB) newReadState(mutable *mutableTable, frozen []*mutableTable, v *version) *readState {
	s := &readState{mutable: mutable, frozen: frozen, version: v, db: d, serial: d.states.add()}
	s.refs.Store(1)
	mutable.ref()
	for _, m := range frozen {
		m.ref()
	}
	v.ref()
	return s
}

func (s *readState) unref() {
	if s.refs.Add(-1) != 0 {
		return
	}
	s.mutable.unref()
	for _, m := range s.frozen {
		m.unref()
	}
	s.version.unref()
	s.db.states.remove(s.serial)
	s.db.vault.released()
}

// readStates are the numbers of the states that somebody may read.
type readStates struct {
	mu   sync.Mutex
	last uint64
	live []uint64 // ascending
}

func (l *readStates) add() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.live = append(l.live, l.last)
	return l.last
}

func (l *readStates) remove(serial uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, found := slices.BinarySearch(l.live, serial); found {
		l.live = slices.Delete(l.live, i, i+1)
	}
}

// newest returns the number of the state that was made last. One that is not installed yet counts.
func (l *readStates) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// oldest returns the number of the oldest state that somebody may read, or will be.
func (l *readStates) oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.live) == 0 {
		return l.last + 1
	}
	return l.live[0]
}

// version is a manifest version with its tables' readers, in the order in which reads
// consult it: newest data first.
type version struct {
	*manifest.Version
	runs []run
	refs atomic.Int64
}

// run is a sorted run: tables whose key ranges do not overlap, ascending.
type run struct {
	tables  []*table
	sources []sstable.RunTable // the same tables, as iterators want them
	ranged  []*table           // those of them that have range tombstones
}

// find returns the only table of the run that may hold the key, or nil.
func (r *run) find(key []byte) *table {
	i := sort.Search(len(r.tables), func(i int) bool {
		return !r.tables[i].meta.EndsBefore(key)
	})
	if i == len(r.tables) || bytes.Compare(r.tables[i].meta.Smallest, key) > 0 {
		return nil
	}
	return r.tables[i]
}

// newVersion builds the read form of m. tables holds the open tables by number and is
// extended by those that m adds. Called with manifestMu held, or before the store is
// shared.
func (d *DB) newVersion(m *manifest.Version) *version {
	v := &version{Version: m}
	for level := range m.Levels {
		for _, mr := range m.Levels[level] {
			r := run{tables: make([]*table, len(mr.Tables))}
			for i, meta := range mr.Tables {
				t := d.tables[meta.Num]
				if t == nil {
					t = &table{db: d, meta: meta, blobs: d.holdBlobs(m, meta)}
					d.keyring.hold(meta.Key, manifest.TableName(meta.Num))
					d.tables[meta.Num] = t
				}
				t.refs.Add(1)
				r.tables[i] = t
			}
			r.sources, r.ranged = runTables(r.tables), ranged(r.tables)
			v.runs = append(v.runs, r)
		}
	}
	return v
}

func runTables(tables []*table) []sstable.RunTable {
	sources := make([]sstable.RunTable, len(tables))
	for i, t := range tables {
		sources[i] = sstable.RunTable{Smallest: t.meta.Smallest, Largest: t.meta.Largest, Open: t.open}
	}
	return sources
}

func (v *version) ref() { v.refs.Add(1) }

func (v *version) unref() {
	if v.refs.Add(-1) != 0 {
		return
	}
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			t.unref()
		}
	}
}
