package hook_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

var background = context.Background()

func set(s scope.Scope, key string, value any) *hook.Change {
	c := &hook.Change{Op: hook.OpSet, Scope: s, Key: key}
	c.Give(value)
	return c
}

func before(name string, f func(context.Context, *hook.Change) error) hook.Hook {
	return hook.Hook{Name: name, Points: []hook.Point{hook.BeforeSet}, Before: f}
}

func after(name string, f func(context.Context, hook.Event) error) hook.Hook {
	return hook.Hook{Name: name, Points: []hook.Point{hook.AfterSet}, After: f}
}

func figures(t testing.TB, d *hook.Dispatcher, name string) hook.HookMetrics {
	t.Helper()
	for _, m := range d.Metrics().Hooks {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no hook %s", name)
	return hook.HookMetrics{}
}

// both runs a test with hooks on the caller's goroutine and on their own.
func both(t *testing.T, test func(t *testing.T, isolated bool)) {
	t.Run("caller", func(t *testing.T) { test(t, false) })
	t.Run("isolated", func(t *testing.T) { test(t, true) })
}

func TestAReplacementIsSeenByTheNextHookAndTheCaller(t *testing.T) { // B31
	both(t, func(t *testing.T, isolated bool) {
		d := newDispatcher(t, hook.Options{})
		for i, suffix := range []string{"c", "b", "a"} {
			h := before(suffix, func(_ context.Context, c *hook.Change) error {
				v, err := c.Value()
				c.Replace(v.(string) + suffix)
				return err
			})
			h.Priority, h.Isolated = -i, isolated && i != 1
			require.NoError(t, d.Register(h))
		}
		c := set(scope.Global(), "k", "v")
		require.NoError(t, d.Before(background, c))
		v, replaced := c.Replaced()
		require.True(t, replaced)
		require.Equal(t, "vabc", v)
	})
}

func TestAHookThatReplacesNothingLeavesTheValue(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	require.NoError(t, d.Register(before("a", func(_ context.Context, c *hook.Change) error {
		c.Key, c.Scope = "other", scope.Global() // of no effect
		return nil
	})))
	c := set(scope.Agent("a"), "k", 1)
	require.NoError(t, d.Before(background, c))
	_, replaced := c.Replaced()
	require.False(t, replaced)
	require.Equal(t, "k", c.Key)
	v, err := c.Value()
	require.NoError(t, err)
	require.Equal(t, 1, v)
}

func TestAVetoReachesTheCaller(t *testing.T) { // B31
	both(t, func(t *testing.T, isolated bool) {
		d := newDispatcher(t, hook.Options{})
		later := 0
		veto := before("guard", func(_ context.Context, c *hook.Change) error {
			c.Replace("changed")
			return fmt.Errorf("wrapped: %w", hook.Veto("not on my watch"))
		})
		veto.Isolated, veto.Advisory = isolated, true // its veto holds all the same
		require.NoError(t, d.Register(veto))
		require.NoError(t, d.Register(before("later", func(context.Context, *hook.Change) error { later++; return nil })))
		c := set(scope.Global(), "k", "v")
		err := d.Before(background, c)
		var v *hook.VetoError
		require.ErrorAs(t, err, &v)
		require.Equal(t, hook.VetoError{Hook: "guard", Reason: "not on my watch"}, *v)
		require.Zero(t, later)
		_, replaced := c.Replaced()
		require.False(t, replaced, "what a hook that refuses has done is not seen")
		m := figures(t, d, "guard")
		require.EqualValues(t, 1, m.Vetoes)
		require.Zero(t, m.Failures)
	})
}

// A hook whose own write was vetoed by another hook has failed; it vetoes nothing.
func TestTheVetoOfAnotherHookIsAFailure(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	require.NoError(t, d.Register(before("outer", func(context.Context, *hook.Change) error {
		return &hook.VetoError{Hook: "inner", Reason: "no"}
	})))
	var failure *hook.CallError
	require.ErrorAs(t, d.Before(background, set(scope.Global(), "k", 1)), &failure)
	require.Equal(t, "outer", failure.Hook)
	require.EqualValues(t, 1, figures(t, d, "outer").Failures)
}

func TestOneVetoRefusesABatch(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	calls := map[string]int{}
	h := before("guard", func(_ context.Context, c *hook.Change) error {
		calls[c.Key]++
		if c.Key == "b" {
			return hook.Veto("b")
		}
		return nil
	})
	require.NoError(t, d.Register(h))
	batch := []hook.Change{*set(scope.Global(), "a", 1), *set(scope.Global(), "b", 1), *set(scope.Global(), "c", 1)}
	var veto *hook.VetoError
	require.ErrorAs(t, d.BeforeBatch(background, batch), &veto)
	require.NoError(t, d.BeforeBatch(background, batch[:1]))
	require.Equal(t, map[string]int{"a": 2, "b": 1}, calls, "once per attempt")
}

func TestFailuresRefuseUnlessAdvisory(t *testing.T) { // B35, H2, H3
	cause := errors.New("cause")
	for name, f := range map[string]func(context.Context, *hook.Change) error{
		"error": func(context.Context, *hook.Change) error { return cause },
		"panic": func(context.Context, *hook.Change) error { panic(cause) },
		"exit":  func(context.Context, *hook.Change) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			for _, advisory := range []bool{false, true} {
				var told []error
				d := newDispatcher(t, hook.Options{OnFailure: func(e *hook.CallError) { told = append(told, e) }})
				h := before("bad", func(ctx context.Context, c *hook.Change) error {
					c.Replace("bad")
					return f(ctx, c)
				})
				h.Advisory, h.Isolated = advisory, name == "exit"
				require.NoError(t, d.Register(h))
				require.NoError(t, d.Register(before("good", func(_ context.Context, c *hook.Change) error {
					v, err := c.Value()
					c.Replace(v.(string) + " good")
					return err
				})))
				c := set(scope.Global(), "k", "v")
				err := d.Before(background, c)
				require.Len(t, told, 1)
				require.EqualValues(t, 1, figures(t, d, "bad").Failures)
				if advisory {
					require.NoError(t, err)
					v, _ := c.Replaced()
					require.Equal(t, "v good", v)
					continue
				}
				var failure *hook.CallError
				require.ErrorAs(t, err, &failure)
				require.Equal(t, "bad", failure.Hook)
				require.Equal(t, hook.BeforeSet, failure.Point)
				var p *hook.PanicError
				switch name {
				case "error":
					require.ErrorIs(t, err, cause)
				case "panic":
					require.ErrorAs(t, err, &p)
					require.Equal(t, cause, p.Value)
					require.Contains(t, string(p.Stack), "hook_test.go")
				case "exit":
					require.ErrorIs(t, err, hook.ErrExited)
				}
			}
		})
	}
}

// The text of a panic with an error whose own text panics was another panic, of whoever wrote it down.
func TestAPanicIsToldOfWhateverItsValue(t *testing.T) {
	var none *hook.VetoError
	require.Contains(t, (&hook.PanicError{Value: none}).Error(), "hook: panic: ")
	require.Equal(t, "hook: panic: text", (&hook.PanicError{Value: "text"}).Error())
	require.Equal(t, "hook: panic with a int", (&hook.PanicError{Value: 7}).Error())
}

// A caller whose hook ends the goroutine leaves a dispatcher that works, and nothing behind.
func TestAHookMayEndItsCaller(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	require.NoError(t, d.Register(before("exit", func(context.Context, *hook.Change) error { runtime.Goexit(); return nil })))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.Before(background, set(scope.Global(), "k", 1))
	}()
	<-ended
	require.EqualValues(t, 1, figures(t, d, "exit").Failures)
	require.NoError(t, d.Unregister("exit"))
	require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)))
}

type source struct {
	calls int
	err   error
}

func (s *source) Value() (any, error) { s.calls++; return "dear", s.err }

func TestASourceIsAskedOnceAndOnlyWhenAHookAsks(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	require.NoError(t, d.Register(before("blind", pass)))
	s := &source{}
	require.NoError(t, d.Before(background, &hook.Change{Op: hook.OpSet, Scope: scope.Global(), Key: "k", Source: s}))
	require.Zero(t, s.calls)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, d.Register(before(name, func(_ context.Context, c *hook.Change) error {
			v, err := c.Value()
			if err == nil {
				require.Equal(t, "dear", v)
			}
			return err
		})))
	}
	require.NoError(t, d.Before(background, &hook.Change{Op: hook.OpSet, Scope: scope.Global(), Key: "k", Source: s}))
	require.Equal(t, 1, s.calls)
	s.err = errors.New("damaged")
	err := d.Before(background, &hook.Change{Op: hook.OpSet, Scope: scope.Global(), Key: "k", Source: s})
	require.ErrorIs(t, err, s.err)
}

func TestHooksRunByPriorityThenByRegistration(t *testing.T) { // B32
	d := newDispatcher(t, hook.Options{})
	var ran []string
	for _, h := range []struct {
		name     string
		priority int
	}{{"e", hook.Low}, {"c", hook.Normal}, {"f", hook.Lowest}, {"a", hook.Highest}, {"d", hook.Normal}, {"b", hook.High}} {
		hk := hook.Hook{Name: h.name, Priority: h.priority, Points: []hook.Point{hook.BeforeDelete, hook.AfterDelete, hook.AfterDelete}, Inline: true}
		hk.Before = func(context.Context, *hook.Change) error { ran = append(ran, h.name); return nil }
		hk.After = func(context.Context, hook.Event) error { ran = append(ran, strings.ToUpper(h.name)); return nil }
		require.NoError(t, d.Register(hk))
	}
	require.NoError(t, d.Unregister("d"))
	require.NoError(t, d.Before(background, &hook.Change{Op: hook.OpDelete, Scope: scope.Global(), Key: "k"}))
	d.After(background, hook.Event{Op: hook.OpDelete, Scope: scope.Global(), Key: "k"})
	require.Equal(t, "a b c e f A B C E F", strings.Join(ran, " "))
}

func TestEveryPointRunsItsHooksAndNoOther(t *testing.T) { // B32
	for op := hook.OpSet; op.Valid(); op++ {
		d := newDispatcher(t, hook.Options{})
		ran := map[string]int{}
		for p := hook.BeforeSet; p.Valid(); p++ {
			parsed, err := hook.ParsePoint(p.String())
			require.NoError(t, err)
			require.Equal(t, p, parsed)
			h := hook.Hook{Name: p.String(), Points: []hook.Point{p}}
			if p.IsBefore() {
				h.Before = func(context.Context, *hook.Change) error { ran[p.String()]++; return nil }
			} else {
				h.Inline = true
				h.After = func(context.Context, hook.Event) error { ran[p.String()]++; return nil }
			}
			require.NoError(t, d.Register(h))
		}
		require.NoError(t, d.Before(background, &hook.Change{Op: op, Scope: scope.Global()}))
		d.After(background, hook.Event{Op: op, Scope: scope.Global()})
		require.Equal(t, map[string]int{"before_" + op.String(): 1, "after_" + op.String(): 1}, ran)
	}
	for _, name := range []string{"", "set", "before_", "before_none", "after_op(13)"} {
		_, err := hook.ParsePoint(name)
		require.ErrorIs(t, err, hook.ErrInvalid)
	}
}

func TestPatternsChooseScopesAndKeys(t *testing.T) {
	type op struct {
		op    hook.Op
		scope scope.Scope
		to    scope.Scope
		key   string
	}
	a1, b, global := scope.Agent("a1"), scope.Agent("b"), scope.Global()
	for _, c := range []struct {
		scopes, keys string
		yes, not     []op
	}{
		{"", "", []op{{op: hook.OpSet, scope: a1, key: "k"}, {op: hook.OpBackup}}, nil},
		{"**", "*", []op{{op: hook.OpSet, scope: global, key: "k"}}, nil},
		{"agent:a*", "", []op{{op: hook.OpSet, scope: a1, key: "k"}, {op: hook.OpBackup}},
			[]op{{op: hook.OpSet, scope: b, key: "k"}, {op: hook.OpSet, scope: global, key: "k"}, {op: hook.OpClear, scope: global}}},
		{"global", "", []op{{op: hook.OpSet, scope: global, key: "k"}}, []op{{op: hook.OpSet, scope: a1, key: "k"}}},
		{"agent:a1", "", []op{{op: hook.OpCopy, scope: a1, to: b}, {op: hook.OpMove, scope: global, to: a1}}, []op{{op: hook.OpCopy, scope: global, to: b}}},
		{"", "secret:*", []op{{op: hook.OpSet, scope: a1, key: "secret:1"}, {op: hook.OpClear, scope: a1}},
			[]op{{op: hook.OpSet, scope: a1, key: "public"}, {op: hook.OpDelete, scope: a1, key: "public"}}},
	} {
		d := newDispatcher(t, hook.Options{})
		ran := 0
		h := hook.Hook{Name: "h", Scopes: c.scopes, Keys: c.keys, Inline: true, Values: true}
		for p := hook.BeforeSet; p.Valid(); p++ {
			h.Points = append(h.Points, p)
		}
		h.Before = func(context.Context, *hook.Change) error { ran++; return nil }
		h.After = func(context.Context, hook.Event) error { ran++; return nil }
		require.NoError(t, d.Register(h))
		try := func(o op) (int, hook.Interest) {
			ran = 0
			require.NoError(t, d.Before(background, &hook.Change{Op: o.op, Scope: o.scope, To: o.to, Key: o.key}))
			d.After(background, hook.Event{Op: o.op, Scope: o.scope, To: o.to, Key: o.key})
			return ran, d.Interest(o.op, o.scope, o.to, o.key)
		}
		for _, o := range c.yes {
			n, in := try(o)
			require.Equal(t, 2, n, "%+v %+v", c, o)
			require.Equal(t, hook.Interest{Before: true, After: true, Values: true}, in)
		}
		for _, o := range c.not {
			n, in := try(o)
			require.Zero(t, n, "%+v %+v", c, o)
			require.Zero(t, in)
		}
	}
}

func TestHooksThatCannotBeAreRefused(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	good := func() hook.Hook { return before("h", pass) }
	for name, spoil := range map[string]func(h *hook.Hook){
		"no name":             func(h *hook.Hook) { h.Name = "" },
		"long name":           func(h *hook.Hook) { h.Name = strings.Repeat("n", 129) },
		"control":             func(h *hook.Hook) { h.Name = "a\nb" },
		"no points":           func(h *hook.Hook) { h.Points = nil },
		"no such point":       func(h *hook.Hook) { h.Points = []hook.Point{1} },
		"no function":         func(h *hook.Hook) { h.Before = nil },
		"function too many":   func(h *hook.Hook) { h.After = listen },
		"scopes":              func(h *hook.Hook) { h.Scopes = "robot:*" },
		"keys":                func(h *hook.Hook) { h.Keys = `\` },
		"priority":            func(h *hook.Hook) { h.Priority = hook.Lowest + 1 },
		"timeout":             func(h *hook.Hook) { h.Timeout = time.Nanosecond },
		"long timeout":        func(h *hook.Hook) { h.Timeout = 2 * hook.MaxTimeout },
		"inline before":       func(h *hook.Hook) { h.Inline = true },
		"values before":       func(h *hook.Hook) { h.Values = true },
		"advisory after":      func(h *hook.Hook) { *h = after("h", listen); h.Advisory = true },
		"isolated on a queue": func(h *hook.Hook) { *h = after("h", listen); h.Isolated = true },
		"window":              func(h *hook.Hook) { h.Breaker.Window = 65 },
		"breaker failures":    func(h *hook.Hook) { h.Breaker = hook.Breaker{Window: 2, Failures: 3} },
		"breaker slow":        func(h *hook.Hook) { h.Breaker.SlowCalls = -1 },
		"breaker time":        func(h *hook.Hook) { h.Breaker.OpenFor = -1 },
	} {
		h := good()
		spoil(&h)
		require.ErrorIs(t, d.Register(h), hook.ErrInvalid, name)
	}
	require.NoError(t, d.Register(good()))
	require.ErrorIs(t, d.Register(good()), hook.ErrExists)
	require.ErrorIs(t, d.Unregister("other"), hook.ErrUnknown)
	require.ErrorIs(t, d.Before(background, &hook.Change{}), hook.ErrInvalid)
	for _, o := range []hook.Options{
		{}, {Now: time.Now, Workers: 257}, {Now: time.Now, QueueLen: -1}, {Now: time.Now, WhenFull: 2},
	} {
		_, err := hook.New(o)
		require.ErrorIs(t, err, hook.ErrInvalid)
	}
	_, err := hook.New(hook.Options{Now: time.Now, Rand: strings.NewReader("short")})
	require.Error(t, err)
}

func TestAClosedDispatcherSaysSo(t *testing.T) { // B23
	d := newDispatcher(t, hook.Options{})
	require.NoError(t, d.Register(before("b", pass)))
	require.NoError(t, d.Register(after("a", listen)))
	inline := after("i", listen)
	inline.Inline = true
	require.NoError(t, d.Register(inline))
	require.NoError(t, d.Close(background))
	require.NoError(t, d.Close(background))
	require.ErrorIs(t, d.Register(before("c", pass)), hook.ErrClosed)
	require.ErrorIs(t, d.Before(background, set(scope.Global(), "k", 1)), hook.ErrClosed)
	d.After(background, hook.Event{Op: hook.OpSet, Scope: scope.Global(), Key: "k"})
	require.EqualValues(t, 1, figures(t, d, "a").Drops)
	require.EqualValues(t, 1, figures(t, d, "i").Drops)
	_, err := d.Replay(background, hook.Event{Op: hook.OpSet})
	require.ErrorIs(t, err, hook.ErrClosed)
	require.NoError(t, d.Drain(background))
}

// Neither the pair of the issue, nor a change that no hook matches, makes garbage (H7).
func TestNoGarbage(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		d := newDispatcher(t, hook.Options{})
		b := before("b", pass)
		b.Isolated = isolated
		require.NoError(t, d.Register(b))
		require.NoError(t, d.Register(after("a", listen)))
		far := before("far", pass)
		far.Scopes = "user:*"
		require.NoError(t, d.Register(far))
		ctx, err := hook.WithCorrelation(background, "c")
		require.NoError(t, err)
		var value any = "v"
		for range 2000 { // queue and calls reach their size
			require.NoError(t, change(ctx, d, value))
		}
		require.NoError(t, d.Drain(background))
		n := testing.AllocsPerRun(1000, func() {
			if err := change(ctx, d, value); err != nil {
				panic(err)
			}
		})
		require.Zero(t, n, "isolated: %v", isolated)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			_ = d.Interest(hook.OpSet, scope.Tool("t"), scope.Scope{}, "k")
			d.After(ctx, hook.Event{Op: hook.OpDelete, Scope: scope.Tool("t"), Key: "k"})
		}))
	}
}

// Registering while others dispatch: each change meets a whole table, H7; every event is
// handled or dropped, H6.
func TestManyGoroutinesDispatchWhileHooksComeAndGo(t *testing.T) {
	var mu sync.Mutex
	handled := map[string][]uint64{}
	d := newDispatcher(t, hook.Options{QueueLen: 8})
	h := after("collect", func(_ context.Context, ev hook.Event) error {
		mu.Lock()
		defer mu.Unlock()
		handled[ev.Key] = append(handled[ev.Key], ev.SeqNum)
		return nil
	})
	require.NoError(t, d.Register(h))
	var wg sync.WaitGroup
	const writers, each = 16, 200
	for w := range writers {
		wg.Go(func() {
			key := fmt.Sprint("k", w)
			for i := range each {
				if err := d.Before(background, set(scope.Global(), key, i)); err != nil {
					var veto *hook.VetoError
					if !errors.As(err, &veto) {
						t.Error(err)
					}
				}
				d.After(background, hook.Event{Op: hook.OpSet, Scope: scope.Global(), Key: key, SeqNum: uint64(i)})
			}
		})
	}
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				b := before(fmt.Sprint("b", w), func(ctx context.Context, c *hook.Change) error {
					if c.Key == "k3" {
						return hook.Veto("k3")
					}
					return ctx.Err()
				})
				b.Isolated = i%2 == 0
				if d.Register(b) != nil || d.Unregister(b.Name) != nil {
					t.Error("not registered")
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, d.Drain(background))
	require.Len(t, handled, writers)
	for key, seqs := range handled {
		require.Len(t, seqs, each, key)
		require.True(t, slices.IsSorted(seqs), "events of one key are handled in order (H5)")
	}
	require.Zero(t, d.Metrics().Dropped)
	require.EqualValues(t, writers*each, figures(t, d, "collect").Calls)
}
