package manifest_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

const faultEdits = 14

// playUntilFault plays the history on a file system that fails one call. It returns the
// log, nil if it never opened, how many edits were acknowledged, and the error.
func playUntilFault(fs vfs.FS) (l *manifest.Log, acked int, err error) {
	if l, err = open(fs); err != nil {
		return nil, 0, err
	}
	for ; acked < faultEdits; acked++ {
		if err := l.Append(edit(acked)); err != nil {
			return l, acked, err
		}
	}
	return l, acked, nil
}

// reference returns the contents after each number of edits.
func reference(t testing.TB) []contents {
	l := mustOpen(t, newFS(t))
	return appendEdits(t, l, 0, faultEdits)
}

// Whatever call fails, and however: the error is the one that was injected, what was
// acknowledged is found, and what comes after the failed edit is what the error promised.
func TestAnyCallMayFail(t *testing.T) {
	want := reference(t)
	count := vfs.NewFaults(newFS(t))
	_, _, err := playUntilFault(count)
	require.NoError(t, err)
	for _, effect := range []vfs.Effect{vfs.Fail, vfs.FailAfter, vfs.Short} {
		for _, errno := range []error{syscall.EIO, syscall.ENOSPC} {
			for n := range count.Count(vfs.OpAll&^vfs.OpClose, "") {
				faults := vfs.NewFaults(newFS(t), vfs.Rule{Kinds: vfs.OpAll &^ vfs.OpClose, Skip: n, Effect: effect, Err: errno})
				l, acked, err := playUntilFault(faults)
				fired := faults.Fired()
				require.Len(t, fired, 1)
				if err == nil {
					require.True(t, mayFailUnseen(fired[0]), "%v", fired[0].Call)
					require.Equal(t, want[faultEdits], loadedContents(mustLoad(t, faults)))
					continue
				}
				require.ErrorIs(t, err, fired[0], "%v", fired[0].Call)
				require.NotErrorIs(t, err, manifest.ErrCorrupt)
				if l == nil {
					checkCreationAfter(t, faults, want[0])
					continue
				}
				checkAfterFault(t, faults, l, err, want, acked)
			}
		}
	}
}

// mayFailUnseen: removing an old manifest, which becomes an orphan, and the mark, 16
// bytes, after which a new file is begun or the next edit fails; and a call that failed
// by itself already.
func mayFailUnseen(i *vfs.Injected) bool {
	c := i.Call
	return c.Kind == vfs.OpRemove || c.Kind == vfs.OpWrite && c.Len == 16 ||
		c.Kind == vfs.OpOpen && i.Effect == vfs.FailAfter
}

// checkCreationAfter: a store whose creation or opening failed is there or not.
func checkCreationAfter(t *testing.T, fs vfs.FS, created contents) {
	l, err := open(fs)
	require.NoError(t, err)
	require.Equal(t, created, of(l))
}

func checkAfterFault(t *testing.T, fs vfs.FS, l *manifest.Log, err error, want []contents, acked int) {
	require.Equal(t, want[acked], of(l), "a failed edit shows")
	got := loadedContents(mustLoad(t, fs))
	if errors.Is(err, manifest.ErrUncertain) {
		require.Contains(t, want[acked:acked+2], got)
	} else {
		require.Equal(t, want[acked], got)
	}
	again := l.Append(edit(acked))
	if !errors.Is(err, vfs.ErrNoSpace) {
		require.ErrorIs(t, again, manifest.ErrFailed)
		require.ErrorIs(t, again, err)
		require.Equal(t, got, loadedContents(mustLoad(t, fs)), "a failed log was written to")
		return
	}
	require.NoError(t, again)
	require.Equal(t, want[acked+1], loadedContents(mustLoad(t, fs)))
	require.NoError(t, l.Append(&manifest.Edit{LastTime: 1 << 40}))
	require.Equal(t, of(l), loadedContents(mustLoad(t, fs)))
}

// While the device stays full, edits fail and nothing is lost; a different one goes
// through when space returns.
func TestEditsGoOnWhenSpaceReturns(t *testing.T) {
	faults := vfs.NewFaults(newFS(t))
	l := mustOpen(t, faults)
	before := appendEdits(t, l, 0, 5)[5]
	faults.Add(vfs.Rule{Kinds: vfs.OpWrite | vfs.OpCreate, Err: syscall.EDQUOT, Forever: true})
	for range 5 {
		require.ErrorIs(t, l.Append(edit(5)), vfs.ErrNoSpace)
		require.Equal(t, before, of(l))
		mustLoad(t, faults)
	}
	faults.Clear()
	require.NoError(t, l.Append(&manifest.Edit{LastTime: 1 << 40}))
	require.Equal(t, of(l), loadedContents(mustLoad(t, faults)))
	names, err := faults.List(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{manifest.CurrentName, l.Name()}, names)
}

// A sync that fails takes the data with it. A process that then reads the record from
// memory and goes on must not rely on it.
func TestARecordWhoseSyncFailedInAnotherLifeIsWrittenAgain(t *testing.T) {
	mem := newCrashFS(t)
	faults := vfs.NewFaults(mem)
	l := mustOpen(t, faults)
	appendEdits(t, l, 0, 2)
	faults.Add(vfs.Rule{Kinds: vfs.OpSync})
	require.ErrorIs(t, l.Append(edit(2)), manifest.ErrUncertain)
	require.NoError(t, l.Close())

	l = mustOpen(t, mem) // the machine went on: the record is in memory
	appendEdits(t, l, 3, 4)
	require.Equal(t, of(l), loadedContents(mustLoad(t, mem.CrashCopy())))
}
