package vfs_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// toyStore keeps one number in a file that it replaces by write, sync, rename, sync of
// the directory. Each step can be left out.
type toyStore struct {
	skipSync, skipSyncDir, ignoreSyncError bool
}

func (s toyStore) set(f vfs.FS, n int) error {
	if err := f.Remove("next"); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	file, err := f.Create("next")
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(fmt.Appendf(nil, "%d.", n), 0); err == nil && !s.skipSync {
		if err = file.Sync(); s.ignoreSyncError {
			err = nil
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := f.Rename("next", "current"); err != nil || s.skipSyncDir {
		return err
	}
	return f.SyncDir("")
}

func (toyStore) get(f vfs.FS) (int, error) {
	file, err := f.Open("current", vfs.ReadOnly)
	if errors.Is(err, vfs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	p := make([]byte, 16)
	n, _ := file.ReadAt(p, 0)
	digits, found := strings.CutSuffix(string(p[:n]), ".")
	if !found {
		return 0, fmt.Errorf("damaged: %q", p[:n])
	}
	return strconv.Atoi(digits)
}

// losses runs a history on the store, cuts the power at every point in every way, and
// returns the states in which something acknowledged is missing.
func (s toyStore) losses(t *testing.T, faults ...vfs.Rule) (losses []string, states int) {
	m := vfs.NewCrashMem()
	f := vfs.NewFaults(m, faults...)
	var ackedAt []int // by number: the point from which on it is promised
	issued := 0
	for n := 1; n <= 4; n++ {
		issued = n
		if err := s.set(f, n); err != nil {
			break
		}
		ackedAt = append(ackedAt, m.Ops())
	}
	e := m.Explore()
	for k := range e.Len() + 1 {
		e.AdvanceTo(k)
		promised := 0
		for n, at := range ackedAt {
			if at <= k {
				promised = n + 1
			}
		}
		for state := range e.States(vfs.StateOptions{Random: 4, Expect: uint64(promised + 1)}) {
			states++
			got, err := s.get(state.Mem())
			if err != nil || got < promised || got > issued {
				losses = append(losses, fmt.Sprintf("%s: promised %d, got %d, %v", state, promised, got, err))
			}
		}
	}
	return losses, states
}

// A harness that cannot fail shows nothing: the sound store passes, and each mistake is
// found.
func TestExplorerFindsMissingSyncs(t *testing.T) {
	losses, states := toyStore{}.losses(t)
	require.Empty(t, losses)
	require.Greater(t, states, 30)

	losses, _ = toyStore{skipSync: true}.losses(t)
	require.NotEmpty(t, losses)
	losses, _ = toyStore{skipSyncDir: true}.losses(t)
	require.NotEmpty(t, losses)
}

func TestExplorerFindsIgnoredSyncErrors(t *testing.T) {
	for _, effect := range []vfs.Effect{vfs.Fail, vfs.Drop} {
		fault := vfs.Rule{Kinds: vfs.OpSync, Skip: 2, Effect: effect}
		losses, _ := toyStore{}.losses(t, fault)
		require.Empty(t, losses)
		losses, _ = toyStore{ignoreSyncError: true}.losses(t, fault)
		require.NotEmpty(t, losses)
	}
}

// Every call of a history fails once, with every error: the store says so, and what it
// acknowledged before is there.
func TestEveryCallMayFail(t *testing.T) {
	clean := vfs.NewFaults(vfs.NewCrashMem())
	for n := 1; n <= 4; n++ {
		require.NoError(t, toyStore{}.set(clean, n))
	}
	calls := clean.Count(vfs.OpAll, "")
	require.Equal(t, 4*7, calls)
	for n := range calls {
		for _, errno := range vfs.FaultErrors() {
			m := vfs.NewCrashMem()
			f := vfs.NewFaults(m, vfs.Rule{Skip: n, Err: errno})
			acked := 0
			var failed error
			for i := 1; i <= 4 && failed == nil; i++ {
				if failed = (toyStore{}).set(f, i); failed == nil {
					acked = i
				}
			}
			require.Len(t, f.Fired(), 1)
			require.ErrorIs(t, failed, f.Fired()[0])
			require.ErrorIs(t, failed, errno)
			got, err := toyStore{}.get(m.CrashCopy())
			require.NoError(t, err)
			require.GreaterOrEqual(t, got, acked)
		}
	}
}
