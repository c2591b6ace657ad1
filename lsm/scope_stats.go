package lsm

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/sstable"
)

// ScopeStats say how much a scope holds.
type ScopeStats struct {
	// Entries counts its keys, Bytes the length of keys and values as users see them. When
	// Exact is not set, what was overwritten or deleted, or has expired, and is not yet merged
	// counts too, and so do operands of merges, which may be shorter than what they make.
	Entries, Bytes int64
	// Exact: the figures are those of the moment of the call.
	Exact bool
}

// Stats returns how much the scope holds, all zero and exact if it is not there. It scans
// no tables: what a table holds of a scope larger than a block stands in its properties,
// and only of a smaller one, and at the ends, are there one or two blocks to be read.
// Memtables are looked through.
func (s *Scope) Stats() (ScopeStats, error) {
	d := s.db
	if s.snap != nil {
		if s.snap.closed.Load() {
			return ScopeStats{}, ErrClosed
		}
		return d.scopeStats(s.snap, s.fixed)
	}
	for range maxReadAttempts {
		r, err := s.current()
		if err != nil {
			return ScopeStats{}, err
		}
		st, err := d.scopeStats(nil, r)
		if r == nil || d.stillNamed(r) {
			return st, err
		}
		s.forget(r)
	}
	var st ScopeStats
	err := s.atSnapshot(func(snap *Snapshot, r *resolved) (err error) {
		st, err = d.scopeStats(snap, r)
		return err
	})
	return st, err
}

// fewEntries is up to how many entries in memtables a scope without a line in any table is
// simply counted.
const fewEntries = 1024

func (d *DB) scopeStats(snap *Snapshot, r *resolved) (ScopeStats, error) {
	if err := d.hold(); err != nil {
		return ScopeStats{}, err
	}
	defer d.release()
	if r == nil {
		return ScopeStats{Exact: true}, nil
	}
	seq, at := keys.MaxSeqNum, atRead
	if snap != nil {
		seq, at = snap.seq, snap.at
	}
	guard := d.readers.Enter()
	state := d.state.Load()
	state.refs.Add(1)
	guard.Leave()
	defer state.unref()
	c := scopeCount{scopeKeys: r.scopeKeys, seq: min(seq, d.visible.load()), clean: true}
	for _, m := range append([]*mutableTable{state.mutable}, state.frozen...) {
		c.memtable(m)
	}
	inMemory := c.entries
	for i := range state.version.runs {
		if err := c.run(&state.version.runs[i]); err != nil {
			return ScopeStats{}, d.tableError(err)
		}
	}
	if c.listed == 0 && inMemory <= fewEntries {
		return d.countScope(r, seq, at)
	}
	return ScopeStats{Entries: c.entries, Bytes: c.bytes, Exact: c.clean && c.disjoint()}, nil
}

// countScope counts the entries of a small scope.
func (d *DB) countScope(r *resolved, seq keys.SeqNum, at int64) (ScopeStats, error) {
	it, err := d.newIterAt(r.scopeKeys, nil, seq, at)
	if err != nil {
		return ScopeStats{}, err
	}
	st := ScopeStats{Exact: true}
	for it.Next() {
		st.Entries++
		st.Bytes += int64(len(it.Key()) + it.valueLen())
	}
	return st, it.Close()
}

// scopeCount adds up what memtables and tables hold of a scope.
type scopeCount struct {
	scopeKeys
	seq keys.SeqNum

	entries, bytes int64
	listed         int  // tables that say how much they hold
	clean          bool // nothing that was met is deleted, overwritten or newer than seq
	parts          []keyPart
	last           []byte
}

// keyPart is the range of keys of the scope that a memtable or a table holds.
type keyPart struct{ first, last []byte }

// disjoint reports whether no key can be in two of the memtables and tables.
func (c *scopeCount) disjoint() bool {
	slices.SortFunc(c.parts, func(a, b keyPart) int { return bytes.Compare(a.first, b.first) })
	for i := 1; i < len(c.parts); i++ {
		if bytes.Compare(c.parts[i-1].last, c.parts[i].first) >= 0 {
			return false
		}
	}
	return true
}

// add counts an entry of a source in which keys are in order.
func (c *scopeCount) add(key []byte, t keys.Trailer, value []byte) {
	switch t.Kind().Inline() {
	case keys.KindSet, keys.KindSetSealed:
	case keys.KindSetWithExpiry, keys.KindSetSealedExpiry, keys.KindMerge:
		c.clean = false // it may have expired, or is a part of the value
	default:
		c.clean = false
		return
	}
	if t.SeqNum() > c.seq || bytes.Equal(key, c.last) {
		c.clean = false
		return
	}
	c.last = append(c.last[:0], key...)
	c.entries++
	c.bytes += int64(len(key) - len(c.prefix) + sstable.ValueLen(t.Kind(), value) - t.Kind().MinValueLen())
}

func (c *scopeCount) memtable(m *mutableTable) {
	if m.ranges.Load().Within(c.prefix, c.upper, 0, keys.MaxSeqNum) {
		c.clean = false // it may hide what others hold
	}
	it := m.Iter()
	c.last = c.last[:0]
	var part keyPart
	for ok := it.SeekGE(c.prefix, keys.SeekTrailer(keys.MaxSeqNum)); ok && bytes.Compare(it.Key(), c.upper) < 0; ok = it.Next() {
		c.add(it.Key(), it.Trailer(), it.Value())
		if part.last = it.Key(); part.first == nil {
			part.first = part.last
		}
	}
	if part.first != nil {
		c.parts = append(c.parts, part)
	}
}

func (c *scopeCount) run(r *run) error {
	for i, t := range r.tables {
		if t.meta.EndsBefore(c.prefix) || bytes.Compare(t.meta.Smallest, c.upper) >= 0 {
			continue
		}
		reader, err := t.open()
		if err != nil {
			return err
		}
		p := reader.Properties()
		c.clean = c.clean && t.meta.RangeDeletes == 0 // it may hide what others hold
		at, ok := slices.BinarySearchFunc(p.Scopes, c.prefix, compareUsage)
		switch {
		case ok:
			u := &p.Scopes[at]
			c.listed++
			if err := c.part(t.meta, r.sources[i:i+1]); err != nil {
				return err
			}
			c.entries += int64(u.Entries)
			c.bytes += int64(u.Bytes) - int64(u.Entries)*int64(len(c.prefix))
			c.clean = c.clean && !t.meta.HasTombstones() && t.meta.Held == 0 && t.meta.Expires == 0 && t.meta.MaxSeqNum <= c.seq && !p.HasMerge
		case p.ScopesExact: // there are none
		default:
			if err := c.block(r.sources[i : i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// part notes which keys of the scope a table that has some may hold. Where the table has
// other scopes too it looks for the first and the last one.
func (c *scopeCount) part(t *manifest.Table, table []sstable.RunTable) error {
	p := keyPart{t.Smallest, t.Largest}
	if bytes.HasPrefix(p.first, c.prefix) && bytes.HasPrefix(p.last, c.prefix) {
		c.parts = append(c.parts, p)
		return nil
	}
	var it sstable.RunIter
	it.Init(table, sstable.IterOptions{Lower: c.prefix, Upper: c.upper})
	if it.First() {
		p.first = bytes.Clone(it.Key())
	}
	if it.Last() {
		p.last = bytes.Clone(it.Key())
	}
	c.parts = append(c.parts, p)
	return it.Close()
}

// block counts the entries in a table that holds no more than a block of them.
func (c *scopeCount) block(table []sstable.RunTable) error {
	var it sstable.RunIter
	var part keyPart
	c.last = c.last[:0]
	it.Init(table, sstable.IterOptions{Lower: c.prefix, Upper: c.upper})
	for ok := it.First(); ok; ok = it.Next() {
		c.add(it.Key(), it.Trailer(), it.Value())
		if part.last = append(part.last[:0], it.Key()...); part.first == nil {
			part.first = bytes.Clone(part.last)
		}
	}
	if part.first != nil {
		c.parts = append(c.parts, part)
	}
	return it.Close()
}
