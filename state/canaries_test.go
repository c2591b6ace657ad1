package state_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// R36: whatever fails, and whichever function of the caller's panics, no error and no panic has a part of a value, and
// none of what is logged and of what panics has a part of a key. (Errors name the key of their operation.) Hooks
// that had panicked with the change itself had it in the error.
func TestWhatFailsTellsNoValue(t *testing.T) {
	const key = "k-" + secretText
	var logged bytes.Buffer
	o := sealing()
	o.Engine.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var told []string
	o.Hooks.OnFailure = func(e *hook.CallError) { told = append(told, e.Error()) }
	store, err := state.OpenMemory(o)
	require.NoError(t, err)
	sc := store.Scope(agent)
	value := "v-" + secretText
	require.NoError(t, sc.SetMany(ctx, map[string]any{"text": value, "doc": map[string]any{"age": value}}))
	c := people(t, sc, byMail)
	require.NoError(t, c.Set(ctx, "first", person{Mail: value}))

	for name, call := range map[string]func() error{
		"increment":    func() error { _, err := sc.Increment(ctx, "text", 1); return err },
		"append":       func() error { _, err := sc.Append(ctx, "doc", value); return err },
		"patch":        func() error { _, err := sc.Patch(ctx, "doc", map[string]any{"b": make(chan int)}); return err },
		"compare":      func() error { _, err := sc.CompareAndSet(ctx, "text", state.Absent, value); return err },
		"wrong type":   func() error { _, err := state.Get[int](ctx, sc, "text"); return err },
		"wrong fields": func() error { _, err := state.Get[person](ctx, sc, "doc"); return err },
		"no value":     func() error { return sc.Set(ctx, "other", map[any]any{value: func() {}}) },
		"too long":     func() error { return sc.Set(ctx, "other", strings.Repeat(value, 2<<20)) },
		"unique":       func() error { return c.Set(ctx, "second", person{Mail: value}) },
		"query": func() error {
			_, err := c.Query(ctx, index.Query{Where: []index.Cond{{Field: "mail", Op: 99, Value: value}}})
			return err
		},
		"import": func() error {
			_, err := sc.Import(ctx, strings.NewReader(fileOf(nil)+value), state.ImportOptions{})
			return err
		},
	} {
		err := call()
		assert.Error(t, err, name)
		assert.NotContains(t, fmt.Sprint(err), secretText, name)
	}

	boom := func() { panic("boom") }
	for name, call := range map[string]func() error{
		"update": func() error {
			_, err := sc.Update(ctx, "text", func(any, bool) (any, error) { boom(); return nil, nil })
			return err
		},
		"typed update": func() error {
			_, err := state.Update(ctx, sc, "text", func(string, bool) (string, error) { boom(); return "", nil })
			return err
		},
		"transact": func() error {
			return store.Transact(ctx, func(tx *state.Txn) error {
				err := tx.Scope(agent).Set(ctx, key, value, sensitive)
				boom()
				return err
			})
		},
	} {
		text := panicOf(call)
		require.Contains(t, text, "boom", name)
		require.NotContains(t, text, secretText, name)
	}

	register(t, store, hook.Hook{Name: "panics", Points: []hook.Point{hook.BeforeSet}, Before: func(_ context.Context, ch *hook.Change) error {
		_, _ = ch.Value()
		panic(ch)
	}}, hook.Hook{Name: "panics later", Points: []hook.Point{hook.AfterDelete}, Inline: true, Values: true, After: func(_ context.Context, ev hook.Event) error {
		panic(ev)
	}})
	var failure *hook.PanicError
	err = sc.Set(ctx, "plain", value)
	require.ErrorAs(t, err, &failure)
	require.NotContains(t, err.Error(), secretText)
	_, err = sc.Delete(ctx, "text")
	require.NoError(t, err)
	require.Len(t, told, 2)
	require.NotContains(t, strings.Join(told, "\n"), secretText)
	require.NoError(t, store.Close())
	require.NotContains(t, logged.String(), secretText)
	require.NotEmpty(t, logged.String())
}

// panicOf returns what a call panics with, and the stack, as text.
func panicOf(call func() error) (text string) {
	defer func() { text = fmt.Sprintf("%v\n%s", recover(), debug.Stack()) }()
	return fmt.Sprint(call())
}
