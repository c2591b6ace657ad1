package lsm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// positionNow returns the position of what is visible.
func positionNow(t *testing.T, db *DB) Position {
	t.Helper()
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	p, err := snap.Position()
	require.NoError(t, err)
	return p
}

// changesOf lists what has changed since a position, a line for each change.
func changesOf(t *testing.T, db *DB, from Position) string {
	t.Helper()
	out, err := tryChanges(db, from)
	require.NoError(t, err)
	return out
}

func tryChanges(db *DB, from Position) (string, error) {
	snap, err := db.NewSnapshot()
	if err != nil {
		return "", err
	}
	defer snap.Close()
	var b strings.Builder
	for c, err := range snap.Diff(from) {
		if err != nil {
			return "", err
		}
		b.WriteString(showChange(c) + "\n")
	}
	return b.String(), nil
}

func showChange(c Change) string {
	in := ""
	if c.Scope != (scope.Scope{}) {
		in = c.Scope.String() + " "
	}
	switch c.Kind {
	case ChangeSet:
		return fmt.Sprintf("%sset %s=%s", in, c.Key, c.Value)
	case ChangeDelete:
		return fmt.Sprintf("%sdelete %s", in, c.Key)
	case ChangeDeleteRange:
		upper := string(c.Upper)
		if c.Upper == nil {
			upper = "*"
		}
		return fmt.Sprintf("%sdelete [%s, %s)", in, c.Key, upper)
	}
	return in + c.Kind.String()
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

func setAll(t *testing.T, db *DB, pairs ...string) {
	t.Helper()
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		require.NoError(t, db.Set([]byte(k), []byte(v), NoSync))
	}
}

func deleteAll(t *testing.T, db *DB, ks ...string) {
	t.Helper()
	for _, k := range ks {
		require.NoError(t, db.Delete([]byte(k), NoSync))
	}
}

// everywhere runs a test with what was written in memtables, in tables, and in merged ones.
func everywhere(t *testing.T, f func(t *testing.T, db *DB, move func())) {
	for name, move := range map[string]func(*DB) error{
		"memtable": func(*DB) error { return nil },
		"tables":   func(db *DB) error { return db.Flush(context.Background()) },
		"merged": func(db *DB) error {
			// A snapshot at the beginning keeps every deletion.
			return errors.Join(db.Flush(context.Background()), db.Compact(context.Background(), nil, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			db := openSized(t, fs, Options{}, small())
			first, err := db.NewSnapshot()
			require.NoError(t, err)
			t.Cleanup(func() { _ = first.Close() })
			f(t, db, func() { require.NoError(t, move(db)) })
		})
	}
}

// What was set, overwritten and deleted since is yielded once, as it is now; what was not
// touched is not.
func TestDiffYieldsNetChanges(t *testing.T) {
	everywhere(t, func(t *testing.T, db *DB, move func()) {
		setAll(t, db, "a=1", "b=1", "c=1", "d=1")
		move()
		at := positionNow(t, db)
		require.Empty(t, changesOf(t, db, at))
		setAll(t, db, "b=2", "b=3", "e=1")
		deleteAll(t, db, "c", "e")
		move()
		setAll(t, db, "f=1")
		require.Equal(t, lines("set b=3", "delete c", "delete e", "set f=1"), changesOf(t, db, at))
		require.Equal(t, lines("set a=1", "set b=3", "set d=1", "set f=1"), changesOf(t, db, Position{}))
	})
}

// A deleted range comes before the keys that were set in it afterwards; ranges that touch are
// one, and what a range has deleted is not yielded again by key.
func TestDiffYieldsDeletedRangesThenWhatLiesAbove(t *testing.T) {
	everywhere(t, func(t *testing.T, db *DB, move func()) {
		setAll(t, db, "a=1", "b=1", "c=1", "d=1", "e=1", "x=1")
		move()
		at := positionNow(t, db)
		setAll(t, db, "bb=2")
		require.NoError(t, db.DeleteRange([]byte("b"), []byte("c"), NoSync))
		move()
		require.NoError(t, db.DeleteRange([]byte("c"), []byte("e"), NoSync))
		setAll(t, db, "c=3", "e=4")
		deleteAll(t, db, "d")
		move()
		require.Equal(t, lines("delete [b, e)", "set c=3", "set e=4"), changesOf(t, db, at))
		then := positionNow(t, db)
		require.NoError(t, db.DeleteRange([]byte("e"), nil, NoSync))
		move()
		require.Equal(t, lines("delete [e, *)"), changesOf(t, db, then))
		require.Equal(t, lines("delete [b, *)", "set c=3"), changesOf(t, db, at))
		require.NoError(t, db.DeleteRange(nil, nil, NoSync))
		require.Equal(t, lines("delete [, *)"), changesOf(t, db, at))
		require.Empty(t, changesOf(t, db, Position{}))
	})
}

// A scope that was dropped and made again, moved or copied since is yielded whole, one that
// is gone as gone; what is within others is yielded by key. Nothing is told of ids that have
// no name.
func TestDiffYieldsRenewedScopesWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, db *DB, move func()) {
		in := func(name string, pairs ...string) *Scope {
			sc, err := db.Scope(scope.Agent(name))
			require.NoError(t, err)
			for _, p := range pairs {
				k, v, _ := strings.Cut(p, "=")
				require.NoError(t, sc.Set([]byte(k), []byte(v), NoSync))
			}
			return sc
		}
		same, renewed, moved, gone := in("same", "k=1", "l=1"), in("renewed", "k=1", "l=1"), in("moved", "k=1"), in("gone", "k=1")
		copied := in("copied", "k=1")
		setAll(t, db, "root=1")
		move()
		at := positionNow(t, db)
		in("same", "l=2", "m=2")
		require.NoError(t, same.Delete([]byte("k"), NoSync))
		require.NoError(t, renewed.Drop(NoSync))
		in("renewed", "z=9")
		require.NoError(t, moved.Move(scope.Agent("there"), NoSync))
		require.NoError(t, gone.Drop(NoSync))
		_, err := copied.Copy(context.Background(), scope.Agent("copy"), NoSync)
		require.NoError(t, err)
		in("short", "k=1")
		short, err := db.Scope(scope.Agent("short"))
		require.NoError(t, err)
		require.NoError(t, short.Drop(NoSync))
		setAll(t, db, "root=2")
		move()
		require.Equal(t, lines("set root=2",
			"agent:copy new scope", "agent:gone drop scope", "agent:moved drop scope", "agent:renewed new scope",
			"agent:short drop scope", "agent:there new scope",
			"agent:same delete k", "agent:same set l=2", "agent:same set m=2",
			"agent:there set k=1", "agent:renewed set z=9", "agent:copy set k=1"), changesOf(t, db, at))

		for name, want := range map[string]string{
			"same":    lines("agent:same delete k", "agent:same set l=2", "agent:same set m=2"),
			"renewed": lines("agent:renewed new scope", "agent:renewed set z=9"),
			"moved":   lines("agent:moved drop scope"),
			"there":   lines("agent:there new scope", "agent:there set k=1"),
			"copied":  "\n",
			"never":   "\n",
		} {
			sc, err := db.Scope(scope.Agent(name))
			require.NoError(t, err)
			var got []string
			for c, err := range sc.Diff(at) {
				require.NoError(t, err)
				got = append(got, showChange(c))
			}
			require.Equal(t, want, lines(got...), name)
		}
	})
}

// Ids are looked for in the directory some at a time.
func TestDiffOverManyScopes(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	n := 300
	name := func(i int) scope.Scope { return scope.Session(fmt.Sprintf("%04d", i*7919%n)) }
	for i := range n {
		sc, err := db.Scope(name(i))
		require.NoError(t, err)
		require.NoError(t, sc.Set([]byte("k"), []byte("1"), NoSync))
	}
	at := positionNow(t, db)
	for i := 0; i < n; i += 3 {
		sc, err := db.Scope(name(i))
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, sc.Drop(NoSync))
		}
		require.NoError(t, sc.Set([]byte("k"), []byte("2"), NoSync))
	}
	whole := func(limit int) (out []string) {
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		defer snap.Close()
		v, err := snap.newDiffView(at)
		require.NoError(t, err)
		defer v.close()
		v.limit = limit
		require.NoError(t, v.store(func(c Change) bool {
			out = append(out, showChange(c))
			return true
		}))
		return out
	}
	want := whole(maxDiffScopes)
	require.Len(t, want, n/3+n/6)
	for _, limit := range []int{1, 2, 7, 64} {
		require.Equal(t, want, whole(limit))
	}
}

// The loop may end early, and differences hold while what they are read from is replaced.
func TestDiffEndsEarlyAndLetsGo(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	for i := range 100 {
		setAll(t, db, fmt.Sprintf("k%03d=1", i))
	}
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	n := 0
	for _, err := range snap.Diff(Position{}) {
		require.NoError(t, err)
		require.Equal(t, 1, db.Metrics().Iterators)
		if n++; n == 50 {
			require.NoError(t, db.Flush(context.Background()))
		}
		if n == 60 {
			break
		}
	}
	require.Zero(t, db.Metrics().Iterators)
	seq := snap.Diff(Position{})
	require.NoError(t, snap.Close())
	require.NoError(t, db.Close())
	for _, err := range seq {
		require.ErrorIs(t, err, ErrClosed)
	}
}

// tableCountFS counts what is read of tables.
type tableCountFS struct {
	vfs.FS
	reads, bytes atomic.Int64
}

// forget begins to count anew, once the background has read what it reads first.
func (c *tableCountFS) forget() {
	synctest.Wait()
	c.reads.Store(0)
	c.bytes.Store(0)
}

func (c *tableCountFS) Open(name string, mode vfs.OpenMode) (vfs.File, error) {
	f, err := c.FS.Open(name, mode)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &tableCountFile{f, c}, nil
}

func (c *tableCountFS) Traits(dir string) (vfs.Traits, error) { return vfs.Traits{}, nil }

type tableCountFile struct {
	vfs.File
	c *tableCountFS
}

func (f *tableCountFile) ReadAt(p []byte, off int64) (int, error) {
	f.c.reads.Add(1)
	f.c.bytes.Add(int64(len(p)))
	return f.File.ReadAt(p, off)
}

// A difference reads the blocks that hold a change, their tables' indexes, and no more,
// however large the store is and wherever merges have put the changes.
func TestTheCostOfDiffFollowsTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &tableCountFS{FS: vfs.NewMem()}
		z := small()
		z.MemtableBytes, z.BudgetBytes, z.TableBytes = 1<<20, 8<<20, 256<<10
		o := Options{Compression: NoCompression, BlockBytes: 4096}
		db := openSized(t, fs, o, z)
		const n = 20_000
		b := db.NewBatch()
		for i := range n {
			b.Set(fmt.Appendf(nil, "key-%06d", i), make([]byte, 100))
			if b.Len() == 1000 {
				require.NoError(t, db.Apply(b, NoSync))
				b.Reset()
			}
		}
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		at := positionNow(t, db)
		const changed = 5
		for i := range changed {
			require.NoError(t, db.Set(fmt.Appendf(nil, "key-%06d", i*n/changed), []byte("new"), NoSync))
		}
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
			require.Equal(t, ChangeSet, c.Kind)
			found++
		}
		require.Equal(t, changed, found)
		t.Logf("%d reads, %d of %d bytes", fs.reads.Load(), fs.bytes.Load(), whole)
		// For each change a block, for each of their tables a footer, properties, index and the like.
		require.LessOrEqual(t, fs.reads.Load(), int64(changed*12))
		require.Less(t, fs.bytes.Load()*10, whole)
		fs.forget()
		require.Empty(t, changesOf(t, db, positionNow(t, db)))
		require.Zero(t, fs.reads.Load(), "nothing has changed")
	})
}

// errors of Diff are yielded once.
func TestDiffYieldsOneError(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	n := 0
	for c, err := range snap.Diff(Position{seq: 9}) {
		require.True(t, errors.Is(err, ErrDiverged))
		require.Equal(t, Change{}, c)
		n++
	}
	require.Equal(t, 1, n)
	require.Equal(t, "set", ChangeSet.String())
	require.Equal(t, "change(77)", ChangeKind(77).String())
}

// Differences are read while others write, flush and merge.
func TestDiffBesideWriters(t *testing.T) {
	z := small()
	z.SettleAfter = time.Millisecond
	db := openSized(t, vfs.NewMem(), Options{}, z)
	at := Position{}
	have := map[string]string{}
	done := make(chan error)
	stop := make(chan struct{})
	go func() {
		var err error
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			k := fmt.Appendf(nil, "k%03d", i*31%500)
			switch i % 7 {
			case 3:
				err = db.Delete(k, NoSync)
			case 5:
				err = db.DeleteRange(k, append(k[:3:3], 'z'), NoSync)
			default:
				err = db.Set(k, fmt.Append(nil, i), NoSync)
			}
		}
		done <- err
	}()
	for range 40 {
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		to, err := snap.Position()
		require.NoError(t, err)
		for c, err := range snap.Diff(at) {
			require.NoError(t, err)
			switch c.Kind {
			case ChangeSet:
				have[string(c.Key)] = string(c.Value)
			case ChangeDelete:
				delete(have, string(c.Key))
			case ChangeDeleteRange:
				for k := range have {
					if k >= string(c.Key) && (c.Upper == nil || k < string(c.Upper)) {
						delete(have, k)
					}
				}
			}
		}
		want := map[string]string{}
		for e, err := range snap.Scan(nil, nil) {
			require.NoError(t, err)
			want[string(e.Key)] = string(e.Value)
		}
		require.Equal(t, want, have)
		// Only now: a horizon that moves before what is since the last one has
		// been read gives that history up, and a merge may take it at once.
		require.NoError(t, db.SetHorizon("h", to))
		require.NoError(t, snap.Close())
		at = to
	}
	close(stop)
	require.NoError(t, <-done)
}
