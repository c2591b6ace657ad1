package lsm

import (
	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// What the reaper knows of tables: which are free of what is dead, and how much the others
// hold of it.

// deadTable is what is known of a table and the dead.
type deadTable struct {
	clean   uint64 // of ids up to this generation it holds nothing
	weighed uint64 // the generation for which verdict was found
	verdict compaction.Dead
}

// wrote notes that tables were written without the entries of the ids that were ripe.
func (r *reaper) wrote(tables []*manifest.Table, without *deadIDs) {
	if without == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range tables {
		r.setLocked(t.Num, deadTable{clean: without.gen})
	}
}

func (r *reaper) setLocked(num tableNum, t deadTable) {
	if r.tables == nil {
		r.tables = map[tableNum]deadTable{}
	}
	r.tables[num] = t
}

// removed notes that a table is no longer in the version.
func (r *reaper) removed(num tableNum) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tables, num)
}

// judge returns what the picker is told of a table.
func (r *reaper) judge(ripe *deadIDs, t *manifest.Table) compaction.Dead {
	r.mu.Lock()
	known := r.tables[t.Num]
	r.mu.Unlock()
	switch {
	case known.clean >= ripe.gen:
		return compaction.DeadNone
	case ripe.all(t):
		return compaction.DeadAll
	case known.weighed == ripe.gen:
		return known.verdict
	}
	return compaction.DeadNone // until it is weighed
}

// weigh finds out how much is dead of each table that was not weighed since ids became
// ripe, and reports whether a job may come of it. One that cannot be opened is left alone.
func (r *reaper) weigh() bool {
	ripe := r.ripe.Load()
	if ripe.len() == 0 {
		return false
	}
	d := r.db
	guard := d.readers.Enter()
	s := d.state.Load()
	s.refs.Add(1)
	guard.Leave()
	defer s.unref()
	worth := false
	for i := range s.version.runs {
		for _, t := range s.version.runs[i].tables {
			r.mu.Lock()
			known := r.tables[t.meta.Num]
			r.mu.Unlock()
			if known.clean >= ripe.gen || known.weighed == ripe.gen || ripe.all(t.meta) {
				continue
			}
			r.weighTable(ripe, t, &known)
			worth = worth || known.verdict != compaction.DeadNone
			r.mu.Lock()
			if !t.obsolete.Load() {
				r.setLocked(t.meta.Num, known)
			}
			r.mu.Unlock()
		}
	}
	return worth
}

func (r *reaper) weighTable(ripe *deadIDs, t *table, known *deadTable) {
	known.weighed, known.verdict = ripe.gen, compaction.DeadNone
	any := false
	ripe.in(t.meta, known.clean, func(int) { any = true })
	if !any {
		known.clean = ripe.gen
		return
	}
	reader, err := t.open()
	if err != nil {
		return
	}
	p := reader.Properties()
	dead := ripe.weigh(t.meta, known.clean, p)
	if dead == 0 {
		known.clean = ripe.gen // its properties list every scope, and none of these
		return
	}
	total := p.KeyBytes + p.ValueBytes
	for _, b := range p.Blobs {
		total += b.Bytes // what is dead counts values in blob files too, before compression
	}
	known.verdict = judge(dead, total, t.meta.Bytes <= r.db.opts.seams.Sizing.SettleBytes)
}

// gone returns the ripe ids of which neither v nor anything above flushed holds an entry.
func (r *reaper) gone(ripe *deadIDs, v *manifest.Version, flushed keys.SeqNum) []scope.ID {
	left := make([]bool, ripe.len())
	r.mu.Lock()
	defer r.mu.Unlock()
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		if !(mutant.Enabled && mutant.Is(mutant.BuryEarly)) {
			ripe.in(t, r.tables[t.Num].clean, func(i int) { left[i] = true })
		}
		return true
	})
	var out []scope.ID
	for i, id := range ripe.ids {
		if !left[i] && r.deaths[id].seq <= flushed {
			out = append(out, id)
		}
	}
	return out
}
