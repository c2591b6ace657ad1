package state_test

import (
	"testing"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// What a view's watcher has shown of a commit ends with a Last, though the rest cannot be read.
func TestACommitEndsBehindWhatCannotBeRead(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		grant(t, f.Store, "alice", access.Allow, access.Read|access.List, "agent:*", "*")
		root := f.As("root").Scope(agent)
		require.NoError(t, root.Set(ctx, "a", 1))
		w, err := f.As("alice").Scope(agent).Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, state.PutRawBehind(root.Behind(), "a", "b", []byte{0}))
		require.NoError(t, root.Set(ctx, "c", 2))
		_, err = w.Next()
		require.ErrorIs(t, err, state.ErrMalformed)
		for _, key := range []string{"a", "c"} {
			change, err := w.Next()
			require.NoError(t, err)
			require.Equal(t, key, change.Key)
			require.True(t, change.Last, key)
		}
	})
}
