package lsm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

func user(t *testing.T, db *DB, name string) *Scope {
	t.Helper()
	sc, err := db.Scope(scope.User(name))
	require.NoError(t, err)
	return sc
}

// Deleted ranges end where their scope does, with bounds or without, by a handle or in a
// batch that was filled before the ids were known.
func TestADeletedRangeStaysInItsScope(t *testing.T) {
	ways := map[string]func(db *DB, sc *Scope, lower, upper []byte) error{
		"handle": func(_ *DB, sc *Scope, lower, upper []byte) error { return sc.DeleteRange(lower, upper, NoSync) },
		"batch": func(_ *DB, sc *Scope, lower, upper []byte) error {
			b := sc.NewBatch()
			b.DeleteRange(lower, upper)
			return sc.Apply(b, NoSync)
		},
		"batch of a handle that was never used": func(db *DB, sc *Scope, lower, upper []byte) error {
			db.directory.cache = scopeCache{half: db.directory.cache.half}
			fresh, err := db.Scope(sc.Name())
			if err != nil {
				return err
			}
			b := db.NewBatch().In(fresh)
			b.DeleteRange(lower, upper)
			return db.Apply(b, NoSync)
		},
	}
	for name, way := range ways {
		for _, flushed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,flushed=%v", name, flushed), func(t *testing.T) {
				db := openSized(t, vfs.NewMem(), Options{}, small())
				before := fillScope(t, db, scope.User("a"), 100, 10)
				sc := fillScope(t, db, scope.User("b"), 100, 10)
				after := fillScope(t, db, scope.User("c"), 100, 10)
				set(t, db, "k00050", "root")
				if flushed {
					require.NoError(t, db.Flush(noDeadline))
				}
				require.NoError(t, way(db, sc, []byte("k00010"), []byte("k00020")))
				require.Equal(t, 90, count(t, sc))
				require.NoError(t, way(db, sc, []byte("k00090"), nil))
				require.Equal(t, 80, count(t, sc))
				if flushed {
					require.NoError(t, db.Flush(noDeadline))
				}
				_, err := sc.Get([]byte("k00010"))
				require.ErrorIs(t, err, ErrNotFound)
				st, err := sc.Stats()
				require.NoError(t, err)
				require.True(t, !st.Exact || st.Entries == 80, "%+v", st)
				require.NoError(t, way(db, sc, nil, nil))
				require.Zero(t, count(t, sc))
				there, err := sc.Exists()
				require.NoError(t, err)
				require.True(t, there)
				for range 2 {
					require.Equal(t, 100, count(t, before))
					require.Equal(t, 100, count(t, after))
					require.Zero(t, count(t, sc))
					requireValue(t, db, "k00050", "root")
					require.NoError(t, db.Compact(noDeadline, nil, nil))
				}
			})
		}
	}
}

// A range deleted in a scope that is not there is none, and makes no scope.
func TestADeletedRangeMakesNoScope(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	sc := user(t, db, "u")
	seq := db.visible.load()
	require.NoError(t, sc.DeleteRange(nil, nil, nil))
	require.ErrorIs(t, sc.DeleteRange([]byte("b"), []byte("a"), nil), ErrInvalidRange)
	require.Equal(t, seq, db.visible.load())
	there, err := sc.Exists()
	require.NoError(t, err)
	require.False(t, there)

	b := sc.NewBatch() // the later operation makes it
	b.DeleteRange(nil, nil)
	b.Set([]byte("k"), []byte("v"))
	require.NoError(t, sc.Apply(b, nil))
	require.Equal(t, 1, count(t, sc))
	require.NoError(t, sc.Drop(nil))
	require.NoError(t, sc.DeleteRange(nil, nil, nil), "redirected to nothing")
}

// The batch's own ranges, and placeholders next to each other: a range without an end must
// not reach the scope whose placeholder follows.
func TestRangesOfABatchOverScopesStayApart(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	var scs []*Scope
	for i := range 12 {
		scs = append(scs, user(t, db, fmt.Sprint(i)))
	}
	for range 2 { // new scopes, then known ones
		b := db.NewBatch()
		for i, sc := range scs {
			b.In(sc).DeleteRange(nil, nil)
			b.Set([]byte("k"), fmt.Append(nil, i))
			b.In(nil).Set(fmt.Append(nil, i), nil)
		}
		require.NoError(t, db.Apply(b, nil))
		for i, sc := range scs {
			v, err := sc.Get([]byte("k"))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(v))
			requireValue(t, db, fmt.Sprint(i), "")
		}
	}
}

// rangesOfID counts the range tombstones in tables that begin within a scope.
func rangesOfID(t *testing.T, db *DB, id scope.ID) int {
	t.Helper()
	n := 0
	for _, r := range db.state.Load().version.runs {
		for _, tab := range r.ranged {
			_, err := tab.open()
			require.NoError(t, err)
			for _, s := range tab.ranges.Spans() {
				if got, _, err := scope.DecodeID(s.Lower); err == nil && got == id {
					n++
				}
			}
		}
	}
	return n
}

// Range tombstones of a dropped scope go with it, though they lie in tables of scopes that
// live, and the death record goes too.
func TestRangeTombstonesOfADroppedScopeGo(t *testing.T) {
	for _, flushedBefore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			db := openRestful(t, vfs.NewMem())
			live := fillScope(t, db, scope.User("a"), 1000, 100)
			sc := fillScope(t, db, scope.User("b"), 1000, 100)
			more := fillScope(t, db, scope.User("c"), 1000, 100)
			id := idOf(t, sc)
			require.NoError(t, db.Flush(noDeadline))
			snap, err := db.NewSnapshot() // keeps what the ranges delete, and the ranges
			require.NoError(t, err)
			for i := range 20 {
				require.NoError(t, sc.DeleteRange(fmt.Appendf(nil, "k%05d", 40*i), fmt.Appendf(nil, "k%05d", 40*i+20), NoSync))
			}
			if flushedBefore {
				require.NoError(t, db.Flush(noDeadline))
				require.Positive(t, rangesOfID(t, db, id))
			}
			require.NoError(t, snap.Close())
			require.NoError(t, sc.Drop(nil))
			require.NoError(t, more.Set([]byte("x"), nil, nil))
			time.Sleep(time.Minute)
			require.NoError(t, db.Flush(noDeadline))
			time.Sleep(time.Minute)
			require.Zero(t, entriesOf(t, db, id))
			require.Zero(t, rangesOfID(t, db, id))
			require.Zero(t, db.Metrics().DeadScopes)
			require.Equal(t, 1000, count(t, live))
			require.Equal(t, 1001, count(t, more))
			require.NoError(t, db.Verify(noDeadline))
			require.NoError(t, db.Close())
		})
	}
}

// A transaction's snapshot keeps what is dropped while it is open, and no longer.
func TestATransactionKeepsWhatIsDroppedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openRestful(t, vfs.NewMem())
		sc := fillScope(t, db, scope.User("u"), 1000, 100)
		id := idOf(t, sc)
		require.NoError(t, db.Flush(noDeadline))
		require.NoError(t, db.View(func(tx *Txn) error {
			require.NoError(t, sc.Drop(nil))
			time.Sleep(time.Minute)
			require.Equal(t, 1000, entriesOf(t, db, id))
			return nil
		}))
		time.Sleep(time.Minute)
		require.Zero(t, entriesOf(t, db, id))
		require.NoError(t, db.Close())
	})
}

// atCreate calls f before a file of the name is made.
type atCreate struct {
	vfs.FS
	name string
	f    func()
}

func (a *atCreate) Create(name string) (vfs.File, error) {
	if f := a.f; f != nil && len(name) >= len(a.name) && name[len(name)-len(a.name):] == a.name {
		a.f = nil
		f()
	}
	return a.FS.Create(name)
}

// A checkpoint is a first part of the history: a scope that is dropped between the flush and
// the moment when tables are linked is in it whole, though the drop is durable, or not at all.
func TestACheckpointHasAScopeWholeOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &atCreate{FS: vfs.NewMem(), name: "UNFINISHED"}
		db := openRestful(t, fs)
		sc := fillScope(t, db, scope.User("u"), 1000, 100)
		id := idOf(t, sc)
		fillScope(t, db, scope.User("v"), 10, 100)
		happened := false
		synctest.Wait() // nobody looks at the hook meanwhile
		fs.f = func() {
			happened = true
			require.NoError(t, sc.Drop(nil))
			time.Sleep(time.Minute) // time for everything that a drop leads to
		}
		require.NoError(t, db.Checkpoint(noDeadline, "copy"))
		require.True(t, happened)
		require.Zero(t, count(t, sc))
		reserved := db.directory.ids.mark
		time.Sleep(time.Minute)
		require.Zero(t, entriesOf(t, db, id), "the checkpoint keeps nothing any more")
		require.NoError(t, db.Close())

		cp := openCopy(t, fs, "copy", Options{})
		require.Equal(t, 10, count(t, user(t, cp, "v")))
		there, err := user(t, cp, "u").Exists()
		require.NoError(t, err)
		if there {
			require.Equal(t, 1000, count(t, user(t, cp, "u")))
		}
		require.GreaterOrEqual(t, cp.directory.ids.last, reserved, "ids of the original are not given out")
		require.NoError(t, cp.Close())
	})
}

// Salvage brings scopes along: names, ids, and deaths. Ids that were given out are not given
// out again, though the manifest is gone and nothing of a scope but its name was found.
func TestSalvageBringsScopesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		fillScope(t, db, scope.User("u"), 100, 100)
		dropped := fillScope(t, db, scope.User("d"), 100, 100)
		require.NoError(t, dropped.Drop(nil))
		fillScope(t, db, scope.User("d"), 7, 100)
		last := fillScope(t, db, scope.User("empty"), 1, 1)
		require.NoError(t, db.Flush(noDeadline))
		require.NoError(t, last.DeleteRange(nil, nil, nil)) // its name alone will be left
		id := idOf(t, last)
		require.NoError(t, db.Flush(noDeadline))
		time.Sleep(time.Minute)
		require.Zero(t, entriesOf(t, db, id))
		require.NoError(t, db.Close())
		names, err := fs.List("db")
		require.NoError(t, err)
		for _, name := range names {
			if !strings.HasSuffix(name, ".sst") {
				require.NoError(t, fs.Remove("db/"+name))
			}
		}

		o := Options{}
		o.seams = sized(fs)
		_, err = Salvage(context.Background(), "db", "new", &o)
		require.NoError(t, err)
		cp := openCopy(t, fs, "new", Options{})
		require.Equal(t, 100, count(t, user(t, cp, "u")))
		require.Equal(t, 7, count(t, user(t, cp, "d")))
		require.Equal(t, id, idOf(t, user(t, cp, "empty")))
		require.NoError(t, user(t, cp, "another").Set([]byte("k"), nil, nil))
		require.Zero(t, count(t, user(t, cp, "empty")))
		require.NoError(t, cp.Verify(noDeadline))
		require.NoError(t, cp.Close())
		report, err := Verify(noDeadline, "new", &o)
		require.NoError(t, err)
		require.NoError(t, report.Err())
	})
}

func TestGreatestIDKnowsTheDirectory(t *testing.T) {
	system := func(key ...byte) []byte { return append(scope.AppendID(nil, scope.System), key...) }
	u := entryKey(scope.User("u"))
	for _, c := range []struct {
		key, value []byte
		want       scope.ID
	}{
		{append(scope.AppendID(nil, 77), 'k'), nil, 77},
		{system(u...), entryValue(900), 900},
		{system(u...), []byte("x"), scope.System},
		{system(), nil, scope.System},
		{system(idKey(recordDeath, 901)...), flagValue, 901},
		{system(idKey(recordStaged, 902)...), flagValue, 902},
		{system(idKey(recordName, 903)...), nameValue(u), 903},
		{system(99, 99), nil, scope.System},
		{nil, nil, 0},
	} {
		require.Equal(t, c.want, greatestID(c.key, c.value), "% x", c.key)
	}
}
