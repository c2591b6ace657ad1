package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// write makes n writes of new keys, and stops at the first error.
func writeKeys(ctx context.Context, sc *state.Scope, prefix string, n int) error {
	for i := range n {
		if err := sc.Set(ctx, fmt.Sprintf("%s%05d", prefix, i), i, state.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// A writer that was faster than the sweeper took its scope any number of entries beyond its limit.
func TestAFastWriterStaysWithinATenth(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 100}))
		require.NoError(t, writeKeys(ctx, sc, "a", 90))
		release, before := state.HoldSweeper(f.Store), f.Metrics().RetentionWaits // the first write waits for a look
		ended := make(chan error, 1)
		go func() { ended <- writeKeys(ctx, sc, "b", 150) }()
		overtaken := false
		settled(t, func() bool {
			select {
			case err := <-ended:
				overtaken = true
				ended <- err
			default:
			}
			return overtaken || f.Metrics().RetentionWaits > before
		})
		held := len(heldKeys(t, sc))
		release()
		require.NoError(t, <-ended)
		require.False(t, overtaken, "nobody has swept")
		require.LessOrEqual(t, held, 110)
		require.LessOrEqual(t, len(heldKeys(t, sc)), 110)
		require.NoError(t, f.Scope(scope.Agent("free")).Set(ctx, "k", 1), "others are not held back")
	})
}

// Whoever writes, by whichever door: at no moment is there a tenth too much.
func TestManyWritersStayWithinATenth(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc, other := f.Scope(agent), f.Scope(scope.Agent("other"))
		for _, s := range []*state.Scope{sc, other} {
			require.NoError(t, s.SetRetention(ctx, state.Retention{MaxEntries: 100}))
		}
		c := people(t, sc, byTeam, byTag)
		doors := []func(name string, i int) error{
			func(name string, i int) error { return sc.Set(ctx, name, i, state.NoSync) },
			func(name string, i int) error {
				return sc.SetMany(ctx, map[string]any{name: i, name + "x": i, name + "y": i}, state.NoSync)
			},
			func(name string, i int) error {
				return f.Transact(ctx, func(tx *state.Txn) error {
					return errors.Join(tx.Scope(agent).Set(ctx, name, i, state.NoSync), tx.Scope(other.Name()).Set(ctx, name, i, state.NoSync))
				})
			},
			func(name string, i int) error {
				return c.Set(ctx, name, person{Team: "red", Age: i, Tags: []string{"a", "b"}}, state.NoSync)
			},
			func(name string, i int) error { return sc.IncrementBlind(ctx, name, 1) },
			func(name string, i int) error { _, err := other.Increment(ctx, name, 1, state.NoSync); return err },
		}
		each := 120
		if testing.Short() {
			each = 25
		}
		var all sync.WaitGroup
		var left atomic.Int32
		for d, door := range doors {
			left.Add(1)
			all.Go(func() {
				defer left.Add(-1)
				for i := range each {
					if err := door(fmt.Sprintf("w%d-%d", d, i), i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for left.Load() > 0 && !t.Failed() {
			for _, s := range []*state.Scope{sc, other} {
				n, err := state.CountNow(s)
				require.NoError(t, err)
				require.LessOrEqual(t, n, 110)
			}
		}
		all.Wait()
		require.Zero(t, f.Metrics().RetentionFailed)
	})
}

func TestAFastWriterStaysWithinATenthOfBytes(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxBytes: 50_000}))
		value := make([]byte, 1000) // some twenty bytes more as it is stored
		for i := range 150 {
			require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%03d", i), value, state.NoSync))
			if i%9 == 0 {
				n, err := state.CountNow(sc)
				require.NoError(t, err)
				require.LessOrEqual(t, n, 55)
			}
		}
		require.GreaterOrEqual(t, len(heldKeys(t, sc)), 45)
	})
}

// Who waits for room can stop waiting, and has written nothing then; and Close keeps nobody waiting.
func TestWaitingForRoomEnds(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		require.NoError(t, writeKeys(ctx, sc, "a", 5))
		release := state.HoldSweeper(f.Store)
		short, cancel := context.WithCancel(ctx)
		ended := make(chan error, 2)
		waits := func(n int64) { settled(t, func() bool { return f.Metrics().RetentionWaits >= n }) }
		before := f.Metrics().RetentionWaits
		go func() { ended <- writeKeys(short, sc, "b", 100) }()
		waits(before + 1)
		go func() {
			ended <- f.Transact(short, func(tx *state.Txn) error { return tx.Scope(agent).Set(short, "c", 1) })
		}()
		waits(before + 2)
		held := heldKeys(t, sc)
		cancel()
		for range 2 {
			require.ErrorIs(t, <-ended, context.Canceled)
		}
		require.Equal(t, held, heldKeys(t, sc))
		require.NotContains(t, held, "c")
		go func() { ended <- sc.Set(ctx, "e", 1) }()
		waits(before + 3)
		closed := make(chan error, 1)
		go func() { closed <- f.Close() }()
		if err := <-ended; err != nil {
			require.ErrorIs(t, err, state.ErrClosed)
		}
		release()
		require.NoError(t, <-closed)
	})
}

// One commit of more than the limit is let in, and so is whoever writes to a scope in which nothing can go.
func TestWhatCannotFitIsLetIn(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		many := map[string]any{}
		for i := range 300 {
			many[fmt.Sprintf("many%03d", i)] = i
		}
		require.NoError(t, sc.SetMany(ctx, many))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 3}))
		require.NoError(t, writeKeys(ctx, sc, "one", 20))
		require.NoError(t, sc.SetMany(ctx, many))
		settled(t, func() bool { return len(heldKeys(t, sc)) == 3 })

		stuck := f.Scope(scope.Agent("stuck")) // a document that its index cannot take cannot go
		c := people(t, stuck, byTeam)
		for i := range 4 {
			require.NoError(t, c.Set(ctx, fmt.Sprint("p", i), person{Team: "red"}))
			require.NoError(t, state.Forge(stuck, fmt.Sprint("\x00dpeople\x00p", i), []byte{1}))
		}
		require.NoError(t, stuck.SetRetention(ctx, state.Retention{MaxEntries: 2}))
		require.NoError(t, writeKeys(ctx, stuck, "k", 40))
		require.Positive(t, f.Metrics().RetentionFailed)
	})
}

// R7: a hook that is told of what goes may write to the very scope: it does not wait for itself.
func TestHooksThatAreToldOfExpiriesWrite(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		var wrote atomic.Int32
		register(t, f.Store, hook.Hook{Name: "keep", Points: []hook.Point{hook.AfterExpire}, Inline: true, After: func(ctx context.Context, ev hook.Event) error {
			if wrote.Add(1) > 50 {
				return nil
			}
			return sc.Set(ctx, "gone/"+ev.Key, 1, state.NoSync)
		}})
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		require.NoError(t, writeKeys(ctx, sc, "a", 40))
		settled(t, func() bool { return len(heldKeys(t, sc)) <= 11 && wrote.Load() > 20 })
	})
}

// R6: one that hides where it comes from waits for itself, but not for ever.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		var once sync.Once
		var took time.Duration
		register(t, store, hook.Hook{Name: "late", Points: []hook.Point{hook.AfterExpire}, Inline: true, After: func(context.Context, hook.Event) error {
			once.Do(func() {
				begun := time.Now()
				if err := writeKeys(ctx, sc, "hook", 12); err != nil {
					t.Error(err)
				}
				took = time.Since(begun)
			})
			return nil
		}})
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		require.NoError(t, writeKeys(ctx, sc, "a", 12))
		synctest.Wait()
		time.Sleep(10 * time.Minute)
		require.NoError(t, store.Close())
		require.Positive(t, took)
		require.LessOrEqual(t, took, 12*state.MostWait)
	})
}

// Two collections of one name may have other indexes in each scope, and there may be any number of names.
func TestTheSweeperKnowsIndexesByScope(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		a, b := f.Scope(agent), f.Scope(scope.Agent("b"))
		inA, inB := people(t, a, byTeam), people(t, b, byMail)
		for _, s := range []*state.Scope{a, b} {
			require.NoError(t, s.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		}
		for i := range 40 {
			p := person{Mail: fmt.Sprint(i), Team: "red"}
			require.NoError(t, inA.Set(ctx, fmt.Sprintf("p%02d", i), p, state.NoSync))
			require.NoError(t, inB.Set(ctx, fmt.Sprintf("p%02d", i), p, state.NoSync))
		}
		for s, c := range map[*state.Scope]*state.Collection[person]{a: inA, b: inB} {
			settled(t, func() bool { return len(docsOf(t, c, index.Query{})) <= 11 })
			requireAgreement(t, s, c)
		}
		e, err := inA.Explain(ctx, index.Query{Where: []index.Cond{index.Eq("team", "red")}})
		require.NoError(t, err)
		require.Equal(t, "team_age", e.Index, "it is complete still")
		e, err = inB.Explain(ctx, index.Query{Where: []index.Cond{index.Eq("mail", "39")}})
		require.NoError(t, err)
		require.Equal(t, "mail", e.Index)
		require.LessOrEqual(t, state.KnownSets(f.Store, 5000), 1024)
	})
}

// A look reads only what was written since the one before where that tells all: it passed over everything that had
// been deleted, which took longer and longer. Where entries can go by themselves it reads all.
func TestLooksAreRememberedWhereTheyTellAll(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 20}))
		look := func(want []string) (remembered int) {
			t.Helper()
			settled(t, func() bool { _, err := state.SweepWith(sc, func() {}); return err == nil && len(heldKeys(t, sc)) == 20 })
			require.Equal(t, want, heldKeys(t, sc))
			return state.Remembered(sc)
		}
		keys := func(prefix string, from, to int) (all []string) {
			for i := from; i < to; i++ {
				all = append(all, fmt.Sprintf("%s%05d", prefix, i))
			}
			return all
		}
		require.NoError(t, writeKeys(ctx, sc, "a", 50))
		require.Equal(t, 20, look(keys("a", 30, 50)))
		require.NoError(t, sc.Set(ctx, "a00030", "newest"))
		_, err := sc.Delete(ctx, "a00049")
		require.NoError(t, err)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "b", 1) }))
		require.NoError(t, writeKeys(ctx, sc, "c", 5))
		require.Equal(t, 20, look(slices.Concat([]string{"a00030"}, keys("a", 36, 49), []string{"b"}, keys("c", 0, 5))))
		require.NoError(t, sc.SetWithTTL(ctx, "d", 1, time.Hour))
		require.NoError(t, writeKeys(ctx, sc, "e", 17))
		want := slices.Concat(keys("c", 3, 5), []string{"d"}, keys("e", 0, 17))
		require.Zero(t, look(want))
		_, err = sc.Delete(ctx, "d")
		require.NoError(t, err)
		require.NoError(t, writeKeys(ctx, sc, "f", 30))
		require.Equal(t, 20, look(keys("f", 10, 30)))
	})
}

// Hooks that are told of a transaction, and write without its context, waited for the transaction, which waited for them.
func TestHooksThatAreToldOfTransactionsFindRoom(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		require.NoError(t, sc.Set(ctx, "first", 1))
		before, wrote := f.Metrics().RetentionWaits, false
		register(t, f.Store, hook.Hook{Name: "more", Points: []hook.Point{hook.AfterSet}, Keys: "a00006", Inline: true, After: func(context.Context, hook.Event) error {
			wrote = true
			return sc.Set(ctx, "of the hook", 1)
		}})
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return writeKeys(ctx, tx.Scope(agent), "a", 7) }))
		require.True(t, wrote)
		require.Equal(t, before, f.Metrics().RetentionWaits)
		require.Len(t, heldKeys(t, sc), 9)
	})
}

// What is written to many scopes between their looks, which may be far apart, is noted only as far as reading it
// again costs less than a look.
func TestWhatIsNotedIsBounded(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		scopes := make([]*state.Scope, 10)
		for i := range scopes {
			scopes[i] = f.Scope(scope.Session(fmt.Sprint(i)))
			require.NoError(t, scopes[i].SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		}
		settled(t, func() bool { return f.Metrics().RetentionLooks >= int64(len(scopes)) })
		most := 0
		for range 150 {
			for _, sc := range scopes {
				require.NoError(t, sc.Set(ctx, "k", 1, state.NoSync))
			}
			most = max(most, state.RecentKeys(f.Store))
		}
		require.Positive(t, most)
		require.LessOrEqual(t, most, 65*len(scopes))
	})
}

// An index that retention has left with entries of documents that have gone, since it did not know it, kept their values
// from everybody who had the collection open.
func TestValuesOfDocumentsThatHaveGoneAreFree(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail)
		require.LessOrEqual(t, state.KnownSets(f.Store, 1100), 1024) // c's are forgotten
		for i := range 10 {
			require.NoError(t, c.Set(ctx, fmt.Sprint("p", i), person{Mail: fmt.Sprint(i)}))
		}
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 4}))
		settled(t, func() bool { return len(docsOf(t, c, index.Query{})) == 4 })
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 100}))
		require.NoError(t, c.Set(ctx, "p0", person{Mail: "0"}), "its own value")
		require.NoError(t, c.Set(ctx, "q", person{Mail: "1"}), "that of another")
		require.ErrorIs(t, c.Set(ctx, "r", person{Mail: "9"}), index.ErrUnique, "of one that is there")
		require.Len(t, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("mail", "1")}}), 1)
		requireAgreement(t, sc, c)
	})
}

// A catalog that changed during a sweep, as when indexes are built, kept all of the collection's documents until
// the next one, after as many commits in vain as there were documents to go.
func TestASweepGoesOnUnderAnotherCatalog(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 100}))
		for i := range 103 { // with the rule fewer than anybody looks at
			require.NoError(t, c.Set(ctx, fmt.Sprintf("p%03d", i), person{Team: "red"}, state.NoSync))
		}
		n, err := state.SweepWith(sc, func() { require.NoError(t, c.Rebuild(ctx)) })
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Len(t, docsOf(t, c, index.Query{}), 100)
		requireAgreement(t, sc, c)
	})
}

// What a write costs to a scope that is at its limit.
func BenchmarkSetInAFullScope(b *testing.B) {
	for _, limit := range []int64{100, 10_000} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			sc := benchStore(b, nil)
			if err := errors.Join(sc.SetRetention(ctx, state.Retention{MaxEntries: limit}), writeKeys(ctx, sc, "k", int(limit))); err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				if err := sc.Set(ctx, fmt.Sprintf("b%09d", i), i, state.NoSync); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
