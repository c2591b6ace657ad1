package crypto_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
)

// life is a history of a keyring: what was made under it, and what must hold of what is left.
type life struct {
	ring  *crypto.Ring
	files []sealedFile

	// done counts the changes that have succeeded; each has the number of file operations then,
	// the masters that may open the file from there on, and how many files were made by then.
	done []step
}

type step struct {
	ops, files int
	masters    []byte
	retired    bool // key 1
	anchor     crypto.Anchor
}

// changes are what a life is made of, and the masters while each of them runs and after it.
var changes = []struct {
	name          string
	change        func(*crypto.Ring) error
	during, after []byte
	retired       bool
}{
	{"rotate", rotate, []byte{1}, []byte{1}, false},
	{"count", func(r *crypto.Ring) error { r.Count(2, 9); return r.Save() }, []byte{1}, []byte{1}, false},
	{"rewrap", func(r *crypto.Ring) error { return r.Rewrap(ctx, master(2)) }, []byte{1, 2}, []byte{2}, false},
	{"activate", func(r *crypto.Ring) error { return r.Activate(1) }, []byte{2}, []byte{2}, false},
	{"rotate again", rotate, []byte{2}, []byte{2}, false},
	{"retire", func(r *crypto.Ring) error { return r.Retire(1, nobody) }, []byte{2}, []byte{2}, true},
	{"rewrap again", func(r *crypto.Ring) error { return r.Rewrap(ctx, master(3)) }, []byte{2, 3}, []byte{3}, true},
}

func rotate(r *crypto.Ring) error { _, err := r.Rotate(); return err }

// record plays all changes, with a new file before each.
func record(t testing.TB, fs *vfs.Mem) *life {
	l := &life{ring: create(t, fs)}
	for i, c := range changes {
		l.files = append(l.files, writeFile(t, l.ring, byte(i)))
		l.done = append(l.done, step{fs.Ops(), len(l.files), c.during, i > 0 && changes[i-1].retired || c.retired, anchor(t, l.ring)})
		require.NoError(t, c.change(l.ring), c.name)
		l.done = append(l.done, step{fs.Ops(), len(l.files), c.after, c.retired, anchor(t, l.ring)})
	}
	return l
}

// openAny opens the keyring with whichever of the masters fits.
func openAny(fs vfs.FS, masters []byte, a crypto.Anchor) (*crypto.Ring, error) {
	var err error
	for _, m := range masters {
		var r *crypto.Ring
		o := options(fs)
		o.Random = newRandom(11)
		if r, err = crypto.Open(ctx, master(m), crypto.Expected{UID: storeUID, Anchor: a}, o); !errors.Is(err, crypto.ErrWrongKey) {
			return r, err
		}
	}
	return nil, err
}

// check opens what is left: it has every key that a file was made under, unless it was retired.
func (l *life) check(fs vfs.FS, s step) error {
	r, err := openAny(fs, s.masters, s.anchor)
	if err != nil {
		return err
	}
	for _, f := range l.files[:s.files] {
		err := f.read(r)
		if err != nil && !(s.retired && f.id == 1 && errors.Is(err, crypto.ErrRetired)) {
			return fmt.Errorf("file %d: %w", f.uid[0], err)
		}
	}
	if err := rotate(r); err != nil {
		return err
	}
	_, err = openAny(fs, s.masters, crypto.Anchor{})
	return err
}

// K1, K2, B61, R37: the power is cut at every operation of every change. What is left opens with
// the old master key or the new one, is not older than its anchor, and has the key of every file.
func TestPowerCutAtEveryOperation(t *testing.T) {
	fs := newCrashFS(t)
	l := record(t, fs)
	e := fs.Explore()
	states := 0
	for k := 0; k <= e.Len(); k++ {
		e.AdvanceTo(k)
		at := -1
		for at+1 < len(l.done) && l.done[at+1].ops <= k {
			at++
		}
		for state := range e.States(vfs.StateOptions{Random: 4, Expect: uint64(at) + 2}) {
			states++
			if at < 0 {
				_, err := openAny(state.Mem(), []byte{1}, crypto.Anchor{})
				require.True(t, err == nil || errors.Is(err, vfs.ErrNotExist), "%s: %v", state, err)
				continue
			}
			require.NoError(t, l.check(state.Mem(), l.done[at]), "%s", state)
		}
	}
	require.Greater(t, states, 100)
}

// K2: a process is killed at any operation; the next one reads what was never synced, makes a
// file under its active key, and the power is cut: the file's key is there.
func TestKeysOfAKilledProcessAreDurableBeforeTheyAreUsed(t *testing.T) {
	count := vfs.NewFaults(newCrashFS(t))
	rotateIn := func(fs vfs.FS) error {
		r, err := crypto.Create(ctx, storeUID, master(1), options(fs))
		if err != nil {
			return err
		}
		return rotate(r)
	}
	require.NoError(t, rotateIn(count))
	for n := range count.Count(vfs.OpAll, "") {
		mem := newCrashFS(t)
		killed := vfs.NewFaults(mem, vfs.Rule{Skip: n, Effect: vfs.Gone, Forever: true})
		_ = rotateIn(killed) // fails from the nth call on
		mem.Kill()
		r, err := open(mem, master(1))
		if errors.Is(err, vfs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		f := writeFile(t, r, 1)
		require.NoError(t, f.read(mustOpen(t, mem.CrashCopy(), master(1))), "after call %d", n)
	}
}

// Each call of each change fails, in each way: the ring goes on with what it had, the file opens
// with the old master key or, if the error says so, the new one, and the change can be made again.
func TestFaultAtEveryOperation(t *testing.T) {
	errnos, effects := []error{syscall.EIO, syscall.ENOSPC}, []vfs.Effect{vfs.Fail, vfs.FailAfter, vfs.Short, vfs.Drop}
	if testing.Short() {
		errnos, effects = errnos[:1], effects[:2]
	}
	for _, effect := range effects {
		for _, errno := range errnos {
			for i, c := range changes {
				for n := 0; failCall(t, i, n, effect, errno); n++ {
					require.Less(t, n, 100, c.name)
				}
			}
		}
	}
}

// failCall makes the nth call of the ith change fail, and reports whether there is one.
func failCall(t *testing.T, i, n int, effect vfs.Effect, errno error) bool {
	fs := vfs.NewFaults(newCrashFS(t))
	r := create(t, fs)
	var files []sealedFile
	for _, c := range changes[:i] {
		files = append(files, writeFile(t, r, byte(len(files))))
		require.NoError(t, c.change(r))
	}
	files = append(files, writeFile(t, r, 100))
	before, c := status(t, r), changes[i]
	fs.Add(vfs.Rule{Skip: n, Effect: effect, Err: errno})
	err := c.change(r)
	fired := fs.Fired()
	fs.Clear()
	if len(fired) == 0 {
		require.NoError(t, err)
		return false
	}
	l := &life{ring: r, files: files}
	s := step{files: len(files), masters: c.during, retired: c.retired || i > 0 && changes[i-1].retired, anchor: anchor(t, r)}
	if err == nil { // a call that failed by itself, such as removing what is not there
		require.Contains(t, []vfs.OpKind{vfs.OpRemove, vfs.OpClose}, fired[0].Call.Kind, "%v", fired[0].Call)
		s.masters = c.after
		require.NoError(t, l.check(fs, s))
		return true
	}
	require.ErrorIs(t, err, fired[0], "%s, %v", c.name, fired[0].Call)
	require.NotErrorIs(t, err, crypto.ErrCorrupt)
	after := status(t, r)
	for j := range before.Keys { // what was counted is counted
		before.Keys[j].Sealed = after.Keys[j].Sealed
	}
	require.Equal(t, before, after, "a failed change shows")
	if !errors.Is(err, crypto.ErrUncertain) {
		s.masters = c.during[:1]
	}
	for _, f := range files {
		if f.id != 1 || before.Keys[0].State != crypto.Retired {
			require.NoError(t, f.read(r))
		}
	}
	require.NoError(t, c.change(r), "%s again, after %v", c.name, fired[0].Call)
	s.masters, s.anchor = c.after, anchor(t, r)
	require.Greater(t, s.anchor.Epoch, before.Epoch)
	require.NoError(t, l.check(fs, s), "%s, %v", c.name, fired[0].Call)
	return true
}

// K3: an epoch that may be on disk is not used for another keyring.
func TestAnEpochThatWasTriedIsNotTriedAgain(t *testing.T) {
	fs := vfs.NewFaults(newFS(t))
	r := create(t, fs)
	fs.Add(vfs.Rule{Kinds: vfs.OpSyncDir})
	require.ErrorIs(t, rotate(r), crypto.ErrUncertain)
	tried := status(t, r).Epoch + 1
	require.NoError(t, r.Save())
	require.Equal(t, tried+1, status(t, r).Epoch)
	require.Equal(t, tried+2, status(t, mustOpen(t, fs, master(1))).Epoch)
}
