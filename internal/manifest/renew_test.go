package manifest_test

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// The files of this page's stores go through several processes on one machine before the
// power is cut.

// switchUnsynced is a rule that makes the sync of the directory go wrong which follows a
// rename to CURRENT, once the directory holds so many manifests, and every later call too.
func switchUnsynced(mem *vfs.Mem, manifests int, effect vfs.Effect) vfs.Rule {
	renamed, dead := false, false
	return vfs.Rule{Kinds: vfs.OpAll, Effect: effect, Forever: true, When: func(c vfs.Call) bool {
		switch {
		case dead:
		case c.Kind == vfs.OpRename:
			renamed = true
		case c.Kind == vfs.OpSyncDir && renamed:
			renamed = false
			dead = len(manifestsIn(mem)) == manifests
		}
		return dead
	}}
}

func manifestsIn(fs vfs.FS) (out []string) {
	names, _ := fs.List(dir) // a directory that is not there has none
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST-") {
			out = append(out, name)
		}
	}
	return out
}

// endOf plays edits until the rule ends the process, and returns how many edits were
// acknowledged.
func endOf(t *testing.T, mem *vfs.Mem, rule vfs.Rule) (acked int) {
	faults := vfs.NewFaults(mem, rule)
	l, err := open(faults)
	for err == nil && acked < 300 {
		if err = l.Append(edit(acked)); err == nil {
			acked++
		}
	}
	require.NotEmpty(t, faults.Fired())
	mem.Kill()
	return acked
}

// cutFrom explores power cuts from a point on: up to the point of the acknowledgement the
// store holds before or after, or is still none where before is "", then it holds after.
func cutFrom(t *testing.T, mem *vfs.Mem, from, acked int, before, after contents) {
	e := mem.Explore()
	for k := from; k <= e.Len(); k++ {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Random: 4, Cuts: 32}) {
			loaded, err := manifest.Load(s.Mem(), dir, nil)
			if err == manifest.ErrNoStore && k < acked && before == "" {
				continue
			}
			require.NoError(t, err, "%s", s)
			if got := loadedContents(loaded); k >= acked || got != before && before != "" {
				require.Equal(t, after, got, "%s", s)
			}
		}
	}
}

// A process was killed after it had renamed CURRENT and before the directory was synced,
// or that sync failed. The next one found the new manifest, appended to it, removed the
// old one as an orphan, and acknowledged; then the power went, and CURRENT named the old
// manifest again, without what was acknowledged or gone altogether.
func TestASwitchOfCURRENTThatMayNotBeDurableIsNotReliedOn(t *testing.T) {
	for _, effect := range []vfs.Effect{vfs.Gone, vfs.Fail} {
		mem := newCrashFS(t)
		endOf(t, mem, switchUnsynced(mem, 2, effect))
		before := loadedContents(mustLoad(t, mem))
		l := mustOpen(t, mem)
		require.Equal(t, before, of(l))
		opened := mem.Ops()
		require.Equal(t, "MANIFEST-000003", l.Name())
		cutFrom(t, mem, opened, opened, before, before) // from here on slots and tables may go
		require.NoError(t, l.Append(&manifest.Edit{LastTime: 1 << 40}))
		acked := mem.Ops()
		require.NoError(t, mem.Remove(path.Join(dir, "MANIFEST-000001"))) // as the store removes orphans
		cutFrom(t, mem, opened, acked, before, of(l))
	}
}

// The same for the very first manifest: the process that made the store was killed before
// its CURRENT was durable, the next one acknowledged an opening, and the power cut left a
// manifest that nothing named, which is damage.
func TestAFirstManifestThatMayNotBeDurableIsNotReliedOn(t *testing.T) {
	for _, effect := range []vfs.Effect{vfs.Gone, vfs.Fail} {
		mem := newCrashFS(t)
		require.Zero(t, endOf(t, mem, switchUnsynced(mem, 1, effect)))
		left := mem.Ops()
		l := mustOpen(t, mem)
		require.NotEqual(t, "MANIFEST-000001", l.Name())
		require.NoError(t, l.Append(&manifest.Edit{Opened: &manifest.Open{ID: storeUID, First: 1}}))
		cutFrom(t, mem, left, mem.Ops(), "", of(l))
	}
}

// A process was killed, or failed, between the write of a record and its sync. The next
// one wrote that record again together with its own, in one write; a power cut in the
// middle kept a sector of the second record without one of the first, which proves
// damage, and a store that had lost nothing did not open.
func TestARecordThatNobodySyncedIsNotAppendedTo(t *testing.T) {
	big := func(c string) *manifest.Edit { return &manifest.Edit{Operators: []string{strings.Repeat(c, 600)}} }
	for _, effect := range []vfs.Effect{vfs.Gone, vfs.Fail} {
		mem := newCrashFS(t)
		faults := vfs.NewFaults(mem)
		o := options(faults)
		o.RollBytes = 64 << 10
		loaded, err := manifest.Create(storeUID, o)
		require.NoError(t, err)
		l, err := manifest.OpenLog(loaded, o)
		require.NoError(t, err)
		require.NoError(t, l.Append(&manifest.Edit{Opened: &manifest.Open{ID: storeUID, First: 1}}))
		faults.Add(vfs.Rule{Kinds: vfs.OpSync, Effect: effect, Forever: true})
		require.ErrorIs(t, l.Append(big("a")), manifest.ErrUncertain)
		mem.Kill()

		left, before := mem.Ops(), loadedContents(mustLoad(t, mem))
		o.FS = mem
		l, err = manifest.OpenLog(mustLoad(t, mem), o)
		require.NoError(t, err)
		opened := mem.Ops()
		require.NoError(t, l.Append(big("b")))
		acked, after := mem.Ops(), of(l)
		cutFrom(t, mem, opened, acked, before, after)
		e := mem.Explore()
		for k := left; k < opened; k++ {
			e.AdvanceTo(k)
			for s := range e.States(vfs.StateOptions{Random: 4, Cuts: 32}) {
				mustLoad(t, s.Mem())
			}
		}
	}
}

// Only an unclean end costs a new file.
func TestAStoreThatWasClosedGoesOnInItsFile(t *testing.T) {
	mem := newCrashFS(t)
	l := mustOpen(t, mem)
	require.Equal(t, "MANIFEST-000001", l.Name())
	require.NoError(t, l.Append(&manifest.Edit{Opened: &manifest.Open{ID: storeUID, First: 1}}))
	for range 3 {
		require.NoError(t, l.Close())
		before := mem.Ops()
		l = mustOpen(t, mem)
		require.Equal(t, before, mem.Ops(), "opening writes nothing")
		require.Equal(t, "MANIFEST-000001", l.Name())
	}
	require.NoError(t, l.Append(&manifest.Edit{LastTime: 1}))
	mem.Kill() // the mark is in memory, and vouches for the record
	require.Equal(t, "MANIFEST-000001", mustOpen(t, mem).Name())
}

// A new file for a store whose end was unclean may find no space; then nothing happened.
func TestOpeningMayLackSpaceAfterAnUncleanEnd(t *testing.T) {
	mem := newCrashFS(t)
	endOf(t, mem, switchUnsynced(mem, 2, vfs.Gone))
	before := loadedContents(mustLoad(t, mem))
	faults := vfs.NewFaults(mem, vfs.Rule{Kinds: vfs.OpCreate, Err: vfs.ErrNoSpace, Glob: "MANIFEST-*"})
	_, err := open(faults)
	require.ErrorIs(t, err, vfs.ErrNoSpace)
	require.Equal(t, before, loadedContents(mustLoad(t, mem)))
	_, err = mem.Size(path.Join(dir, manifest.CurrentName))
	require.NoError(t, err)
	require.Equal(t, before, of(mustOpen(t, faults)))
}
