package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// sealedScope makes a scope that is sealed as a whole.
func sealedScope(t *testing.T, db *DB, name string) *Scope {
	t.Helper()
	sc, err := db.Scope(scope.User(name))
	require.NoError(t, err)
	require.NoError(t, sc.Seal(nil))
	return sc
}

// writeEvery writes a value by each verb that there is, under keys of a place, and returns them all.
// None of the values expires soon.
func writeEvery(t *testing.T, db *DB, sc *Scope, place string) map[string]string {
	t.Helper()
	all := map[string]string{}
	other, err := db.Scope(scope.User("clear"))
	require.NoError(t, err)
	later := db.Now().Add(1000 * time.Hour)
	for _, size := range []int{1, 900} {
		key := func(verb string) []byte { return fmt.Appendf(nil, "%s-%s-%d", place, verb, size) }
		value := func(verb string) []byte {
			v := bytes.Repeat([]byte(verb+" "), size)
			all[string(key(verb))] = string(v)
			return v
		}
		require.NoError(t, sc.Set(key("set"), value("set"), NoSync))
		version, err := sc.SetVersion(key("version"), value("version"), NoSync)
		require.NoError(t, err)
		_, got, err := sc.GetWithVersion(key("version"))
		require.NoError(t, err)
		require.Equal(t, version, got)
		require.NoError(t, sc.SetWithTTL(key("ttl"), value("ttl"), 1000*time.Hour, NoSync))
		require.NoError(t, sc.SetWithExpiry(key("expiry"), value("expiry"), later, NoSync))
		require.NoError(t, sc.SetSealed(key("sealed"), value("sealed"), NoSync))
		require.NoError(t, sc.SetSealedWithExpiry(key("both"), value("both"), later, NoSync))
		b := db.NewBatch()
		b.In(other).Set(key("other"), []byte("clear"))
		b.In(sc).Set(key("batch"), value("batch"))
		b.SetWithTTL(key("batch-ttl"), value("batch-ttl"), 1000*time.Hour)
		b.SetWithExpiry(key("batch-expiry"), value("batch-expiry"), later)
		b.SetSealed(key("batch-sealed"), value("batch-sealed"))
		b.SetSealedWithExpiry(key("batch-both"), value("batch-both"), later)
		b.Set(key("gone"), []byte("gone"))
		b.Delete(key("gone"))
		require.NoError(t, db.Apply(b, NoSync))
		require.NoError(t, db.Update(func(tx *Txn) error {
			in, err := tx.Scope(sc.name)
			require.NoError(t, err)
			require.NoError(t, in.Set(key("txn"), value("txn")))
			require.NoError(t, in.SetWithTTL(key("txn-ttl"), value("txn-ttl"), 1000*time.Hour))
			require.NoError(t, in.SetSealed(key("txn-sealed"), value("txn-sealed")))
			require.NoError(t, in.SetSealedWithExpiry(key("txn-both"), value("txn-both"), later))
			require.NoError(t, in.Set(key("txn-merged"), value("txn-merged")))
			require.NoError(t, in.Merge(BytesAppend, key("txn-merged"), []byte("+")))
			all[string(key("txn-merged"))] += "+"
			require.NoError(t, in.SetSealedWithExpiry(key("txn-both-merged"), value("txn-both-merged"), later))
			require.NoError(t, in.Merge(BytesAppend, key("txn-both-merged"), []byte("+")))
			all[string(key("txn-both-merged"))] += "+"
			for _, k := range []string{"txn", "txn-ttl", "txn-sealed", "txn-both", "txn-merged", "txn-both-merged"} {
				v, err := in.Get(key(k))
				require.NoError(t, err)
				require.Equal(t, all[string(key(k))], string(v))
			}
			return nil
		}))
	}
	return all
}

// allSealed are the values of a scope in which every value is sealed, for sealedCase.check.
func allSealed(sc *Scope, values map[string]string) *sealedCase {
	c := &sealedCase{sc, values, map[string]bool{}}
	for key := range values {
		c.sealed[key] = true
	}
	return c
}

// In a sealed scope every value is sealed, whatever verb has written it, and wherever it has come to:
// after Shred none can be read. Everything that can be read can be read until then.
func TestEveryValueOfASealedScopeIsSealed(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	sc := sealedScope(t, db, "alice")
	values := map[string]string{}
	write := func(place string) {
		for k, v := range writeEvery(t, db, sc, place) {
			values[k] = v
		}
	}
	write("merged")
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.Compact(ctx, nil, nil))
	write("flushed")
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.Close())

	db = mustOpen(t, o) // it is known to be sealed again
	sc, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	write("written")
	c := allSealed(sc, values)
	c.check(t, sc, false)
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	report, err := sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"copy"}, report.Checkpoints)
	c.check(t, sc, true)
	before, err := snap.Scope(sc.name)
	require.NoError(t, err)
	c.check(t, before, true)
	require.NoError(t, snap.Close())
	sealed, err := sc.Sealed()
	require.True(t, sealed)
	require.ErrorIs(t, err, ErrShredded)
	require.ErrorIs(t, sc.Seal(nil), ErrShredded)
	require.ErrorIs(t, sc.Set([]byte("more"), nil, nil), ErrShredded)
	require.ErrorIs(t, sc.SetWithTTL([]byte("more"), nil, time.Hour, nil), ErrShredded)
	b := sc.NewBatch()
	b.Set([]byte("more"), nil)
	require.ErrorIs(t, db.Apply(b, nil), ErrShredded)
	require.ErrorIs(t, sc.Update(func(tx *Txn) error { return tx.Set([]byte("more"), nil) }), ErrShredded)
	require.NoError(t, db.Compact(ctx, nil, nil))
	require.NoError(t, db.Verify(ctx))
	c.check(t, sc, true)

	// What needs no value goes on.
	first := "merged-set-1"
	require.NoError(t, sc.Delete([]byte(first), nil))
	b = sc.NewBatch()
	b.DeleteRange([]byte("flushed"), []byte("flushed~"))
	require.NoError(t, db.Apply(b, nil))
	has, err := sc.Has([]byte(first))
	require.NoError(t, err)
	require.False(t, has)
	other, err := db.Scope(scope.User("clear"))
	require.NoError(t, err)
	v, err := other.Get([]byte("merged-other-1"))
	require.NoError(t, err)
	require.Equal(t, "clear", string(v))
	require.NoError(t, db.Close())

	// Of the copy nothing can be read either, not with the vault and not without.
	for _, vault := range []string{"", "db"} {
		c := *o
		c.Encryption = &Encryption{Key: masterKey(1), Vault: vault}
		copied, err := Open("copy", &c)
		require.NoError(t, err)
		sc, err := copied.Scope(scope.User("alice"))
		require.NoError(t, err)
		n := 0
		for _, err := range sc.Scan(nil, nil) {
			require.True(t, unopened(err), "%v", err)
			n++
		}
		require.Len(t, values, n)
		require.NoError(t, copied.Close())
	}
}

// A scope is sealed from its beginning, for good, and by no other way.
func TestScopesAreSealedWhenTheyAreMade(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	sc := sealedScope(t, db, "alice")
	require.NoError(t, sc.Seal(nil), "it is")
	handle, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	then, err := snap.Scope(scope.User("alice"))
	require.NoError(t, err)
	require.ErrorIs(t, then.Seal(nil), ErrReadOnly)
	sealed, err := then.Sealed()
	require.NoError(t, err)
	require.True(t, sealed)
	plain, err := db.Scope(scope.User("bob"))
	require.NoError(t, err)
	sealed, err = plain.Sealed()
	require.NoError(t, err)
	require.False(t, sealed)
	require.NoError(t, plain.Set([]byte("k"), []byte("v"), nil))
	require.ErrorIs(t, plain.Seal(nil), ErrScopeExists)

	// Operands are refused, and nothing is written with them.
	require.ErrorIs(t, handle.Merge(BytesAppend, []byte("m"), []byte("+"), nil), ErrScopeSealed)
	b := db.NewBatch()
	b.In(plain).Set([]byte("with"), nil)
	b.In(handle).Merge(BytesAppend, []byte("m"), []byte("+"))
	require.ErrorIs(t, db.Apply(b, nil), ErrScopeSealed)
	require.ErrorIs(t, handle.Update(func(tx *Txn) error { return tx.Merge(BytesAppend, []byte("m"), []byte("+")) }), ErrScopeSealed)
	has, err := plain.Has([]byte("with"))
	require.NoError(t, err)
	require.False(t, has)

	isSealed := func(sc *Scope) bool { // by what becomes of a value that is Set
		require.NoError(t, sc.Set([]byte("probe"), []byte("v"), nil))
		it, err := sc.NewIter(nil)
		require.NoError(t, err)
		defer it.Close()
		require.True(t, it.SeekGE([]byte("probe")))
		return it.in.sealed
	}
	require.True(t, isSealed(handle))
	require.False(t, isSealed(plain))
	require.NoError(t, sc.Move(scope.User("moved"), nil))
	require.False(t, isSealed(handle), "the name is free")
	moved, err := db.Scope(scope.User("moved"))
	require.NoError(t, err)
	require.True(t, isSealed(moved))
	for _, entries := range []int{1, 0} {
		fork, err := moved.Fork(ctx, scope.User(fmt.Sprint("fork", entries)), nil)
		require.NoError(t, err)
		require.True(t, isSealed(fork))
		_, err = fork.Shred(ctx)
		require.NoError(t, err)
		_, err = fork.Get([]byte("probe"))
		require.ErrorIs(t, err, ErrShredded)
		v, err := moved.Get([]byte("probe"))
		require.NoError(t, err, "it has a key of its own")
		require.Equal(t, "v", string(v))
		require.NoError(t, moved.DeleteRange(nil, nil, nil)) // an empty one is copied as what it is
		require.NoError(t, moved.Set([]byte("probe"), []byte("v"), nil))
	}
	require.NoError(t, moved.Drop(nil))
	require.False(t, isSealed(moved), "it is another scope")
	require.NoError(t, moved.Drop(nil))
	require.NoError(t, moved.Seal(nil))
	require.True(t, isSealed(moved))

	clear := mustOpen(t, &Options{InMemory: true})
	sc, err = clear.Scope(scope.User("alice"))
	require.NoError(t, err)
	require.ErrorIs(t, sc.Seal(nil), ErrNotEncrypted)
	sealed, err = sc.Sealed()
	require.NoError(t, err)
	require.False(t, sealed)
}

// Values that are sealed expire as others do, also where nobody can open them any more, and their
// expiry comes with them.
func TestSealedValuesExpire(t *testing.T) {
	ctx := context.Background()
	clock := newHandClock()
	o := encrypted(vfs.NewMem(), 1)
	o.Clock, o.ExpiryEvents = clock, true
	db := mustOpen(t, o)
	whole := sealedScope(t, db, "alice")
	single, err := db.Scope(scope.User("bob"))
	require.NoError(t, err)
	soon, late := db.Now().Add(time.Hour), db.Now().Add(24*time.Hour)
	for _, sc := range []*Scope{whole, single} {
		for _, size := range []int{3, 900} {
			for _, place := range []string{"merged", "written"} {
				v := bytes.Repeat([]byte("v"), size)
				require.NoError(t, sc.SetSealedWithExpiry(fmt.Appendf(nil, "%s-soon-%d", place, size), v, soon, NoSync))
				require.NoError(t, sc.SetSealedWithExpiry(fmt.Appendf(nil, "%s-late-%d", place, size), v, late, NoSync))
				if place == "merged" {
					require.NoError(t, db.Flush(ctx))
					require.NoError(t, db.Compact(ctx, nil, nil))
				}
			}
		}
	}
	fork, err := single.Fork(ctx, scope.User("fork"), nil)
	require.NoError(t, err)
	all := []*Scope{whole, single, fork}
	look := func(keys int, want error) {
		t.Helper()
		for _, sc := range all {
			n := 0
			for e, err := range sc.Scan(nil, nil) {
				require.ErrorIs(t, err, want)
				_, at, err := sc.GetWithExpiry(e.Key)
				require.ErrorIs(t, err, want)
				wantAt := late
				if bytes.Contains(e.Key, []byte("soon")) {
					wantAt = soon
				}
				require.Equal(t, wantAt.UnixMilli(), at.UnixMilli(), "%s", e.Key)
				n++
			}
			back := 0
			it, err := sc.NewIter(nil)
			require.NoError(t, err)
			for ok := it.Last(); ok; ok = it.Prev() {
				require.Equal(t, want != nil, it.Unreadable() != nil)
				require.NotZero(t, it.Expiry())
				back++
			}
			require.NoError(t, it.Close())
			changes := 0
			for c, err := range sc.Diff(Position{}) {
				if c.Kind == ChangeSet {
					require.ErrorIs(t, err, want)
					require.NotZero(t, c.Expiry)
					changes++
				}
			}
			require.Equal(t, []int{keys, keys, keys}, []int{n, back, changes})
		}
	}
	look(8, nil)
	clock.pass(2 * time.Hour)
	look(4, nil)
	_, err = whole.Get([]byte("merged-soon-3"))
	require.ErrorIs(t, err, ErrNotFound)
	gone, err := db.AwaitExpiryEvents(ctx, 100)
	require.NoError(t, err)
	require.NotEmpty(t, gone)
	for _, sc := range all {
		_, err := sc.Shred(ctx)
		require.NoError(t, err)
	}
	look(4, ErrShredded)
	_, err = whole.Get([]byte("written-soon-900"))
	require.ErrorIs(t, err, ErrNotFound, "it had expired before")
	require.NoError(t, db.Compact(ctx, nil, nil))
	look(4, ErrShredded)
	late2, err := whole.Fork(ctx, scope.User("late"), nil)
	require.NoError(t, err)
	all = append(all, late2)
	look(4, ErrShredded)
	clock.pass(48 * time.Hour)
	look(0, nil)
	require.NoError(t, db.Verify(ctx))

	b := single.NewBatch()
	b.SetSealedWithExpiry([]byte("k"), nil, time.Time{})
	require.ErrorIs(t, db.Apply(b, nil), ErrInvalidExpiry)
	b = db.NewBatch()
	b.SetSealedWithExpiry([]byte("k"), nil, db.Now().Add(time.Hour))
	require.ErrorIs(t, db.Apply(b, nil), ErrNotScoped)
	require.ErrorIs(t, single.Update(func(tx *Txn) error { return tx.SetSealedWithExpiry([]byte("k"), nil, time.Time{}) }), ErrInvalidExpiry)
}

// What was merged on a sealed value ends when that does, whether or not it can be opened: nothing waits for it,
// and what is merged later begins anew.
func TestOperandsOnAShreddedValueExpire(t *testing.T) {
	ctx := context.Background()
	for _, events := range []bool{false, true} {
		for _, flushed := range []bool{false, true} {
			clock := newHandClock()
			o := encrypted(vfs.NewMem(), 1)
			o.Clock, o.ExpiryEvents = clock, events
			db := mustOpen(t, o)
			sc, err := db.Scope(scope.User("bob"))
			require.NoError(t, err)
			soon := db.Now().Add(time.Hour)
			for _, key := range []string{"again", "k"} {
				require.NoError(t, sc.SetSealedWithExpiry([]byte(key), []byte("v"), soon, NoSync))
				require.NoError(t, sc.Merge(BytesAppend, []byte(key), []byte("+"), NoSync))
			}
			require.NoError(t, sc.SetSealedWithExpiry([]byte("l"), []byte("v"), soon, NoSync))
			require.NoError(t, sc.SetWithExpiry([]byte("plain"), []byte("v"), soon, NoSync))
			require.NoError(t, sc.Set([]byte("z"), []byte("z"), NoSync))
			if flushed {
				require.NoError(t, db.Flush(ctx))
			}
			_, err = sc.Shred(ctx)
			require.NoError(t, err)
			_, at, err := sc.GetWithExpiry([]byte("k"))
			require.ErrorIs(t, err, ErrShredded)
			require.Equal(t, soon.UnixMilli(), at.UnixMilli())

			clock.pass(2 * time.Hour)
			require.NoError(t, sc.Merge(BytesAppend, []byte("again"), []byte("new"), NoSync))
			if events {
				gone := map[string]bool{}
				for !gone["k"] || !gone["l"] || !gone["plain"] {
					all, err := db.AwaitExpiryEvents(ctx, 100)
					require.NoError(t, err)
					for _, e := range all {
						gone[string(e.Key)] = true
					}
					require.NoError(t, db.AckExpiryEvents(nil, all...))
				}
			}
			for _, key := range []string{"k", "l", "plain"} {
				_, err = sc.Get([]byte(key))
				require.ErrorIs(t, err, ErrNotFound, key)
			}
			v, err := sc.Get([]byte("again"))
			require.NoError(t, err)
			require.Equal(t, "new", string(v))
			want := map[string]string{"again": "new", "z": "z"}
			for _, seq := range []iter.Seq2[Entry, error]{sc.Scan(nil, nil), sc.ScanReverse(nil, nil)} {
				met := map[string]string{}
				for e, err := range seq {
					require.NoError(t, err, string(e.Key))
					met[string(e.Key)] = string(e.Value)
				}
				require.Equal(t, want, met)
			}
			met := map[string]string{}
			for c, err := range sc.Diff(Position{}) {
				require.NoError(t, err, string(c.Key))
				if c.Kind == ChangeSet {
					met[string(c.Key)] = string(c.Value)
				}
			}
			require.Equal(t, want, met)
		}
	}
}

// Wherever the power is cut while a scope is sealed, written and shredded, what is there is sealed, is
// readable before Shred and never after it.
func TestPowerCutAroundASealedScope(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashMem()
	db := mustOpen(t, encrypted(mem, 1))
	name := scope.User("alice")
	sc, err := db.Scope(name)
	require.NoError(t, err)
	from := mem.Ops()
	require.NoError(t, sc.Seal(nil))
	sealed := mem.Ops()
	require.NoError(t, sc.Set([]byte("k"), []byte("v"), nil))
	require.NoError(t, db.Flush(ctx))
	written := mem.Ops()
	_, err = sc.Shred(ctx)
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
		for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			db, err := Open("db", encrypted(s.Mem(), 1))
			require.NoError(t, err, "%s", s)
			sc, err := db.Scope(name)
			require.NoError(t, err)
			is, err := sc.Sealed()
			v, readErr := sc.Get([]byte("k"))
			switch {
			case errors.Is(err, ErrShredded):
				require.ErrorIs(t, readErr, ErrShredded)
				require.GreaterOrEqual(t, k, written, "%s", s)
				met["shredded"]++
			case is && readErr == nil:
				require.Equal(t, "v", string(v))
				require.Less(t, k, shredded, "%s", s)
				met["readable"]++
			default:
				require.NoError(t, err)
				require.ErrorIs(t, readErr, ErrNotFound, "%s", s)
				require.True(t, is || k < sealed, "%s", s)
				require.Less(t, k, written, "%s", s)
				met["empty"]++
			}
			require.NoError(t, db.Close())
		}
	}
	t.Logf("states: %v", met)
	require.Len(t, met, 3)
}

// Beside writers of all sorts a scope is dropped, and made again, sealed or by a writer: what is in a
// sealed one is sealed.
func TestWritersBesideSealsAndDrops(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, encrypted(vfs.NewMem(), 1))
	sc, err := db.Scope(scope.User("alice"))
	require.NoError(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			own, err := db.Scope(sc.name)
			for i := 0; err == nil; i++ {
				key := fmt.Appendf(nil, "%d-%d", g, i)
				switch i % 3 {
				case 0:
					err = own.Set(key, key, NoSync)
				case 1:
					b := own.NewBatch()
					b.SetWithTTL(key, key, time.Hour)
					b.Delete(key[:1])
					err = db.Apply(b, NoSync)
				default:
					err = own.Update(func(tx *Txn) error {
						tx.SetWriteOptions(NoSync)
						return tx.Set(key, key)
					})
				}
				select {
				case <-stop:
					return
				default:
				}
			}
			t.Error(err)
		})
	}
	sealed := 0
	for sealed < 20 {
		require.NoError(t, sc.Drop(NoSync))
		switch err := sc.Seal(NoSync); {
		case err == nil:
			sealed++
		default:
			require.ErrorIs(t, err, ErrScopeExists)
			continue
		}
		require.NoError(t, sc.View(func(tx *Txn) error {
			is, err := sc.Sealed() // only this goroutine drops
			require.NoError(t, err)
			require.True(t, is)
			it, err := tx.NewIter(nil)
			require.NoError(t, err)
			for ok := it.First(); ok; ok = it.Next() {
				require.True(t, it.base.in.sealed, "%s", it.Key())
			}
			return it.Close()
		}))
	}
	close(stop)
	wg.Wait()
	_, err = sc.Shred(ctx)
	require.NoError(t, err)
	for _, err := range sc.Scan(nil, nil) {
		require.ErrorIs(t, err, ErrShredded)
	}
}

// Random operations on a sealed scope do what they do on one that is not, as a model tells.
func TestASealedScopeAgreesWithItsModel(t *testing.T) {
	ctx := context.Background()
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 38))
		o := encrypted(vfs.NewMem(), 1)
		db := mustOpen(t, o)
		sc := sealedScope(t, db, "alice")
		model := map[string]string{}
		for n := range 400 {
			key := fmt.Sprint("k", rnd.IntN(30))
			value := fmt.Sprint(n, string(bytes.Repeat([]byte("."), rnd.IntN(900))))
			switch rnd.IntN(10) {
			case 0, 1, 2:
				require.NoError(t, sc.Set([]byte(key), []byte(value), NoSync))
				model[key] = value
			case 3:
				require.NoError(t, sc.SetWithTTL([]byte(key), []byte(value), 100*time.Hour, NoSync))
				model[key] = value
			case 4:
				require.NoError(t, sc.Update(func(tx *Txn) error {
					tx.SetWriteOptions(NoSync)
					return errors.Join(tx.Set([]byte(key), []byte(value)), tx.Delete([]byte("k0")))
				}))
				model[key] = value
				delete(model, "k0")
			case 5:
				require.NoError(t, sc.Delete([]byte(key), NoSync))
				delete(model, key)
			case 6:
				require.NoError(t, sc.DeleteRange([]byte("k1"), []byte("k13"), NoSync))
				for k := range model {
					if k >= "k1" && k < "k13" {
						delete(model, k)
					}
				}
			case 7:
				require.NoError(t, db.Flush(ctx))
			case 8:
				to := scope.User(fmt.Sprint("alice", n))
				var err error
				if rnd.IntN(2) == 0 {
					_, err = sc.Copy(ctx, to, NoSync)
				} else {
					err = sc.Move(to, NoSync)
				}
				require.NoError(t, err)
				sc, err = db.Scope(to)
				require.NoError(t, err)
			default:
				require.NoError(t, db.Close())
				db = mustOpen(t, o)
				var err error
				sc, err = db.Scope(sc.name)
				require.NoError(t, err)
			}
		}
		agrees := func(shredded bool) {
			n := 0
			for e, err := range sc.Scan(nil, nil) {
				if n++; shredded {
					require.ErrorIs(t, err, ErrShredded)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, model[string(e.Key)], string(e.Value))
			}
			require.Len(t, model, n)
		}
		agrees(false)
		_, err := sc.Shred(ctx)
		require.NoError(t, err)
		agrees(true)
		require.NoError(t, db.Close())
	}
}

// Whichever operation of the file system fails while a scope is sealed, written and shredded, nothing that
// was acknowledged is lost, and after a Shred that has failed another ends what it began.
func TestFailuresAroundASealedScope(t *testing.T) {
	ctx := context.Background()
	name := scope.User("alice")
	history := func(db *DB, done func(string)) error {
		sc, err := db.Scope(name)
		if err == nil {
			if err = sc.Seal(nil); err == nil {
				done("sealed")
				err = sc.Set([]byte("k"), []byte("v"), nil)
			}
		}
		if err == nil {
			done("written")
			if _, err = sc.Shred(ctx); err == nil {
				done("shredded")
			}
		}
		return err
	}
	failed := 0
	for skip := 0; ; skip++ {
		mem := vfs.NewMem()
		faults := vfs.NewFaults(mem)
		db, err := Open("db", encrypted(faults, 1))
		require.NoError(t, err)
		faults.Add(vfs.Rule{Kinds: vfs.OpWrites, Skip: skip})
		did := map[string]bool{}
		err = history(db, func(what string) { did[what] = true })
		fired := len(faults.Fired()) > 0
		faults.Clear()
		_ = db.Close() // which may tell of the failure again
		if err != nil {
			failed++
		}

		db, err = Open("db", encrypted(mem, 1))
		require.NoError(t, err, "operation %d", skip)
		sc, err := db.Scope(name)
		require.NoError(t, err)
		v, err := sc.Get([]byte("k"))
		switch {
		case did["shredded"]:
			require.ErrorIs(t, err, ErrShredded, "operation %d", skip)
		case err == nil:
			require.Equal(t, "v", string(v))
		default:
			require.True(t, errors.Is(err, ErrShredded) || !did["written"] && errors.Is(err, ErrNotFound), "operation %d: %v", skip, err)
		}
		is, err := sc.Sealed()
		require.True(t, is || !did["sealed"], "operation %d: %v", skip, err)
		if is {
			report, err := sc.Shred(ctx)
			require.NoError(t, err)
			require.NoError(t, db.Close())
			keyIsGone(t, mem, "db", report.Key)
		}
		require.NoError(t, db.Close())
		if !fired {
			break
		}
	}
	require.Greater(t, failed, 5)
}
