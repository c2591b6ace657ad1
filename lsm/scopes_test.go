package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

func handle(t *testing.T, db *lsm.DB, s scope.Scope) *lsm.Scope {
	t.Helper()
	sc, err := db.Scope(s)
	require.NoError(t, err)
	return sc
}

// dump returns what a scope holds, as text.
func dump(t *testing.T, sc *lsm.Scope) string {
	t.Helper()
	var out []string
	for e, err := range sc.Scan(nil, nil) {
		require.NoError(t, err)
		out = append(out, fmt.Sprintf("%s=%s", e.Key, e.Value))
	}
	return strings.Join(out, " ")
}

func names(t *testing.T, db *lsm.DB, kind scope.Kind, prefix string) string {
	t.Helper()
	var out []string
	for s, err := range db.ListScopes(kind, prefix) {
		require.NoError(t, err)
		out = append(out, s.String())
	}
	return strings.Join(out, " ")
}

func TestTheSameKeyInEveryScopeIsAnotherKey(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	scopes := []scope.Scope{
		scope.Global(), scope.User("u"), scope.Session("u"), scope.Agent("a"), scope.Agent("a:b"), scope.Tool("a"),
		scope.Workflow("w"), scope.Step("w", "s"), scope.Hook("a"), scope.Custom("a"),
	}
	require.NoError(t, db.Set([]byte("k"), []byte("root"), lsm.NoSync))
	for _, s := range scopes {
		sc := handle(t, db, s)
		_, err := sc.Get([]byte("k"))
		require.ErrorIs(t, err, lsm.ErrNotFound)
		there, err := sc.Exists()
		require.NoError(t, err)
		require.False(t, there)
		require.NoError(t, sc.Set([]byte("k"), []byte(s.String()), lsm.NoSync))
		require.Equal(t, s, sc.Name())
	}
	for range 2 {
		for _, s := range scopes {
			sc := handle(t, db, s)
			v, err := sc.Get([]byte("k"))
			require.NoError(t, err)
			require.Equal(t, s.String(), string(v))
			require.Equal(t, "k="+s.String(), dump(t, sc))
			has, err := sc.Has([]byte("k2"))
			require.NoError(t, err)
			require.False(t, has)
		}
		v, err := db.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "root", string(v))
		require.NoError(t, db.Flush(context.Background()))
	}
	require.Equal(t, `global user:u session:u agent:a agent:a\:b tool:a workflow:w workflow:w:step:s hook:a custom:a`,
		names(t, db, scope.AnyKind, ""))
	require.Equal(t, `agent:a agent:a\:b`, names(t, db, scope.KindAgent, "a"))
	require.Equal(t, `agent:a\:b`, names(t, db, scope.KindAgent, "a:"))
	require.Equal(t, `workflow:w:step:s`, names(t, db, scope.KindStep, "w\x00"))
	require.Equal(t, `user:u session:u`, names(t, db, scope.AnyKind, "u"))
}

func TestDroppedScopesAreGoneAndStartAnew(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	sc, other := handle(t, db, scope.Agent("a")), handle(t, db, scope.Agent("b"))
	stale := handle(t, db, scope.Agent("a"))
	for i := range 10 {
		for _, s := range []*lsm.Scope{sc, other, stale} {
			require.NoError(t, s.Set(fmt.Appendf(nil, "k%d", i), []byte("old"), lsm.NoSync))
		}
	}
	it, err := sc.NewIter(nil)
	require.NoError(t, err)
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, sc.Drop(nil))
	require.NoError(t, sc.Drop(nil), "dropped already")
	for _, s := range []*lsm.Scope{sc, stale} {
		require.Empty(t, dump(t, s))
		_, err := s.Get([]byte("k1"))
		require.ErrorIs(t, err, lsm.ErrNotFound)
	}
	require.Equal(t, "agent:b", names(t, db, scope.AnyKind, ""))
	require.NoError(t, stale.Delete([]byte("k2"), nil), "makes no scope")
	require.Equal(t, "agent:b", names(t, db, scope.AnyKind, ""))
	require.NoError(t, stale.Set([]byte("k3"), []byte("new"), nil))
	require.Equal(t, "k3=new", dump(t, sc))
	require.True(t, it.First())
	require.Equal(t, "old", string(it.Value()), "an iterator goes on")
	require.NoError(t, it.Close())
	then, err := snap.Scope(scope.Agent("a"))
	require.NoError(t, err)
	v, err := then.Get([]byte("k9"))
	require.NoError(t, err)
	require.Equal(t, "old", string(v), "a snapshot never changes")
	require.NoError(t, snap.Close())
	_, err = then.Get([]byte("k9"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	require.Len(t, strings.Fields(dump(t, other)), 10)
}

func TestABatchSpansScopes(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	a, b, c := handle(t, db, scope.User("a")), handle(t, db, scope.User("b")), handle(t, db, scope.User("c"))
	require.NoError(t, b.Set([]byte("gone"), nil, nil))
	batch := a.NewBatch()
	batch.Set([]byte("k"), []byte("1"))
	batch.In(b).Set([]byte("k"), []byte("2"))
	batch.Delete([]byte("gone"))
	batch.In(nil).Set([]byte("k"), []byte("root"))
	batch.In(c).Delete([]byte("k"))
	batch.In(a).Set([]byte("l"), []byte("3"))
	require.NoError(t, db.Apply(batch, nil))
	check := func() {
		require.Equal(t, "k=1 l=3", dump(t, a))
		require.Equal(t, "k=2", dump(t, b))
		v, err := db.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "root", string(v))
		require.Equal(t, "user:a user:b", names(t, db, scope.AnyKind, ""), "deletes make no scope")
	}
	check()
	require.NoError(t, a.Drop(nil))
	require.NoError(t, db.Apply(batch, lsm.NoSync), "again, with other ids")
	check()
	require.NoError(t, a.Move(scope.User("z"), nil))
	require.NoError(t, b.Drop(nil))
	require.NoError(t, a.Apply(batch, lsm.NoSync))
	require.NoError(t, handle(t, db, scope.User("z")).Drop(nil))
	check()

	batch.Reset()
	batch.Delete([]byte("k"))
	require.NoError(t, db.Apply(batch, nil))
	require.Equal(t, "l=3", dump(t, a), "Reset goes back to the batch's scope")

	many := db.NewBatch()
	for i := range 100 {
		many.In(handle(t, db, scope.Tool(fmt.Sprint(i%50)))).Set(fmt.Append(nil, i), nil)
	}
	require.NoError(t, db.Apply(many, nil))
	require.Len(t, strings.Fields(names(t, db, scope.KindTool, "")), 50)
	require.Equal(t, "57= 7=", dump(t, handle(t, db, scope.Tool("7"))))
}

func TestRacingCreatorsMakeOneScope(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	for round := range 30 {
		name := scope.Session(fmt.Sprint(round))
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				sc, err := db.Scope(name)
				if err == nil {
					w := lsm.NoSync
					if g%3 == 0 {
						w = lsm.Sync
					}
					err = sc.Set(fmt.Append(nil, g), nil, w)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, "0= 1= 2= 3= 4= 5= 6= 7=", dump(t, handle(t, db, name)))
	}
}

// Writers go on while their scope is dropped, again and again: each write is in the scope
// that it was acknowledged in, whole, and never in a later life.
func TestWritersOfADroppedScopeAreRedirected(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 4 {
		wg.Go(func() {
			sc, err := db.Scope(scope.Agent("a"))
			if err != nil {
				t.Error(err)
				return
			}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				b := sc.NewBatch()
				b.Set(fmt.Appendf(nil, "%d-%d-x", g, i), nil)
				b.Set(fmt.Appendf(nil, "%d-%d-y", g, i), nil)
				if err := db.Apply(b, lsm.NoSync); err != nil {
					t.Error(err)
					return
				}
				// What was written is there, unless the scope was dropped since.
				if has, err := sc.Has(fmt.Appendf(nil, "%d-%d-x", g, i)); err != nil {
					t.Error(has, err)
					return
				}
			}
		})
	}
	sc := handle(t, db, scope.Agent("a"))
	seen := map[string]bool{}
	for len(seen) < 2000 {
		before := map[string]bool{}
		for e, err := range sc.Scan(nil, nil) {
			require.NoError(t, err)
			require.False(t, seen[string(e.Key)], "%s is of an earlier life", e.Key)
			before[string(e.Key)] = true
		}
		require.Zero(t, len(before)%2, "half a batch")
		require.NoError(t, sc.Drop(lsm.NoSync))
		for k := range before {
			seen[k] = true
		}
	}
	close(stop)
	wg.Wait()
}

// A scope goes from one name to another and is written on there: who reads by the old name
// sees what it held under that name, or nothing.
func TestReadersOfAMovedScopeNeverSeeItsLaterLife(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	a, b := handle(t, db, scope.User("a")), handle(t, db, scope.User("b"))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	look := func(f func(sc *lsm.Scope) (string, error)) {
		wg.Go(func() {
			sc, err := db.Scope(scope.User("a"))
			for err == nil {
				select {
				case <-stop:
					return
				default:
				}
				var v string
				if v, err = f(sc); err == nil && v != "" && v != "a" {
					err = fmt.Errorf("read %q", v)
				}
			}
			t.Error(err)
		})
	}
	look(func(sc *lsm.Scope) (string, error) {
		v, err := sc.Get([]byte("k"))
		if errors.Is(err, lsm.ErrNotFound) {
			err = nil
		}
		return string(v), err
	})
	look(func(sc *lsm.Scope) (v string, err error) {
		for e, err := range sc.Scan(nil, nil) {
			if err != nil {
				return "", err
			}
			v = string(e.Value)
		}
		return v, nil
	})
	for i := range 600 {
		w := lsm.NoSync
		if i%3 == 0 {
			w = lsm.Sync // longer between its number and its being visible
		}
		require.NoError(t, a.Set([]byte("k"), []byte("a"), w))
		require.NoError(t, a.Move(scope.User("b"), w))
		require.NoError(t, b.Set([]byte("k"), []byte("b"), lsm.NoSync))
		require.NoError(t, b.Drop(w))
	}
	close(stop)
	wg.Wait()
}

func TestMoveAndCopy(t *testing.T) {
	ctx := context.Background()
	db := openMemory(t, lsm.Options{})
	a, b := handle(t, db, scope.User("a")), handle(t, db, scope.User("b"))
	require.ErrorIs(t, a.Move(scope.User("b"), nil), lsm.ErrNotFound)
	_, err := a.Copy(ctx, scope.User("b"), nil)
	require.ErrorIs(t, err, lsm.ErrNotFound)
	require.NoError(t, a.Set([]byte("k"), []byte("1"), nil))
	require.NoError(t, a.Move(scope.User("b"), nil))
	require.Equal(t, "user:b", names(t, db, scope.AnyKind, ""))
	require.Empty(t, dump(t, a))
	require.Equal(t, "k=1", dump(t, b))
	require.NoError(t, a.Set([]byte("k"), []byte("2"), nil))
	require.ErrorIs(t, a.Move(scope.User("b"), nil), lsm.ErrScopeExists)
	_, err = a.Copy(ctx, scope.User("b"), nil)
	require.ErrorIs(t, err, lsm.ErrScopeExists)

	n, err := b.Copy(ctx, scope.User("c"), nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	require.NoError(t, b.Set([]byte("k"), []byte("3"), nil))
	require.Equal(t, "k=1", dump(t, handle(t, db, scope.User("c"))))
	n, err = b.CopyCounting(ctx, scope.User("d"), nil, func(key []byte) bool { return string(key) != "k" })
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, "k=3", dump(t, handle(t, db, scope.User("d"))))
	require.NoError(t, handle(t, db, scope.User("d")).Drop(nil))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	require.NoError(t, b.Drop(nil))
	then, err := snap.Scope(scope.User("b"))
	require.NoError(t, err)
	f, err := then.Fork(ctx, scope.User("f"), nil)
	require.NoError(t, err)
	require.Equal(t, "k=3", dump(t, f))
	require.ErrorIs(t, then.Set([]byte("k"), nil, nil), lsm.ErrReadOnly)
	require.ErrorIs(t, then.Drop(nil), lsm.ErrReadOnly)
	require.ErrorIs(t, then.Move(scope.User("x"), nil), lsm.ErrReadOnly)
	require.ErrorIs(t, db.Apply(then.NewBatch(), nil), lsm.ErrReadOnly)

	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = f.Copy(done, scope.User("g"), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "user:a user:c user:f", names(t, db, scope.AnyKind, ""))
}

func TestScopesRefuseBadInput(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	_, err := db.Scope(scope.User(""))
	require.ErrorIs(t, err, scope.ErrInvalid)
	sc := handle(t, db, scope.User("u"))
	require.ErrorIs(t, sc.Set(make([]byte, 1<<16), nil, nil), lsm.ErrTooLarge)
	_, err = sc.Get(make([]byte, 1<<16))
	require.ErrorIs(t, err, lsm.ErrNotFound)
	require.ErrorIs(t, sc.Move(scope.Scope{}, nil), scope.ErrInvalid)
	_, err = sc.Copy(context.Background(), scope.User("\x00"), nil)
	require.ErrorIs(t, err, scope.ErrInvalid)
	b := sc.NewBatch()
	b.Set(make([]byte, 1<<16), nil)
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrTooLarge)
	require.Empty(t, names(t, db, scope.AnyKind, ""))
	foreign := handle(t, openMemory(t, lsm.Options{}), scope.User("u")).NewBatch()
	foreign.Set([]byte("k"), nil)
	require.Error(t, db.Apply(foreign, nil))

	require.NoError(t, sc.Set([]byte("k"), nil, nil))
	batch := sc.NewBatch()
	batch.Set([]byte("k"), nil)
	require.NoError(t, db.Close())
	_, err = db.Scope(scope.User("u"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	_, err = sc.Get([]byte("k"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	_, err = sc.Exists()
	require.ErrorIs(t, err, lsm.ErrClosed)
	_, err = sc.NewIter(nil)
	require.ErrorIs(t, err, lsm.ErrClosed)
	_, err = sc.Stats()
	require.ErrorIs(t, err, lsm.ErrClosed)
	require.ErrorIs(t, sc.Set([]byte("k"), nil, nil), lsm.ErrClosed)
	require.ErrorIs(t, sc.Drop(nil), lsm.ErrClosed)
	require.ErrorIs(t, db.Apply(batch, nil), lsm.ErrClosed)
	for _, err := range db.ListScopes(scope.AnyKind, "") {
		require.ErrorIs(t, err, lsm.ErrClosed)
	}
	for _, err := range sc.Scan(nil, nil) {
		require.ErrorIs(t, err, lsm.ErrClosed)
	}
}

func TestScopesOfAReadOnlyStore(t *testing.T) {
	fs := vfs.NewMem()
	o := lsm.Options{}
	seams.Inject(&o, seams.Seams{FS: fs})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	sc := handle(t, db, scope.Custom("c"))
	require.NoError(t, sc.Set([]byte("k"), []byte("v"), nil))
	require.NoError(t, handle(t, db, scope.Custom("d")).Set([]byte("k"), []byte("v"), nil))
	require.NoError(t, handle(t, db, scope.Custom("d")).Drop(nil))
	require.NoError(t, db.Close())
	o.ReadOnly = true
	db, err = lsm.Open("db", &o)
	require.NoError(t, err)
	defer db.Close()
	sc = handle(t, db, scope.Custom("c"))
	require.Equal(t, "k=v", dump(t, sc))
	require.Equal(t, "custom:c", names(t, db, scope.AnyKind, ""))
	require.ErrorIs(t, sc.Set([]byte("k"), nil, nil), lsm.ErrReadOnly)
	require.ErrorIs(t, sc.Drop(nil), lsm.ErrReadOnly)
	require.ErrorIs(t, sc.Move(scope.Custom("e"), nil), lsm.ErrReadOnly)
	_, err = sc.Copy(context.Background(), scope.Custom("e"), nil)
	require.ErrorIs(t, err, lsm.ErrReadOnly)
	st, err := sc.Stats()
	require.NoError(t, err)
	require.Equal(t, lsm.ScopeStats{Entries: 1, Bytes: 2, Exact: true}, st)
}

func TestStatsComeFromTables(t *testing.T) {
	ctx := context.Background()
	db := openMemory(t, lsm.Options{})
	big, small := handle(t, db, scope.User("big")), handle(t, db, scope.User("small"))
	st, err := big.Stats()
	require.NoError(t, err)
	require.Equal(t, lsm.ScopeStats{Exact: true}, st)
	for i := range 20_000 {
		require.NoError(t, big.Set(fmt.Appendf(nil, "k%05d", i), make([]byte, 94), lsm.NoSync))
		if i%100 == 0 {
			require.NoError(t, small.Set(fmt.Appendf(nil, "%03d", i/100), []byte("1"), lsm.NoSync))
		}
	}
	want := map[*lsm.Scope]lsm.ScopeStats{
		big: {Entries: 20_000, Bytes: 2_000_000, Exact: true}, small: {Entries: 200, Bytes: 800, Exact: true},
	}
	check := func() {
		for sc, w := range want {
			st, err := sc.Stats()
			require.NoError(t, err)
			require.Equal(t, w, st)
		}
	}
	check()
	require.NoError(t, db.Flush(ctx))
	check()
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	require.NoError(t, big.Set([]byte("k00000"), nil, nil))
	require.NoError(t, small.Delete([]byte("000"), nil))
	st, err = big.Stats()
	require.NoError(t, err)
	require.False(t, st.Exact)
	require.Equal(t, int64(20_001), st.Entries)
	st, err = small.Stats()
	require.NoError(t, err)
	require.Equal(t, lsm.ScopeStats{Entries: 199, Bytes: 796, Exact: true}, st)
	then, err := snap.Scope(scope.User("small"))
	require.NoError(t, err)
	st, err = then.Stats()
	require.NoError(t, err)
	require.Equal(t, want[small], st)
}

// In a scope that was met before, a read or a write costs what it costs in the root, but
// for comparing a number.
func TestVerbsInAScopeDoNotAllocateMoreThanInTheRoot(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	sc := handle(t, db, scope.Agent("a"))
	key, value, dst := []byte("key"), []byte("value"), make([]byte, 0, 64)
	require.NoError(t, sc.Set(key, value, lsm.NoSync))
	require.NoError(t, sc.Set(key, value, lsm.NoSync))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = sc.AppendGet(dst, key) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = sc.Has(key) }))
	root := testing.AllocsPerRun(1000, func() { _ = db.Set(key, value, lsm.NoSync) })
	scoped := testing.AllocsPerRun(1000, func() { _ = sc.Set(key, value, lsm.NoSync) })
	require.LessOrEqual(t, scoped, root+1, "one, because pools of a race build forget")
}
