package manifest

import (
	"cmp"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/invariants"
)

// Apply returns the version after e; v stays as it is, and what e does not touch is
// shared. v must hold the invariants: that the result does is then a matter of the
// tables that e adds and their neighbours, and no other is compared. What remains in
// proportion to the version is a look at the number of each table.
// The error matches ErrInvalidEdit.
func (v *Version) Apply(e *Edit) (*Version, error) {
	if len(e.Deleted)+len(e.Added)+len(e.Blobs) == 0 {
		return v, nil
	}
	n := *v
	var gone, fresh [NumLevels][]fileid.Num
	for _, d := range e.Deleted {
		if d.Level >= NumLevels {
			return nil, invalid("level %d", d.Level)
		}
		gone[d.Level] = append(gone[d.Level], d.Num)
	}
	for i := range e.Added {
		a := &e.Added[i]
		if err := a.check(); err != nil {
			return nil, err
		}
		fresh[a.Level] = append(fresh[a.Level], a.Table.Num)
	}
	for i := range n.Levels {
		if len(gone[i])+len(fresh[i]) == 0 {
			continue
		}
		if err := n.changeLevel(Level(i), gone[i], e.Added); err != nil {
			return nil, err
		}
	}
	if err := n.checkAdded(e); err != nil {
		return nil, err
	}
	if err := n.changeBlobs(v, e); err != nil {
		return nil, err
	}
	if invariants.Enabled {
		for level := range n.Levels {
			if err := n.checkLevel(Level(level)); err != nil {
				panic("manifest: a version was accepted that the full check refuses: " + err.Error())
			}
		}
		if err := n.checkBlobs(); err != nil {
			panic("manifest: a version was accepted that the full check refuses: " + err.Error())
		}
	}
	return &n, nil
}

// check checks what can be said of the table alone.
func (a *AddedTable) check() error {
	if a.Level >= NumLevels {
		return invalid("level %d", a.Level)
	}
	return a.Table.check()
}

// numSet is a set of a few file numbers, made to be asked for many that are not in it.
type numSet []fileid.Num

func newNumSet(nums []fileid.Num) numSet {
	slices.Sort(nums)
	return nums
}

// index returns where n is in the set, or -1.
func (s numSet) index(n fileid.Num) int {
	if len(s) == 0 || n < s[0] || n > s[len(s)-1] {
		return -1 // nearly always: what changes together is about as old
	}
	if i, found := slices.BinarySearch(s, n); found {
		return i
	}
	return -1
}

// changeLevel takes tables out of a level and puts those in that are for it. Runs that
// do not change are shared.
func (v *Version) changeLevel(level Level, nums []fileid.Num, added []AddedTable) error {
	gone := newNumSet(nums)
	for i := 1; i < len(gone); i++ {
		if gone[i] == gone[i-1] {
			return invalid("table %d deleted twice from level %d", gone[i], level)
		}
	}
	fresh := make(map[RunID][]*Table)
	for _, a := range added {
		if a.Level == level {
			fresh[a.Run] = append(fresh[a.Run], a.Table)
		}
	}
	deleted := 0
	var runs []Run
	for _, r := range v.Levels[level] {
		were := len(r.Tables) + len(fresh[r.ID])
		if r.Tables = r.change(gone, fresh[r.ID]); len(r.Tables) > 0 {
			runs = append(runs, r)
		}
		deleted += were - len(r.Tables)
		delete(fresh, r.ID)
	}
	if deleted != len(gone) {
		return invalid("%d of %d deleted tables are not in level %d", len(gone)-deleted, len(gone), level)
	}
	for id, tables := range fresh {
		slices.SortFunc(tables, compareTables)
		runs = append(runs, Run{ID: id, Tables: tables})
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(b.ID, a.ID) })
	v.Levels[level] = runs
	return nil
}

// change returns the run's tables without those in gone and with the fresh ones, which
// it sorts; the run's own slice if that is no change. Everything between two changes is
// copied at once: for runs of thousands of tables the copy is most of an edit's time.
func (r *Run) change(gone numSet, fresh []*Table) []*Table {
	var holes []int
	for i, t := range r.Tables {
		if gone.index(t.Num) >= 0 {
			holes = append(holes, i)
		}
	}
	if len(holes)+len(fresh) == 0 {
		return r.Tables
	}
	out, from := make([]*Table, 0, len(r.Tables)-len(holes)+len(fresh)), 0
	copyTo := func(to int) {
		for len(holes) > 0 && holes[0] < to {
			out = append(out, r.Tables[from:holes[0]]...)
			from, holes = holes[0]+1, holes[1:]
		}
		out = append(out, r.Tables[from:to]...)
		from = to
	}
	slices.SortFunc(fresh, compareTables)
	for _, t := range fresh {
		at, _ := slices.BinarySearchFunc(r.Tables, t, compareTables)
		copyTo(at)
		out = append(out, t)
	}
	copyTo(len(r.Tables))
	return out
}

// checkAdded checks what the tables that e has added could have broken: M2 beside them
// in their runs and against the other runs of their levels, and M3.
func (v *Version) checkAdded(e *Edit) error {
	nums := make([]fileid.Num, 0, len(e.Added))
	for i := range e.Added {
		a := &e.Added[i]
		if err := v.checkPlace(a); err != nil {
			return err
		}
		nums = append(nums, a.Table.Num)
	}
	ours := newNumSet(nums)
	seen := make([]bool, len(ours))
	var err error
	v.All(func(_ Level, _ RunID, t *Table) bool {
		if i := ours.index(t.Num); i >= 0 {
			if seen[i] {
				err = invalid("table %d is there twice", t.Num)
			}
			seen[i] = true
		}
		return err == nil
	})
	return err
}

// checkPlace checks M2 around one table that was added.
func (v *Version) checkPlace(a *AddedTable) error {
	runs := v.Levels[a.Level]
	own, _ := slices.BinarySearchFunc(runs, a.Run, func(r Run, id RunID) int { return cmp.Compare(id, r.ID) })
	for i := range runs {
		r := &runs[i]
		if i == own {
			at, _ := slices.BinarySearchFunc(r.Tables, a.Table, compareTables)
			beside := Run{ID: r.ID, Tables: r.Tables[max(at, 1)-1 : min(at+2, len(r.Tables))]}
			if err := beside.check(); err != nil {
				return err
			}
			continue
		}
		newer := &Run{Tables: []*Table{a.Table}}
		older := &Run{Tables: r.Overlapping(a.Table.Smallest, a.Table.Largest, a.Table.LargestExclusive)}
		if i < own {
			newer, older = older, newer
		}
		if err := checkOrder(newer, older); err != nil {
			return err
		}
	}
	return nil
}
