package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// sealedCase is a scope with values of all sorts, in all places that a value can be.
type sealedCase struct {
	sc     *Scope
	values map[string]string
	sealed map[string]bool // what Shred takes
}

// sealedIn fills a scope: in tables, in blob files, and in the memtable; once more after each.
func sealedIn(t *testing.T, db *DB, name scope.Scope) *sealedCase {
	t.Helper()
	sc, err := db.Scope(name)
	require.NoError(t, err)
	c := &sealedCase{sc, map[string]string{}, map[string]bool{}}
	for round, place := range []string{"merged", "flushed", "written"} {
		for _, size := range []int{0, 1, 40, 900} {
			key := fmt.Sprintf("%s-%d", place, size)
			value := string(bytes.Repeat([]byte{byte('a' + round)}, size))
			require.NoError(t, sc.SetSealed([]byte(key), []byte(value), NoSync))
			c.values[key], c.sealed[key] = value, true
			require.NoError(t, sc.Set([]byte(key+"-plain"), []byte(value), NoSync))
			c.values[key+"-plain"] = value
			require.NoError(t, sc.SetSealed([]byte(key+"-changed"), []byte(value), NoSync))
			require.NoError(t, sc.Merge(BytesAppend, []byte(key+"-changed"), []byte("+"), NoSync))
			require.NoError(t, sc.Merge(BytesAppend, []byte(key+"-changed"), []byte("+"), NoSync))
			c.values[key+"-changed"], c.sealed[key+"-changed"] = value+"++", true
			late := db.Now().Add(1000 * time.Hour)
			for _, key := range []string{key + "-late", key + "-late-changed"} {
				require.NoError(t, sc.SetSealedWithExpiry([]byte(key), []byte(value), late, NoSync))
				c.values[key], c.sealed[key] = value, true
			}
			require.NoError(t, sc.Merge(BytesAppend, []byte(key+"-late-changed"), []byte("+"), NoSync))
			c.values[key+"-late-changed"] += "+"
			require.NoError(t, sc.SetSealed([]byte(key+"-over"), []byte(value), NoSync))
			require.NoError(t, sc.Set([]byte(key+"-over"), []byte("over"), NoSync))
			c.values[key+"-over"] = "over"
			require.NoError(t, sc.SetSealed([]byte(key+"-gone"), []byte(value), NoSync))
			require.NoError(t, sc.Delete([]byte(key+"-gone"), NoSync))
		}
		if place != "written" {
			require.NoError(t, db.Flush(context.Background()))
		}
		if place == "merged" {
			require.NoError(t, db.Compact(context.Background(), nil, nil))
		}
	}
	return c
}

// want is what reading a key gives.
func (c *sealedCase) want(key string, shredded bool) (string, error) {
	if shredded && c.sealed[key] {
		return "", ErrShredded
	}
	return c.values[key], nil
}

// check reads everything in every way, through sc.
func (c *sealedCase) check(t *testing.T, sc *Scope, shredded bool) {
	t.Helper()
	keys := make([]string, 0, len(c.values))
	for key := range c.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	one := func(key string, v []byte, err error) {
		t.Helper()
		want, wantErr := c.want(key, shredded)
		require.ErrorIs(t, err, wantErr, key)
		require.Equal(t, want, string(v), key)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
	for _, key := range keys {
		v, err := sc.Get([]byte(key))
		one(key, v, err)
		v, version, err := sc.GetWithVersion([]byte(key))
		one(key, v, err)
		require.NotEqual(t, Absent, version, key)
		has, err := sc.Has([]byte(key))
		require.NoError(t, err)
		require.True(t, has)
	}
	scan := func(seq func(func(Entry, error) bool), reverse bool) {
		t.Helper()
		var met []string
		for e, err := range seq {
			one(string(e.Key), e.Value, err)
			met = append(met, string(e.Key))
		}
		if reverse {
			slices.Reverse(met)
		}
		require.Equal(t, keys, met)
	}
	scan(sc.Scan(nil, nil), false)
	scan(sc.ScanReverse(nil, nil), true)
	c.turn(t, sc, shredded)
	require.NoError(t, sc.View(func(tx *Txn) error {
		for _, key := range keys {
			v, err := tx.Get([]byte(key))
			one(key, v, err)
		}
		scan(tx.Scan(nil, nil), false)
		scan(tx.ScanReverse(nil, nil), true)
		return nil
	}))
	var met []string
	for ch, err := range sc.Diff(Position{}) {
		if ch.Kind == ChangeSet {
			one(string(ch.Key), ch.Value, err)
			met = append(met, string(ch.Key))
		}
	}
	require.Equal(t, keys, met)
}

// turn walks to and fro, and asks for values of some entries only.
func (c *sealedCase) turn(t *testing.T, sc *Scope, shredded bool) {
	t.Helper()
	it, err := sc.NewIter(nil)
	require.NoError(t, err)
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		require.Equal(t, shredded && c.sealed[string(it.Key())], it.Unreadable() != nil, string(it.Key()))
		n++
	}
	for ok := it.Last(); ok; n-- {
		key := string(it.Key())
		if it.Prev() && it.Next() { // turned round twice
			require.Equal(t, key, string(it.Key()))
		}
		if !it.Valid() {
			it.First()
		}
		if it.Unreadable() == nil {
			require.Equal(t, c.values[key], string(it.Value()), key)
		}
		ok = it.Prev()
	}
	require.Zero(t, n)
	require.NoError(t, it.Close())
	if !shredded {
		return
	}
	it, err = sc.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.SeekGE([]byte("merged-1")))
	require.Nil(t, it.Value())
	require.False(t, it.Valid())
	require.ErrorIs(t, it.Close(), ErrShredded)
}

// keyIsGone looks into the vault of a store that nobody has open.
func keyIsGone(t *testing.T, fs vfs.FS, dir string, key crypto.ScopeKeyID) {
	t.Helper()
	o := encrypted(fs, 1).withDefaults()
	k, err := openKeyring(fs, dir, &o)
	require.NoError(t, err)
	defer k.close()
	v, err := openVaultIn(fs, dir, k, &o, true)
	require.NoError(t, err)
	require.ErrorIs(t, v.Check(key), crypto.ErrShredded)
	require.NoError(t, v.Close())
}

// B62: after Shred what was sealed in the scope is unreadable, in the store, in what had it open,
// and in its checkpoints; everything else is as it was.
func TestShreddedValuesAreUnreadable(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	alice, bob := sealedIn(t, db, scope.User("alice")), sealedIn(t, db, scope.User("bob"))
	alice.check(t, alice.sc, false)
	bob.check(t, bob.sc, false)
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	before, err := snap.Scope(scope.User("alice"))
	require.NoError(t, err)
	iter, err := alice.sc.NewIter(nil)
	require.NoError(t, err)
	at, err := snap.Position()
	require.NoError(t, err)
	require.NoError(t, alice.sc.SetSealed([]byte("written-1"), []byte("later"), nil))
	alice.values["written-1"] = "later"

	report, err := alice.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"copy"}, report.Checkpoints)
	require.Empty(t, report.OutOfReach)
	require.Equal(t, scope.User("alice"), report.Scope)
	require.WithinDuration(t, time.Now(), report.At, time.Hour)

	alice.check(t, alice.sc, true)
	bob.check(t, bob.sc, false)
	_, err = before.Get([]byte("merged-40"))
	require.ErrorIs(t, err, ErrShredded)
	require.True(t, iter.SeekGE([]byte("merged-40")))
	require.ErrorIs(t, iter.Unreadable(), ErrShredded)
	require.NoError(t, iter.Close())
	require.NoError(t, snap.Close())
	refuses := func() {
		t.Helper()
		require.ErrorIs(t, alice.sc.SetSealed([]byte("more"), nil, nil), ErrShredded)
		b := db.NewBatch().In(bob.sc)
		b.SetSealed([]byte("with"), nil)
		b.In(alice.sc).SetSealed([]byte("more"), nil)
		require.ErrorIs(t, db.Apply(b, nil), ErrShredded)
		require.ErrorIs(t, alice.sc.Update(func(tx *Txn) error { return tx.SetSealed([]byte("more"), nil) }), ErrShredded)
		has, err := bob.sc.Has([]byte("with"))
		require.NoError(t, err)
		require.False(t, has)
	}
	refuses()
	w, err := alice.sc.Watch(ctx, &WatchOptions{From: &at})
	require.NoError(t, err)
	for {
		e, err := w.Next()
		if e.Kind == WatchSet {
			require.Equal(t, "written-1", string(e.Key))
			require.ErrorIs(t, err, ErrShredded)
			require.Nil(t, e.Value)
			break
		}
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, db.Compact(ctx, nil, nil))
	require.NoError(t, db.Verify(ctx))
	alice.check(t, alice.sc, true)
	bob.check(t, bob.sc, false)
	again, err := alice.sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, report, again)
	require.NoError(t, db.Close())

	keyIsGone(t, fs, "db", report.Key)
	opened := func(dir, vault string, readOnly bool) {
		c := *o
		c.Encryption = &Encryption{Key: masterKey(1), Vault: vault}
		c.ReadOnly = readOnly
		db, err := Open(dir, &c)
		require.NoError(t, err)
		defer db.Close()
		for _, x := range []*sealedCase{alice, bob} {
			sc, err := db.Scope(x.sc.name)
			require.NoError(t, err)
			x.check(t, sc, x == alice)
		}
		require.NoError(t, db.Verify(ctx))
	}
	delete(alice.values, "written-1") // of which the checkpoint has the older value
	alice.values["written-1"] = "b"
	opened("db", "", true)
	opened("db", "", false)
	opened("copy", "db", true)
	opened("copy", "db", false)

	db = mustOpen(t, o)
	var records []ShredRecord
	for r, err := range db.Shreds() {
		require.NoError(t, err)
		records = append(records, r)
	}
	require.Equal(t, []ShredRecord{report.ShredRecord}, records)
	alice.sc, err = db.Scope(scope.User("alice"))
	require.NoError(t, err)
	bob.sc, err = db.Scope(scope.User("bob"))
	require.NoError(t, err)
	refuses()
	require.NoError(t, alice.sc.Drop(nil))
	require.NoError(t, alice.sc.SetSealed([]byte("new"), []byte("life"), nil))
	v, err := alice.sc.Get([]byte("new"))
	require.NoError(t, err)
	require.Equal(t, "life", string(v))
}

// A transaction reads what it has sealed itself.
func TestSealedValuesInTransactions(t *testing.T) {
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	sc, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	require.NoError(t, sc.Update(func(tx *Txn) error {
		require.NoError(t, tx.SetSealed([]byte("a"), []byte("1")))
		require.NoError(t, tx.SetSealed([]byte("b"), []byte("2")))
		require.NoError(t, tx.Merge(BytesAppend, []byte("b"), []byte("+")))
		v, err := tx.Get([]byte("b"))
		require.NoError(t, err)
		require.Equal(t, "2+", string(v))
		return nil
	}))
	want := map[string]string{"a": "1", "b": "2+"}
	for e, err := range sc.Scan(nil, nil) {
		require.NoError(t, err)
		require.Equal(t, want[string(e.Key)], string(e.Value))
		delete(want, string(e.Key))
	}
	require.Empty(t, want)
	_, v, err := sc.GetWithVersion([]byte("a"))
	require.NoError(t, err)
	_, err = sc.Shred(context.Background())
	require.NoError(t, err)
	for _, key := range []string{"a", "b"} { // what was folded in the transaction was sealed too
		_, err = sc.Get([]byte(key))
		require.ErrorIs(t, err, ErrShredded)
	}
	b := sc.NewBatch()
	b.Require([]byte("a"), v) // versions are not sealed
	b.Delete([]byte("a"))
	require.NoError(t, db.Apply(b, nil))
	_, err = sc.Get([]byte("a"))
	require.ErrorIs(t, err, ErrNotFound)
}

// Who seals beside a Shred is told, or what he has written is unreadable; nothing else comes of
// it. A scope that is dropped and made again meanwhile has keys of its own.
func TestSealingBesideShredsAndDrops(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	sc, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	for round := range 8 {
		var wg sync.WaitGroup
		started := make(chan struct{}, 3)
		for g := range 3 {
			wg.Go(func() {
				for i := 0; ; i++ {
					err := sc.SetSealed(fmt.Appendf(nil, "%d-%d-%d", round, g, i), []byte("x"), NoSync)
					if errors.Is(err, ErrShredded) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if i == 3 {
						started <- struct{}{}
					}
				}
			})
		}
		for range 3 {
			<-started
		}
		if round%2 == 0 {
			require.NoError(t, sc.Drop(NoSync))
		}
		for { // it may not have been made again
			_, err := sc.Shred(ctx)
			if err == nil {
				if err = sc.SetSealed([]byte("probe"), nil, NoSync); errors.Is(err, ErrShredded) {
					break
				}
			} else {
				require.ErrorIs(t, err, ErrNotFound)
			}
		}
		wg.Wait()
		n := 0
		for e, err := range sc.Scan(nil, nil) {
			require.ErrorIs(t, err, ErrShredded, string(e.Key))
			n++
		}
		require.Positive(t, n)
		require.NoError(t, sc.Drop(NoSync))
	}
}

// Wherever the power is cut while a scope is sealed in and shredded, the store opens; what Shred has
// acknowledged is unreadable, and its key in no vault; what is destroyed is on record; and
// another scope has what was acknowledged.
func TestPowerCutWhileAScopeIsShredded(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashMem()
	db := mustOpen(t, encrypted(mem, 1))
	alice, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	bob, err := db.Scope(scope.User("bob"))
	require.NoError(t, err)
	from := mem.Ops()
	require.NoError(t, bob.SetSealed([]byte("k"), []byte("bob's"), nil))
	bobs := mem.Ops()
	require.NoError(t, alice.SetSealed([]byte("k"), []byte("alice's"), nil))
	alices := mem.Ops()
	report, err := alice.Shred(ctx)
	require.NoError(t, err)
	shredded := mem.Ops()
	require.NoError(t, db.Close())
	met := map[string]int{}
	step := 1
	if testing.Short() {
		step = 3
	}
	for e, k := mem.Explore(), from; k <= mem.Ops(); k += step {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Pending: 2, Cuts: 2}) {
			fs := s.Mem()
			db, err := Open("db", encrypted(fs, 1))
			require.NoError(t, err, "%s", s)
			read := func(name string) (string, error) {
				sc, err := db.Scope(scope.User(name))
				require.NoError(t, err)
				v, err := sc.Get([]byte("k"))
				return string(v), err
			}
			recorded := false
			for r, err := range db.Shreds() {
				require.NoError(t, err, "%s", s)
				require.Equal(t, report.ShredRecord, r)
				recorded = true
			}
			v, err := read("alice")
			switch {
			case err == nil:
				require.Equal(t, "alice's", v)
				require.Less(t, k, shredded, "%s", s)
				require.False(t, recorded, "%s", s)
				met["readable"]++
			case errors.Is(err, ErrShredded):
				require.True(t, recorded, "%s", s)
				met["shredded"]++
			default:
				require.ErrorIs(t, err, ErrNotFound, "%s", s)
				require.Less(t, k, alices, "%s", s)
			}
			v, err = read("bob")
			if !errors.Is(err, ErrNotFound) {
				require.NoError(t, err, "%s", s)
				require.Equal(t, "bob's", v)
			} else {
				require.Less(t, k, bobs, "%s", s)
			}
			require.NoError(t, db.Close())
			if recorded {
				keyIsGone(t, fs, "db", report.Key)
			}
		}
	}
	t.Logf("states: %v", met)
	require.Positive(t, met["readable"])
	require.Positive(t, met["shredded"])
}

// A store that seals nothing has no vault, and is asked for none.
func TestSealingIsRefusedWhereItCannotBe(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	sc, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	_, err = sc.Shred(ctx)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, sc.Set([]byte("k"), []byte("v"), nil))
	report, err := sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, &ShredReport{}, report)
	b := db.NewBatch()
	b.SetSealed([]byte("k"), []byte("v"))
	require.ErrorIs(t, db.Apply(b, nil), ErrNotScoped)
	require.ErrorIs(t, db.Update(func(tx *Txn) error { return tx.SetSealed([]byte("k"), nil) }), ErrNotScoped)
	require.ErrorIs(t, sc.SetSealed(make([]byte, 1<<20), nil, nil), ErrTooLarge)
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.NotContains(t, filesIn(t, fs, "db"), crypto.VaultName)
	require.NoError(t, db.Close())

	plain := mustOpen(t, &Options{InMemory: true})
	sc, err = plain.Scope(scope.User("alice"))
	require.NoError(t, err)
	require.ErrorIs(t, sc.SetSealed([]byte("k"), []byte("v"), nil), ErrNotEncrypted)
	require.NoError(t, sc.Set([]byte("k"), []byte("v"), nil))
	require.ErrorIs(t, sc.SetSealed([]byte("k"), []byte("v"), nil), ErrNotEncrypted)
	_, err = sc.Shred(ctx)
	require.ErrorIs(t, err, ErrNotEncrypted)
}

// A handle that had not looked since was told of the Shred of a scope that was dropped, at each of its writes.
func TestAStaleHandleSealsInTheScopeOfItsName(t *testing.T) {
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	for _, whole := range []bool{false, true} {
		name := scope.User(fmt.Sprint("alice-", whole))
		sc, err := db.Scope(name)
		require.NoError(t, err)
		if whole {
			require.NoError(t, sc.Seal(nil))
		}
		stale, err := db.Scope(name)
		require.NoError(t, err)
		require.NoError(t, stale.SetSealed([]byte("k"), []byte("v"), nil))
		_, err = sc.Shred(context.Background())
		require.NoError(t, err)
		require.ErrorIs(t, stale.SetSealed([]byte("k"), []byte("w"), nil), ErrShredded)
		require.NoError(t, sc.Drop(nil))
		if whole {
			b := stale.NewBatch()
			b.RequireUnsealed()
			b.Merge(BytesAppend, []byte("k"), []byte("w"))
			require.NoError(t, db.Apply(b, nil))
		} else {
			require.NoError(t, stale.SetSealed([]byte("k"), []byte("w"), nil))
		}
		v, err := sc.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "w", string(v))
	}
}

// A batch that requires that its scope is not sealed is not written to one that is.
func TestABatchRequiresThatAScopeIsNotSealed(t *testing.T) {
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	sealed := sealedScope(t, db, "sealed")
	plain, err := db.Scope(scope.User("plain"))
	require.NoError(t, err)
	for _, sc := range []*Scope{plain, sealed, nil} {
		b := db.NewBatch().In(sc)
		b.RequireUnsealed()
		b.Set([]byte("k"), []byte("v"))
		err := db.Apply(b, nil)
		if sc == sealed {
			require.ErrorIs(t, err, ErrScopeSealed)
			_, err = sealed.Get([]byte("k"))
			require.ErrorIs(t, err, ErrNotFound)
			continue
		}
		require.NoError(t, err)
	}
}

// What a transaction merges on a value that is shredded is met like any other such value.
func TestOwnOperandsOnAShreddedValueEndNoLoop(t *testing.T) {
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	sc, err := db.Scope(scope.User("bob"))
	require.NoError(t, err)
	require.NoError(t, sc.Set([]byte("a"), []byte("a"), nil))
	require.NoError(t, sc.SetSealed([]byte("b"), []byte("b"), nil))
	require.NoError(t, sc.Set([]byte("c"), []byte("c"), nil))
	_, err = sc.Shred(context.Background())
	require.NoError(t, err)
	require.NoError(t, sc.Update(func(tx *Txn) error {
		for _, key := range []string{"a", "b", "c"} {
			require.NoError(t, tx.Merge(BytesAppend, []byte(key), []byte("+")))
		}
		for _, seq := range []iter.Seq2[Entry, error]{tx.Scan(nil, nil), tx.ScanReverse(nil, nil)} {
			met := map[string]string{}
			for e, err := range seq {
				if string(e.Key) == "b" {
					require.ErrorIs(t, err, ErrShredded)
				} else {
					require.NoError(t, err)
				}
				met[string(e.Key)] = string(e.Value)
			}
			require.Equal(t, map[string]string{"a": "a+", "b": "", "c": "c+"}, met)
		}
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.SeekGE([]byte("b")))
		require.Error(t, it.Unreadable())
		require.Nil(t, it.Value())
		require.ErrorIs(t, it.Err(), ErrShredded)
		return nil
	}))
}
