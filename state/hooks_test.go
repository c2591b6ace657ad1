package state_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

func register(t testing.TB, store *state.Store, hooks ...hook.Hook) {
	t.Helper()
	for _, h := range hooks {
		require.NoError(t, store.Hooks().Register(h))
	}
}

var (
	everyBefore = []hook.Point{hook.BeforeSet, hook.BeforeDelete, hook.BeforeClear, hook.BeforeCopy, hook.BeforeMove}
	everyAfter  = []hook.Point{hook.AfterSet, hook.AfterDelete, hook.AfterClear, hook.AfterCopy, hook.AfterMove, hook.AfterExpire}
)

// heard are the events that a hook was told of.
type heard struct {
	mu     sync.Mutex
	events []hook.Event
}

// hear registers an inline hook that collects all events.
func hear(t testing.TB, store *state.Store, values bool) *heard {
	h := &heard{}
	register(t, store, hook.Hook{Name: "hear", Points: everyAfter, Inline: true, Values: values, After: func(_ context.Context, ev hook.Event) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, ev)
		return nil
	}})
	return h
}

// take returns the events since the last take.
func (h *heard) take() []hook.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.events
	h.events = nil
	return events
}

// writers are the operations that write a value to a key that has the list or number of before.
var writers = []struct {
	name   string
	before any
	write  func(sc *state.Scope, key string) (any, error) // returns what it tells of the value, or nil
}{
	{"set", nil, func(sc *state.Scope, key string) (any, error) { return nil, sc.Set(ctx, key, "v") }},
	{"set with TTL", nil, func(sc *state.Scope, key string) (any, error) { return nil, sc.SetWithTTL(ctx, key, "v", time.Hour) }},
	{"set many", nil, func(sc *state.Scope, key string) (any, error) { return nil, sc.SetMany(ctx, map[string]any{key: "v"}) }},
	{"compare and set", nil, func(sc *state.Scope, key string) (any, error) {
		_, err := sc.CompareAndSet(ctx, key, state.Absent, "v")
		return nil, err
	}},
	{"set if absent", nil, func(sc *state.Scope, key string) (any, error) {
		_, err := sc.SetIfAbsent(ctx, key, "v")
		return nil, err
	}},
	{"update", "old", func(sc *state.Scope, key string) (any, error) {
		return sc.Update(ctx, key, func(any, bool) (any, error) { return "v", nil })
	}},
	{"typed update", "old", func(sc *state.Scope, key string) (any, error) {
		return state.Update(ctx, sc, key, func(string, bool) (string, error) { return "v", nil })
	}},
	{"patch", "old", func(sc *state.Scope, key string) (any, error) { return sc.Patch(ctx, key, "v") }},
	{"transact", "old", func(sc *state.Scope, key string) (any, error) {
		return nil, state.StoreOf(sc).Transact(ctx, func(tx *state.Txn) error { return tx.Scope(sc.Name()).Set(ctx, key, "v") })
	}},
}

// B31: a before-hook's replacement is what is stored, and what the caller is told.
func TestWhatAHookPutsInPlaceIsStored(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		register(t, f.Store,
			hook.Hook{Name: "text", Points: []hook.Point{hook.BeforeSet}, Keys: "text *", Before: func(_ context.Context, c *hook.Change) error {
				v, err := c.Value()
				if v == "v" {
					c.Replace("replaced " + v.(string))
				}
				return err
			}},
			hook.Hook{Name: "number", Points: []hook.Point{hook.BeforeSet}, Keys: "n", Before: func(_ context.Context, c *hook.Change) error {
				v, err := c.Value()
				if n, ok := v.(int64); ok && n > 10 {
					c.Replace(int64(10))
				}
				return err
			}},
			hook.Hook{Name: "list", Points: []hook.Point{hook.BeforeSet}, Keys: "list", Before: func(_ context.Context, c *hook.Change) error {
				v, err := c.Value()
				if list := v.([]any); len(list) > 2 {
					c.Replace(list[1:])
				}
				return err
			}})
		sc := f.Scope(agent)
		for _, w := range writers {
			key := "text " + w.name
			if w.before != nil {
				require.NoError(t, sc.Set(ctx, key, w.before))
			}
			told, err := w.write(sc, key)
			require.NoError(t, err, w.name)
			if told != nil {
				require.Equal(t, "replaced v", told, w.name)
			}
			v, err := sc.Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, "replaced v", v, w.name)
		}
		for range 2 {
			n, err := sc.Increment(ctx, "n", 8)
			require.NoError(t, err)
			require.LessOrEqual(t, n, int64(10))
		}
		n, err := state.Increment(ctx, sc, "n", 5)
		require.NoError(t, err)
		require.Equal(t, 10, n)
		for i := range 3 {
			list, err := sc.Append(ctx, "list", i)
			require.NoError(t, err)
			require.LessOrEqual(t, len(list), 2)
		}
		v, err := sc.Get(ctx, "list")
		require.NoError(t, err)
		require.Equal(t, []any{int64(1), int64(2)}, v)
		f.reopenOnDisk()
		v, err = f.Scope(agent).Get(ctx, "text set")
		require.NoError(t, err)
		require.Equal(t, "replaced v", v)
	})
}

// What a hook puts in place must be what the caller has asked for: else nothing is written.
func TestWhatDoesNotFitIsNotPutInPlace(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		register(t, f.Store, hook.Hook{Name: "wrong", Points: []hook.Point{hook.BeforeSet}, Before: func(_ context.Context, c *hook.Change) error {
			c.Replace(true)
			return nil
		}})
		sc := f.Scope(agent)
		_, err := sc.Append(ctx, "list", 1)
		require.ErrorIs(t, err, state.ErrType)
		_, err = state.Update(ctx, sc, "text", func(string, bool) (string, error) { return "v", nil })
		require.ErrorIs(t, err, state.ErrType)
		page, err := sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.Empty(t, page.Entries)
	})
}

// B31: a veto prevents the change, and the caller gets it. B22: it names operation, scope and key.
func TestAVetoPreventsTheChange(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for _, w := range writers {
			require.NoError(t, sc.Set(ctx, "kept "+w.name, "old"))
		}
		register(t, f.Store, hook.Hook{Name: "never", Points: everyBefore, Keys: "kept *", Before: func(context.Context, *hook.Change) error {
			return hook.Veto("not this one")
		}})
		refused := func(err error, what string) {
			t.Helper()
			var veto *hook.VetoError
			var named *state.Error
			require.ErrorAs(t, err, &veto, what)
			require.Equal(t, "never", veto.Hook)
			require.Equal(t, "not this one", veto.Reason)
			require.ErrorAs(t, err, &named, what)
			require.Equal(t, agent, named.Scope)
		}
		for _, w := range writers {
			key := "kept " + w.name
			if w.name == "compare and set" || w.name == "set if absent" {
				key = "kept absent"
			}
			_, err := w.write(sc, key)
			refused(err, w.name)
		}
		_, err := sc.Delete(ctx, "kept set")
		refused(err, "delete")
		_, err = sc.DeleteMany(ctx, []string{"kept set", "other"})
		refused(err, "delete many")
		refused(sc.Drop(ctx), "drop")
		refused(sc.Move(ctx, scope.Agent("b")), "move")
		_, err = sc.Copy(ctx, scope.Agent("b"))
		refused(err, "copy")
		n := 0
		for e, err := range sc.All(ctx, "") {
			require.NoError(t, err)
			require.Equal(t, "old", e.Value)
			n++
		}
		require.Equal(t, len(writers), n)
		_, err = f.Scope(scope.Agent("b")).Get(ctx, "kept set")
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}

// One veto refuses all changes that are made together, also where the function of a transaction does
// not care.
func TestOneVetoRefusesAllChanges(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "d", 1))
		calls := 0
		register(t, f.Store, hook.Hook{Name: "no b", Points: []hook.Point{hook.BeforeSet, hook.BeforeDelete}, Before: func(_ context.Context, c *hook.Change) error {
			calls++
			if c.Key == "b" {
				return hook.Veto("no b")
			}
			return nil
		}})
		var veto *hook.VetoError
		require.ErrorAs(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2, "c": 3}), &veto)
		require.Equal(t, 2, calls, "hooks after the veto did not run")
		err := f.Transact(ctx, func(tx *state.Txn) error {
			in := tx.Scope(agent)
			_, err := in.Delete(ctx, "d")
			require.NoError(t, err)
			require.NoError(t, in.Set(ctx, "a", 1))
			_ = in.Set(ctx, "b", 2)
			return in.Set(ctx, "c", 3)
		})
		require.ErrorAs(t, err, &veto)
		page, err := sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.Len(t, page.Entries, 1, "d alone is there")
	})
}

// B32: hooks run by priority, then in the order of registration; all kinds of changes run them.
func TestHooksRunInOrder(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		var order []string
		named := func(name string, priority int) hook.Hook {
			return hook.Hook{Name: name, Points: everyBefore, Priority: priority, Before: func(_ context.Context, c *hook.Change) error {
				order = append(order, name+" "+c.Op.String())
				return nil
			}}
		}
		register(t, f.Store, named("late", hook.Low), named("second", hook.Normal), named("third", hook.Normal), named("first", hook.Highest))
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.Equal(t, []string{"first set", "second set", "third set", "late set"}, order)
		for op, do := range map[string]func() error{
			"delete": func() error { _, err := sc.Delete(ctx, "k"); return err },
			"copy":   func() error { _, err := sc.Copy(ctx, scope.Agent("copied")); return err },
			"move":   func() error { return f.Scope(scope.Agent("moves")).Move(ctx, scope.Agent("moved")) },
			"clear":  func() error { return f.Scope(scope.Agent("clears")).Drop(ctx) },
		} {
			require.NoError(t, f.Scope(scope.Agent("moves")).Set(ctx, "k", 1))
			order = nil
			require.NoError(t, do())
			require.Equal(t, []string{"first " + op, "second " + op, "third " + op, "late " + op}, order)
			require.NoError(t, sc.Set(ctx, "k", 1))
		}
		order = nil
		existed, err := sc.Delete(ctx, "absent")
		require.NoError(t, err)
		require.False(t, existed)
		require.Empty(t, order, "there is nothing to delete")
	})
}

// B33: slow after-hooks hold nobody, all run; a failing one is counted and the write stands.
func TestSlowAfterHooksHoldNobody(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		gate, runs := make(chan struct{}), make(chan string, 50)
		for i := range 5 {
			name := fmt.Sprint("slow ", i)
			register(t, f.Store, hook.Hook{Name: name, Points: []hook.Point{hook.AfterSet}, Timeout: time.Minute, After: func(context.Context, hook.Event) error {
				<-gate
				runs <- name
				return errors.New("but fails")
			}, Breaker: hook.Breaker{Window: 64, Failures: 64}})
		}
		sc := f.Scope(agent)
		for i := range 10 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint(i), i)) // all return before one hook has
		}
		require.Empty(t, runs)
		close(gate)
		require.NoError(t, f.Hooks().Drain(ctx))
		require.Len(t, runs, 50)
		for _, h := range f.Hooks().Metrics().Hooks {
			require.EqualValues(t, 10, h.Calls)
			require.EqualValues(t, 10, h.Failures)
		}
		v, err := sc.Get(ctx, "9")
		require.NoError(t, err)
		require.EqualValues(t, 9, v)
	})
}

// B34: a full queue drops or blocks as it is told to; drops are counted.
func TestAFullQueue(t *testing.T) {
	for _, policy := range []hook.Policy{hook.Drop, hook.Block} {
		everywhere(t, &state.Options{Hooks: hook.Options{Workers: 1, QueueLen: 2, WhenFull: policy}}, func(t *testing.T, f *fixture) {
			gate, runs := make(chan struct{}), make(chan struct{}, 10)
			register(t, f.Store, hook.Hook{Name: "slow", Points: []hook.Point{hook.AfterSet}, Timeout: time.Minute, After: func(context.Context, hook.Event) error {
				runs <- struct{}{}
				<-gate
				return nil
			}})
			sc := f.Scope(agent)
			require.NoError(t, sc.Set(ctx, "k", 0))
			<-runs // the worker is busy
			for i := range 2 {
				require.NoError(t, sc.Set(ctx, "k", i))
			}
			done := make(chan error)
			go func() { done <- sc.Set(ctx, "k", "last") }()
			if policy == hook.Drop {
				require.NoError(t, <-done)
				close(gate)
			} else {
				require.Eventually(t, func() bool { v, _ := sc.Get(ctx, "k"); return v == "last" }, time.Minute, time.Millisecond)
				select {
				case <-done:
					require.Fail(t, "there was no room")
				default:
				}
				close(gate)
				require.NoError(t, <-done)
			}
			require.NoError(t, f.Hooks().Drain(ctx))
			m := f.Hooks().Metrics()
			if policy == hook.Drop {
				require.EqualValues(t, 1, m.Dropped)
				require.EqualValues(t, 3, m.Hooks[0].Calls)
			} else {
				require.Zero(t, m.Dropped)
				require.EqualValues(t, 4, m.Hooks[0].Calls)
			}
		})
	}
}

// B35: an open breaker on a validator refuses writes; a half-open probe closes it again.
func TestAnOpenBreakerRefusesWrites(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(0, 0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	everywhere(t, &state.Options{Hooks: hook.Options{Now: clock}}, func(t *testing.T, f *fixture) {
		broken, calls := true, 0
		register(t, f.Store, hook.Hook{
			Name: "validator", Points: []hook.Point{hook.BeforeSet}, Breaker: hook.Breaker{Window: 2, Failures: 2, OpenFor: time.Minute},
			Before: func(context.Context, *hook.Change) error {
				if calls++; broken {
					return errors.New("cannot tell")
				}
				return nil
			},
		})
		sc := f.Scope(agent)
		for range 3 {
			err := sc.Set(ctx, "k", 1)
			var failed *hook.CallError
			require.ErrorAs(t, err, &failed)
		}
		require.Equal(t, 2, calls, "the third was refused unasked")
		require.ErrorIs(t, sc.Set(ctx, "k", 1), hook.ErrUnavailable)
		_, err := sc.Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
		broken = false
		mu.Lock()
		now = now.Add(2 * time.Minute)
		mu.Unlock()
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.NoError(t, sc.Set(ctx, "k", 2))
		require.Equal(t, 4, calls)
	})
}

// Class Trusted has events and no before-hooks, Ephemeral neither; a key's class counts for its
// delete.
func TestWhatClassesRun(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		asked := 0
		register(t, f.Store, hook.Hook{Name: "asked", Points: everyBefore, Before: func(context.Context, *hook.Change) error {
			asked++
			return nil
		}})
		h := hear(t, f.Store, false)
		sc := f.Scope(agent)
		for class, want := range map[state.Class]struct{ asked, told int }{
			state.Ephemeral: {0, 0}, state.Trusted: {0, 4}, state.Standard: {4, 4}, state.External: {4, 4},
		} {
			asked = 0
			key, as := "k"+class.String(), state.WithClass(class)
			require.NoError(t, sc.Set(ctx, key, 1, as))
			require.NoError(t, sc.SetMany(ctx, map[string]any{key: 2}, as))
			existed, err := sc.Delete(ctx, key)
			require.NoError(t, err)
			require.True(t, existed)
			require.NoError(t, sc.Set(ctx, key, 1, as))
			require.Equal(t, want.asked, asked, class)
			require.Len(t, h.take(), want.told, class)
		}
		asked = 0
		require.NoError(t, sc.IncrementBlind(ctx, "blind", 1))
		require.Zero(t, asked)
		require.Len(t, h.take(), 1)
	})
}

// A stored value whose place one of class Ephemeral takes is deleted: hooks are asked and told of that.
func TestAnEphemeralValueInTheStoredOnesPlace(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		forbidden, asked := true, 0
		register(t, f.Store, hook.Hook{Name: "keep", Points: []hook.Point{hook.BeforeDelete}, Before: func(context.Context, *hook.Change) error {
			if asked++; forbidden {
				return hook.Veto("it stays")
			}
			return nil
		}})
		h := hear(t, f.Store, true)
		sc := f.Scope(agent)
		writes := []func(key string) error{
			func(key string) error { return sc.Set(ctx, key, "new", ephemeral) },
			func(key string) error { return sc.SetMany(ctx, map[string]any{key: "new"}, ephemeral) },
		}
		for i, write := range writes {
			key := fmt.Sprint("k", i)
			require.NoError(t, sc.Set(ctx, key, "old"))
			h.take()
			asked, forbidden = 0, true
			var veto *hook.VetoError
			require.ErrorAs(t, write(key), &veto)
			v, err := sc.Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, "old", v)
			require.Empty(t, h.take())
			forbidden = false
			require.NoError(t, write(key))
			require.NoError(t, write(key))
			require.Equal(t, 2, asked, "there is nothing stored the second time")
			told := h.take()
			require.Len(t, told, 1)
			require.Equal(t, []any{hook.OpDelete, key, "old"}, []any{told[0].Op, told[0].Key, told[0].Values.Old})
			require.Equal(t, told[0].SeqNum, recorded(t, f.Store)[4*i+1].SeqNum)
			require.NoError(t, sc.Set(ctx, key+"t", "old", state.WithClass(state.Trusted)))
			forbidden = true
			h.take()
			require.NoError(t, write(key+"t"), "nobody is asked of class Trusted")
			require.Len(t, h.take(), 1)
			_, err = sc.Delete(ctx, key)
			require.NoError(t, err)
			require.Empty(t, h.take())
		}
	})
}

// A hook sees what would be read back, a copy, and may use the store.
func TestWhatAHookSees(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		type profile struct {
			Name string `msgpack:"name"`
			Age  int    `msgpack:"age"`
		}
		var seen any
		register(t, f.Store, hook.Hook{Name: "see", Points: []hook.Point{hook.BeforeSet}, Keys: "k", Before: func(ctx context.Context, c *hook.Change) error {
			var err error
			if seen, err = c.Value(); err != nil {
				return err
			}
			return f.Scope(c.Scope).Set(ctx, "seen", seen)
		}})
		sc := f.Scope(agent)
		for _, c := range []struct{ value, want any }{
			{profile{"ann", 30}, map[string]any{"name": "ann", "age": int64(30)}},
			{map[string]any{"n": 1}, map[string]any{"n": int64(1)}},
			{[]byte("b"), []byte("b")}, {7, int64(7)}, {"text", "text"}, {nil, nil},
		} {
			require.NoError(t, sc.Set(ctx, "k", c.value))
			require.Equal(t, c.want, seen)
			v, err := sc.Get(ctx, "seen")
			require.NoError(t, err)
			require.Equal(t, c.want, v)
		}
		require.ErrorIs(t, sc.Set(ctx, "k", func() {}), state.ErrType)
	})
}

// A hook that is too late holds nobody for ever, and gets no value any more: the caller may change it.
func TestALateHookSeesNothingMore(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		release, late := make(chan struct{}), make(chan error)
		register(t, f.Store, hook.Hook{Name: "late", Points: []hook.Point{hook.BeforeSet}, Isolated: true, Timeout: hook.MinTimeout, Before: func(_ context.Context, c *hook.Change) error {
			<-release
			_, err := c.Value()
			late <- err
			return err
		}})
		sc := f.Scope(agent)
		value := map[string]any{"n": 1}
		require.ErrorIs(t, sc.Set(ctx, "k", value), hook.ErrTimeout)
		value["n"] = 2
		close(release)
		require.ErrorIs(t, <-late, hook.ErrTimeout)
	})
}

// Nothing is written with a context of a simulation.
func TestNothingIsWrittenInASimulation(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "there", 1))
		sc, sim := f.Scope(agent), hook.Simulate(ctx)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "ada", person{Team: "red"}))
		h := hear(t, f.Store, false)
		before := kept(t, sc)
		_, opened := state.OpenCollection[person](sim, sc, "people", byTeam, byMail)
		_, removed := c.Delete(sim, "ada")
		_, deleted := sc.Delete(sim, "there")
		_, deletedMany := sc.DeleteMany(sim, []string{"there"})
		_, incremented := sc.Increment(sim, "there", 1)
		_, copied := sc.Copy(sim, scope.Agent("b"))
		for i, err := range []error{
			sc.Set(sim, "k", 1), sc.SetMany(sim, map[string]any{"k": 1}), sc.Set(sim, "k", 1, ephemeral), sc.IncrementBlind(sim, "k", 1),
			deleted, deletedMany, incremented, copied, sc.Drop(sim), sc.Move(sim, scope.Agent("b")),
			opened, removed, c.Set(sim, "bob", person{}), c.Rebuild(sim),
			f.Timeline().Record(sim, hook.Event{ID: hook.ID{1}, Op: hook.OpBackup, Time: time.Unix(1, 0)}),
			f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(sim, "k", 1) }),
		} {
			require.ErrorIs(t, err, hook.ErrSimulated, i)
		}
		v, err := sc.Get(sim, "there")
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		require.Empty(t, h.take())
		require.Equal(t, before, kept(t, sc))
		_, err = state.OpenCollection[person](sim, sc, "people", byTeam)
		require.NoError(t, err, "nothing is to be written")
	})
}

// Close tells of what is in the queue; B23: then everything is ErrClosed, with hooks too.
func TestCloseEmptiesTheQueue(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		runs := make(chan string, 10)
		register(t, f.Store, hook.Hook{Name: "pass", Points: everyBefore, Before: func(context.Context, *hook.Change) error { return nil }},
			hook.Hook{Name: "slow", Points: []hook.Point{hook.AfterSet}, After: func(_ context.Context, ev hook.Event) error {
				v, err := f.Get(ctx, agent, ev.Key) // the store is open still
				runs <- fmt.Sprint(ev.Key, v)
				return err
			}})
		for i := range 10 {
			require.NoError(t, f.Set(ctx, agent, "k", i))
		}
		store := f.Store
		require.NoError(t, store.Close())
		require.Len(t, runs, 10)
		require.ErrorIs(t, store.Set(ctx, agent, "k", 1), state.ErrClosed)
		require.ErrorIs(t, store.Scope(agent).Drop(ctx), state.ErrClosed)
		require.ErrorIs(t, store.Hooks().Register(hook.Hook{Name: "n", Points: everyBefore, Before: func(context.Context, *hook.Change) error { return nil }}), hook.ErrClosed)
		f.open()
	})
}

// Options of hooks and of the timeline are judged with the others.
func TestOptionsOfHooks(t *testing.T) {
	for _, o := range []*state.Options{
		{Hooks: hook.Options{Workers: -1}}, {Hooks: hook.Options{WhenFull: 9}}, {Timeline: &state.TimelineOptions{MaxEvents: -1}},
	} {
		_, err := state.OpenMemory(o)
		require.ErrorIs(t, err, state.ErrInvalidOptions)
	}
}
