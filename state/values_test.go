package state_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
	"github.com/stretchr/testify/require"
)

// B1, B2, B6, B13, B18: in every class, before and after the store was opened again.
func TestValuesComeBackAsTheyWere(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		classes := []state.Class{state.Trusted, state.Standard, state.External}
		check := func() {
			for _, class := range classes {
				sc := f.Scope(scope.Custom(class.String()))
				for key, want := range values {
					got, meta, err := sc.GetWithMeta(ctx, key)
					require.NoError(t, err)
					require.Equal(t, want, got)
					require.Equal(t, class, meta.Class)
				}
			}
		}
		for _, class := range classes {
			for key, v := range values {
				require.NoError(t, f.Set(ctx, scope.Custom(class.String()), key, v, state.WithClass(class)))
			}
		}
		check()
		if f.dir != "" {
			f.reopen()
			check()
		}
		sc := f.Scope(scope.Custom("standard"))
		for key := range values {
			existed, err := sc.Delete(ctx, key)
			require.NoError(t, err)
			require.True(t, existed)
			_, err = sc.Get(ctx, key)
			require.ErrorIs(t, err, state.ErrNotFound)
			for range 2 {
				existed, err = sc.Delete(ctx, key)
				require.NoError(t, err)
				require.False(t, existed)
			}
		}
	})
}

// B18: what the fast path has written reads back by every way, whatever the default class is, and whatever
// class it is given later.
func TestTrustedValuesReadBackUnderAnyClass(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		fast := state.WithClass(state.Trusted)
		require.NoError(t, f.Scope(agent).SetMany(ctx, values, fast))
		require.NoError(t, f.IncrementBlind(ctx, agent, "int", 0))
		for _, class := range []state.Class{state.Trusted, state.Standard, state.External} {
			f.opts = &state.Options{Class: class}
			if f.dir != "" {
				f.reopen()
			}
			got := map[string]any{}
			for e, err := range f.Scope(agent).All(ctx, "") {
				require.NoError(t, err)
				got[e.Key] = e.Value
			}
			require.Equal(t, values, got)
			for key, want := range values {
				one, err := f.Get(ctx, agent, key)
				require.NoError(t, err)
				require.Equal(t, want, one)
				require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
					v, err := tx.Scope(agent).Get(ctx, key)
					require.Equal(t, want, v)
					return err
				}))
			}
			_, err := f.Update(ctx, agent, "uint", func(old any, _ bool) (any, error) { return old, nil }, state.WithClass(class))
			require.NoError(t, err)
			_, meta, err := f.GetWithMeta(ctx, agent, "uint")
			require.NoError(t, err)
			require.Equal(t, class, meta.Class)
		}
	})
}

// B2, on disk: whether a key was there is known of the store, not of a cache.
func TestDeleteReportsWhatTheDiskHas(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "k", "v"))
		if f.dir != "" {
			f.reopen()
		}
		existed, err := f.Delete(ctx, agent, "k")
		require.NoError(t, err)
		require.True(t, existed)
	})
}

// What was written is not kept, what is read is the caller's.
func TestValuesShareNothing(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		v := map[string]any{"list": []any{int64(1)}, "bytes": []byte("abc")}
		require.NoError(t, f.Set(ctx, agent, "k", v))
		v["list"].([]any)[0] = "changed"
		v["bytes"].([]byte)[0] = 'X'
		want := map[string]any{"list": []any{int64(1)}, "bytes": []byte("abc")}
		for range 2 {
			got, err := f.Get(ctx, agent, "k")
			require.NoError(t, err)
			require.Equal(t, want, got)
			got.(map[string]any)["bytes"].([]byte)[0] = 'Y'
		}
	})
}

// B3.
func TestTheSameKeyInFiveScopes(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		scopes := []scope.Scope{scope.Global(), scope.Agent("a"), scope.Agent("b"), scope.Custom("c"), scope.Session("s")}
		for i, s := range scopes {
			require.NoError(t, f.Set(ctx, s, "k", i))
		}
		for i, s := range scopes {
			n, err := state.Get[int](ctx, f.Scope(s), "k")
			require.NoError(t, err)
			require.Equal(t, i, n)
		}
	})
}

// B9: also listed and dropped.
func TestScopesThatLookAlikeAreTwo(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		a, ab := f.Scope(scope.Agent("a")), f.Scope(scope.Agent("a:b"))
		require.NoError(t, a.Set(ctx, "b:k", "one"))
		require.NoError(t, ab.Set(ctx, "k", "two"))
		require.Equal(t, []string{"b:k"}, keysOf(t, a, ""))
		require.Equal(t, []string{"k"}, keysOf(t, ab, ""))
		require.NoError(t, a.Drop(ctx))
		require.Empty(t, keysOf(t, a, ""))
		require.Equal(t, []string{"k"}, keysOf(t, ab, ""))
	})
}

func keysOf(t *testing.T, sc *state.Scope, prefix string) []string {
	t.Helper()
	var keys []string
	for key, err := range sc.Keys(ctx, prefix) {
		require.NoError(t, err)
		keys = append(keys, key)
	}
	return keys
}

// B7: whatever takes a key refuses it, and names the rule.
func TestKeysThatBreakARuleAreRefused(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for key, rule := range map[string]string{
			"": "1 to 256 bytes", strings.Repeat("x", 257): "1 to 256 bytes", "../etc/passwd": "..", `a\b`: `\`, "a//b": "//",
			"a\nb": "NUL, CR or LF", "a\x00b": "NUL, CR or LF", "\x00": "NUL, CR or LF", "__x": "__", "\xff": "UTF-8",
		} {
			calls := map[string]func() error{
				"set":             func() error { return sc.Set(ctx, key, 1) },
				"get":             func() error { _, err := sc.Get(ctx, key); return err },
				"has":             func() error { _, err := sc.Has(ctx, key); return err },
				"delete":          func() error { _, err := sc.Delete(ctx, key); return err },
				"increment":       func() error { _, err := sc.Increment(ctx, key, 1); return err },
				"compare and set": func() error { _, err := sc.CompareAndSet(ctx, key, 0, 1); return err },
				"set if absent":   func() error { _, err := sc.SetIfAbsent(ctx, key, 1); return err },
				"set many":        func() error { return sc.SetMany(ctx, map[string]any{"good": 1, key: 1}) },
				"get many":        func() error { _, err := sc.GetMany(ctx, "good", key); return err },
				"delete many":     func() error { _, err := sc.DeleteMany(ctx, []string{"good", key}); return err },
				"set in transaction": func() error {
					return f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, key, 1) })
				},
			}
			for name, call := range calls {
				err := call()
				require.ErrorIs(t, err, state.ErrKey, "%s %q", name, key)
				require.ErrorContains(t, err, rule, "%s %q", name, key)
			}
		}
		require.Empty(t, keysOf(t, sc, ""))
		for _, key := range []string{"a-b", "a.b", "a:b", "v1..2", "a/b", strings.Repeat("x", 256), "\x01", "Grüße"} {
			require.NoError(t, sc.Set(ctx, key, key))
			v, err := sc.Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, key, v)
		}
	})
}

// B8, B22: an operation on a scope that cannot be says so.
func TestScopesThatCannotBe(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		for _, s := range []scope.Scope{{}, scope.Agent(""), scope.User("a\n"), scope.Custom("__x")} {
			sc := f.Scope(s)
			require.ErrorIs(t, sc.Set(ctx, "k", 1), state.ErrScope)
			_, err := sc.Get(ctx, "k")
			require.ErrorIs(t, err, state.ErrScope)
			_, err = sc.List(ctx, state.ListOptions{})
			require.ErrorIs(t, err, state.ErrScope)
			require.ErrorIs(t, sc.Drop(ctx), state.ErrScope)
			require.ErrorIs(t, f.Scope(agent).Move(ctx, s), state.ErrScope)
		}
		for _, s := range []scope.Scope{scope.Agent(`a:b\c`), scope.Step("w:1", `s\:`), scope.Custom("x__")} {
			require.NoError(t, f.Set(ctx, s, "k", s.String()))
			v, err := f.Get(ctx, s, "k")
			require.NoError(t, err)
			parsed, err := scope.Parse(v.(string))
			require.NoError(t, err)
			require.Equal(t, s, parsed)
		}
	})
}

// B16: the limits hold without any hook, and what is refused changes nothing.
func TestWhatIsTooLargeIsRefused(t *testing.T) {
	o := &state.Options{MaxValueBytes: 4096, MaxDepth: 4}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", "before"))
		fits := strings.Repeat("x", 4096-3)
		deep := []any{[]any{[]any{[]any{[]any{}}}}}
		for _, class := range []state.Class{state.Trusted, state.Standard} {
			require.ErrorIs(t, sc.Set(ctx, "k", fits+"x", state.WithClass(class)), state.ErrTooLarge)
			require.ErrorIs(t, sc.Set(ctx, "k", deep, state.WithClass(class)), state.ErrTooDeep)
		}
		require.ErrorIs(t, sc.SetMany(ctx, map[string]any{"a": 1, "k": 2, "z": fits + "x"}), state.ErrTooLarge)
		_, err := sc.Update(ctx, "k", func(any, bool) (any, error) { return fits + "x", nil })
		require.ErrorIs(t, err, state.ErrTooLarge)
		require.Equal(t, []string{"k"}, keysOf(t, sc, ""))
		v, err := sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "before", v)

		require.NoError(t, sc.Set(ctx, "k", fits))
		require.ErrorIs(t, sc.Set(ctx, "k", strings.Repeat("x", 300), state.WithClass(state.External)), state.ErrTooLarge)
		require.NoError(t, sc.Set(ctx, "k", strings.Repeat("x", 200), state.WithClass(state.External)))

		_, err = sc.Append(ctx, "list", strings.Repeat("x", 5000))
		require.ErrorIs(t, err, state.ErrTooLarge)
	})
}

// B16, B22: what is no value.
func TestWhatIsNoValueIsRefused(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		cycle := map[string]any{}
		cycle["self"] = cycle
		for want, v := range map[error]any{
			state.ErrType: func() {}, codec.ErrNotFinite: []any{math.NaN()}, codec.ErrNotUTF8: "\xff", state.ErrTooDeep: cycle,
		} {
			err := f.Set(ctx, agent, "k", v)
			require.ErrorIs(t, err, want)
			var e *state.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "set", e.Op)
			require.Equal(t, agent, e.Scope)
			require.Equal(t, "k", e.Key)
		}
		err := f.Set(ctx, agent, "k", map[string]any{"turns": []any{map[string]any{"text": math.Inf(1)}}})
		require.EqualError(t, err, `set agent:a1 "k": codec: not a finite number, at .turns[0].text`)
	})
}

// B20.
func TestNamesSayNothingUnlessAsked(t *testing.T) {
	classOf := func(t *testing.T, f *fixture, key string, opts ...state.Option) state.Class {
		require.NoError(t, f.Set(ctx, agent, key, 1, opts...))
		_, meta, err := f.GetWithMeta(ctx, agent, key)
		require.NoError(t, err)
		return meta.Class
	}
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		for _, key := range []string{"temp:x", "cache:x", "benchmark:x", "test:x", "my_secret", "api_token", "credentials", "external:x"} {
			require.Equal(t, state.Standard, classOf(t, f, key))
		}
	})
	everywhere(t, &state.Options{InferClass: true}, func(t *testing.T, f *fixture) {
		for key, class := range map[string]state.Class{
			"benchmark:x": state.Trusted, "test:x": state.Trusted, "external:x": state.External, "user_input:x": state.External,
			"plain": state.Standard, "xtest:y": state.Standard, "temp:x": state.Ephemeral, "cache:x": state.Ephemeral,
		} {
			require.Equal(t, class, classOf(t, f, key))
		}
		for _, key := range []string{"my_secret", "api_token", "credentials", "test:token"} {
			require.ErrorIs(t, f.Set(ctx, agent, key, 1), state.ErrNotEncrypted)
			require.Equal(t, state.Standard, classOf(t, f, key, state.WithClass(state.Standard)))
		}
	})
}

func TestClassesHaveDefaults(t *testing.T) {
	o := &state.Options{Class: state.External, ScopeClasses: []state.ScopeClass{
		{Scopes: "session:keep*", Class: state.Standard}, {Scopes: "session:*", Class: state.Trusted},
	}}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		for s, class := range map[scope.Scope]state.Class{
			agent: state.External, scope.Session("1"): state.Trusted, scope.Session("keep1"): state.Standard,
		} {
			require.NoError(t, f.Set(ctx, s, "k", 1))
			_, meta, err := f.GetWithMeta(ctx, s, "k")
			require.NoError(t, err)
			require.Equal(t, class, meta.Class)
			// What changes a value keeps its class.
			require.NoError(t, f.Set(ctx, s, "k", 1, state.WithClass(state.Standard)))
			_, err = f.Increment(ctx, s, "k", 1)
			require.NoError(t, err)
			_, meta, err = f.GetWithMeta(ctx, s, "k")
			require.NoError(t, err)
			require.Equal(t, state.Standard, meta.Class)
		}
	})
}

func TestOptionsAreValidated(t *testing.T) {
	err := (&state.Options{
		Class: state.Sensitive, ScopeClasses: []state.ScopeClass{{Scopes: "nobody", Class: 9}}, MaxDepth: -1,
		Engine:  &state.EngineOptions{MemoryBudget: 1},
		Privacy: []state.Privacy{{Scopes: "nowhere", Classes: []state.Class{state.Trusted}, Policy: privacy.Policy{Default: 77}}},
		Hooks:   hook.Options{Workers: -1, QueueLen: -5},
	}).Validate()
	require.ErrorIs(t, err, state.ErrInvalidOptions)
	require.ErrorIs(t, err, privacy.ErrInvalidPolicy)
	for _, text := range []string{"sensitive", "nobody", "class 9", "MaxDepth", "MemoryBudget", "nowhere", "class trusted", "workers", "queue"} {
		require.ErrorContains(t, err, text)
	}
	_, err = state.OpenMemory(&state.Options{MaxValueBytes: -1})
	require.ErrorIs(t, err, state.ErrInvalidOptions)
	_, err = state.Open(t.TempDir(), &state.Options{Engine: &lsm.Options{MustExist: true}})
	require.ErrorIs(t, err, state.ErrNotExist)
}

// B21: what is stored is not trusted, costs no more than its length, and can be got rid of.
func TestStoredBytesThatAreNoValues(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		header := []byte{envelope.Version, byte(envelope.Standard) | byte(envelope.MessagePack)<<3, 0}
		for name, c := range map[string]struct {
			stored []byte
			want   error
		}{
			"a map of four billion entries": {append(header, 0xdf, 0xff, 0xff, 0xff, 0xff), state.ErrMalformed},
			"a list of as many":             {append(header, 0xdd, 0xff, 0xff, 0xff, 0xff), state.ErrMalformed},
			"nothing":                       {header, state.ErrMalformed},
			"no envelope":                   {[]byte{0}, state.ErrMalformed},
			"a newer envelope":              {[]byte{envelope.Version + 1, 1, 1, 1}, state.ErrTooNew},
			"a sealed value": {
				slices.Concat([]byte{envelope.Version, byte(envelope.Sensitive) | 8, 2}, bytes.Repeat([]byte{7}, 16), []byte("sealed")),
				state.ErrUnsupported,
			},
		} {
			for _, remove := range []func() error{
				func() error { existed, err := sc.Delete(ctx, "k"); require.True(t, existed); return err },
				func() error { n, err := sc.DeleteMany(ctx, []string{"k"}); require.Equal(t, 1, n); return err },
				func() error { return sc.Set(ctx, "k", 1) },
				func() error { return sc.Set(ctx, "k", 1, ephemeral) },
			} {
				require.NoError(t, sc.PutRaw("k", c.stored))
				there, err := sc.Has(ctx, "k")
				require.NoError(t, err)
				require.True(t, there)
				_, err = sc.Get(ctx, "k")
				require.ErrorIs(t, err, c.want, name)
				_, err = state.Get[map[string]any](ctx, sc, "k")
				require.ErrorIs(t, err, c.want, name)
				_, err = sc.Increment(ctx, "k", 1)
				require.ErrorIs(t, err, c.want, name)
				_, err = sc.List(ctx, state.ListOptions{})
				require.ErrorIs(t, err, c.want, name)
				require.ErrorContains(t, err, `"k"`)
				require.NoError(t, remove())
				_, err = sc.List(ctx, state.ListOptions{})
				require.NoError(t, err)
				_, err = sc.Delete(ctx, "k")
				require.NoError(t, err)
			}
		}
	})
}
