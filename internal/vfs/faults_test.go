package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// exercise makes every kind of call once, in the order of the constants, and returns
// the errors by kind.
func exercise(f vfs.FS) map[vfs.OpKind][]error {
	got := map[vfs.OpKind][]error{}
	note := func(kind vfs.OpKind, err error) { got[kind] = append(got[kind], err) }
	note(vfs.OpMkdir, f.MkdirAll("d"))
	created, err := f.Create("d/a")
	note(vfs.OpCreate, err)
	if err == nil {
		note(vfs.OpClose, created.Close())
	}
	file, err := f.Open("d/a", vfs.ReadWrite)
	note(vfs.OpOpen, err)
	if err == nil {
		_, err = file.WriteAt([]byte("0123456789"), 0)
		note(vfs.OpWrite, err)
		note(vfs.OpTruncate, file.Truncate(10))
		note(vfs.OpPreallocate, file.Preallocate(0, 100))
		note(vfs.OpSync, file.Sync())
		_, err = file.ReadAt(make([]byte, 10), 0)
		note(vfs.OpRead, err)
		_, err = file.Size()
		note(vfs.OpSize, err)
		m, err := file.Map(10, vfs.ReadWrite)
		note(vfs.OpMap, err)
		if err == nil {
			note(vfs.OpStore, m.Store(0, []byte("x")))
			note(vfs.OpLoad, m.Load(make([]byte, 5), 5))
			note(vfs.OpClose, m.Close())
		}
		note(vfs.OpClose, file.Close())
	}
	_, err = f.Size("d/a")
	note(vfs.OpSize, err)
	lock, err := f.Lock("d/LOCK", true, "me")
	note(vfs.OpLock, err)
	if err == nil {
		note(vfs.OpClose, lock.Close())
	}
	note(vfs.OpLink, f.Link("d/a", "d/b"))
	note(vfs.OpRename, f.Rename("d/b", "d/c"))
	note(vfs.OpSyncDir, f.SyncDir("d"))
	_, err = f.List("d")
	note(vfs.OpList, err)
	_, err = f.Traits("d")
	note(vfs.OpTraits, err)
	note(vfs.OpRemove, f.Remove("d/c"))
	return got
}

func TestEveryKindOfCallCanFail(t *testing.T) {
	clean := vfs.NewFaults(vfs.NewMem())
	for kind, errs := range exercise(clean) {
		require.NoError(t, errors.Join(errs...), "%s", kind)
		require.NotZero(t, clean.Count(kind, ""), "%s", kind)
	}
	for kind := vfs.OpKind(1); kind&vfs.OpAll != 0; kind <<= 1 {
		require.NotEmpty(t, kind.String())
		for _, effect := range []vfs.Effect{vfs.Fail, vfs.FailAfter} {
			f := vfs.NewFaults(vfs.NewMem())
			require.NoError(t, f.MkdirAll("d"))
			f.Add(vfs.Rule{Kinds: kind, Forever: true, Effect: effect, Err: syscall.EDQUOT})
			errs := exercise(f)[kind]
			require.NotEmpty(t, errs, "%s", kind)
			for i, err := range errs {
				require.ErrorIs(t, err, syscall.EDQUOT, "%s", kind)
				require.ErrorIs(t, err, vfs.ErrNoSpace, "%s", kind)
				require.ErrorIs(t, err, f.Fired()[i], "%s", kind)
				require.NotErrorIs(t, err, &vfs.Injected{})
				var pathErr *fs.PathError
				require.ErrorAs(t, err, &pathErr)
				mapped := kind == vfs.OpLoad || kind == vfs.OpStore
				require.Equal(t, mapped, errors.Is(err, vfs.ErrFault))
			}
			require.Len(t, f.Fired(), len(errs))
		}
	}
}

func TestFailedCallsDoNothingAndFailAfterDoes(t *testing.T) {
	for effect, want := range map[vfs.Effect]string{
		vfs.Fail: "a=0123", vfs.FailAfter: "a=yy23", vfs.Short: "a=y123",
	} {
		m := vfs.NewMem()
		create(t, m, "a", "0123")
		f := vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpWrite, Effect: effect})
		file, err := f.Open("a", vfs.ReadWrite)
		require.NoError(t, err)
		n, err := file.WriteAt([]byte("yy"), 0)
		require.Error(t, err)
		require.Equal(t, effect == vfs.Short, errors.Is(err, io.ErrShortWrite))
		require.Equal(t, map[vfs.Effect]int{vfs.FailAfter: 2, vfs.Short: 1}[effect], n)
		require.Equal(t, want, dump(t, m))

		stored, err := file.Map(4, vfs.ReadWrite)
		require.NoError(t, err)
		m2 := vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpStore, Effect: effect})
		file2, err := m2.Open("a", vfs.ReadWrite)
		require.NoError(t, err)
		mapped, err := file2.Map(4, vfs.ReadWrite)
		require.NoError(t, err)
		require.NoError(t, stored.Store(0, []byte("0123")))
		require.Error(t, mapped.Store(0, []byte("yy")))
		require.Equal(t, want, dump(t, m))
	}
	m := vfs.NewMem()
	f := vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpCreate, Effect: vfs.FailAfter})
	_, err := f.Create("a")
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, "a=", dump(t, m))
}

func TestReadFaults(t *testing.T) {
	m := vfs.NewMem()
	create(t, m, "a", "0123")
	read := func(r vfs.Rule) (string, *vfs.Faults, error) {
		r.Kinds = vfs.OpRead
		f := vfs.NewFaults(m, r)
		file, err := f.Open("a", vfs.ReadOnly)
		require.NoError(t, err)
		p := make([]byte, 4)
		n, err := file.ReadAt(p, 0)
		return string(p[:n]), f, err
	}
	got, _, err := read(vfs.Rule{})
	require.ErrorIs(t, err, syscall.EIO)
	require.Empty(t, got)
	got, _, err = read(vfs.Rule{Effect: vfs.Short})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, "01", got)
	got, _, err = read(vfs.Rule{Effect: vfs.Short, Err: io.EOF})
	require.Equal(t, io.EOF, err)
	require.Equal(t, "01", got)
	got, f, err := read(vfs.Rule{Effect: vfs.Flip, Bit: 8*4 + 9})
	require.NoError(t, err)
	require.Equal(t, "0323", got)
	require.Len(t, f.Fired(), 1)
	require.Equal(t, vfs.Flip, f.Fired()[0].Effect)

	f = vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpLoad, Effect: vfs.Flip, Bit: 0})
	file, err := f.Open("a", vfs.ReadOnly)
	require.NoError(t, err)
	mapped, err := file.Map(4, vfs.ReadOnly)
	require.NoError(t, err)
	p := make([]byte, 2)
	require.NoError(t, mapped.Load(p, 2))
	require.Equal(t, "33", string(p))
	require.NoError(t, mapped.Load(p, 2))
	require.Equal(t, "23", string(p))
}

func TestRulesChooseCalls(t *testing.T) {
	m := vfs.NewMem()
	require.NoError(t, m.MkdirAll("d"))
	create(t, m, "d/1.log", "x")
	create(t, m, "d/2.tab", "x")
	size := func(f *vfs.Faults, name string) bool { _, err := f.Size(name); return err == nil }

	f := vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpSize, Glob: "*.log", Skip: 1})
	require.True(t, size(f, "d/1.log"))
	require.True(t, size(f, "d/2.tab"))
	require.False(t, size(f, "d/1.log"))
	require.True(t, size(f, "d/1.log"), "once only")
	require.Equal(t, 3, f.Count(vfs.OpSize, "*.log"))
	require.Equal(t, 4, f.Count(vfs.OpAll, "d/*"))
	require.Zero(t, f.Count(vfs.OpRead, ""))
	require.Zero(t, f.Count(vfs.OpAll, "[")) // malformed

	f = vfs.NewFaults(m, vfs.Rule{Glob: "d/*.tab", Forever: true})
	for range 3 {
		require.False(t, size(f, "d/2.tab"))
	}
	require.True(t, size(f, "d/1.log"))
	f.Clear()
	require.True(t, size(f, "d/2.tab"))
	require.Len(t, f.Fired(), 3)
	require.Equal(t, vfs.Call{Kind: vfs.OpSize, Path: "d/2.tab"}, f.Fired()[0].Call)

	f = vfs.NewFaults(m, vfs.Rule{When: func(c vfs.Call) bool { return c.To == "d/3" }})
	require.NoError(t, f.Link("d/1.log", "d/4"))
	require.Error(t, f.Link("d/1.log", "d/3"))

	f = vfs.NewFaults(m, vfs.Rule{Glob: "5", Kinds: vfs.OpRename})
	require.Error(t, f.Rename("d/4", "d/5"), "the second path counts")
	require.NoError(t, f.Rename("d/4", "d/5"))

	// The first rule that applies decides; the second saw the call and is used up later.
	f = vfs.NewFaults(m, vfs.Rule{Err: syscall.EROFS}, vfs.Rule{Skip: 1, Err: syscall.EMFILE})
	_, err := f.Size("d/5")
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = f.Size("d/5")
	require.ErrorIs(t, err, syscall.EMFILE)
	require.True(t, size(f, "d/5"))
}

func TestFailedCloseClosesNevertheless(t *testing.T) {
	m := vfs.NewMem()
	create(t, m, "a", "x")
	f := vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpClose})
	file, err := f.Open("a", vfs.ReadOnly)
	require.NoError(t, err)
	require.ErrorIs(t, file.Close(), syscall.EIO)
	_, err = file.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, fs.ErrClosed)

	f = vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpLock, Effect: vfs.FailAfter}, vfs.Rule{Kinds: vfs.OpClose})
	_, err = f.Lock("LOCK", true, "me")
	require.Error(t, err)
	lock, err := f.Lock("LOCK", true, "me") // nobody was left holding it
	require.NoError(t, err)
	require.Error(t, lock.Close())
	_, err = f.Lock("LOCK", true, "me")
	require.NoError(t, err)
}

func TestFaultsAreReadable(t *testing.T) {
	m := vfs.NewMem()
	create(t, m, "a", "x")
	f := vfs.NewFaults(m, vfs.Rule{Kinds: vfs.OpLink, Err: syscall.ENOSPC}, vfs.Rule{Kinds: vfs.OpRead, Effect: vfs.Flip})
	require.EqualError(t, f.Link("a", "b"), "link a to b: injected: "+syscall.ENOSPC.Error())
	require.Equal(t, "link a to b", f.Fired()[0].Call.String())
	read(t, f, "a")
	require.Equal(t, "read a [0,1)", f.Fired()[1].Call.String())
	require.EqualError(t, f.Fired()[1], "injected flip of a bit")
	require.Equal(t, "read+load", vfs.OpReads.String())
	require.EqualError(t, &vfs.LockedError{Name: "L"}, "vfs: L is locked")
	require.EqualError(t, &vfs.LockedError{Name: "L", Holder: "me"}, "vfs: L is locked by me")
}
