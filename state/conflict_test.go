package state_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// A plain Set, and a Delete, fail for nothing that others do, though the value that is to be told of turns into
// one that nobody can read.
func TestWhatCannotBeReadAnyMoreIsInNobodysWay(t *testing.T) {
	store, err := state.OpenMemory(nil)
	require.NoError(t, err)
	hear(t, store, true)
	sc := store.Scope(agent)
	together(2, func(i int) {
		for n := range 6000 {
			var err error
			if i == 0 {
				switch n % 4 {
				case 1:
					_, err = sc.Delete(ctx, "k")
				case 3:
					_, err = sc.DeleteMany(ctx, []string{"k", "l"})
				default:
					err = sc.Set(ctx, "k", "text")
				}
			} else if err = sc.IncrementBlind(ctx, "k", 1); errors.Is(err, state.ErrMerge) {
				err = nil // of many of them that come to nothing
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	require.NoError(t, store.Close())
}

// The conflict of a hook, in what it does itself, is its failure: nothing is tried again for it, and
// nobody has been faster.
func TestAConflictOfAHookIsItsFailure(t *testing.T) {
	store, err := state.OpenMemory(nil)
	require.NoError(t, err)
	sc := store.Scope(agent)
	c := people(t, sc, byMail)
	runs := 0
	register(t, store, hook.Hook{Name: "busy", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error {
		if runs++; runs > 1 {
			return errors.New("it was tried again")
		}
		return fmt.Errorf("elsewhere: %w", state.ErrConflict)
	}})
	for name, write := range map[string]func() error{
		"increment":     func() error { _, err := sc.Increment(ctx, "k", 1); return err },
		"set if absent": func() error { _, err := sc.SetIfAbsent(ctx, "k", 1); return err },
		"document":      func() error { return c.Set(ctx, "k", person{}) },
	} {
		runs = 0
		var failure *hook.CallError
		err := write()
		require.ErrorAs(t, err, &failure, name)
		require.ErrorIs(t, err, state.ErrConflict, name)
		require.Equal(t, 1, runs, name)
	}
	require.NoError(t, store.Close())
}

// A store that is read only has nothing deleted, and nothing recorded of it.
func TestNothingIsDeletedInAStoreThatIsReadOnly(t *testing.T) {
	dir := t.TempDir()
	store, err := state.Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, store.Set(ctx, agent, "k", 1))
	require.NoError(t, store.Close())
	store, err = state.Open(dir, &state.Options{Engine: &state.EngineOptions{ReadOnly: true}, Timeline: &state.TimelineOptions{}})
	require.NoError(t, err)
	_, err = store.Delete(ctx, agent, "k")
	require.ErrorIs(t, err, state.ErrReadOnly)
	_, err = store.DeleteMany(ctx, agent, []string{"k", "l"})
	require.ErrorIs(t, err, state.ErrReadOnly)
	require.NoError(t, store.Close())
}
