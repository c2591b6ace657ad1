package state_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// A store with the rest of an import that had been broken off could not be opened, not to read either, while its
// device was full.
func TestTheRestOfAnImportKeepsNobodyFromOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := vfs.NewFaults(vfs.NewMem())
		store, err := state.Open("db", sealingOn(faults, nil))
		require.NoError(t, err)
		require.NoError(t, store.Set(ctx, agent, "k", "kept"))
		require.NoError(t, state.Stage(store, true))
		require.NoError(t, store.Close())
		// The key of what was sealed there goes first, for which there must be room, as there is for Open itself.
		faults.Add(vfs.Rule{Kinds: vfs.OpCreate, Glob: "VAULT*", Skip: 1, Err: syscall.ENOSPC, Forever: true})
		store, err = state.Open("db", sealingOn(faults, nil))
		require.NoError(t, err)
		require.NotEmpty(t, faults.Fired())
		v, err := store.Get(ctx, agent, "k")
		require.NoError(t, err)
		require.Equal(t, "kept", v)
		n, err := state.Staged(store)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(5 * time.Second)
		faults.Clear()
		time.Sleep(time.Minute)
		synctest.Wait()
		requireNothingLeft(t, store)
		require.NoError(t, store.Close())
	})
}
