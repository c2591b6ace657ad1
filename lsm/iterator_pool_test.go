package lsm_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

// Iterators take their parts from a pool. A closed one has none, and must say so however
// it is used, while another works with what it had.
func TestClosedIteratorHasNothing(t *testing.T) {
	db, err := lsm.Open("", &lsm.Options{InMemory: true})
	require.NoError(t, err)
	for i := range 100 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%02d", i), []byte("v"), nil))
	}
	require.NoError(t, db.Flush(context.Background()))
	old, err := db.NewIter(nil)
	require.NoError(t, err)
	require.True(t, old.First())
	require.NoError(t, old.Close())
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.First())
	for name, move := range map[string]func() bool{
		"first": old.First, "last": old.Last, "next": old.Next, "prev": old.Prev,
		"seekGE": func() bool { return old.SeekGE([]byte("k50")) },
		"seekLT": func() bool { return old.SeekLT([]byte("k50")) },
	} {
		require.False(t, move(), name)
		require.ErrorIs(t, old.Err(), lsm.ErrClosed, name)
		require.Nil(t, old.Key())
		require.Nil(t, old.Value())
	}
	require.NoError(t, old.Close())
	n := 1
	for it.Next() {
		require.Equal(t, fmt.Sprintf("k%02d", n), string(it.Key()))
		n++
	}
	require.Equal(t, 100, n)
	require.NoError(t, it.Close())
	require.NoError(t, db.Close())
}
