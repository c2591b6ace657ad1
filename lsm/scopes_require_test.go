package lsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// setIf applies a batch that sets a key of a scope if it has the version.
func setIf(sc *Scope, key string, v Version, value string, w *WriteOptions) error {
	b := sc.NewBatch()
	b.Require([]byte(key), v)
	b.Set([]byte(key), []byte(value))
	return sc.Apply(b, w)
}

func versionOf(t *testing.T, sc *Scope, key string) Version {
	t.Helper()
	_, v, err := sc.GetWithVersion([]byte(key))
	require.True(t, err == nil && v != Absent || errors.Is(err, ErrNotFound) && v == Absent, "%v %v", v, err)
	return v
}

func TestRequirementsInAScope(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	a, b := user(t, db, "a"), user(t, db, "b")
	require.Equal(t, Absent, versionOf(t, a, "k"))
	require.ErrorIs(t, setIf(a, "k", 7, "v", NoSync), ErrConflict)
	there, err := a.Exists()
	require.NoError(t, err)
	require.False(t, there, "a batch that conflicts makes no scope")

	require.NoError(t, setIf(a, "k", Absent, "1", NoSync))
	require.ErrorIs(t, setIf(a, "k", Absent, "2", NoSync), ErrConflict)
	v1 := versionOf(t, a, "k")
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	require.NoError(t, setIf(a, "k", v1, "2", NoSync))
	require.ErrorIs(t, setIf(a, "k", v1, "3", NoSync), ErrConflict)
	then, err := snap.Scope(a.Name())
	require.NoError(t, err)
	require.Equal(t, v1, versionOf(t, then, "k"))

	// The same key elsewhere is another.
	require.Equal(t, Absent, versionOf(t, b, "k"))
	_, v, err := db.GetWithVersion([]byte("k"))
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, Absent, v)
	require.NoError(t, setIf(b, "k", Absent, "b", NoSync))
	require.NoError(t, a.DeleteRange(nil, nil, NoSync))
	require.Equal(t, Absent, versionOf(t, a, "k"))
	require.NoError(t, setIf(a, "k", Absent, "4", NoSync))

	// A version moves with its scope, and not with a copy.
	v4 := versionOf(t, a, "k")
	_, err = a.Copy(noDeadline, scope.User("copy"), nil)
	require.NoError(t, err)
	require.NotEqual(t, v4, versionOf(t, user(t, db, "copy"), "k"))
	require.NoError(t, a.Move(scope.User("moved"), nil))
	require.Equal(t, v4, versionOf(t, user(t, db, "moved"), "k"))
	require.ErrorIs(t, setIf(a, "k", v4, "5", NoSync), ErrConflict)
	require.NoError(t, setIf(user(t, db, "moved"), "k", v4, "5", NoSync))
}

// Requirements over several scopes, in a batch that writes to some, or to none.
func TestRequirementsOverScopes(t *testing.T) {
	for _, writes := range []bool{true, false} {
		db := openSized(t, vfs.NewMem(), Options{}, small())
		a, b, none := user(t, db, "a"), user(t, db, "b"), user(t, db, "none")
		require.NoError(t, a.Set([]byte("k"), []byte("a"), NoSync))
		require.NoError(t, b.Set([]byte("k"), []byte("b"), NoSync))
		set(t, db, "k", "root")
		_, root, err := db.GetWithVersion([]byte("k"))
		require.NoError(t, err)
		batch := func(inA, inB, inNone, inRoot Version) *Batch {
			x := db.NewBatch()
			x.Require([]byte("k"), inRoot)
			x.In(a).Require([]byte("k"), inA)
			x.In(b).Require([]byte("k"), inB)
			x.In(none).Require([]byte("k"), inNone)
			if x.Delete([]byte("other")); writes {
				x.In(b).Set([]byte("w"), nil)
			}
			return x
		}
		va, vb := versionOf(t, a, "k"), versionOf(t, b, "k")
		good := batch(va, vb, Absent, root)
		for range 2 {
			require.NoError(t, db.Apply(good, nil), "a batch can be applied again")
		}
		for i, bad := range []*Batch{batch(vb, vb, Absent, root), batch(va, Absent, Absent, root), batch(va, vb, va, root), batch(va, vb, Absent, va)} {
			require.ErrorIs(t, db.Apply(bad, nil), ErrConflict, i)
		}
		there, err := none.Exists()
		require.NoError(t, err)
		require.False(t, there, "requiring makes no scope")
		_, err = b.Get([]byte("w"))
		require.Equal(t, writes, err == nil)

		require.NoError(t, none.Set([]byte("other"), nil, NoSync))
		require.NoError(t, db.Apply(good, nil))
		_, err = none.Get([]byte("other"))
		require.ErrorIs(t, err, ErrNotFound, "it is there now, and deleted from")
		good.Reset()
		require.NoError(t, db.Apply(good, nil))
	}
}

// What a handle knows of its scope may be stale. Conditions are then judged by the keys of
// an id that is not the scope's any more, and must not decide.
func TestRequirementsOfAStaleHandle(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *Scope){
		"dropped": func(t *testing.T, sc *Scope) { require.NoError(t, sc.Drop(nil)) },
		"moved":   func(t *testing.T, sc *Scope) { require.NoError(t, sc.Move(scope.User("elsewhere"), nil)) },
	} {
		for _, again := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,again=%v", name, again), func(t *testing.T) {
				db := openSized(t, vfs.NewMem(), Options{}, small())
				mine, other := user(t, db, "u"), user(t, db, "u")
				require.NoError(t, mine.Set([]byte("k"), []byte("old"), nil))
				old := versionOf(t, mine, "k")
				leave(t, other)
				if again {
					require.NoError(t, other.Set([]byte("x"), nil, nil))
				}
				check := mine.NewBatch()
				check.Require([]byte("k"), old)
				require.NotNil(t, mine.held.Load(), "the handle is stale")
				require.ErrorIs(t, mine.Apply(check, nil), ErrConflict)
				mine.held.Store(newResolved(3, 1))
				require.ErrorIs(t, setIf(mine, "k", old, "new", nil), ErrConflict)
				mine.held.Store(newResolved(3, 1))
				check.Reset()
				check.Require([]byte("k"), Absent)
				require.NoError(t, mine.Apply(check, nil))
				mine.held.Store(newResolved(3, 1))
				require.NoError(t, setIf(mine, "k", Absent, "new", nil))
				require.Equal(t, map[bool]int{true: 2, false: 1}[again], count(t, other))
			})
		}
	}
}

// In one group: a batch that a condition keeps out leaves no trace in the directory, so that
// who makes the same scope behind it does not wait for it; and of two that make it, with
// conditions, each is judged.
func TestARefusedBatchLeavesNoTraceInTheDirectory(t *testing.T) {
	for i := range 2 {
		w := []*WriteOptions{Sync, NoSync}[i]
		synctest.Test(t, func(t *testing.T) {
			db := ringed(t, 0)
			sc, other := user(t, db, "u"), user(t, db, "v")
			require.NoError(t, db.queue.acquire(context.Background()))
			first := async(func() error { return db.Set([]byte("k"), nil, w) })
			synctest.Wait()
			refused := async(func() error {
				b := db.NewBatch()
				b.Require([]byte("k"), Absent)
				b.In(sc).Set([]byte("mine"), nil)
				b.In(other).Set([]byte("mine"), nil)
				return db.Apply(b, w)
			})
			synctest.Wait()
			behind := async(func() error { return user(t, db, "u").Set([]byte("k"), []byte("theirs"), w) })
			synctest.Wait()
			late := async(func() error { return setIf(user(t, db, "u"), "k", Absent, "late", w) })
			synctest.Wait()
			db.queue.passLead()
			require.NoError(t, <-first)
			require.ErrorIs(t, <-refused, ErrConflict)
			require.NoError(t, <-behind)
			require.ErrorIs(t, <-late, ErrConflict, "redirected to the scope that is there now, and judged there")
			require.Equal(t, 1, count(t, sc))
			there, err := other.Exists()
			require.NoError(t, err)
			require.False(t, there)
			require.EqualValues(t, 4, db.visible.load(), "a key, an entry, a name and a key")
			require.NoError(t, db.Close())
		})
	}
}

// Compare and set on a counter whose scope is moved to and fro all the time, and beside which
// scopes come and go: every success counts.
func TestCompareAndSetInAScopeThatMoves(t *testing.T) {
	for _, ring := range []int{0, 1} { // with one of a key most commits are overruns
		t.Run(fmt.Sprintf("ring=%d", ring), func(t *testing.T) { compareAndSet(t, ringed(t, ring)) })
	}
}

func compareAndSet(t *testing.T, db *DB) {
	names := [2]scope.Scope{scope.User("a"), scope.User("b")}
	require.NoError(t, user(t, db, "a").Set([]byte("n"), []byte("0"), NoSync))
	stop := make(chan struct{})
	var movers, workers sync.WaitGroup
	movers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from, _ := db.Scope(names[i%2])
			if err := from.Move(names[(i+1)%2], NoSync); err != nil {
				t.Error(err)
				return
			}
			gone, _ := db.Scope(scope.Session("s"))
			_ = gone.Set([]byte("k"), nil, NoSync)
			if err := gone.Drop(NoSync); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var mu sync.Mutex
	done := 0
	for range 4 {
		workers.Go(func() {
			var handles [2]*Scope
			for i := range handles {
				handles[i], _ = db.Scope(names[i])
			}
			mine := 0
			for i := 0; mine < 200 && i < 1_000_000; i++ {
				sc := handles[i%2]
				value, v, err := sc.GetWithVersion([]byte("n"))
				if errors.Is(err, ErrNotFound) {
					continue
				}
				n := 0
				if _, err := fmt.Sscan(string(value), &n); err != nil {
					t.Error(err)
					return
				}
				switch err := setIf(sc, "n", v, fmt.Sprint(n+1), NoSync); {
				case err == nil:
					mine++
				case !errors.Is(err, ErrConflict):
					t.Error(err)
					return
				}
			}
			mu.Lock()
			done += mine
			mu.Unlock()
		})
	}
	workers.Wait()
	close(stop)
	movers.Wait()
	total, found := 0, 0
	for _, name := range names {
		sc, err := db.Scope(name)
		require.NoError(t, err)
		if v, err := sc.Get([]byte("n")); err == nil {
			found++
			_, err = fmt.Sscan(string(v), &total)
			require.NoError(t, err)
		}
	}
	require.Equal(t, 1, found)
	require.Positive(t, done)
	require.Equal(t, done, total)
}

// A reader that looks a scope up notes from when on it surely holds; the scope may be younger. A snapshot in between was
// told that the scope was there.
func TestASnapshotHasNoScopeThatCameLater(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	set(t, db, "k", "1")
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	began := db.visible.load() // the reader begins
	require.NoError(t, sc.Set([]byte("k"), []byte("1"), NoSync))
	r, _, err := sc.look()
	require.NoError(t, err)
	r.at.Store(uint64(began))
	was, err := snap.Scope(scope.Agent("a"))
	require.NoError(t, err)
	there, err := was.Exists()
	require.NoError(t, err)
	require.False(t, there)
	require.NoError(t, snap.Close())
}
