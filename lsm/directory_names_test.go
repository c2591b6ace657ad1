package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

func FuzzDecodeName(f *testing.F) {
	for _, s := range []scope.Scope{scope.Global(), scope.User("u"), scope.Step("w", "s"), scope.Custom(string(make([]byte, 128)))} {
		f.Add(nameValue(entryKey(s)))
	}
	f.Add([]byte{2, 1})
	f.Add([]byte{1, 7, 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := decodeName(value)
		if err == nil && !bytes.Equal(nameValue(entryKey(s)), value) {
			t.Fatalf("% x decodes as %v", value, s)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
			t.Fatalf("% x: %v", value, err)
		}
	})
}

// sides returns the entries and the names of a store, as lines that are to be equal.
func sides(t *testing.T, db *DB) (entries, names map[string]scope.ID) {
	t.Helper()
	entries, names = map[string]scope.ID{}, map[string]scope.ID{}
	for kind, side := range map[recordKind]map[string]scope.ID{recordEntry: entries, recordName: names} {
		require.NoError(t, db.eachNamed(noDeadline, kind, keys.MaxSeqNum, func(id scope.ID, form []byte) error {
			require.NotContains(t, side, string(form))
			side[string(form)] = id
			return nil
		}))
	}
	return entries, names
}

// verified returns what Verify finds in a directory.
func verified(t *testing.T, fs vfs.FS, dir string) error {
	t.Helper()
	var o Options
	o.seams = seams.Seams{FS: fs, Sizing: small()}
	r, err := Verify(noDeadline, dir, &o)
	require.NoError(t, err)
	return r.Err()
}

// Whatever is done to scopes, each id that has an entry has a name, and no other has one (D5).
func TestEntriesAndNamesAgree(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	in := func(name string) *Scope {
		sc, err := db.Scope(scope.Agent(name))
		require.NoError(t, err)
		return sc
	}
	agree := func(want ...string) {
		t.Helper()
		entries, names := sides(t, db)
		require.Equal(t, entries, names)
		require.Len(t, entries, len(want))
		for _, name := range want {
			require.Contains(t, entries, string(entryKey(scope.Agent(name))[1:]))
		}
		require.NoError(t, db.Verify(noDeadline))
	}
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, in(name).Set([]byte("k"), nil, NoSync))
	}
	agree("a", "b", "c")
	b := db.NewBatch()
	b.In(in("a")).Set([]byte("k"), nil)
	b.In(in("d")).Set([]byte("k"), nil)
	b.In(in("e")).Delete([]byte("k")) // makes none
	require.NoError(t, db.Apply(b, NoSync))
	require.NoError(t, db.Update(func(tx *Txn) error {
		f, err := tx.Scope(scope.Agent("f"))
		if err != nil {
			return err
		}
		return f.Set([]byte("k"), nil)
	}))
	agree("a", "b", "c", "d", "f")
	require.NoError(t, in("a").Drop(NoSync))
	require.NoError(t, in("b").Move(scope.Agent("moved"), NoSync))
	_, err := in("c").Copy(context.Background(), scope.Agent("copy"), NoSync)
	require.NoError(t, err)
	agree("moved", "c", "copy", "d", "f")
	require.NoError(t, in("a").Set([]byte("k"), nil, nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	agree("a", "moved", "c", "copy", "d", "f")
	require.NoError(t, db.Checkpoint(noDeadline, "copy"))
	require.NoError(t, db.Close())
	for _, dir := range []string{"db", "copy"} {
		require.NoError(t, verified(t, fs, dir))
	}
}

// Verify tells of an entry without a name and of a name without an entry, open and closed.
func TestVerifyComparesTheSidesOfTheDirectory(t *testing.T) {
	for what, key := range map[string][]byte{
		"a name is missing":  idKey(recordName, 3),
		"an entry is gone":   entryKey(scope.Agent("a")),
		"a name is too many": nil,
	} {
		t.Run(what, func(t *testing.T) {
			fs := vfs.NewMem()
			db := openSized(t, fs, Options{}, small())
			sc, err := db.Scope(scope.Agent("a"))
			require.NoError(t, err)
			require.NoError(t, sc.Set([]byte("k"), nil, nil))
			require.Equal(t, scope.ID(3), idOf(t, sc))
			require.NoError(t, db.Verify(noDeadline))
			var b dirBatch
			if b.add(keys.KindDelete, key, nil); key == nil {
				b = dirBatch{}
				b.add(keys.KindSet, idKey(recordName, 77), nameValue(entryKey(scope.Agent("b"))))
			}
			_, err = db.commitDirectory(&b, nil)
			require.NoError(t, err)
			err = db.Verify(noDeadline)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorIs(t, err, errSides)
			require.NoError(t, db.Close())
			require.ErrorIs(t, verified(t, fs, "db"), errSides)
		})
	}
}

// A directory of which parts are lost is made whole: what says of itself whose it is comes
// back, what is dead stays so, and no id has two entries.
func TestMendingADirectory(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	form := func(name string) []byte { return entryKey(scope.Agent(name)) }
	entry := func(name string, id scope.ID) { put(t, db, form(name), entryValue(id)) }
	name := func(id scope.ID, name string) { put(t, db, idKey(recordName, id), nameValue(form(name))) }
	entry("whole", 10)
	name(10, "whole")
	entry("nameless", 11)
	name(12, "lost entry")
	entry("dead entry", 13)
	put(t, db, idKey(recordDeath, 13), flagValue)
	name(14, "dead name")
	put(t, db, idKey(recordDeath, 14), flagValue)
	entry("from", 15) // it was moved; that its entry went is lost
	entry("to", 15)
	name(15, "to")
	entry("two a", 16) // likewise, and the name is lost
	entry("two b", 16)
	entry("taken", 17) // by one that has another name by now
	entry("other", 17)
	name(17, "other")
	name(18, "taken")
	name(19, "whole") // what was there before
	require.Error(t, db.Verify(noDeadline))
	require.NoError(t, db.mendDirectory(noDeadline))
	require.NoError(t, db.Verify(noDeadline))
	got := map[string]scope.ID{}
	entries, names := sides(t, db)
	for f, id := range entries {
		s, err := scope.ParseKey([]byte(f))
		require.NoError(t, err)
		got[s.ID()] = id
	}
	require.Equal(t, entries, names)
	require.Equal(t, map[string]scope.ID{
		"whole": 10, "nameless": 11, "lost entry": 12, "to": 15, "two a": 16, "other": 17, "taken": 18,
	}, got)
}

// Wherever a store is damaged, entries and names agree in what Salvage makes of it.
func TestSalvageMakesTheSidesOfTheDirectoryAgree(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{BlockBytes: 512, Compression: NoCompression}
	db := openSized(t, fs, o, small())
	for i := range 100 {
		sc, err := db.Scope(scope.Tool(fmt.Sprintf("tool-%02d", i)))
		require.NoError(t, err)
		require.NoError(t, sc.Set([]byte("k"), nil, NoSync))
		if i%7 == 0 {
			require.NoError(t, sc.Move(scope.Tool(fmt.Sprintf("moved-%02d", i)), NoSync))
		}
	}
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Close())
	o.seams = seams.Seams{FS: fs, Sizing: small()}
	lost := 0
	for _, name := range tableFiles(t, fs) {
		f, err := fs.Open("db/"+name, vfs.ReadOnly)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		require.NoError(t, f.Close())
		for off := int64(0); off < size; off += 401 {
			damaged := fs.Copy()
			f, err := damaged.Open("db/"+name, vfs.ReadWrite)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("damage"), off)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			o.seams.FS = damaged
			r, err := Salvage(noDeadline, "db", "new", &o)
			require.NoError(t, err)
			if !r.Complete() {
				lost++
			}
			require.NoError(t, verified(t, damaged, "new"), "%s damaged at %d of %d", name, off, size)
		}
	}
	require.Positive(t, lost)
}

// A difference reads the names of the scopes that have changed, and not those of the others.
func TestTheCostOfDiffFollowsNoDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &tableCountFS{FS: vfs.NewMem()}
		z := small()
		z.MemtableBytes, z.BudgetBytes, z.TableBytes = 1<<20, 8<<20, 256<<10
		o := Options{Compression: NoCompression, BlockBytes: 4096}
		db := openSized(t, fs, o, z)
		const n = 5000
		in := func(i int) *Scope {
			sc, err := db.Scope(scope.Session(fmt.Sprintf("of-somebody-%06d", i*7919%n)))
			require.NoError(t, err)
			return sc
		}
		b := db.NewBatch()
		for i := range n {
			b.In(in(i)).Set([]byte("k"), []byte("1"))
			if b.Len() == 500 {
				require.NoError(t, db.Apply(b, NoSync))
				b.Reset()
			}
		}
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		at := positionNow(t, db)
		require.NoError(t, db.SetHorizon("here", at))
		const changed = 5
		for i := range changed {
			require.NoError(t, in(i*n/changed).Set([]byte("k"), []byte("2"), NoSync))
		}
		require.NoError(t, in(n/2+1).Drop(NoSync))
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		whole := db.Metrics().DiskBytes
		require.NoError(t, db.Close())
		db = openSized(t, fs, o, z)
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		defer snap.Close()
		fs.forget()
		found := 0
		for c, err := range snap.Diff(at) {
			require.NoError(t, err)
			require.NotEqual(t, ChangeNewScope, c.Kind)
			found++
		}
		require.Equal(t, changed+1, found)
		t.Logf("%d reads, %d of %d bytes", fs.reads.Load(), fs.bytes.Load(), whole)
		// For each change a block with it and one with its name, for their tables footers and the like.
		require.LessOrEqual(t, fs.reads.Load(), int64(changed*16))
		require.Less(t, fs.bytes.Load()*3, whole)
	})
}
