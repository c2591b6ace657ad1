package lsm

import (
	"context"
	"errors"
	"iter"
	"slices"
	"syscall"
	"testing"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// An operand that its operator refuses, or that is too long, is not written, by any way in.
func TestWhatIsNoOperandIsNotWritten(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, small())
	refused := func(err error, operator string) {
		t.Helper()
		var merge *MergeError
		require.ErrorAs(t, err, &merge)
		require.ErrorIs(t, err, ErrMerge)
		require.Equal(t, operator, merge.Operator)
		require.ErrorContains(t, err, operator)
	}
	refused(db.Merge(Int64Add, []byte("k"), []byte("seven b"), nil), Int64Add)
	refused(db.Merge(custom.Name, []byte("k"), []byte("no"), nil), custom.Name)
	b := db.NewBatch()
	b.Set([]byte("k"), nil)
	b.Merge(Int64Max, []byte("k"), nil)
	refused(db.Apply(b, nil), Int64Max)
	err := db.Update(func(tx *Txn) error {
		err := tx.Merge(Int64Add, []byte("k"), nil)
		refused(err, Int64Add)
		return nil // the transaction cannot commit all the same
	})
	refused(err, Int64Add)
	var unknown *UnknownOperatorError
	require.ErrorAs(t, db.Merge("nobody's", []byte("k"), nil, nil), &unknown)
	require.Equal(t, &UnknownOperatorError{Name: "nobody's", ID: uint32(fold.IDOf("nobody's"))}, unknown)
	require.ErrorContains(t, unknown, "nobody's")
	b.Reset()
	b.Merge("nobody's", []byte("k"), nil)
	require.ErrorAs(t, db.Apply(b, nil), &unknown)
	require.ErrorAs(t, db.Update(func(tx *Txn) error { return tx.Merge("nobody's", []byte("k"), nil) }), &unknown)
	require.ErrorIs(t, db.Merge(BytesAppend, make([]byte, 70_000), nil, nil), ErrTooLarge)
	require.ErrorIs(t, db.Update(func(tx *Txn) error { return tx.Merge(BytesAppend, make([]byte, 70_000), nil) }), ErrTooLarge)
	has, err := db.Has([]byte("k"))
	require.NoError(t, err)
	require.False(t, has)
	require.ErrorIs(t, db.View(func(tx *Txn) error { return tx.Merge(BytesAppend, []byte("k"), nil) }), ErrReadOnly)
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.Merge(BytesAppend, []byte("k"), nil, nil), ErrClosed)
	_, err = Int64Of(nil)
	require.ErrorIs(t, err, ErrMerge)
}

// A value that the operator cannot work on is kept, with the operands above it, and told to
// whoever reads the key, now and after all merges; a Set, or a Delete, goes on from there. The
// operands do not pile up without end.
func TestAValueThatCannotBeMergedIntoIsKept(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, small())
	key := []byte("k")
	bad := func() {
		t.Helper()
		_, err := db.Get(key)
		require.ErrorIs(t, err, ErrMerge)
		_, err = db.Has(key)
		require.ErrorIs(t, err, ErrMerge)
		for _, scan := range []func(lower, upper []byte) (err error){
			func(lower, upper []byte) (err error) {
				for _, e := range db.Scan(lower, upper) {
					err = errors.Join(err, e)
				}
				return err
			},
			func(lower, upper []byte) (err error) {
				for _, e := range db.ScanReverse(lower, upper) {
					err = errors.Join(err, e)
				}
				return err
			},
		} {
			require.ErrorIs(t, scan(nil, nil), ErrMerge)
			require.NoError(t, scan([]byte("l"), nil))
		}
		err = db.View(func(tx *Txn) error { _, err := tx.Get(key); return err })
		require.ErrorIs(t, err, ErrMerge)
	}
	require.NoError(t, db.Set([]byte("z"), nil, nil))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, db.Set(key, []byte("bad"), nil))
	require.NoError(t, db.Merge(custom.Name, key, []byte("longer"), nil))
	bad()
	require.NoError(t, db.Flush(context.Background()))
	bad()
	require.NoError(t, snap.Close())
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	bad()
	require.Positive(t, db.Metrics().ChainsUnfolded)
	written := 0
	for err = nil; err == nil && written < 1000; written++ {
		err = db.Merge(custom.Name, key, []byte("x"), NoSync)
	}
	require.ErrorIs(t, err, ErrMerge)
	require.LessOrEqual(t, written, fold.MaxChain+1)
	require.NoError(t, db.Set(key, []byte("good"), nil))
	require.NoError(t, db.Merge(custom.Name, key, []byte("longer"), nil))
	v, err := db.Get(key)
	require.NoError(t, err)
	require.Equal(t, "longer", string(v))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.NoError(t, db.Close())
}

// A loop gets the error with the key of a value that nobody can read, and goes on: one key cannot end it for
// all the others. Iterators tell before the value is asked for.
func TestWhatCannotBeFoldedEndsNoLoop(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, small())
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	for _, key := range []string{"a", "bad", "c", "worse", "z"} {
		require.NoError(t, sc.Set([]byte(key), []byte("bad"), nil))
	}
	require.NoError(t, sc.Merge(custom.Name, []byte("bad"), []byte("longer"), nil))
	check := func(seq iter.Seq2[Entry, error], want ...string) {
		t.Helper()
		var met []string
		for e, err := range seq {
			if err != nil {
				require.ErrorIs(t, err, ErrMerge)
				e.Value = []byte("!")
			}
			met = append(met, string(e.Key)+"="+string(e.Value))
		}
		require.Equal(t, want, met)
	}
	all := []string{"a=bad", "bad=!", "c=bad", "worse=bad", "z=bad"}
	look := func() {
		t.Helper()
		check(sc.Scan(nil, nil), all...)
		back := slices.Clone(all)
		slices.Reverse(back)
		check(sc.ScanReverse(nil, nil), back...)
		var changed []string
		for c, err := range sc.Diff(Position{}) {
			if c.Kind == ChangeSet {
				require.Equal(t, string(c.Key) == "bad", errors.Is(err, ErrMerge), string(c.Key))
				changed = append(changed, string(c.Key))
			}
		}
		require.Len(t, changed, len(all))
		err := sc.Update(func(tx *Txn) error { // which also adds one of its own
			if err := tx.Merge(custom.Name, []byte("worse"), []byte("longer")); err != nil {
				return err
			}
			if err := tx.Merge(custom.Name, []byte("bad"), []byte("longer")); err != nil {
				return err
			}
			check(tx.Scan(nil, nil), "a=bad", "bad=!", "c=bad", "worse=!", "z=bad")
			check(tx.ScanReverse(nil, nil), "z=bad", "worse=!", "c=bad", "bad=!", "a=bad")
			it, err := tx.NewIter(nil)
			require.NoError(t, err)
			require.True(t, it.SeekGE([]byte("w")))
			require.ErrorIs(t, it.Unreadable(), ErrMerge)
			require.Nil(t, it.Value())
			require.False(t, it.Next())
			require.ErrorIs(t, it.Close(), ErrMerge)
			return errStopped
		})
		require.ErrorIs(t, err, errStopped)
	}
	look()
	require.NoError(t, db.Flush(context.Background()))
	look()
	require.NoError(t, sc.Delete([]byte("bad"), nil))
	for _, err := range sc.Scan(nil, nil) {
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
}

// Without its operator a store opens, and everything that does not have to fold a key of it
// goes on, and passes its operands on; with the operator, all are there again.
func TestOperandsOfAnUnknownOperatorPassThrough(t *testing.T) {
	fs := vfs.NewMem()
	with := Options{Operators: []Operator{custom}}
	db := openSized(t, fs, with, small())
	key := []byte("k")
	require.NoError(t, db.Set(key, []byte("base"), nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Merge(custom.Name, key, []byte("longer"), nil))
	require.NoError(t, db.Merge(custom.Name, []byte("alone"), []byte("x"), nil))
	require.NoError(t, db.Close())

	db = openSized(t, fs, Options{}, small())
	unknown := func(err error) {
		t.Helper()
		var u *UnknownOperatorError
		require.ErrorAs(t, err, &u)
		require.Equal(t, custom.Name, u.Name)
	}
	check := func() {
		t.Helper()
		_, err := db.Get(key)
		unknown(err)
		it, err := db.NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.SeekGE([]byte("b")))
		unknown(it.Unreadable())
		require.Nil(t, it.Value(), "which ends it")
		unknown(it.Err())
		unknown(it.Close())
		it, err = db.NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.SeekLT([]byte("l")))
		require.Equal(t, key, it.Key())
		unknown(it.Unreadable())
		require.NoError(t, it.Close())
	}
	check()
	unknown(db.Merge(custom.Name, key, []byte("y"), nil))
	require.NoError(t, db.Merge(BytesAppend, key, []byte("!"), nil), "above them, others can be written")
	check()
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	check()
	require.NoError(t, db.Verify(context.Background()))
	require.NoError(t, db.Set([]byte("other"), []byte("v"), nil))
	require.NoError(t, db.Checkpoint(context.Background(), "checkpoint"))
	require.NoError(t, db.Close())
	o := Options{}
	o.seams = sized(fs)
	_, err := Salvage(context.Background(), "db", "salvaged", &o)
	require.NoError(t, err)
	for _, dir := range []string{"db", "checkpoint", "salvaged"} {
		o := with
		o.seams = sized(fs)
		db, err := Open(dir, &o)
		require.NoError(t, err, dir)
		v, err := db.Get(key)
		require.NoError(t, err, dir)
		require.Equal(t, "longer!", string(v), dir)
		v, err = db.Get([]byte("alone"))
		require.NoError(t, err, dir)
		require.Equal(t, "x", string(v), dir)
		require.NoError(t, db.Close())
	}
}

// Salvage takes operands from the log with the time of their commit.
func TestSalvageBringsOperandsAlong(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	before := db.clock.millis()
	require.NoError(t, db.Merge(Int64Add, []byte("n"), Int64Bytes(2), nil))
	require.NoError(t, db.Merge(BytesAppend, []byte("s"), []byte("a"), nil))
	killed := fs.Copy()
	require.NoError(t, db.Close())
	o := Options{}
	o.seams = sized(killed)
	_, err := Salvage(context.Background(), "db", "salvaged", &o)
	require.NoError(t, err)
	db, err = Open("salvaged", &o)
	require.NoError(t, err)
	v, err := db.Get([]byte("n"))
	requireInt(t, 2, v, err)
	for _, run := range db.state.Load().version.runs {
		for _, tab := range run.tables {
			r, err := tab.open()
			require.NoError(t, err)
			require.GreaterOrEqual(t, r.Properties().OldestMerge, before)
		}
	}
	require.NoError(t, db.Close())
}

func TestOperatorsThatCannotBeUsed(t *testing.T) {
	named := func(name string) Operator { return Operator{Name: name, Fold: custom.Fold} }
	for name, ops := range map[string][]Operator{
		"no name": {named("")}, "twice": {named("a"), named("a")}, "built in": {named(Int64Add)}, "no fold": {{Name: "a"}},
	} {
		_, err := Open("db", &Options{InMemory: true, Operators: ops})
		require.ErrorIs(t, err, ErrInvalidOptions, name)
	}
	// Two names with one id, which 2^17 random names have with a fair chance, are refused, also
	// where one of them is only known from operands.
	ids := map[fold.ID]string{}
	var a, b string
	for i := 0; a == ""; i++ {
		name := string(numbered(i))
		if other, ok := ids[fold.IDOf(name)]; ok {
			a, b = other, name
		}
		ids[fold.IDOf(name)] = name
	}
	_, err := Open("db", &Options{InMemory: true, Operators: []Operator{named(a), named(b)}})
	require.ErrorIs(t, err, ErrInvalidOptions)
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{Operators: []Operator{named(a)}}, small())
	require.NoError(t, db.Merge(a, []byte("k"), []byte("x"), nil))
	require.NoError(t, db.Close())
	o := Options{Operators: []Operator{named(b)}}
	o.seams = sized(fs)
	_, err = Open("db", &o)
	require.ErrorIs(t, err, ErrInvalidOptions)
}

// The name of an operator is on the device before its first operand: without room for it, or
// on a store that has failed, nothing is written.
func TestAnOperatorIsRecordedBeforeItsOperands(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	db := openSized(t, faults, Options{}, small())
	require.NoError(t, db.Set([]byte("x"), nil, nil))
	faults.Add(vfs.Rule{Kinds: vfs.OpWrite | vfs.OpCreate | vfs.OpPreallocate, Glob: "MANIFEST*", Forever: true, Err: syscall.ENOSPC})
	err := db.Merge(Int64Add, []byte("n"), Int64Bytes(1), nil)
	require.ErrorIs(t, err, ErrNoSpace)
	_, err = db.Get([]byte("n"))
	require.ErrorIs(t, err, ErrNotFound)
	faults.Clear()
	require.NoError(t, db.Merge(Int64Add, []byte("n"), Int64Bytes(1), nil))
	require.Equal(t, []string{Int64Add}, db.manifestLog.State().Operators)
	require.NoError(t, db.Merge(Int64Max, []byte("n"), Int64Bytes(1), nil))
	require.Equal(t, []string{Int64Add, Int64Max}, db.manifestLog.State().Operators)
	faults.Add(vfs.Rule{Kinds: vfs.OpSync, Glob: "MANIFEST*", Err: errors.New("broken")})
	require.ErrorIs(t, db.Merge(Int64Min, []byte("n"), Int64Bytes(1), nil), ErrPoisoned)
	require.ErrorIs(t, db.Merge(Int64Add, []byte("n"), Int64Bytes(1), nil), ErrPoisoned)
	_ = db.Close()
}
