package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// B4: listed exactly, in order, by pages, while others write.
func TestAScopeListsItsKeys(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		many := map[string]any{}
		var want []string
		for i := range 500 {
			key := fmt.Sprintf("%c/%03d", 'a'+i%2, i)
			many[key] = i
			want = append(want, key)
		}
		slices.Sort(want)
		require.NoError(t, sc.SetMany(ctx, many))
		require.NoError(t, f.Set(ctx, scope.Agent("a10"), "other", 1))
		require.Equal(t, want, keysOf(t, sc, ""))
		require.Equal(t, want[250:], keysOf(t, sc, "b/"))
		require.Empty(t, keysOf(t, sc, "c"))
		require.Empty(t, keysOf(t, sc, "\x00"))
		st, err := sc.Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, int64(500), st.Entries)

		var got []string
		o := state.ListOptions{Limit: 7, KeysOnly: true}
		for {
			page, err := sc.List(ctx, o)
			require.NoError(t, err)
			for _, e := range page.Entries {
				require.Nil(t, e.Value)
				got = append(got, e.Key)
			}
			// What is written behind the page, and removed with its last key, moves nothing.
			require.NoError(t, sc.Set(ctx, "A", 1))
			_, err = sc.Delete(ctx, page.Entries[len(page.Entries)-1].Key)
			require.NoError(t, err)
			if o.After = page.Next; o.After == "" {
				break
			}
		}
		require.Equal(t, want, got)
		for _, limit := range []int{-1, 10_001} {
			_, err = sc.List(ctx, state.ListOptions{Limit: limit})
			require.ErrorIs(t, err, state.ErrOption)
		}
	})
}

func TestLoopsMayWriteAndLeave(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2, "c": 3}))
		var sum int64
		for e, err := range sc.All(ctx, "") {
			require.NoError(t, err)
			sum += e.Value.(int64)
			require.NoError(t, sc.Set(ctx, e.Key+"x", 100))
		}
		require.Equal(t, int64(6), sum)
		for range sc.All(ctx, "") {
			break
		}
		ended, cancel := context.WithCancel(ctx)
		defer cancel()
		n := 0
		var last error
		for _, err := range sc.All(ended, "") {
			if last = err; err == nil {
				n++
				cancel()
			}
		}
		require.Equal(t, 1, n)
		require.ErrorIs(t, last, context.Canceled)
	})
}

// B5, B11.
func TestWholeScopesAreDroppedMovedAndCopied(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		one, two := f.Scope(scope.Session("1")), f.Scope(scope.Session("2"))
		for i, sc := range []*state.Scope{one, two, f.Scope(scope.Global())} {
			require.NoError(t, sc.SetMany(ctx, map[string]any{"a": i, "b": i, "c": i}))
		}
		require.NoError(t, one.Drop(ctx))
		require.NoError(t, one.Drop(ctx))
		require.Empty(t, keysOf(t, one, ""))
		require.Len(t, keysOf(t, two, ""), 3)
		require.Len(t, keysOf(t, f.Scope(scope.Global()), ""), 3)

		n, err := two.Copy(ctx, scope.Custom("copy"))
		require.NoError(t, err)
		require.Equal(t, int64(3), n)
		require.Len(t, keysOf(t, two, ""), 3)
		fork, err := two.Fork(ctx, scope.Custom("fork"))
		require.NoError(t, err)
		require.NoError(t, fork.Set(ctx, "a", "other"))
		v, err := two.Get(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, int64(1), v)

		require.ErrorIs(t, two.Move(ctx, scope.Custom("copy")), state.ErrScopeExists)
		_, err = two.Copy(ctx, scope.Custom("copy"))
		require.ErrorIs(t, err, state.ErrScopeExists)
		_, before, err := two.GetWithMeta(ctx, "a")
		require.NoError(t, err)
		require.NoError(t, two.Move(ctx, scope.Custom("moved")))
		require.Empty(t, keysOf(t, two, ""))
		require.ErrorIs(t, two.Move(ctx, scope.Custom("again")), state.ErrNotFound)
		_, after, err := f.GetWithMeta(ctx, scope.Custom("moved"), "a")
		require.NoError(t, err)
		require.Equal(t, before, after)

		var names []string
		for s, err := range f.ListScopes(scope.AnyKind, "") {
			require.NoError(t, err)
			names = append(names, s.String())
		}
		require.Equal(t, []string{"global", "custom:copy", "custom:fork", "custom:moved"}, names)
	})
}

// B11: whoever looks on sees a copied, moved or imported scope whole, or not at all.
func TestWholeScopesAppearAndGoAtOnce(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		const keys = 400
		many := map[string]any{}
		for i := range keys {
			many[fmt.Sprintf("k%03d", i)] = i
		}
		from := f.Scope(agent)
		require.NoError(t, from.SetMany(ctx, many))
		file := exported(t, from)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 8 {
				sc := f.Scope(scope.Custom("a"))
				var err error
				if _, err = from.Copy(ctx, sc.Name()); err == nil {
					err = sc.Move(ctx, scope.Custom("b"))
				}
				if err == nil {
					_, err = sc.Import(ctx, strings.NewReader(file), state.ImportOptions{})
				}
				if err == nil {
					err = errors.Join(sc.Drop(ctx), f.Scope(scope.Custom("b")).Drop(ctx))
				}
				if err != nil {
					t.Error(err)
				}
			}
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			for _, name := range []string{"a", "b"} {
				if n := len(keysOf(t, f.Scope(scope.Custom(name)), "")); n != 0 && n != keys {
					t.Errorf("%s has %d keys", name, n)
				}
			}
		}
		require.Len(t, keysOf(t, from, ""), keys)
	})
}

// B10.
func TestStepsInherit(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		step, workflow, global := scope.Step("w", "s"), scope.Workflow("w"), scope.Global()
		_, _, err := f.GetInherited(ctx, step, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
		for _, s := range []scope.Scope{global, workflow, step} {
			require.NoError(t, f.Set(ctx, s, "k", s.String()))
			v, from, err := f.GetInherited(ctx, step, "k")
			require.NoError(t, err)
			require.Equal(t, s, from)
			require.Equal(t, s.String(), v)
		}
		snap, err := f.Snapshot()
		require.NoError(t, err)
		require.NoError(t, f.Scope(workflow).Drop(ctx))
		require.NoError(t, f.Scope(step).Drop(ctx))
		_, from, err := f.GetInherited(ctx, step, "k")
		require.NoError(t, err)
		require.Equal(t, global, from)
		_, from, err = snap.Scope(step).GetInherited(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, step, from)
		require.NoError(t, snap.Close())
	})
}

// B12.
func TestManyKeysAtOnceAreAtomic(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		keys := []string{"a", "b", "c"}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := range 200 {
				if err := sc.SetMany(ctx, map[string]any{"a": n, "b": n, "c": n}); err != nil {
					t.Error(err)
				}
				if n%10 == 0 {
					if _, err := sc.DeleteMany(ctx, keys); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			got, err := sc.GetMany(ctx, append(keys, "absent")...)
			require.NoError(t, err)
			require.Contains(t, []int{0, 3}, len(got))
			require.Equal(t, got["a"], got["c"])
		}
		n, err := sc.DeleteMany(ctx, []string{"a", "x", "b", "a"})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, []string{"c"}, keysOf(t, sc, ""))
		require.NoError(t, sc.SetMany(ctx, nil))
	})
}

func TestTransactionsSpanScopes(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		ann, bob := scope.User("ann"), scope.User("bob")
		require.NoError(t, f.Set(ctx, ann, "points", 100))
		transfer := func(n int) error {
			return f.Transact(ctx, func(tx *state.Txn) error {
				left, err := state.Increment(ctx, tx.Scope(ann), "points", -n)
				if err != nil {
					return err
				}
				if left < 0 {
					return errors.New("too few points")
				}
				_, err = tx.Scope(bob).Increment(ctx, "points", n)
				return err
			})
		}
		together(5, func(int) {
			for range 4 {
				if err := transfer(5); err != nil {
					t.Error(err)
				}
			}
		})
		require.EqualError(t, transfer(1), "too few points")
		got, err := state.Get[int](ctx, f.Scope(bob), "points")
		require.NoError(t, err)
		require.Equal(t, 100, got)
		left, err := state.Get[int](ctx, f.Scope(ann), "points")
		require.NoError(t, err)
		require.Zero(t, left)
	})
}

func TestTransactionsSeeWhatTheyWrite(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "old", 1))
		err := f.Transact(ctx, func(tx *state.Txn) error {
			sc := tx.Scope(agent)
			require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2}))
			created, err := sc.SetIfAbsent(ctx, "a", 5)
			require.NoError(t, err)
			require.False(t, created)
			existed, err := sc.Delete(ctx, "b")
			require.NoError(t, err)
			require.True(t, existed)
			_, meta, err := sc.GetWithMeta(ctx, "old")
			require.NoError(t, err)
			_, err = sc.CompareAndSet(ctx, "old", meta.Version+1, 2)
			require.ErrorIs(t, err, state.ErrConflict)
			_, err = sc.CompareAndSet(ctx, "old", meta.Version, 2)
			require.NoError(t, err)
			require.Equal(t, []string{"a", "old"}, keysOf(t, sc, ""))
			require.ErrorIs(t, sc.Drop(ctx), state.ErrUnsupported)
			_, err = f.Get(ctx, agent, "a")
			require.ErrorIs(t, err, state.ErrNotFound)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []string{"a", "old"}, keysOf(t, f.Scope(agent), ""))
		var kept *state.Txn
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { kept = tx; return nil }))
		require.ErrorIs(t, kept.Scope(agent).Set(ctx, "k", 1), state.ErrClosed)
	})
}

func TestSnapshotsDoNotChange(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "k", "before"))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		require.NoError(t, f.Set(ctx, agent, "k", "after"))
		require.NoError(t, f.Set(ctx, scope.Agent("new"), "k", 1))
		sc := snap.Scope(agent)
		v, err := sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "before", v)
		require.Empty(t, keysOf(t, snap.Scope(scope.Agent("new")), ""))
		n := 0
		for range snap.ListScopes(scope.AnyKind, "") {
			n++
		}
		require.Equal(t, 1, n)
		_, deleteErr := sc.Delete(ctx, "k")
		_, manyErr := sc.DeleteMany(ctx, []string{"k"})
		_, incrementErr := sc.Increment(ctx, "n", 1)
		_, watchErr := sc.Watch(ctx, "", nil)
		for _, err := range []error{
			sc.Set(ctx, "k", 1), sc.SetMany(ctx, map[string]any{"k": 1}), sc.Drop(ctx), sc.Move(ctx, scope.Agent("x")),
			sc.Set(ctx, "k", 1, ephemeral), deleteErr, manyErr, incrementErr, watchErr,
		} {
			require.ErrorIs(t, err, state.ErrReadOnly)
		}
		n64, err := sc.Copy(ctx, scope.Agent("restored"))
		require.NoError(t, err)
		require.Equal(t, int64(1), n64)
		v, err = f.Get(ctx, scope.Agent("restored"), "k")
		require.NoError(t, err)
		require.Equal(t, "before", v)
		require.NoError(t, snap.Close())
		_, err = sc.Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrClosed)
	})
}

func TestADiffMakesACopyWhatTheScopeIs(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2, "c": 3}))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		from, err := snap.Position()
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		require.NoError(t, sc.Set(ctx, "b", 20))
		_, err = sc.Delete(ctx, "c")
		require.NoError(t, err)
		require.NoError(t, f.Set(ctx, scope.Agent("other"), "x", 1))
		var got []string
		for c, err := range sc.Diff(ctx, from) {
			require.NoError(t, err)
			got = append(got, fmt.Sprint(c.Kind, " ", c.Key, " ", c.Value))
		}
		require.Equal(t, []string{"set b 20", "delete c <nil>"}, got)
		got = nil
		for c, err := range sc.Diff(ctx, state.Position{}) {
			require.NoError(t, err)
			got = append(got, fmt.Sprint(c.Kind, " ", c.Key))
		}
		require.Equal(t, []string{"new scope ", "set a", "set b"}, got)
	})
}

func TestWatchersSeeCommitsInOrder(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "task/0", "before"))
		w, err := sc.Watch(ctx, "task/", nil)
		require.NoError(t, err)
		require.NoError(t, sc.Set(ctx, "other", 1))
		require.NoError(t, sc.SetMany(ctx, map[string]any{"task/1": "one", "task/2": []any{int64(2)}}))
		_, err = sc.Delete(ctx, "task/1")
		require.NoError(t, err)
		next := func(w *state.Watcher) state.Change {
			c, err := w.Next()
			require.NoError(t, err)
			return c
		}
		one, two := next(w), next(w)
		require.Equal(t, "task/1", one.Key)
		require.Equal(t, "one", one.Value)
		require.Equal(t, state.Standard, one.Class)
		require.False(t, one.Last)
		require.True(t, two.Last)
		require.Equal(t, []any{int64(2)}, two.Value)
		require.Equal(t, one.Commit, two.Commit)
		at, err := w.Position()
		require.NoError(t, err)
		gone := next(w)
		require.Equal(t, state.ChangeDelete, gone.Kind)
		require.NoError(t, w.Close())
		_, err = w.Next()
		require.ErrorIs(t, err, state.ErrClosed)

		// Going on from a position loses nothing.
		again, err := sc.Watch(ctx, "task/", &at)
		require.NoError(t, err)
		defer again.Close()
		lagged := next(again)
		require.Equal(t, state.ChangeLagged, lagged.Kind)
		require.Equal(t, "task/1", next(again).Key)
		require.NoError(t, sc.Drop(ctx))
		var last error
		for c, err := range again.Changes() {
			if last = err; err == nil {
				require.Equal(t, state.ChangeDropScope, c.Kind)
			}
		}
		require.ErrorIs(t, last, state.ErrScopeDropped)
	})
}

// A change says whether its commit is on the device: of an unsynced one, when the log has been synced since; of one in
// memory, never.
func TestChangesSayWhetherTheyAreDurable(t *testing.T) {
	everywhere(t, &state.Options{Engine: &state.EngineOptions{SyncInterval: -1}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 0))
		w, err := sc.Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		for _, c := range []struct {
			how  state.Option
			want bool
		}{{state.NoSync, false}, {state.Sync, true}, {state.NoSync, false}} {
			require.NoError(t, sc.Set(ctx, "k", 1, c.how))
			got, err := w.Next()
			require.NoError(t, err)
			require.Equal(t, c.want && f.dir != "", got.Durable)
		}
		require.NoError(t, sc.Set(ctx, "k", 2, state.NoSync))
		require.NoError(t, sc.Set(ctx, "k", 3, state.Sync))
		got, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, f.dir != "", got.Durable, "with the one behind it")
	})
}

// Whoever falls behind more than is kept for watchers is told so, gets what has changed once for each key, and goes on with
// what is committed then.
func TestAWatcherThatFallsBehind(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		w, err := sc.Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		const keys, bytes = 40, 512 << 10 // more than 16 MiB together
		for i := range keys {
			require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%02d", i), strings.Repeat("x", bytes)))
			require.NoError(t, sc.Set(ctx, "counter", i))
		}
		seen := map[string]int{}
		lags := 0
		for seen["counter"] == 0 || len(seen) < keys+1 {
			c, err := w.Next()
			require.NoError(t, err)
			if c.Kind == state.ChangeLagged {
				lags++
				require.Less(t, c.From, c.Commit)
				continue
			}
			if c.Kind == state.ChangeDeleteRange {
				require.Empty(t, seen, "what there is follows")
				continue
			}
			require.Equal(t, state.ChangeSet, c.Kind)
			seen[c.Key]++
			if c.Key == "counter" {
				require.Equal(t, int64(keys-1), c.Value)
			}
		}
		require.Equal(t, 1, lags)
		require.Equal(t, 1, seen["counter"], "once, as it is")
		require.NoError(t, sc.Set(ctx, "live", 1))
		c, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, "live", c.Key)
	})
}

// B11: what Copy returns is how many keys and documents there are, and nothing of what the store keeps beside them.
func TestACopyCountsKeysAndDocuments(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		for _, key := range []string{"1", "2", "3"} {
			require.NoError(t, c.Set(ctx, key, person{Mail: key, Team: "red"}))
		}
		require.NoError(t, sc.Set(ctx, "k", 1))
		_, err := sc.AcquireLease(ctx, "lease", "holder", time.Hour)
		require.NoError(t, err)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 100}))
		n, err := sc.Copy(ctx, scope.Custom("copy"))
		require.NoError(t, err)
		require.Equal(t, int64(4), n)
		snap, err := f.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		require.NoError(t, sc.Set(ctx, "later", 1))
		n, err = snap.Scope(agent).Copy(ctx, scope.Custom("copy of a snapshot"))
		require.NoError(t, err)
		require.Equal(t, int64(4), n)
		require.Equal(t, []string{"1", "2", "3"}, docsOf(t, c.In(f.Scope(scope.Custom("copy"))), index.Query{}))
	})
}

// S6.
func TestTheStoresOwnRecordsAreNotShown(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		w, err := sc.Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, sc.Set(ctx, "a", 1))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		from, err := snap.Position()
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		require.NoError(t, sc.PutOwn("record"))
		require.NoError(t, sc.Set(ctx, "b", 1))
		require.Equal(t, []string{"a", "b"}, keysOf(t, sc, ""))
		for _, want := range []string{"a", "b"} {
			c, err := w.Next()
			require.NoError(t, err)
			require.Equal(t, want, c.Key)
		}
		for _, at := range []state.Position{{}, from} {
			for c, err := range sc.Diff(ctx, at) {
				require.NoError(t, err)
				require.Contains(t, []string{"", "a", "b"}, c.Key)
			}
		}
		fork, err := sc.Fork(ctx, scope.Custom("fork"))
		require.NoError(t, err)
		require.True(t, fork.HasOwn("record"))
		require.NoError(t, sc.Drop(ctx))
		require.False(t, sc.HasOwn("record"))

		require.NoError(t, f.SetInOwnScope("k"))
		for s, err := range f.ListScopes(scope.AnyKind, "") {
			require.NoError(t, err)
			require.Equal(t, scope.Custom("fork"), s)
		}
	})
}
