package state_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// B62: what was shredded is there, in every way of looking, in memory and on disk, unreadable, and can be deleted and
// replaced.
func TestShreddedValuesAreMetEverywhere(t *testing.T) {
	everywhere(t, sealing(), func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		w, err := sc.Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		for i := range 6 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint("s", i), i, sensitive))
		}
		require.NoError(t, sc.Set(ctx, "t", "clear"))
		_, m, err := sc.GetWithMeta(ctx, "s0")
		require.NoError(t, err)
		snap, err := f.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		_, err = sc.Shred(ctx)
		require.NoError(t, err)
		isShredded := func(err error) {
			t.Helper()
			require.ErrorIs(t, err, state.ErrShredded)
			var e *state.Error
			require.ErrorAs(t, err, &e)
		}
		for _, at := range []*state.Scope{sc, snap.Scope(agent)} {
			_, err := at.Get(ctx, "s1")
			isShredded(err)
			_, err = state.Get[int](ctx, at, "s1")
			isShredded(err)
			_, _, err = at.GetWithMeta(ctx, "s1")
			isShredded(err)
			_, _, err = at.GetInherited(ctx, "s1")
			isShredded(err)
			_, err = at.GetMany(ctx, "t", "s1")
			isShredded(err)
			has, err := at.Has(ctx, "s1")
			require.NoError(t, err)
			require.True(t, has)
			page, err := at.List(ctx, state.ListOptions{})
			require.NoError(t, err)
			require.Len(t, page.Entries, 7)
			isShredded(page.Entries[0].Err)
			require.Equal(t, state.Sensitive, page.Entries[0].Class)
			require.Equal(t, m.Version, page.Entries[0].Version)
			require.NoError(t, page.Entries[6].Err)
			met, clear := 0, 0
			for e, err := range at.All(ctx, "") {
				if err == nil {
					require.Equal(t, "clear", e.Value)
					clear++
					continue
				}
				isShredded(err)
				require.NotEmpty(t, e.Key)
				met++
			}
			require.Equal(t, []int{6, 1}, []int{met, clear})
			met = 0
			for _, err := range at.Keys(ctx, "") {
				require.NoError(t, err)
				met++
			}
			require.Equal(t, 7, met)
			met = 0
			for c, err := range at.Diff(ctx, state.Position{}) {
				if err != nil {
					isShredded(err)
					require.Equal(t, state.ChangeSet, c.Kind)
					require.NotEmpty(t, c.Key)
					met++
				}
			}
			require.Equal(t, 6, met)
			for r, err := range at.ScanPrivacy(ctx, nil) {
				require.NoError(t, err, r)
			}
		}
		for i := range 6 {
			c, err := w.Next()
			isShredded(err)
			require.Equal(t, fmt.Sprint("s", i), c.Key)
		}
		c, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, "clear", c.Value)

		isShredded(sc.Set(ctx, "more", 1, sensitive))
		_, err = sc.Update(ctx, "s1", func(any, bool) (any, error) { return nil, nil })
		isShredded(err)
		_, err = sc.Increment(ctx, "s1", 1)
		isShredded(err)
		ok, err := sc.SetIfAbsent(ctx, "s1", 1)
		require.NoError(t, err)
		require.False(t, ok)
		_, err = sc.CompareAndSet(ctx, "s0", m.Version, "new", state.WithClass(state.Standard)) // versions are not sealed
		require.NoError(t, err)
		require.NoError(t, sc.Set(ctx, "s1", "new"))
		require.NoError(t, sc.Set(ctx, "s2", "new", ephemeral))
		existed, err := sc.Delete(ctx, "s3")
		require.NoError(t, err)
		require.True(t, existed)
		n, err := sc.DeleteMany(ctx, []string{"s4", "none"})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			in := tx.Scope(agent)
			_, err := in.Get(ctx, "s5")
			isShredded(err)
			ok, err := in.SetIfAbsent(ctx, "s5", 1)
			require.False(t, ok)
			require.NoError(t, err)
			existed, err := in.Delete(ctx, "s5")
			require.True(t, existed)
			return err
		}))
		got, err := sc.GetMany(ctx, "s0", "s1", "s2", "s3", "s4", "s5", "t")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"s0": "new", "s1": "new", "s2": "new", "t": "clear"}, got)
		require.NoError(t, sc.Drop(ctx))
		require.NoError(t, sc.Set(ctx, "again", 1, sensitive), "a new scope has a new key")
	})
}

// of it, in checkpoints too; those that it could not reach are in the report.
func TestASealedScopeOfValues(t *testing.T) {
	fs, plain := vfs.NewMem(), &sealtest.Plaintexts{}
	o := sealingOn(fs, plain.Wrap)
	o.Timeline = &state.TimelineOptions{RecordValues: true}
	store, err := state.Open("db", o)
	require.NoError(t, err)
	ann := store.Scope(scope.User("ann"))
	require.NoError(t, ann.Seal(ctx))
	require.NoError(t, ann.Seal(ctx))
	require.NoError(t, store.Scope(scope.User("bob")).Set(ctx, "k", "another bird"))
	require.ErrorIs(t, store.Scope(scope.User("bob")).Seal(ctx), state.ErrScopeExists)
	long := secretText + strings.Repeat(".", 900)
	for class, v := range map[state.Class]string{state.Trusted: long, state.Standard: secretText, state.Sensitive: secretText, state.External: long} {
		require.NoError(t, ann.Set(ctx, class.String(), v, state.WithClass(class)))
		require.NoError(t, ann.SetWithTTL(ctx, class.String()+"-ttl", v, time.Hour, state.WithClass(class)))
	}
	require.NoError(t, ann.Set(ctx, "ephemeral", secretText, ephemeral))
	_, err = ann.Append(ctx, "list", secretText)
	require.NoError(t, err)
	require.NoError(t, store.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(ann.Name()).Set(ctx, "txn", secretText) }))
	c, err := state.OpenCollection[person](ctx, ann, "people")
	require.NoError(t, err)
	require.NoError(t, c.Set(ctx, "ada", person{Notes: secretText}))
	require.NoError(t, store.Engine().Flush(ctx))
	for _, dir := range []string{"reached", "gone"} {
		require.NoError(t, store.Engine().Checkpoint(ctx, dir))
	}
	require.NoError(t, fs.Remove("gone/CURRENT"))
	require.NoError(t, store.Close())
	require.NotZero(t, plain.Has("another bird"))
	require.Zero(t, plain.Has(secretText))

	store, err = state.Open("db", o)
	require.NoError(t, err)
	ann = store.Scope(ann.Name())
	sealed, err := ann.Sealed(ctx)
	require.NoError(t, err)
	require.True(t, sealed)
	n := 0
	for e, err := range ann.All(ctx, "") {
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(e.Value), secretText)
		n++
	}
	require.Equal(t, 10, n)
	require.NoError(t, ann.Set(ctx, "later", secretText))
	report, err := ann.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"reached"}, report.Checkpoints)
	require.Len(t, report.OutOfReach, 1)
	require.Equal(t, "gone", report.OutOfReach[0].Dir)
	for _, err := range ann.All(ctx, "") {
		require.ErrorIs(t, err, state.ErrShredded)
	}
	require.ErrorIs(t, ann.Set(ctx, "more", 1), state.ErrShredded)
	sealed, err = ann.Sealed(ctx)
	require.ErrorIs(t, err, state.ErrShredded)
	require.True(t, sealed)
	records := 0
	for r, err := range store.Shreds(ctx) {
		require.NoError(t, err)
		require.Equal(t, report.ShredRecord, r)
		records++
	}
	require.Equal(t, 1, records)
	require.NoError(t, store.Engine().Flush(ctx))
	require.NoError(t, store.Close())
	require.Zero(t, plain.Has(secretText))

	for vault, want := range map[string]error{"db": state.ErrShredded, "": state.ErrNoScopeKey} {
		o := sealingOn(fs, nil)
		o.Engine.Encryption.Vault = vault
		copied, err := state.Open("reached", o)
		require.NoError(t, err)
		n := 0
		for e, err := range copied.Scope(ann.Name()).All(ctx, "") {
			require.ErrorIs(t, err, want, e.Key)
			n++
		}
		require.Equal(t, 10, n)
		require.NoError(t, copied.Close())
	}
}

// the power is cut, Shred has happened or not, in whole.
func TestPowerCutsAroundSensitiveValues(t *testing.T) {
	mem := vfs.NewCrashMem()
	o := sealingOn(mem, nil)
	o.NoSync = true
	store, err := state.Open("db", o)
	require.NoError(t, err)
	sc := store.Scope(agent)
	from := mem.Ops()
	require.NoError(t, sc.Set(ctx, "k", secretText, sensitive, state.NoSync))
	written := mem.Ops()
	require.NoError(t, store.Transact(ctx, func(tx *state.Txn) error {
		return tx.Scope(agent).Set(ctx, "t", secretText, sensitive)
	}))
	both := mem.Ops()
	_, err = sc.Shred(ctx)
	require.NoError(t, err)
	shredded := mem.Ops()
	require.NoError(t, store.Close())
	met := map[string]int{}
	step := 1
	if testing.Short() {
		step = 3
	}
	e := mem.Explore()
	for k := from; k <= e.Len(); k += step {
		e.AdvanceTo(k)
		for left := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			again, err := state.Open("db", sealingOn(left.Mem(), nil))
			require.NoError(t, err, "%v", left)
			sc := again.Scope(agent)
			is := func(key string, since int) {
				v, err := sc.Get(ctx, key)
				switch {
				case err == nil:
					require.Equal(t, secretText, v)
					require.Less(t, k, shredded, "%v", left)
					met["readable"]++
				case k < since:
					require.True(t, unreadOrAbsent(err), "%v", err)
				default:
					require.ErrorIs(t, err, state.ErrShredded, "%v", left)
					require.GreaterOrEqual(t, k, both, "%v", left)
					met["shredded"]++
				}
			}
			is("k", written)
			is("t", both)
			require.NoError(t, again.Close())
		}
	}
	t.Logf("states: %v", met)
	require.NotZero(t, met["readable"])
	require.NotZero(t, met["shredded"])
}

func unreadOrAbsent(err error) bool {
	return errors.Is(err, state.ErrNotFound) || errors.Is(err, state.ErrShredded)
}

// Beside Shred whoever writes is told, or what he has written is unreadable.
func TestWritersBesideAShred(t *testing.T) {
	everywhere(t, sealing(), func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		ended := make(chan error, 3)
		begun := make(chan struct{}, 3)
		for g := range 3 {
			go func() {
				key := fmt.Sprint("k", g)
				err := sc.Set(ctx, key, 0, sensitive)
				begun <- struct{}{}
				for err == nil {
					if _, err = sc.Increment(ctx, key, 1); err == nil {
						err = f.Transact(ctx, func(tx *state.Txn) error {
							return tx.Scope(agent).Set(ctx, key+"t", 1, sensitive)
						})
					}
				}
				ended <- err
			}()
		}
		for range 3 {
			<-begun
		}
		_, err := sc.Shred(ctx)
		require.NoError(t, err)
		for range 3 {
			require.ErrorIs(t, <-ended, state.ErrShredded)
		}
		for e, err := range sc.All(ctx, "") {
			require.ErrorIs(t, err, state.ErrShredded, e.Key)
		}
	})
}

// Random operations on values of class Sensitive, and on those of a sealed scope, come to what a map comes to.
func TestSealedValuesAgreeWithAModel(t *testing.T) {
	for seed := range uint64(2) {
		rnd := rand.New(rand.NewPCG(seed, 38))
		fs := vfs.NewMem()
		store, err := state.Open("db", sealingOn(fs, nil))
		require.NoError(t, err)
		sc := store.Scope(agent)
		class := sensitive
		if seed%2 == 1 {
			require.NoError(t, sc.Seal(ctx))
			class = state.WithClass(state.Trusted)
		}
		model := map[string]any{}
		for n := range 300 {
			key := fmt.Sprint("k", rnd.IntN(12))
			text := fmt.Sprint(n, strings.Repeat(".", rnd.IntN(700)))
			switch rnd.IntN(12) {
			case 0, 1:
				require.NoError(t, sc.Set(ctx, key, text, class))
				model[key] = text
			case 2:
				require.NoError(t, sc.SetWithTTL(ctx, key, text, time.Hour, class))
				model[key] = text
			case 3:
				require.NoError(t, sc.SetMany(ctx, map[string]any{key: text, "k0": text}, class))
				model[key], model["k0"] = text, text
			case 4:
				v, err := sc.Update(ctx, key, func(old any, found bool) (any, error) {
					require.Equal(t, model[key], old)
					return text, nil
				}, class)
				require.NoError(t, err)
				require.Equal(t, text, v)
				model[key] = text
			case 5:
				_, err := sc.Increment(ctx, "n", 1, class)
				require.NoError(t, err)
				before, _ := model["n"].(int64)
				model["n"] = before + 1
			case 6:
				existed, err := sc.Delete(ctx, key)
				require.NoError(t, err)
				_, there := model[key]
				require.Equal(t, there, existed)
				delete(model, key)
			case 7:
				require.NoError(t, store.Transact(ctx, func(tx *state.Txn) error {
					in := tx.Scope(sc.Name())
					if _, err := in.Delete(ctx, "k1"); err != nil {
						return err
					}
					return in.Set(ctx, key, text, class)
				}))
				delete(model, "k1")
				model[key] = text
			case 8:
				to := scope.Agent(fmt.Sprint("a", n))
				if rnd.IntN(2) == 0 {
					_, err = sc.Copy(ctx, to)
				} else {
					err = sc.Move(ctx, to)
				}
				if len(model) == 0 && errors.Is(err, state.ErrNotFound) {
					continue
				}
				require.NoError(t, err)
				sc = store.Scope(to)
			case 9:
				require.NoError(t, store.Engine().Flush(ctx))
			case 10:
				require.NoError(t, sc.Set(ctx, key, text, ephemeral))
				require.NoError(t, sc.Set(ctx, key, text, class))
				model[key] = text
			default:
				require.NoError(t, store.Close())
				store, err = state.Open("db", sealingOn(fs, nil))
				require.NoError(t, err)
				sc = store.Scope(sc.Name())
			}
		}
		got := map[string]any{}
		for e, err := range sc.All(ctx, "") {
			require.NoError(t, err)
			got[e.Key] = e.Value
		}
		require.Equal(t, model, got)
		_, err = sc.Shred(ctx)
		require.NoError(t, err)
		n := 0
		for _, err := range sc.All(ctx, "") {
			require.ErrorIs(t, err, state.ErrShredded)
			n++
		}
		require.Len(t, model, n)
		require.NoError(t, store.Close())
	}
}

// What is sensitive in a file that is imported is sealed, where it is staged too, and so is all of it in a
// sealed scope. What was shredded is not exported, and what is sealed only if that is asked for.
func TestSealedValuesAreExportedAndImported(t *testing.T) {
	fs, plain := vfs.NewMem(), &sealtest.Plaintexts{}
	store, err := state.Open("db", sealingOn(fs, plain.Wrap))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	from := store.Scope(scope.User("from"))
	require.NoError(t, from.Set(ctx, "clear", "another bird"))
	require.NoError(t, from.Set(ctx, "secret", secretText, sensitive))
	require.NoError(t, people(t, from).Set(ctx, "ada", person{Name: secretText}, sensitive))
	var file strings.Builder
	_, err = from.Export(ctx, &file, state.ExportOptions{})
	require.ErrorIs(t, err, state.ErrSensitive)
	file.Reset()
	_, err = from.Export(ctx, &file, state.ExportOptions{Sensitive: true})
	require.NoError(t, err)
	require.Contains(t, file.String(), secretText)

	sealed := store.Scope(scope.User("sealed"))
	require.NoError(t, sealed.Seal(ctx))
	there := store.Scope(scope.User("there"))
	require.NoError(t, there.Set(ctx, "x", 1))
	for _, to := range []*state.Scope{there, sealed, store.Scope(scope.User("absent"))} {
		_, err = to.Import(ctx, strings.NewReader(file.String()), state.ImportOptions{}, state.NoSync)
		require.NoError(t, err)
		v, m, err := to.GetWithMeta(ctx, "secret")
		require.NoError(t, err)
		require.Equal(t, secretText, v)
		require.Equal(t, state.Sensitive, m.Class)
		require.NoError(t, store.Engine().Flush(ctx))
		docs := people(t, to)
		_, err = to.Shred(ctx)
		require.NoError(t, err)
		_, err = to.Get(ctx, "secret")
		require.ErrorIs(t, err, state.ErrShredded)
		_, err = to.Get(ctx, "clear")
		require.Equal(t, to == sealed, err != nil)
		_, err = docs.Get(ctx, "ada")
		require.ErrorIs(t, err, state.ErrShredded)
		_, err = to.Export(ctx, &file, state.ExportOptions{Sensitive: true})
		require.ErrorIs(t, err, state.ErrShredded)
		if to == sealed { // where all that is left is to drop it
			continue
		}
		existed, err := docs.Delete(ctx, "ada")
		require.NoError(t, err)
		require.True(t, existed)
		_, err = docs.Get(ctx, "ada")
		require.ErrorIs(t, err, state.ErrNotFound)
	}
	require.Zero(t, plain.Has(secretText))
	shreds := 0
	for r, err := range store.Shreds(ctx) {
		require.NoError(t, err)
		require.Equal(t, scope.KindUser, r.Scope.Kind(), "places of imports are nobody's business")
		shreds++
	}
	require.Equal(t, 3, shreds)

	sealed = store.Scope(scope.User("other"))
	require.NoError(t, sealed.Seal(ctx))
	require.NoError(t, sealed.Set(ctx, "k", "an ordinary value"))
	_, err = sealed.Export(ctx, &file, state.ExportOptions{})
	require.ErrorIs(t, err, state.ErrSensitive)
	file.Reset()
	_, err = sealed.Export(ctx, &file, state.ExportOptions{Sensitive: true})
	require.NoError(t, err)
	_, err = sealed.Import(ctx, strings.NewReader(file.String()), state.ImportOptions{Existing: state.ExistingReplace})
	require.NoError(t, err)
	require.NoError(t, store.Engine().Flush(ctx))
	require.Zero(t, plain.Has("an ordinary value"), "nor where it was staged")
}

// A scope that was sealed while a file was read got values that were staged in clear, which no Shred of it reached. Now
// nothing is imported, and the next import stages what it reads sealed.
func TestAScopeThatIsSealedBesideAnImportGetsNothingStagedInClear(t *testing.T) {
	// Of another store: a merge of this one may write what it has had again, at any time.
	other, err := state.OpenMemory(nil)
	require.NoError(t, err)
	from := other.Scope(scope.User("from"))
	require.NoError(t, from.Set(ctx, "k", "the first"))
	var first, second strings.Builder
	_, err = from.Export(ctx, &first, state.ExportOptions{})
	require.NoError(t, err)
	require.NoError(t, from.Set(ctx, "k", "an ordinary value"))
	_, err = from.Export(ctx, &second, state.ExportOptions{})
	require.NoError(t, err)
	require.NoError(t, other.Close())
	for _, there := range []bool{false, true} {
		fs, plain := vfs.NewMem(), &sealtest.Plaintexts{}
		store, err := state.Open("db", sealingOn(fs, plain.Wrap))
		require.NoError(t, err)
		to := store.Scope(scope.User("to"))
		if there {
			require.NoError(t, to.Set(ctx, "other", 1))
		}
		seal := func() {
			require.NoError(t, to.Drop(ctx))
			require.NoError(t, to.Seal(ctx))
		}
		_, err = to.Import(ctx, &beside{Reader: strings.NewReader(first.String()), do: seal}, state.ImportOptions{})
		require.ErrorIs(t, err, state.ErrConflict)
		has, err := to.Has(ctx, "k")
		require.NoError(t, err)
		require.False(t, has)
		done, err := to.Import(ctx, strings.NewReader(second.String()), state.ImportOptions{})
		require.NoError(t, err)
		require.EqualValues(t, 1, done.Entries)
		v, err := to.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "an ordinary value", v)
		require.NoError(t, store.Engine().Flush(ctx))
		require.Zero(t, plain.Has("an ordinary value"))
		_, err = to.Shred(ctx)
		require.NoError(t, err)
		require.NoError(t, store.Close())
	}
}

// beside does something when it is read for the first time.
type beside struct {
	io.Reader
	do func()
}

func (b *beside) Read(p []byte) (int, error) {
	if b.do != nil {
		b.do()
		b.do = nil
	}
	return b.Reader.Read(p)
}

// That a scope is sealed is asked where it is read: at a snapshot, whatever has its name since.
func TestASealedScopeOfASnapshotIsExportedIfAskedFor(t *testing.T) {
	everywhere(t, sealing(), func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Seal(ctx))
		require.NoError(t, sc.Set(ctx, "k", "v"))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		require.NoError(t, sc.Drop(ctx))
		require.NoError(t, sc.Set(ctx, "k", "clear"))
		before := snap.Scope(agent)
		sealed, err := before.Sealed(ctx)
		require.NoError(t, err)
		require.True(t, sealed)
		sealed, err = sc.Sealed(ctx)
		require.NoError(t, err)
		require.False(t, sealed)
		_, err = before.Export(ctx, io.Discard, state.ExportOptions{})
		require.ErrorIs(t, err, state.ErrSensitive)
		n, err := before.Export(ctx, io.Discard, state.ExportOptions{Sensitive: true})
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
		_, err = sc.Export(ctx, io.Discard, state.ExportOptions{})
		require.NoError(t, err)
	})
}
