package lsm_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// follower applies what a watcher shows to a copy of what is watched.
type follower struct {
	t      *testing.T
	w      *lsm.Watcher
	copy   model
	commit lsm.Version // of the last event
	whole  bool        // that was its commit's last
	lags   int
}

func follow(t *testing.T, w *lsm.Watcher, err error) *follower {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return &follower{t: t, w: w, copy: model{}, whole: true}
}

// next applies the next event and checks that it is where it belongs.
func (f *follower) next() (lsm.WatchEvent, error) {
	e, err := f.w.Next()
	if err != nil {
		return e, err
	}
	switch {
	case e.Kind == lsm.WatchLagged:
		f.lags++
		if f.whole {
			require.GreaterOrEqual(f.t, e.From, f.commit)
		}
		require.GreaterOrEqual(f.t, e.Commit, f.commit)
	case f.whole:
		require.Greater(f.t, e.Commit, f.commit, "a new commit")
	default:
		require.Equal(f.t, f.commit, e.Commit, "the rest of a commit")
	}
	require.LessOrEqual(f.t, e.Version, e.Commit)
	f.commit, f.whole = e.Commit, e.Last
	switch e.Kind {
	case lsm.WatchSet:
		f.copy[string(e.Key)] = string(e.Value)
	case lsm.WatchDelete:
		delete(f.copy, string(e.Key))
	case lsm.WatchDeleteRange:
		f.copy.deleteRange(e.Key, e.Upper)
	case lsm.WatchDropped:
		clear(f.copy)
	}
	return e, nil
}

// until applies events up to the set of a key, which is the last of its commit.
func (f *follower) until(key string) {
	f.t.Helper()
	for {
		e, err := f.next()
		require.NoError(f.t, err)
		if string(e.Key) == key && e.Kind == lsm.WatchSet {
			for !f.whole {
				_, err := f.next()
				require.NoError(f.t, err)
			}
			return
		}
	}
}

// show writes an event down, commits by their order.
func (f *follower) show() string {
	f.t.Helper()
	before := f.commit
	e, err := f.next()
	if err != nil {
		return err.Error()
	}
	var s strings.Builder
	if e.Commit == before {
		s.WriteString("  ")
	}
	fmt.Fprintf(&s, "%s %s", e.Kind, e.Key)
	if e.Kind == lsm.WatchDeleteRange {
		fmt.Fprintf(&s, " to %s", e.Upper)
	}
	if e.Kind == lsm.WatchSet {
		fmt.Fprintf(&s, " = %s", e.Value)
	}
	if e.Last {
		s.WriteString(".")
	}
	return s.String()
}

func (f *follower) expect(lines ...string) {
	f.t.Helper()
	for _, line := range lines {
		require.Equal(f.t, line, f.show())
	}
}

func bytesOf(s string) []byte { return []byte(s) }

// Every commit is shown once, in order, its operations together and in their order.
func TestWatchersShowCommitsInOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		require.NoError(t, db.Set(bytesOf("before"), nil, nil))
		w, err := db.Watch(context.Background(), nil)
		f := follow(t, w, err)
		require.NoError(t, db.Set(bytesOf("a"), bytesOf("1"), nil))
		require.NoError(t, db.Set(bytesOf("a"), bytesOf("2"), lsm.NoSync))
		require.NoError(t, db.Delete(bytesOf("a"), nil))
		b := db.NewBatch()
		b.Set(bytesOf("b"), bytesOf("3"))
		b.DeleteRange(bytesOf("b"), bytesOf("d"))
		b.Set(bytesOf("c"), nil)
		require.NoError(t, db.Apply(b, nil))
		require.NoError(t, db.Update(func(tx *lsm.Txn) error {
			_, err := tx.Get(bytesOf("c"))
			require.NoError(t, err)
			require.NoError(t, tx.Set(bytesOf("e"), bytesOf("5")))
			return tx.Set(bytesOf("d"), bytesOf("4"))
		}))
		require.NoError(t, db.DeleteRange(bytesOf("d"), nil, nil))
		require.NoError(t, db.Flush(context.Background()))
		require.NoError(t, db.Set(bytesOf("z"), nil, nil))
		f.expect("set a = 1.", "set a = 2.", "delete a.", "set b = 3", "  delete range b to d", "  set c = .",
			"set d = 4", "  set e = 5.", "delete range d to .", "set z = .")
		_, v, err := db.GetWithVersion(bytesOf("z"))
		require.NoError(t, err)
		require.Equal(t, v, f.commit)
		require.Equal(t, 1, db.Metrics().Watchers)
		require.Zero(t, db.Metrics().WatchLags)
		require.NoError(t, w.Close())
		require.Zero(t, db.Metrics().Watchers)
		require.Zero(t, db.Metrics().WatchBytes)
	})
}

// A synced commit is shown as durable, an unsynced one when the log has been synced.
func TestEventsSayWhetherTheyAreDurable(t *testing.T) {
	db := openMemory(t, lsm.Options{SyncInterval: -1})
	w, err := db.Watch(context.Background(), nil)
	f := follow(t, w, err)
	for _, c := range []struct {
		w    *lsm.WriteOptions
		want bool
	}{{lsm.NoSync, false}, {lsm.Sync, true}, {lsm.NoSync, false}} {
		require.NoError(t, db.Set(bytesOf("k"), nil, c.w))
		e, err := f.next()
		require.NoError(t, err)
		require.Equal(t, c.want, e.Durable)
	}
	require.NoError(t, db.Set(bytesOf("k"), nil, lsm.NoSync))
	require.NoError(t, db.Set(bytesOf("k"), nil, lsm.Sync))
	e, err := f.next()
	require.NoError(t, err)
	require.True(t, e.Durable, "with the one behind it")
}

// A watcher sees what it watches: ranges are cut to it, and all else is left out.
func TestWatchersSeeTheirRangeOnly(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	watch := func(o lsm.WatchOptions) *follower {
		w, err := db.Watch(context.Background(), &o)
		return follow(t, w, err)
	}
	prefix := watch(lsm.WatchOptions{Prefix: bytesOf("user/")})
	bounds := watch(lsm.WatchOptions{LowerBound: bytesOf("m"), UpperBound: bytesOf("user/5")})
	both := watch(lsm.WatchOptions{Prefix: bytesOf("user/"), LowerBound: bytesOf("user/3"), UpperBound: bytesOf("user/5")})
	high := watch(lsm.WatchOptions{Prefix: []byte{0xff, 0xff}})
	empty := watch(lsm.WatchOptions{LowerBound: bytesOf("x"), UpperBound: bytesOf("x")})
	b := db.NewBatch()
	for _, k := range []string{"a", "user", "user/1", "user/4", "user/7", "user0", "\xff\xff\xff"} {
		b.Set(bytesOf(k), bytesOf("v"))
	}
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.DeleteRange(nil, nil, nil))
	require.NoError(t, db.DeleteRange(bytesOf("user/4"), bytesOf("user/9"), nil))
	require.NoError(t, db.Delete(bytesOf("user/4"), nil))
	prefix.expect("set user/1 = v", "  set user/4 = v", "  set user/7 = v.", "delete range user/ to user0.",
		"delete range user/4 to user/9.", "delete user/4.")
	bounds.expect("set user = v", "  set user/1 = v", "  set user/4 = v.", "delete range m to user/5.",
		"delete range user/4 to user/5.", "delete user/4.")
	both.expect("set user/4 = v.", "delete range user/3 to user/5.", "delete range user/4 to user/5.", "delete user/4.")
	high.expect("set \xff\xff\xff = v.", "delete range \xff\xff to .")
	require.True(t, empty.w.Close() == nil && empty.show() == "lsm: closed")
}

// A scope is watched by its name: it is made under the watch, and ends it when it is gone.
func TestWatchersOfScopes(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		handle := func(s scope.Scope) *lsm.Scope {
			sc, err := db.Scope(s)
			require.NoError(t, err)
			return sc
		}
		a, b := handle(scope.Agent("a")), handle(scope.Agent("b"))
		watch := func(sc *lsm.Scope) *follower {
			w, err := sc.Watch(context.Background(), nil)
			return follow(t, w, err)
		}
		fa, fb := watch(a), watch(b)
		root, err := db.Watch(context.Background(), nil)
		froot := follow(t, root, err)

		require.NoError(t, a.Set(bytesOf("k"), bytesOf("1"), nil))
		batch := a.NewBatch()
		batch.Set(bytesOf("k"), bytesOf("2"))
		batch.In(b).Set(bytesOf("x"), bytesOf("3"))
		batch.In(nil).Set(bytesOf("r"), bytesOf("4"))
		batch.In(a).DeleteRange(nil, nil)
		require.NoError(t, db.Apply(batch, nil))
		fa.expect("set k = 1.", "set k = 2", "  delete range  to .")
		fb.expect("set x = 3.")
		froot.expect("set r = 4.")

		fb2 := watch(b)
		require.NoError(t, b.Drop(nil))
		require.NoError(t, b.Set(bytesOf("x"), bytesOf("5"), nil))
		for _, f := range []*follower{fb, fb2} {
			f.expect("dropped .", lsm.ErrScopeDropped.Error(), lsm.ErrScopeDropped.Error())
		}
		require.NoError(t, a.Set(bytesOf("m"), bytesOf("6"), nil))
		fc := watch(handle(scope.Agent("c")))
		require.NoError(t, a.Move(scope.Agent("c"), nil))
		fa.expect("set m = 6.", "dropped .", lsm.ErrScopeDropped.Error())
		fc.expect("lagged ", "  delete range  to ", "  set m = 6.")
		fd := watch(handle(scope.Agent("d")))
		c := handle(scope.Agent("c"))
		_, err = c.Copy(context.Background(), scope.Agent("d"), nil)
		require.NoError(t, err)
		require.NoError(t, c.Set(bytesOf("n"), bytesOf("7"), nil))
		require.NoError(t, handle(scope.Agent("d")).Set(bytesOf("o"), bytesOf("8"), nil))
		fd.expect("lagged ", "  delete range  to ", "  set m = 6")
		require.Equal(t, model{"m": "6", "n": "7"}, func() model { fc.until("n"); return fc.copy }())
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		defer snap.Close()
		old, err := snap.Scope(scope.Agent("c"))
		require.NoError(t, err)
		_, err = old.Watch(context.Background(), nil)
		require.ErrorIs(t, err, lsm.ErrReadOnly)
	})
}

// sizedMemory opens a store in memory that keeps little for watchers.
func sizedMemory(t *testing.T, fs vfs.FS, watch int64) *lsm.DB {
	o := lsm.Options{SyncInterval: -1}
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{WatchBytes: watch}})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A watcher that falls behind is told so, then what has changed, then goes on.
func TestAWatcherThatLagsCatchesUp(t *testing.T) {
	db := sizedMemory(t, vfs.NewMem(), 4<<10)
	w, err := db.Watch(context.Background(), &lsm.WatchOptions{Prefix: bytesOf("k")})
	f := follow(t, w, err)
	require.NoError(t, db.Set(bytesOf("k/gone"), bytesOf("v"), lsm.NoSync))
	f.expect("set k/gone = v.")
	from := f.commit
	require.NoError(t, db.Delete(bytesOf("k/gone"), lsm.NoSync))
	want := model{}
	for i := range 1000 {
		k, v := fmt.Sprintf("k/%03d", i%100), fmt.Sprint(i)
		require.NoError(t, db.Set(bytesOf(k), bytesOf(v), lsm.NoSync))
		want[k] = v
	}
	e, err := f.next()
	require.NoError(t, err)
	require.Equal(t, lsm.WatchLagged, e.Kind)
	require.Equal(t, from, e.From)
	require.NoError(t, db.Set(bytesOf("k/then"), nil, lsm.NoSync))
	f.until("k/then")
	want["k/then"] = ""
	require.Equal(t, want, f.copy)
	require.Equal(t, 1, f.lags)
	require.EqualValues(t, 1, db.Metrics().WatchLags)
	require.LessOrEqual(t, db.Metrics().WatchBytes, int64(4<<10))

	// A commit that is larger than all that is kept.
	b := db.NewBatch()
	for i := range 500 {
		b.Set(fmt.Appendf(nil, "k/%03d", i), bytesOf("batch"))
		want[fmt.Sprintf("k/%03d", i)] = "batch"
	}
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Set(bytesOf("k/last"), nil, nil))
	f.until("k/last")
	want["k/last"] = ""
	require.Equal(t, want, f.copy)
	require.Equal(t, 2, f.lags)
}

// A commit of many pieces is one commit, also to a watcher that is overtaken within it.
func TestLargeCommitsAreShownWhole(t *testing.T) {
	for _, watch := range []int64{1 << 20, 64 << 10} {
		db := sizedMemory(t, vfs.NewMem(), watch)
		w, err := db.Watch(context.Background(), nil)
		f := follow(t, w, err)
		want := model{}
		commit := func(n int) {
			b := db.NewBatch()
			for i := range 100 {
				k, v := fmt.Sprintf("k%04d", i), strings.Repeat(fmt.Sprint(n), 300)
				if i == 50 {
					v = strings.Repeat(v, 40) // larger than a piece
				}
				b.Set(bytesOf(k), bytesOf(v))
				want[k] = v
			}
			require.NoError(t, db.Apply(b, lsm.NoSync))
		}
		commit(1)
		commit(2)
		for range 30 {
			_, err := f.next()
			require.NoError(t, err)
		}
		commit(3)
		commit(4)
		require.NoError(t, db.Set(bytesOf("last"), nil, lsm.NoSync))
		f.until("last")
		want["last"] = ""
		require.Equal(t, want, f.copy)
		require.Equal(t, watch < 1<<20, f.lags > 0)
	}
}

// Ingested tables are shown by what has changed.
func TestWatchersSeeIngestedTables(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "table")
	tw, err := lsm.NewTableWriter(file, nil)
	require.NoError(t, err)
	for _, k := range []string{"c", "e"} {
		require.NoError(t, tw.Set(bytesOf(k), bytesOf("ingested")))
	}
	require.NoError(t, tw.Finish())
	db, err := lsm.Open(filepath.Join(dir, "db"), nil)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Set(bytesOf("a"), bytesOf("1"), nil))
	watch := func(lower, upper string) *follower {
		w, err := db.Watch(context.Background(), &lsm.WatchOptions{LowerBound: bytesOf(lower), UpperBound: bytesOf(upper)})
		return follow(t, w, err)
	}
	all, none := watch("a", "z"), watch("f", "z")
	all.copy["a"] = "1"
	require.NoError(t, db.Ingest(context.Background(), file))
	require.NoError(t, db.Set(bytesOf("x"), bytesOf("2"), nil))
	none.expect("set x = 2.")
	all.until("x")
	require.Equal(t, model{"a": "1", "c": "ingested", "e": "ingested", "x": "2"}, all.copy)
	require.Equal(t, 1, all.lags)
}

// From a position, in the same life of the store or in a later one, nothing is missed.
func TestAWatchGoesOnFromAPosition(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		sc := func() *lsm.Scope {
			s, err := db.Scope(scope.Session("s"))
			require.NoError(t, err)
			return s
		}
		w, err := db.Watch(context.Background(), nil)
		f := follow(t, w, err)
		ws, err := sc().Watch(context.Background(), nil)
		fs := follow(t, ws, err)
		require.NoError(t, sc().Set(bytesOf("k"), bytesOf("1"), lsm.NoSync))
		require.NoError(t, db.Set(bytesOf("a"), bytesOf("1"), lsm.NoSync))
		f.expect("set a = 1.")
		fs.expect("set k = 1.")
		at, err := w.Position()
		require.NoError(t, err)
		ats, err := ws.Position()
		require.NoError(t, err)
		require.NoError(t, db.Set(bytesOf("a"), bytesOf("2"), lsm.NoSync))
		require.NoError(t, db.Set(bytesOf("b"), bytesOf("2"), lsm.NoSync))
		require.NoError(t, sc().Set(bytesOf("k"), bytesOf("2"), lsm.NoSync))

		again, err := db.Watch(context.Background(), &lsm.WatchOptions{From: &at})
		f2 := follow(t, again, err)
		f2.expect("set a = 2.", "set b = 2.")
		agains, err := sc().Watch(context.Background(), &lsm.WatchOptions{From: &ats})
		follow(t, agains, err).expect("set k = 2.")
		require.Zero(t, db.Metrics().WatchLags, "others have kept it")
		for _, w := range []*lsm.Watcher{w, ws, again, agains} {
			require.NoError(t, w.Close())
		}
		require.NoError(t, db.Delete(bytesOf("b"), lsm.NoSync))
		require.NoError(t, db.Close())

		db = open(lsm.Options{})
		again, err = db.Watch(context.Background(), &lsm.WatchOptions{From: &at})
		f2 = follow(t, again, err)
		f2.copy = model{"a": "1"}
		require.NoError(t, db.Set(bytesOf("z"), nil, nil))
		f2.until("z")
		require.Equal(t, model{"a": "2", "z": ""}, f2.copy)
		agains, err = sc().Watch(context.Background(), &lsm.WatchOptions{From: &ats})
		fs = follow(t, agains, err)
		fs.copy = model{"k": "1"}
		require.NoError(t, sc().Set(bytesOf("z"), nil, nil))
		fs.until("z")
		require.Equal(t, model{"k": "2", "z": ""}, fs.copy)
	})
}

// A scope that was dropped and made again behind the position is shown whole.
func TestAWatchOfARemadeScopeGoesOnFromAPosition(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	s, err := db.Scope(scope.Session("s"))
	require.NoError(t, err)
	require.NoError(t, s.Set(bytesOf("old"), nil, nil))
	w, err := s.Watch(context.Background(), nil)
	require.NoError(t, err)
	at, err := w.Position()
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, s.Drop(nil))
	gone, err := s.Watch(context.Background(), &lsm.WatchOptions{From: &at})
	fgone := follow(t, gone, err)
	fgone.expect("lagged ", "  delete range  to .")
	require.NoError(t, s.Set(bytesOf("new"), nil, nil))
	fgone.expect("set new = .")
	again, err := s.Watch(context.Background(), &lsm.WatchOptions{From: &at})
	f := follow(t, again, err)
	f.copy = model{"old": ""}
	f.until("new")
	require.Equal(t, model{"new": ""}, f.copy)
}
