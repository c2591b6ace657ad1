package vfs_test

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// dump shows every file of a file system: "a=X d/b=Y".
func dump(t testing.TB, f vfs.FS) string {
	var out []string
	var walk func(dir string)
	walk = func(dir string) {
		names, err := f.List(dir)
		require.NoError(t, err)
		for _, name := range names {
			at := path.Join(dir, name)
			if _, err := f.List(at); err == nil {
				out = append(out, at+"/")
				walk(at)
			} else {
				out = append(out, at+"="+read(t, f, at))
			}
		}
	}
	walk("")
	return strings.Join(out, " ")
}

// statesAt returns the dumps of the states of point k, sorted, "-" for an empty one.
func statesAt(t testing.TB, m *vfs.Mem, k int, o vfs.StateOptions) []string {
	e := m.Explore()
	e.AdvanceTo(k)
	var out []string
	hashes := map[uint64]bool{}
	for s := range e.States(o) {
		require.Equal(t, k, s.Point())
		require.False(t, hashes[s.Hash()], "%s came twice", s)
		hashes[s.Hash()] = true
		d := dump(t, s.Mem())
		if d == "" {
			d = "-"
		}
		out = append(out, d)
	}
	sort.Strings(out)
	return out
}

func statesNow(t testing.TB, m *vfs.Mem) []string {
	return statesAt(t, m, m.Ops(), vfs.StateOptions{})
}

// history is a crash file system with helpers that cannot fail.
type history struct {
	*vfs.Mem
	t testing.TB
}

func newHistory(t testing.TB) *history { return &history{vfs.NewCrashMem(), t} }

func (h *history) open(name string) vfs.File {
	f, err := h.Open(name, vfs.ReadWrite)
	require.NoError(h.t, err)
	return f
}

func (h *history) write(name, content string, off int64) {
	_, err := h.open(name).WriteAt([]byte(content), off)
	require.NoError(h.t, err)
}

func (h *history) dsync(name, content string, off int64) {
	f, err := h.Open(name, vfs.ReadWriteDSync)
	require.NoError(h.t, err)
	_, err = f.WriteAt([]byte(content), off)
	require.NoError(h.t, err)
}

func (h *history) sync(name string) { require.NoError(h.t, h.open(name).Sync()) }
func (h *history) syncDir(d string) { require.NoError(h.t, h.SyncDir(d)) }
func (h *history) create(name string) {
	_, err := h.Create(name)
	require.NoError(h.t, err)
}
func (h *history) remove(name string)     { require.NoError(h.t, h.Remove(name)) }
func (h *history) rename(from, to string) { require.NoError(h.t, h.Rename(from, to)) }
func (h *history) durable(name, c string) {
	h.create(name)
	h.write(name, c, 0)
	h.sync(name)
	h.syncDir("")
}
func (h *history) states(want ...string) {
	h.t.Helper()
	require.Equal(h.t, want, statesNow(h.t, h.Mem))
}
func (h *history) failSync(name string, e vfs.Effect) {
	f, err := vfs.NewFaults(h.Mem, vfs.Rule{Kinds: vfs.OpSync, Effect: e}).Open(name, vfs.ReadWrite)
	require.NoError(h.t, err)
	require.Error(h.t, f.Sync())
}

func TestNothingPendingIsOneState(t *testing.T) {
	h := newHistory(t)
	h.states("-")
	h.durable("a", "X")
	h.states("a=X")
}

func TestOverwriteIsOldOrNewUntilSynced(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "X")
	h.write("a", "Y", 0)
	h.states("a=X", "a=Y")
	h.sync("a")
	h.states("a=Y")
}

func TestNameAndContentAreIndependent(t *testing.T) {
	h := newHistory(t)
	h.create("a")
	h.write("a", "X", 0)
	// Neither; the name alone; both; and a length without the bytes, as zeros or noise.
	got := statesNow(t, h.Mem)
	require.Len(t, got, 5)
	require.Subset(t, got, []string{"-", "a=", "a=X", "a=\x00"})
	h.sync("a")
	h.states("-", "a=X")
	h.syncDir("")
	h.states("a=X")
}

func TestNameMayBeDurableBeforeContent(t *testing.T) {
	h := newHistory(t)
	h.create("a")
	h.syncDir("")
	h.write("a", "X", 0)
	got := statesNow(t, h.Mem)
	require.Len(t, got, 4)
	require.Subset(t, got, []string{"a=", "a=X", "a=\x00"})
}

func TestWritesArriveInAnyOrder(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "000")
	h.write("a", "1", 0)
	h.write("a", "1", 1)
	h.write("a", "1", 2)
	h.states("a=000", "a=001", "a=010", "a=011", "a=100", "a=101", "a=110", "a=111")
}

func TestLaterWriteOfTheSameBytesWins(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.write("a", "1", 0)
	h.write("a", "2", 0)
	h.states("a=0", "a=1", "a=2")
}

func TestSyncOfOneFileSaysNothingOfAnother(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.durable("b", "0")
	h.write("a", "1", 0)
	h.write("b", "1", 0)
	h.sync("b")
	h.states("a=0 b=1", "a=1 b=1")
}

func TestRenameIsNeitherBothOrNew(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "X")
	h.rename("a", "b")
	h.states("a=X", "a=X b=X", "b=X")
	h.syncDir("")
	h.states("b=X")
}

func TestRenameReplacesAtomically(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "X")
	h.durable("b", "Y")
	h.rename("a", "b")
	h.states("a=X b=X", "a=X b=Y", "b=X")
}

// The classic mistake: the new name arrives, the bytes do not.
func TestRenameMayArriveBeforeContent(t *testing.T) {
	h := newHistory(t)
	h.durable("b", "Y")
	h.create("a")
	h.write("a", "X", 0)
	h.rename("a", "b")
	got := statesNow(t, h.Mem)
	require.Contains(t, got, "b=")
	require.Contains(t, got, "b=\x00")
	require.NotContains(t, got, "-")
	require.NotContains(t, got, "a=X") // the old content of b is never lost
}

func TestRenameAcrossDirectories(t *testing.T) {
	fresh := func() *history {
		h := newHistory(t)
		require.NoError(t, h.MkdirAll("d"))
		require.NoError(t, h.MkdirAll("e"))
		h.create("d/a")
		h.syncDir("d")
		h.syncDir("")
		h.rename("d/a", "e/b")
		return h
	}
	h := fresh()
	h.states("d/ d/a= e/", "d/ d/a= e/ e/b=", "d/ e/ e/b=")
	h.syncDir("e")
	h.states("d/ d/a= e/ e/b=", "d/ e/ e/b=")
	h = fresh()
	h.syncDir("d") // the old name cannot go alone
	h.states("d/ e/ e/b=")
}

func TestRemoveMayBeUndoneUntilSyncDir(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "X")
	h.remove("a")
	h.states("-", "a=X")
	h.syncDir("")
	h.states("-")
}

func TestRemoveAndCreateAgain(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "X")
	h.remove("a")
	h.create("a")
	h.write("a", "Y", 0)
	h.sync("a")
	h.states("-", "a=X", "a=Y")
}

func TestLinkIsAnEntryLikeOthers(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "X")
	require.NoError(t, h.Link("a", "b"))
	h.states("a=X", "a=X b=X")
	h.syncDir("")
	h.write("b", "Y", 0)
	h.states("a=X b=X", "a=Y b=Y") // one file, two names
}

func TestDirectoryWithoutEntryHidesWhatItHolds(t *testing.T) {
	h := newHistory(t)
	require.NoError(t, h.MkdirAll("d"))
	h.create("d/a")
	h.syncDir("d")
	h.states("-", "d/ d/a=")
	h.syncDir("")
	h.states("d/ d/a=")
}

func TestMappedStoreIsPendingLikeAWrite(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "00")
	m, err := h.open("a").Map(2, vfs.ReadWrite)
	require.NoError(t, err)
	require.NoError(t, m.Store(0, []byte("1")))
	h.dsync("a", "2", 1)
	h.states("a=02", "a=12")
	require.NoError(t, m.Close()) // does not sync
	h.states("a=02", "a=12")
}

func TestTruncateIsPending(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "XY")
	require.NoError(t, h.open("a").Truncate(1))
	h.states("a=X", "a=XY")
	h.sync("a")
	h.states("a=X")
}

func TestFailedSyncTakesItsWritesOutOfReach(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.write("a", "1", 0)
	h.failSync("a", vfs.Fail)
	require.Equal(t, "a=1", dump(t, h))
	h.sync("a") // says nothing of what the failed one was for
	h.states("a=0", "a=1")
}

func TestFailedSyncMayDropWrites(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "00")
	h.write("a", "1", 0)
	h.failSync("a", vfs.Drop)
	require.Equal(t, "a=00", dump(t, h))
	h.write("a", "2", 1)
	h.sync("a")
	h.states("a=02", "a=12")
}

// A killed process leaves what its readers saw, at every point and after any failure.
func TestLiveStateIsWhatReadersSaw(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0000")
	var seen []string
	for i, step := range []func(){
		func() { h.write("a", "1", 0) },
		func() { h.failSync("a", vfs.Fail) },
		func() { h.write("a", "2", 1) },
		func() { h.sync("a") },
		func() { h.write("a", "3", 2) },
		func() { h.dsync("a", "4", 3) },
		func() { h.failSync("a", vfs.Drop) },
		func() { h.write("a", "5", 0) },
		func() { h.rename("a", "b") },
		func() { h.failSync("b", vfs.Drop) },
		func() { h.create("c") },
		func() { h.failSync("c", vfs.Drop) },
		func() { h.remove("b") },
	} {
		step()
		seen = append(seen, dump(t, h))
		e := h.Explore()
		e.AdvanceTo(h.Ops())
		require.Equal(t, h.Ops(), e.Point())
		require.Equal(t, seen[i], dump(t, e.Live().Mem()), "step %d", i)
		require.Contains(t, statesNow(t, h.Mem), seen[i])
	}
	require.Equal(t, "a=1204", seen[6])
	require.Equal(t, "b=1204 c=", seen[11])
}

func TestLastWriteIsTorn(t *testing.T) {
	h := newHistory(t)
	old, new := strings.Repeat("0", 1200), strings.Repeat("1", 1200)
	h.durable("a", old)
	h.write("a", new, 0)
	h.states(tornStates(old, new)...)
}

func TestNewBlocksMayHoldAnything(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "aa")
	h.durable("b", "zyxw")
	h.write("a", "12", 1) // one old byte, one new
	got := statesNow(t, h.Mem)
	require.Subset(t, got, []string{
		"a=aa b=zyxw", "a=a12 b=zyxw", // none, all
		"a=a1 b=zyxw",     // torn
		"a=aa\x00 b=zyxw", // longer, with zeros: the old byte is what it was
		"a=aax b=zyxw",    // longer, with another file's bytes
	})
	require.Len(t, got, 6) // and noise
}

func TestPagesOfStatesAreTheirOwn(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.write("a", "1", 0)
	e := h.Explore()
	e.AdvanceTo(h.Ops())
	states := slices.Collect(e.States(vfs.StateOptions{}))
	require.Len(t, states, 2)
	var wg sync.WaitGroup
	for _, s := range states {
		for range 4 {
			before := dump(t, s.Mem())
			wg.Go(func() {
				m := s.CrashMem()
				f, err := m.Open("a", vfs.ReadWrite)
				if err == nil {
					_, err = f.WriteAt([]byte("22"), 0)
				}
				if err != nil || dump(t, s.Mem()) != before {
					t.Errorf("%s changed, or %v", s, err)
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, "a=1", dump(t, h))
}

func TestSecondCrashStartsFromTheState(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.write("a", "1", 0)
	e := h.Explore()
	e.AdvanceTo(h.Ops())
	var got []string
	for s := range e.States(vfs.StateOptions{}) {
		again := &history{s.CrashMem(), t}
		require.Zero(t, again.Ops())
		again.write("a", "2", 0)
		got = append(got, strings.Join(statesNow(t, again.Mem), ","))
		again.create("b")
		again.syncDir("")
		require.Contains(t, statesNow(t, again.Mem), "a=2 b=")
	}
	require.ElementsMatch(t, []string{"a=0,a=2", "a=1,a=2"}, got)
}

func TestCopies(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.write("a", "1", 0)
	h.create("b")
	lock, err := h.Lock("LOCK", true, "me")
	require.NoError(t, err)

	killed := h.Copy()
	_, err = killed.Lock("LOCK", true, "another") // a lock ends with its process
	require.NoError(t, err)
	require.NoError(t, killed.Remove("LOCK"))
	require.Equal(t, "a=1 b=", dump(t, killed))
	require.Zero(t, killed.Ops())
	require.Nil(t, killed.Explore())
	require.Nil(t, killed.CrashCopy())

	require.Equal(t, "a=0", dump(t, h.CrashCopy()))
	require.NoError(t, lock.Close())
	h.remove("LOCK")
	again := &history{h.CopyDurable(), t}
	again.states("a=1 b=")
	again.write("a", "2", 0)
	again.states("a=1 b=", "a=2 b=")
	require.Equal(t, "a=1 b=", dump(t, h))
}

func TestDescriptionsNameTheOperation(t *testing.T) {
	h := newHistory(t)
	require.NoError(t, h.MkdirAll("d"))
	h.create("d/a")
	h.write("d/a", "xyz", 5)
	h.dsync("d/a", "x", 0)
	require.NoError(t, h.open("d/a").Truncate(3))
	h.sync("d/a")
	h.failSync("d/a", vfs.Fail)
	h.rename("d/a", "d/b")
	h.remove("d/b")
	h.syncDir("d")
	e := h.Explore()
	e.AdvanceTo(e.Len() - 3)
	var got []string
	for i := range e.Len() {
		got = append(got, e.Describe(i))
	}
	require.Equal(t, []string{
		"0: enter d", "1: enter d/a", "2: write d/a [5,8)", "3: dsync write d/a [0,1)", "4: end of dsync write 3 to d/a",
		"5: truncate d/a to 3", "6: sync d/a", "7: failed sync d/a", "8: rename d/a to d/b", "9: remove d/b",
		"10: sync directory d/",
	}, got)
	var what []string
	for s := range e.States(vfs.StateOptions{}) {
		what = append(what, fmt.Sprint(s))
	}
	require.Contains(t, what, "after 8: nothing pending")
	require.Equal(t, "after 8: everything", what[1])
}
