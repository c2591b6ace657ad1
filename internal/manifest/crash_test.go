package manifest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// history is a sequence of openings and edits on a file system that logs, with the
// contents after each edit and the number of file operations at its acknowledgement.
type history struct {
	form
	fs     *vfs.Mem
	states []contents // states[0]: created, nothing appended
	acked  []int
}

// run plays edits, opening anew before each that reopen names.
func (h *history) run(t testing.TB, edits int, reopen func(i int) bool) {
	l := h.mustOpen(t, h.fs)
	h.add(l)
	for i := range edits {
		if reopen(i) {
			require.NoError(t, l.Close())
			l = h.mustOpen(t, h.fs)
		}
		require.NoError(t, l.Append(edit(i)))
		h.add(l)
	}
	require.NoError(t, l.Close())
}

func (h *history) add(l *manifest.Log) {
	h.states = append(h.states, of(l))
	h.acked = append(h.acked, h.fs.Ops())
}

// ackedAt returns how many of the states were acknowledged after k operations.
func (h *history) ackedAt(k int) int {
	n := 0
	for n < len(h.acked) && h.acked[n] <= k {
		n++
	}
	return n
}

func newCrashFS(t testing.TB) *vfs.Mem {
	fs := vfs.NewCrashMem()
	require.NoError(t, fs.MkdirAll(dir))
	require.NoError(t, fs.SyncDir(""))
	return fs
}

// A power cut at any point leaves the last acknowledged state, or the one after it; and
// what is then appended is there as well.
func TestPowerCutsLoseNothingAcknowledged(t *testing.T) {
	t.Run("in clear", func(t *testing.T) { cutEverywhere(t, inClear, 32) })
	t.Run("sealed", func(t *testing.T) { cutEverywhere(t, sealed, 16) })
}

func cutEverywhere(t *testing.T, f form, edits int) {
	h := &history{form: f, fs: newCrashFS(t)}
	h.run(t, edits, func(i int) bool { return i%5 == 4 })
	e := h.fs.Explore()
	states := 0
	for k := 0; k <= e.Len(); k++ {
		e.AdvanceTo(k)
		acked := h.ackedAt(k)
		for s := range e.States(vfs.StateOptions{Random: 4, Expect: uint64(acked) + 1}) {
			states++
			h.check(t, s, acked)
		}
	}
	require.Greater(t, states, 500)
}

func (h *history) check(t *testing.T, s vfs.State, acked int) {
	fs := s.Mem()
	loaded, err := manifest.Load(fs, dir, h.openCipher)
	if errors.Is(err, manifest.ErrNoStore) && acked == 0 {
		require.NoError(t, fs.MkdirAll(dir))
		h.mustOpen(t, fs)
		return
	}
	require.NoError(t, err, "%s", s)
	got := loadedContents(loaded)
	if acked > 0 && got == h.states[acked-1] || acked < len(h.states) && got == h.states[acked] {
		h.appendAfterCrash(t, fs, s)
		return
	}
	require.Fail(t, "another state", "%s, %d acknowledged", s, acked)
}

func (f form) appendAfterCrash(t *testing.T, fs vfs.FS, s vfs.State) {
	l, err := f.open(fs)
	require.NoError(t, err, "%s", s)
	require.NoError(t, l.Append(&manifest.Edit{LastTime: l.State().LastTime + 1}), "%s", s)
	require.NoError(t, l.Close())
	require.Equal(t, of(l), loadedContents(f.mustLoad(t, fs)), "%s", s)
}

// A second power cut, while the first edit after the first one is written, loses nothing
// either.
func TestPowerCutsInRecoveryLoseNothing(t *testing.T) {
	t.Run("in clear", func(t *testing.T) { cutRecoveries(t, inClear, 7) })
	t.Run("sealed", func(t *testing.T) { cutRecoveries(t, sealed, 21) })
}

// cutRecoveries cuts the recovery of every so-many-th state.
func cutRecoveries(t *testing.T, f form, every int) {
	h := &history{form: f, fs: newCrashFS(t)}
	h.run(t, 12, func(i int) bool { return i == 6 })
	e := h.fs.Explore()
	n := 0
	for k := h.acked[0]; k <= e.Len(); k++ {
		e.AdvanceTo(k)
		acked := h.ackedAt(k)
		for s := range e.States(vfs.StateOptions{Pending: 4, Cuts: 2, Expect: uint64(acked) + 1}) {
			if n++; n%every == 0 {
				h.crashAgain(t, s)
			}
		}
	}
	require.Greater(t, n, 100)
}

func (f form) crashAgain(t *testing.T, s vfs.State) {
	fs := s.CrashMem()
	l, err := f.open(fs)
	require.NoError(t, err)
	before := of(l)
	require.NoError(t, l.Append(&manifest.Edit{LastTime: l.State().LastTime + 1}))
	after, done := of(l), fs.Ops()
	require.NoError(t, l.Close())
	e := fs.Explore()
	for k := 0; k <= e.Len(); k++ {
		e.AdvanceTo(k)
		for second := range e.States(vfs.StateOptions{Pending: 4, Cuts: 2}) {
			got := loadedContents(f.mustLoad(t, second.Mem()))
			if got != after && (k >= done || got != before) {
				require.Fail(t, "another state", "%s, then %s", s, second)
			}
		}
	}
}
