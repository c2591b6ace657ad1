package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// in returns the transaction as it acts in a scope.
func in(t *testing.T, tx *lsm.Txn, s scope.Scope) *lsm.Txn {
	t.Helper()
	sc, err := tx.Scope(s)
	require.NoError(t, err)
	return sc
}

// Every verb acts in the scope and in nothing else, on the snapshot and on what the
// transaction has written, in scopes that are there and in such that it makes; the commit is
// one batch.
func TestATransactionOverScopes(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(o lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		old, fresh, idle := handle(t, db, scope.Agent("old")), handle(t, db, scope.Agent("fresh")), handle(t, db, scope.Agent("idle"))
		for _, k := range []string{"a", "b", "c", "d"} {
			require.NoError(t, old.Set([]byte(k), []byte("old"), nil))
		}
		require.NoError(t, db.Set([]byte("a"), []byte("root"), nil))
		require.NoError(t, db.Update(func(tx *lsm.Txn) error {
			for _, s := range []scope.Scope{old.Name(), fresh.Name()} {
				x := in(t, tx, s)
				require.Same(t, x, in(t, tx, s), "the same scope is the same Txn")
				require.Same(t, x, in(t, x, s), "names are not relative")
				require.NoError(t, x.Set([]byte("a"), []byte("new")))
				require.NoError(t, x.Delete([]byte("b")))
				require.NoError(t, x.DeleteRange([]byte("c"), nil))
				require.NoError(t, x.SetWithTTL([]byte("e"), []byte("soon"), time.Hour))
				require.NoError(t, x.Merge(lsm.BytesAppend, []byte("a"), []byte("er")))
				require.NoError(t, x.Merge(lsm.BytesAppend, []byte("f"), []byte("x")))
				v, err := x.Get([]byte("a"))
				require.NoError(t, err)
				require.Equal(t, "newer", string(v))
				_, expiry, err := x.GetWithExpiry([]byte("e"))
				require.NoError(t, err)
				require.False(t, expiry.IsZero())
				has, err := x.Has([]byte("d"))
				require.NoError(t, err)
				require.False(t, has)
				require.Equal(t, "a=newer e=soon f=x ", scanned(t, x))
				_, err = handle(t, db, s).Get([]byte("e"))
				require.ErrorIs(t, err, lsm.ErrNotFound, "nobody else sees it")
			}
			x := in(t, tx, idle.Name())
			require.NoError(t, x.Delete([]byte("a")))
			require.NoError(t, x.DeleteRange(nil, nil))
			require.Empty(t, scanned(t, x))
			require.Equal(t, "a=root ", scanned(t, tx))
			return tx.Set([]byte("a"), []byte("changed"))
		}))
		for _, sc := range []*lsm.Scope{old, fresh} {
			require.Equal(t, "a=newer e=soon f=x ", dump(t, sc)+" ", sc.Name())
		}
		there, err := idle.Exists()
		require.NoError(t, err)
		require.False(t, there, "deletes make no scope")
		_, v1, err := old.GetWithVersion([]byte("e"))
		require.NoError(t, err)
		_, v2, err := fresh.GetWithVersion([]byte("f"))
		require.NoError(t, err)
		_, v3, err := db.GetWithVersion([]byte("a"))
		require.NoError(t, err)
		require.LessOrEqual(t, max(v1, v2, v3)-min(v1, v2, v3), lsm.Version(12), "one batch")
		require.NoError(t, db.Close())
	})
}

func scanned(t *testing.T, tx *lsm.Txn) string {
	var b, back strings.Builder
	var all []string
	for e, err := range tx.Scan(nil, nil) {
		require.NoError(t, err)
		all = append(all, fmt.Sprintf("%s=%s ", e.Key, e.Value))
		b.WriteString(all[len(all)-1])
	}
	for e, err := range tx.ScanReverse(nil, nil) {
		require.NoError(t, err)
		require.Equal(t, all[len(all)-1], fmt.Sprintf("%s=%s ", e.Key, e.Value))
		all = all[:len(all)-1]
		back.WriteString("x")
	}
	require.Empty(t, all)
	return b.String()
}

// What a transaction does in the scope s, which is there with the keys k and m or is not, and
// what others do meanwhile: whether they conflict.
func TestConflictsOverScopes(t *testing.T) {
	s, elsewhere := scope.Session("s"), scope.Session("elsewhere")
	get := func(key string) func(*testing.T, *lsm.Txn) {
		return func(t *testing.T, tx *lsm.Txn) {
			if _, err := tx.Get([]byte(key)); !errors.Is(err, lsm.ErrNotFound) {
				require.NoError(t, err)
			}
		}
	}
	scan := func(t *testing.T, tx *lsm.Txn) { scanned(t, tx) }
	firstOf := func(lower, upper string) func(*testing.T, *lsm.Txn) {
		return func(t *testing.T, tx *lsm.Txn) {
			it, err := tx.NewIter(&lsm.IterOptions{LowerBound: []byte(lower), UpperBound: []byte(upper)})
			require.NoError(t, err)
			it.First()
			require.NoError(t, it.Err())
		}
	}
	write := func(t *testing.T, tx *lsm.Txn) {
		require.NoError(t, tx.Set([]byte("w"), []byte("w")))
		require.NoError(t, tx.Delete([]byte("k")))
		require.NoError(t, tx.Merge(lsm.BytesAppend, []byte("w2"), []byte("w")))
	}
	wipe := func(t *testing.T, tx *lsm.Txn) { require.NoError(t, tx.DeleteRange(nil, nil)) }
	ownRead := func(t *testing.T, tx *lsm.Txn) { write(t, tx); get("w")(t, tx) }
	none := func(*testing.T, *lsm.Txn) {}
	unread := func(t *testing.T, tx *lsm.Txn) {
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		require.NoError(t, it.Close())
	}

	type others = func(*testing.T, *lsm.DB, *lsm.Scope)
	ok := func(t *testing.T, err error) { t.Helper(); require.NoError(t, err) }
	set := func(key string) others {
		return func(t *testing.T, _ *lsm.DB, sc *lsm.Scope) { ok(t, sc.Set([]byte(key), []byte("theirs"), nil)) }
	}
	del := func(key string) others {
		return func(t *testing.T, _ *lsm.DB, sc *lsm.Scope) { ok(t, sc.Delete([]byte(key), nil)) }
	}
	nothing := func(*testing.T, *lsm.DB, *lsm.Scope) {}
	drop := func(t *testing.T, _ *lsm.DB, sc *lsm.Scope) { ok(t, sc.Drop(nil)) }
	renew := func(t *testing.T, db *lsm.DB, sc *lsm.Scope) {
		drop(t, db, sc)
		ok(t, sc.Set([]byte("other"), nil, nil))
	}
	move := func(t *testing.T, _ *lsm.DB, sc *lsm.Scope) { ok(t, sc.Move(elsewhere, nil)) }
	moveBack := func(t *testing.T, db *lsm.DB, sc *lsm.Scope) {
		move(t, db, sc)
		ok(t, handle(t, db, elsewhere).Move(s, nil))
	}
	moveIn := func(t *testing.T, db *lsm.DB, sc *lsm.Scope) {
		ok(t, handle(t, db, elsewhere).Set([]byte("x"), nil, nil))
		ok(t, handle(t, db, elsewhere).Move(s, nil))
	}
	copyIn := func(t *testing.T, db *lsm.DB, sc *lsm.Scope) {
		from := handle(t, db, elsewhere)
		ok(t, from.Set([]byte("x"), nil, nil))
		_, err := from.Copy(context.Background(), s, nil)
		ok(t, err)
	}
	makeAndDrop := func(t *testing.T, db *lsm.DB, sc *lsm.Scope) { renew(t, db, sc); drop(t, db, sc) }
	root := func(t *testing.T, db *lsm.DB, _ *lsm.Scope) { ok(t, db.Set([]byte("k"), nil, nil)) }
	rangeDelete := func(t *testing.T, _ *lsm.DB, sc *lsm.Scope) { ok(t, sc.DeleteRange([]byte("k"), []byte("l"), nil)) }

	const present, absent = true, false
	for _, c := range []struct {
		there     bool
		does      string
		act       func(*testing.T, *lsm.Txn)
		meanwhile string
		others    others
		conflict  bool
	}{
		{present, "get k", get("k"), "nothing", nothing, false},
		{present, "get k", get("k"), "set k", set("k"), true},
		{present, "get k", get("k"), "delete k", del("k"), true},
		{present, "get k", get("k"), "delete a range with k", rangeDelete, true},
		{present, "get k", get("k"), "set another key", set("other"), false},
		{present, "get k", get("k"), "set k of the root", root, false},
		{present, "get k", get("k"), "drop", drop, true},
		{present, "get k", get("k"), "drop and make", renew, true},
		{present, "get k", get("k"), "move away", move, true},
		{present, "get k", get("k"), "move away and back", moveBack, true},
		{present, "get a missing key", get("x"), "set it", set("x"), true},
		{present, "get a missing key", get("x"), "delete it", del("x"), false},
		{present, "get a missing key", get("x"), "set another key", set("other"), false},
		{present, "get a missing key", get("x"), "drop", drop, true},
		{present, "scan", scan, "set k", set("k"), true},
		{present, "scan", scan, "set another key", set("other"), true},
		{present, "scan", scan, "set k of the root", root, false},
		{present, "scan", scan, "drop", drop, true},
		{present, "scan", scan, "drop and make", renew, true},
		{present, "look for the first of [a, l)", firstOf("a", "l"), "set a key behind it", set("l"), false},
		{present, "look for the first of [a, l)", firstOf("a", "l"), "set a key before it", set("b"), true},
		{present, "look for the first of [a, b)", firstOf("a", "b"), "drop", drop, true},
		{present, "write", write, "set k", set("k"), false},
		{present, "write", write, "drop", drop, false},
		{present, "write", write, "drop and make", renew, false},
		{present, "write", write, "move away", move, false},
		{present, "delete all", wipe, "drop", drop, false},
		{present, "delete all", wipe, "drop and make", renew, false},
		{present, "write and read that", ownRead, "drop", drop, false},
		{present, "open an iterator", unread, "drop", drop, false},
		{present, "take the scope", none, "drop", drop, false},

		{absent, "get k", get("k"), "nothing", nothing, false},
		{absent, "get k", get("k"), "set k", set("k"), true},
		{absent, "get k", get("k"), "delete k, which makes no scope", del("k"), false},
		{absent, "get k", get("k"), "set k of the root", root, false},
		{absent, "get k", get("k"), "make it by another key", set("other"), true},
		{absent, "get k", get("k"), "make and drop", makeAndDrop, false},
		{absent, "get k", get("k"), "move another here", moveIn, true},
		{absent, "get k", get("k"), "copy another here", copyIn, true},
		{absent, "scan", scan, "set k", set("k"), true},
		{absent, "scan", scan, "move another here", moveIn, true},
		{absent, "look for the first of [a, l)", firstOf("a", "l"), "set a key of it", set("b"), true},
		{absent, "write", write, "set k", set("k"), false},
		{absent, "write", write, "make and drop", makeAndDrop, false},
		{absent, "write", write, "move another here", moveIn, false},
		{absent, "delete all", wipe, "set k", set("k"), false},
		{absent, "write and read that", ownRead, "set k", set("k"), false},
		{absent, "take the scope", none, "set k", set("k"), false},
	} {
		for _, where := range []string{"root", "scope", "other scope", "nowhere that is there"} {
			t.Run(fmt.Sprintf("there=%v/%s/%s/commit in %s", c.there, c.does, c.meanwhile, where), func(t *testing.T) {
				db := openMemory(t, lsm.Options{})
				sc := handle(t, db, s)
				if c.there {
					ok(t, sc.Set([]byte("k"), []byte("mine"), nil))
					ok(t, sc.Set([]byte("m"), []byte("mine"), nil))
				}
				ok(t, handle(t, db, scope.Session("there")).Set([]byte("k"), nil, nil))
				err := db.Update(func(tx *lsm.Txn) error {
					c.act(t, in(t, tx, s))
					c.others(t, db, sc)
					switch where {
					case "root":
						return tx.Set([]byte("mark"), nil)
					case "scope":
						return in(t, tx, s).Set([]byte("mark"), nil)
					case "other scope":
						return in(t, tx, scope.Session("new")).Set([]byte("mark"), nil)
					}
					return in(t, tx, scope.Session("never")).Delete([]byte("mark"))
				})
				require.Equal(t, c.conflict, errors.Is(err, lsm.ErrConflict), "%v", err)
				if !c.conflict {
					ok(t, err)
				}
				marked := db.Has
				switch where {
				case "scope":
					marked = handle(t, db, s).Has
				case "other scope":
					marked = handle(t, db, scope.Session("new")).Has
				}
				has, err := marked([]byte("mark"))
				ok(t, err)
				require.Equal(t, !c.conflict && where != "nowhere that is there", has)
				there, err := handle(t, db, scope.Session("never")).Exists()
				ok(t, err)
				require.False(t, there)
				ok(t, db.Close())
			})
		}
	}
}
