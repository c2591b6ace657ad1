package state_test

import (
	"context"
	"strings"
	"testing"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// Errors say what to do next to somebody who sees them for the first time.
func TestErrorsAreShortAndName(t *testing.T) {
	ctx := context.Background()
	_, err := state.Open("", nil)
	require.ErrorIs(t, err, state.ErrInvalidOptions)
	require.EqualError(t, err, "state: invalid options: no directory is named")

	store, err := state.OpenMemory(nil)
	require.NoError(t, err)
	defer store.Close()
	err = store.Set(ctx, scope.Agent("a"), strings.Repeat("k", 1<<20), 1)
	require.ErrorIs(t, err, state.ErrKey)
	require.EqualError(t, err, `set agent:a "`+strings.Repeat("k", 256)+`"…: codec: invalid key: a key has 1 to 256 bytes`)
	err = store.Scope(scope.Agent("a")).Move(ctx, scope.Agent("b"))
	require.EqualError(t, err, "move agent:a: state: not found")
	require.NoError(t, store.Set(ctx, scope.Agent("a"), "k", 1))
	require.NoError(t, store.Set(ctx, scope.Step("b", "two"), "k", 1))
	err = store.Scope(scope.Agent("a")).Move(ctx, scope.Step("b", "two"))
	require.ErrorIs(t, err, state.ErrScopeExists)
	require.EqualError(t, err, "move agent:a: state: the scope exists: lsm: scope exists: workflow:b:step:two", "not its kind alone")
}
