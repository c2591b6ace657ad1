package lsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// mark is a position that has left the process, with what the store held there.
type mark struct {
	at    lsm.Position
	want  spaces
	order int // of marks: later ones are at or after earlier ones
}

// diffRun is a store beside its model, positions in its history, and the horizons.
type diffRun struct {
	*scopeRun
	marks    []mark
	horizons map[string]mark
	order    int
	logged   bool // the power can be cut

	partial, gone, zero int // differences that were known, forgotten, and from the beginning
}

func newDiffRun(t *testing.T, seed uint64) *diffRun {
	rnd := rand.New(rand.NewPCG(seed, 15))
	r := &diffRun{
		scopeRun: &scopeRun{
			run: &run{t: t, rnd: rnd, fs: vfs.NewMem(), model: model{}, keys: 10 + rnd.IntN(100)},
			now: spaces{scope.Scope{}: {}}, handles: map[scope.Scope]*lsm.Scope{},
		},
		horizons: map[string]mark{}, logged: seed%2 == 1,
	}
	if r.logged {
		r.fs = vfs.NewCrashMem()
	}
	r.opts = randomOptions(rnd, r.fs)
	r.open()
	return r
}

// inRoot does an operation of run, which acts in the root.
func (r *diffRun) inRoot(f func()) {
	r.model = r.now[scope.Scope{}]
	f()
	r.now[scope.Scope{}] = r.model
}

func (r *diffRun) step() {
	switch n := r.rnd.IntN(1000); {
	case n < 500:
		r.scopeRun.step()
	case n < 600:
		r.inRoot(r.run.batch)
	case n < 640:
		r.inRoot(r.transaction)
	case n < 655:
		r.inRoot(r.ingest)
	case n < 665:
		require.NoError(r.t, r.db.Compact(context.Background(), nil, nil))
	case n < 740:
		r.mark()
	case n < 930:
		r.checkDiff()
	case n < 945:
		r.removeHorizon()
	case n < 950:
		r.kill()
	case n < 955 && r.logged:
		r.mark() // makes everything durable
		r.cutPower()
	case n < 958:
		r.diverge()
	}
}

func (r *diffRun) transaction() {
	after := maps.Clone(r.model)
	require.NoError(r.t, r.db.Update(func(tx *lsm.Txn) error {
		for range 1 + r.rnd.IntN(5) {
			if k := r.key(); r.rnd.IntN(3) == 0 {
				delete(after, k)
				if err := tx.Delete([]byte(k)); err != nil {
					return err
				}
			} else {
				after[k] = r.value()
				if err := tx.Set([]byte(k), []byte(after[k])); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	r.model = after
}

// mark takes a position, sometimes of a snapshot that is held, and sometimes sets a horizon
// there.
func (r *diffRun) mark() mark {
	snap, err := r.db.NewSnapshot()
	require.NoError(r.t, err)
	defer snap.Close()
	at, err := snap.Position()
	require.NoError(r.t, err)
	r.order++
	newest := mark{at, r.now.clone(), r.order}
	m := newest
	if at, err = lsm.ParsePosition(at.String()); r.rnd.IntN(2) == 0 {
		require.NoError(r.t, err)
		require.Equal(r.t, m.at, at)
	}
	r.marks = append(r.marks, m)
	if len(r.marks) > 12 {
		i := r.rnd.IntN(len(r.marks))
		r.marks = slices.Delete(r.marks, i, i+1)
	}
	name := fmt.Sprint("h", r.rnd.IntN(3))
	switch r.rnd.IntN(4) {
	case 0:
		require.NoError(r.t, r.db.SetHorizon(name, m.at))
		r.horizons[name] = m
	case 1: // without a snapshot that is open there
		m = r.marks[r.rnd.IntN(len(r.marks))]
		err := r.db.SetHorizon(name, m.at)
		if errors.Is(err, lsm.ErrHistoryGone) && !r.kept(m) {
			break
		}
		require.NoError(r.t, err)
		r.horizons[name] = m
	}
	return newest
}

// kept reports whether a horizon keeps the history from a mark on.
func (r *diffRun) kept(m mark) bool {
	for _, h := range r.horizons {
		if h.order <= m.order && !h.at.IsZero() {
			return true
		}
	}
	return m.at.IsZero()
}

func (r *diffRun) removeHorizon() {
	name := fmt.Sprint("h", r.rnd.IntN(3))
	err := r.db.RemoveHorizon(name)
	if _, ok := r.horizons[name]; !ok {
		require.ErrorIs(r.t, err, lsm.ErrNotFound)
		return
	}
	require.NoError(r.t, err)
	delete(r.horizons, name)
	r.checkHorizons()
}

func (r *diffRun) checkHorizons() {
	got, err := r.db.Horizons()
	require.NoError(r.t, err)
	require.Len(r.t, got, len(r.horizons))
	for _, h := range got {
		require.Equal(r.t, r.horizons[h.Name].at, h.Position, h.Name)
		require.Equal(r.t, lsm.HorizonSound, h.State, h.Name)
	}
}

// kill ends the process and goes on in another one.
func (r *diffRun) kill() {
	r.release()
	r.fs.(*vfs.Mem).Kill()
	_ = r.db.Close() // it cannot
	r.again()
}

// cutPower goes on with what surely is on the device.
func (r *diffRun) cutPower() {
	r.release()
	left := r.fs.(*vfs.Mem).CrashCopy()
	require.NoError(r.t, r.db.Close())
	r.fs = left.CopyDurable()
	names, err := r.fs.List("")
	require.NoError(r.t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "outside-") { // its removal was not durable
			require.NoError(r.t, r.fs.Remove(name))
		}
	}
	r.again()
}

func (r *diffRun) release() {
	for _, f := range r.then {
		require.NoError(r.t, f.snap.Close())
	}
	r.then = nil
}

func (r *diffRun) again() {
	r.opts = randomOptions(r.rnd, r.fs)
	r.open()
	r.handles = map[scope.Scope]*lsm.Scope{}
	r.checkHorizons()
}

// diverge makes a checkpoint and goes on in both: what the positions up to it stand for is in
// both, and those after it are each one's own.
func (r *diffRun) diverge() {
	r.mark()
	r.copies++
	dir := fmt.Sprintf("copy-%d", r.copies)
	require.NoError(r.t, r.db.Checkpoint(context.Background(), dir))
	o := randomOptions(r.rnd, r.fs)
	db, err := lsm.Open(dir, &o)
	require.NoError(r.t, err)
	other := &diffRun{
		scopeRun: &scopeRun{run: &run{t: r.t, rnd: r.rnd, db: db, keys: r.keys}, now: r.now.clone(), handles: map[scope.Scope]*lsm.Scope{}},
		marks:    slices.Clone(r.marks), horizons: maps.Clone(r.horizons), order: r.order,
	}
	for range 5 {
		other.checkDiff()
		r.inRoot(r.run.batch)
		other.inRoot(other.run.batch)
		require.NoError(r.t, r.db.Set([]byte("own"), []byte("a"), nil))
		require.NoError(r.t, db.Set([]byte("own"), []byte("b"), nil))
		r.now[scope.Scope{}]["own"], other.now[scope.Scope{}]["own"] = "a", "b"
	}
	ours, theirs := r.mark(), other.mark()
	_, err = diffOf(r.db, theirs.at)
	require.ErrorIs(r.t, err, lsm.ErrDiverged)
	_, err = diffOf(db, ours.at)
	require.ErrorIs(r.t, err, lsm.ErrDiverged)
	require.ErrorIs(r.t, db.SetHorizon("x", ours.at), lsm.ErrDiverged)
	require.NoError(r.t, db.Close())
}

// diffOf returns copies of the changes of a store since a position.
func diffOf(db *lsm.DB, from lsm.Position) ([]lsm.Change, error) {
	snap, err := db.NewSnapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	var out []lsm.Change
	for c, err := range snap.Diff(from) {
		if err != nil {
			return nil, err
		}
		out = append(out, cloneChange(c))
	}
	return out, nil
}

func cloneChange(c lsm.Change) lsm.Change {
	c.Key, c.Upper, c.Value = bytes.Clone(c.Key), bytes.Clone(c.Upper), bytes.Clone(c.Value)
	return c
}

// apply does to the contents what a change says.
func (s spaces) apply(t *testing.T, c lsm.Change) {
	t.Helper()
	switch c.Kind {
	case lsm.ChangeNewScope:
		s[c.Scope] = model{}
		return
	case lsm.ChangeDropScope:
		delete(s, c.Scope)
		return
	}
	require.NotNil(t, s[c.Scope], "%s in %s, which is not there", c.Kind, c.Scope)
	switch c.Kind {
	case lsm.ChangeSet:
		require.NotEqual(t, lsm.Absent, c.Version)
		s[c.Scope][string(c.Key)] = string(c.Value)
	case lsm.ChangeDelete:
		delete(s[c.Scope], string(c.Key))
	case lsm.ChangeDeleteRange:
		s[c.Scope].deleteRange(c.Key, c.Upper)
	default:
		require.Fail(t, "unknown change", "%s", c.Kind)
	}
}

// requireOrder checks that the changes come in the order that Diff promises.
func requireOrder(t *testing.T, cs []lsm.Change) {
	t.Helper()
	seen := map[scope.Scope]bool{}
	var last *lsm.Change
	for i := range cs {
		c := &cs[i]
		if c.Kind == lsm.ChangeNewScope || c.Kind == lsm.ChangeDropScope {
			continue
		}
		if last == nil || last.Scope != c.Scope {
			require.False(t, seen[c.Scope], "%s twice", c.Scope)
			require.False(t, c.Scope == scope.Scope{} && len(seen) > 0, "the root comes first")
			seen[c.Scope] = true
		} else if cmp := bytes.Compare(last.Key, c.Key); c.Kind == lsm.ChangeDeleteRange {
			require.Negative(t, cmp, "%q after %q", c.Key, last.Key)
		} else {
			require.True(t, cmp < 0 || cmp == 0 && last.Kind == lsm.ChangeDeleteRange, "%q after %q", c.Key, last.Key)
		}
		last = c
	}
}

// checkDiff takes the difference from a mark to now, or to a snapshot that is held, applies
// it to what was there, and compares. What is forgotten is so only where no horizon keeps it,
// and is then had from the beginning.
func (r *diffRun) checkDiff() {
	if len(r.marks) == 0 {
		return
	}
	m := r.marks[r.rnd.IntN(len(r.marks))]
	snap, want := (*lsm.Snapshot)(nil), r.now
	if len(r.then) > 0 && r.rnd.IntN(3) == 0 {
		f := r.then[r.rnd.IntN(len(r.then))]
		snap, want = f.snap, f.want
	} else {
		var err error
		snap, err = r.db.NewSnapshot()
		require.NoError(r.t, err)
		defer snap.Close()
	}
	if r.rnd.IntN(4) == 0 {
		r.checkScopeDiff(snap, want, m)
		return
	}
	got := m.want.clone()
	var cs []lsm.Change
	for c, err := range snap.Diff(m.at) {
		if errors.Is(err, lsm.ErrInvalidPosition) {
			return // the snapshot is older
		}
		if errors.Is(err, lsm.ErrHistoryGone) && !r.kept(m) {
			r.gone++
			r.checkWhole(snap, want)
			return
		}
		require.NoError(r.t, err)
		got.apply(r.t, c)
		cs = append(cs, cloneChange(c))
		if r.rnd.IntN(50) == 0 {
			r.meanwhile()
		}
	}
	r.partial++
	requireOrder(r.t, cs)
	require.Equal(r.t, want, got)
	for _, c := range cs {
		got.apply(r.t, c)
	}
	require.Equal(r.t, want, got, "a second time")
}

// meanwhile has tables made and merged while differences are read.
func (r *diffRun) meanwhile() {
	if r.rnd.IntN(2) == 0 {
		require.NoError(r.t, r.db.Flush(context.Background()))
	} else {
		require.NoError(r.t, r.db.Compact(context.Background(), nil, nil))
	}
}

func (r *diffRun) checkWhole(snap *lsm.Snapshot, want spaces) {
	r.zero++
	got := spaces{scope.Scope{}: {}}
	for c, err := range snap.Diff(lsm.Position{}) {
		require.NoError(r.t, err)
		require.NotContains(r.t, []lsm.ChangeKind{lsm.ChangeDelete, lsm.ChangeDeleteRange, lsm.ChangeDropScope}, c.Kind)
		got.apply(r.t, c)
	}
	require.Equal(r.t, want, got)
}

func (r *diffRun) checkScopeDiff(snap *lsm.Snapshot, want spaces, m mark) {
	name := r.name()
	sc, err := snap.Scope(name)
	require.NoError(r.t, err)
	got := m.want.clone()
	for c, err := range sc.Diff(m.at) {
		if errors.Is(err, lsm.ErrInvalidPosition) || errors.Is(err, lsm.ErrHistoryGone) && !r.kept(m) {
			return
		}
		require.NoError(r.t, err)
		require.Equal(r.t, name, c.Scope)
		got.apply(r.t, c)
	}
	require.Equal(r.t, want[name], got[name], "%s", name)
}

// Differences applied to what a store held give what it holds, through everything that
// happens to a store. What is forgotten is said to be, and nothing is above a horizon.
func TestDifferencesLeadFromOneStateToTheOther(t *testing.T) {
	seeds, steps := 6, 1000
	if testing.Short() {
		seeds, steps = 2, 800
	}
	partial, gone, zero := 0, 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newDiffRun(t, uint64(seed))
			for range steps {
				r.step()
			}
			r.checkAll()
			for range 20 {
				r.checkDiff()
			}
			r.checkHorizons()
			r.scopeRun.reopen()
			r.checkHorizons()
			for range 20 {
				r.checkDiff()
			}
			require.NoError(t, r.db.Close())
			partial, gone, zero = partial+r.partial, gone+r.gone, zero+r.zero
		})
	}
	t.Logf("%d differences, %d forgotten", partial, gone)
	require.Positive(t, partial)
	require.Positive(t, gone)
	require.Positive(t, zero)
}
