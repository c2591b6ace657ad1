package vfs_test

import (
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

func TestKilledProcessLosesItsHandlesAndNothingElse(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "00")
	file := h.open("a")
	mapped, err := file.Map(2, vfs.ReadWrite)
	require.NoError(t, err)
	lock, err := h.Lock("LOCK", true, "the first")
	require.NoError(t, err)
	_, err = file.WriteAt([]byte("1"), 0)
	require.NoError(t, err)
	require.NoError(t, mapped.Store(1, []byte("1")))
	before := h.Ops()

	h.Kill()
	require.Equal(t, before, h.Ops())
	_, err = file.WriteAt([]byte("2"), 0)
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = file.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, file.Sync(), fs.ErrClosed)
	require.ErrorIs(t, mapped.Store(0, []byte("2")), fs.ErrClosed)
	require.ErrorIs(t, mapped.Load(make([]byte, 1), 0), fs.ErrClosed)
	require.ErrorIs(t, mapped.Close(), fs.ErrClosed)
	require.ErrorIs(t, file.Close(), fs.ErrClosed)
	require.Equal(t, before, h.Ops())

	next, err := h.Lock("LOCK", true, "the second")
	require.NoError(t, err)
	require.NoError(t, lock.Close(), "of a lock that is another's by now")
	_, err = h.Lock("LOCK", true, "the third")
	var locked *vfs.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, "the second", locked.Holder)
	require.NoError(t, next.Close())
	require.Equal(t, "11", read(t, h, "a"))
}

// What a killed process never synced is still to be lost, whatever the next one reads.
func TestPendingWritesOutliveTheProcess(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "00")
	h.write("a", "1", 0)
	h.Kill()
	h.dsync("a", "2", 1)
	h.states("a=02", "a=12")
	h.sync("a")
	h.states("a=12")
}

// A call that a kill prevented is no failed one: the next process's sync is good for what
// it would have synced.
func TestCallsOfAKilledProcessLeaveNoTrace(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	faults := vfs.NewFaults(h.Mem, vfs.Rule{Kinds: vfs.OpWrites, Skip: 1, Effect: vfs.Gone, Forever: true})
	file, err := faults.Open("a", vfs.ReadWrite)
	require.NoError(t, err)
	_, err = file.WriteAt([]byte("1"), 0)
	require.NoError(t, err)
	before := h.Ops()
	require.ErrorIs(t, file.Sync(), syscall.EIO)
	_, err = file.WriteAt([]byte("2"), 0)
	require.Error(t, err)
	require.Error(t, faults.Remove("a"))
	require.Equal(t, before, h.Ops())
	h.Kill()
	h.states("a=0", "a=1")
	h.sync("a")
	h.states("a=1")
}
