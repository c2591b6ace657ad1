package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// spaces is the oracle of scopes: a model for each that is there. The zero Scope stands
// for the root, which always is.
type spaces map[scope.Scope]model

func (s spaces) clone() spaces {
	out := spaces{}
	for name, m := range s {
		out[name] = maps.Clone(m)
	}
	return out
}

// set writes as a batch does: the scope comes into being.
func (s spaces) set(name scope.Scope, k, v string) {
	if s[name] == nil {
		s[name] = model{}
	}
	s[name][k] = v
}

// scopeRun is a store beside its model.
type scopeRun struct {
	*run
	now     spaces
	then    []frozenSpaces
	handles map[scope.Scope]*lsm.Scope // some of them stale
	copies  int                        // checkpoints made
}

type frozenSpaces struct {
	snap *lsm.Snapshot
	want spaces
}

func (r *scopeRun) name() scope.Scope {
	n := r.rnd.IntN(12)
	switch n % 4 {
	case 0:
		return scope.Agent(fmt.Sprint(n))
	case 1:
		return scope.Step("w", fmt.Sprint(n))
	case 2:
		return scope.User(fmt.Sprintf("a:%d", n))
	}
	return scope.Global()
}

// handle returns a new handle or an old one, for the root none.
func (r *scopeRun) handle(name scope.Scope) *lsm.Scope {
	if name == (scope.Scope{}) {
		return nil
	}
	if sc := r.handles[name]; sc != nil && r.rnd.IntN(2) == 0 {
		return sc
	}
	sc, err := r.db.Scope(name)
	require.NoError(r.t, err)
	r.handles[name] = sc
	return sc
}

func (r *scopeRun) step() {
	name := r.name()
	sc := r.handle(name)
	switch n := r.rnd.IntN(1000); {
	case n < 350:
		k, v := r.key(), r.value()
		require.NoError(r.t, sc.Set([]byte(k), []byte(v), r.writeOptions()))
		r.now.set(name, k, v)
	case n < 375:
		lo, hi := r.bounds()
		require.NoError(r.t, sc.DeleteRange(lo, hi, r.writeOptions()))
		r.now[name].deleteRange(lo, hi)
	case n < 450:
		k := r.key()
		require.NoError(r.t, sc.Delete([]byte(k), r.writeOptions()))
		delete(r.now[name], k)
	case n < 600:
		r.batch()
	case n < 660:
		require.NoError(r.t, sc.Drop(r.writeOptions()))
		delete(r.now, name)
	case n < 690:
		r.move(name, sc)
	case n < 710:
		r.copy(name, sc)
	case n < 850:
		r.checkScope(sc, r.now[name], name)
	case n < 870:
		r.checkList(r.db.ListScopes, r.now)
	case n < 900:
		require.NoError(r.t, r.db.Flush(context.Background()))
	case n < 930:
		r.snapshot()
	case n < 985:
		r.checkThen()
	case n < 992:
		r.reopen()
	case n < 995:
		r.checkpoint()
	}
}

// checkpoint compares a checkpoint with the model.
func (r *scopeRun) checkpoint() {
	r.copies++
	dir := fmt.Sprintf("copy-%d", r.copies)
	require.NoError(r.t, r.db.Checkpoint(context.Background(), dir))
	o := randomOptions(r.rnd, r.fs)
	o.MustExist = true
	db, err := lsm.Open(dir, &o)
	require.NoError(r.t, err)
	other := &scopeRun{run: &run{t: r.t, rnd: r.rnd, db: db, keys: r.keys}, now: r.now, handles: map[scope.Scope]*lsm.Scope{}}
	other.checkAll()
	require.NoError(r.t, db.Verify(context.Background()))
	require.NoError(r.t, db.Close())
}

// require makes a batch depend on a key of a scope, and reports whether it can be applied.
func (r *scopeRun) require(b *lsm.Batch) bool {
	k, name := []byte(r.key()), r.name()
	get := r.db.GetWithVersion
	if r.rnd.IntN(6) == 0 {
		b.In(nil)
	} else {
		get = r.handle(name).GetWithVersion
		b.In(r.handle(name))
	}
	_, v, err := get(k)
	require.Equal(r.t, v == lsm.Absent, errors.Is(err, lsm.ErrNotFound))
	if r.rnd.IntN(8) > 0 {
		b.Require(k, v)
		return true
	}
	if v == lsm.Absent {
		b.Require(k, 1)
	} else {
		b.Require(k, lsm.Absent)
	}
	return false
}

func (r *scopeRun) batch() {
	b := r.db.NewBatch()
	after, holds := r.now.clone(), true
	for range r.rnd.IntN(30) {
		name := r.name()
		if r.rnd.IntN(6) == 0 {
			name = scope.Scope{}
		}
		if r.rnd.IntN(20) == 0 {
			holds = r.require(b) && holds
		}
		b.In(r.handle(name))
		if r.rnd.IntN(20) == 0 {
			lo, hi := r.bounds()
			b.DeleteRange(lo, hi)
			after[name].deleteRange(lo, hi)
		} else if k := r.key(); r.rnd.IntN(3) == 0 {
			b.Delete([]byte(k))
			delete(after[name], k)
		} else {
			v := r.value()
			b.Set([]byte(k), []byte(v))
			after.set(name, k, v)
		}
	}
	// A delete before the first set of a scope deletes nothing, as the model does.
	err := r.db.Apply(b, r.writeOptions())
	if !holds {
		require.ErrorIs(r.t, err, lsm.ErrConflict)
		return
	}
	require.NoError(r.t, err)
	r.now = after
}

// want returns the error that moving or copying must give.
func (r *scopeRun) want(from, to scope.Scope) error {
	switch {
	case r.now[from] == nil:
		return lsm.ErrNotFound
	case r.now[to] != nil:
		return lsm.ErrScopeExists
	}
	return nil
}

func (r *scopeRun) move(name scope.Scope, sc *lsm.Scope) {
	to := r.name()
	err := sc.Move(to, r.writeOptions())
	if want := r.want(name, to); want != nil {
		require.ErrorIs(r.t, err, want)
		return
	}
	require.NoError(r.t, err)
	r.now[to] = r.now[name]
	delete(r.now, name)
}

func (r *scopeRun) copy(name scope.Scope, sc *lsm.Scope) {
	to := r.name()
	n, err := sc.Copy(context.Background(), to, r.writeOptions())
	if r.now[to] != nil { // found first
		require.ErrorIs(r.t, err, lsm.ErrScopeExists)
		return
	}
	if want := r.want(name, to); want != nil {
		require.ErrorIs(r.t, err, want)
		return
	}
	require.NoError(r.t, err)
	require.Equal(r.t, int64(len(r.now[name])), n)
	r.now[to] = maps.Clone(r.now[name])
}

func (r *scopeRun) checkScope(sc *lsm.Scope, m model, name scope.Scope) {
	k := r.key()
	got, err := sc.Get([]byte(k))
	checkValue(r.t, m, k, got, err)
	r.checkSeeks(sc.NewIter, m)
	var ks []string
	for e, err := range sc.ScanReverse(nil, nil) {
		require.NoError(r.t, err)
		require.Equal(r.t, m[string(e.Key)], string(e.Value), "%s", name)
		ks = append(ks, string(e.Key))
	}
	slices.Reverse(ks)
	require.Equal(r.t, sortedKeys(m, "", ""), ks, "%s", name)
	there, err := sc.Exists()
	require.NoError(r.t, err)
	require.Equal(r.t, m != nil, there)
	st, err := sc.Stats()
	require.NoError(r.t, err)
	if st.Exact {
		require.Equal(r.t, int64(len(m)), st.Entries, "%s", name)
	}
	require.GreaterOrEqual(r.t, st.Entries, int64(len(m)))
}

func (r *scopeRun) checkList(list func(scope.Kind, string) iter.Seq2[scope.Scope, error], want spaces) {
	var got []scope.Scope
	for s, err := range list(scope.AnyKind, "") {
		require.NoError(r.t, err)
		got = append(got, s)
	}
	var names []scope.Scope
	for name := range want {
		if name != (scope.Scope{}) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, scope.Compare)
	require.Equal(r.t, names, got)
}

func (r *scopeRun) snapshot() {
	if len(r.then) >= 4 {
		i := r.rnd.IntN(len(r.then))
		require.NoError(r.t, r.then[i].snap.Close())
		r.then = slices.Delete(r.then, i, i+1)
		return
	}
	snap, err := r.db.NewSnapshot()
	require.NoError(r.t, err)
	r.then = append(r.then, frozenSpaces{snap, r.now.clone()})
}

func (r *scopeRun) checkThen() {
	if len(r.then) == 0 {
		return
	}
	f := r.then[r.rnd.IntN(len(r.then))]
	name := r.name()
	sc, err := f.snap.Scope(name)
	require.NoError(r.t, err)
	r.checkScope(sc, f.want[name], name)
	r.checkList(f.snap.ListScopes, f.want)
}

func (r *scopeRun) reopen() {
	for _, f := range r.then {
		require.NoError(r.t, f.snap.Close())
	}
	r.then = nil
	r.run.reopen()
	r.handles = map[scope.Scope]*lsm.Scope{}
}

func (r *scopeRun) checkAll() {
	r.checkList(r.db.ListScopes, r.now)
	for name, m := range r.now {
		if name == (scope.Scope{}) {
			r.model = m
			r.run.checkAll()
			continue
		}
		r.checkScope(r.handle(name), m, name)
	}
}

// A store with scopes behaves as a map of maps, through drops, moves, copies, deleted ranges,
// conditional batches, flushes, compactions, snapshots, checkpoints and reopenings.
func TestScopesBehaveAsMaps(t *testing.T) {
	seeds, steps := 8, 1500
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 7))
			r := &scopeRun{
				run: &run{t: t, rnd: rnd, fs: vfs.NewMem(), model: model{}, keys: 10 + rnd.IntN(100)},
				now: spaces{scope.Scope{}: {}}, handles: map[scope.Scope]*lsm.Scope{},
			}
			r.opts = randomOptions(rnd, r.fs)
			r.open()
			for range steps {
				r.step()
			}
			r.checkAll()
			r.reopen()
			r.checkAll()
			require.NoError(t, r.db.Close())
		})
	}
}
