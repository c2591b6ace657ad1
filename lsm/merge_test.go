package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/sstable"
	"github.com/stretchr/testify/require"
)

func requireInt(t testing.TB, want int64, v []byte, err error) {
	t.Helper()
	require.NoError(t, err)
	n, err := Int64Of(v)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

// custom is an operator of the options: it keeps the longer of two strings, refuses "no", and
// cannot work on a value that is "bad".
var custom = Operator{
	Name: "test.longest",
	Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
		if string(value) == "bad" {
			return nil, errors.New("a bad value")
		}
		for _, o := range operands {
			if len(o) > len(value) {
				value = o
			}
		}
		return append(dst, value...), nil
	},
	Check: func(operand []byte) error {
		if string(operand) == "no" {
			return errors.New("no operand")
		}
		return nil
	},
}

// Operands are folded wherever they and their base lie: both in the memtable, the base in a
// table, operands in several runs, all in one table, after reopening.
func TestOperandsAreFoldedWhereverTheyLie(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{Operators: []Operator{custom}}
	db := openSized(t, fs, o, small())
	want := int64(0)
	text := ""
	check := func() {
		t.Helper()
		v, err := db.Get([]byte("n"))
		requireInt(t, want, v, err)
		v, version, err := db.GetWithVersion([]byte("s"))
		require.NoError(t, err)
		require.Equal(t, text, string(v))
		require.LessOrEqual(t, version, Version(db.visible.load()))
		has, err := db.Has([]byte("n"))
		require.NoError(t, err)
		require.True(t, has)
		v, err = db.Get([]byte("l"))
		require.NoError(t, err)
		require.Equal(t, "longest", string(v))
		for _, reverse := range []bool{false, true} {
			var got []string
			scan := db.Scan
			if reverse {
				scan = db.ScanReverse
			}
			for e, err := range scan([]byte("a"), []byte("z")) {
				require.NoError(t, err)
				got = append(got, string(e.Key)+"="+string(e.Value))
			}
			if reverse {
				require.Equal(t, []string{"s=" + text, "n=" + string(Int64Bytes(want)), "l=longest"}, got)
			} else {
				require.Equal(t, []string{"l=longest", "n=" + string(Int64Bytes(want)), "s=" + text}, got)
			}
		}
	}
	grow := func(n int) {
		for range n {
			require.NoError(t, db.Merge(Int64Add, []byte("n"), Int64Bytes(3), NoSync))
			require.NoError(t, db.Merge(BytesAppend, []byte("s"), []byte("ab"), NoSync))
			require.NoError(t, db.Merge(custom.Name, []byte("l"), []byte("longest")[:n], NoSync))
			want, text = want+3, text+"ab"
			check()
		}
	}
	require.NoError(t, db.Merge(custom.Name, []byte("l"), []byte("longest"), nil))
	grow(1)
	for range 3 {
		grow(3)
		require.NoError(t, db.Flush(context.Background()))
		check()
	}
	grow(2)
	require.NoError(t, db.Close())
	db = openSized(t, fs, o, small())
	check()
	grow(2)
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	check()
	for _, n := range kindsOf(t, db) {
		require.NotContains(t, n, keys.KindMerge, "nothing lies below: a full value")
	}
	require.NoError(t, db.Close())
}

// kindsOf returns, for each table, how many entries it has of which kind.
func kindsOf(t testing.TB, db *DB) (out []map[keys.Kind]uint64) {
	t.Helper()
	for _, run := range db.state.Load().version.runs {
		for _, tab := range run.tables {
			r, err := tab.open()
			require.NoError(t, err)
			kinds := map[keys.Kind]uint64{}
			for k, c := range r.Properties().Kinds {
				if c.Entries > 0 {
					kinds[keys.Kind(k)] = c.Entries
				}
			}
			out = append(out, kinds)
		}
	}
	return out
}

// The version of a key is the number of its newest operand, folded or not.
func TestAMergeIsAWriteOfTheKey(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	key := []byte("k")
	require.NoError(t, db.Set(key, []byte("a"), nil))
	_, before, err := db.GetWithVersion(key)
	require.NoError(t, err)
	require.NoError(t, db.Merge(BytesAppend, key, []byte("b"), nil))
	_, after, err := db.GetWithVersion(key)
	require.NoError(t, err)
	require.Equal(t, before+1, after)
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	v, same, err := db.GetWithVersion(key)
	require.NoError(t, err)
	require.Equal(t, after, same)
	require.Equal(t, "ab", string(v))

	b := db.NewBatch()
	b.Require(key, before)
	b.Merge(BytesAppend, key, []byte("x"))
	require.ErrorIs(t, db.Apply(b, nil), ErrConflict)
	b.Reset()
	b.Require(key, after)
	b.Merge(BytesAppend, key, []byte("c"))
	require.NoError(t, db.Apply(b, nil))
	err = db.Update(func(tx *Txn) error {
		if _, err := tx.Get(key); err != nil {
			return err
		}
		require.NoError(t, db.Merge(BytesAppend, key, []byte("d"), nil))
		return tx.Set([]byte("other"), nil)
	})
	require.ErrorIs(t, err, ErrConflict, "it has read what was merged into since")
	err = db.Update(func(tx *Txn) error {
		require.NoError(t, db.Merge(BytesAppend, key, []byte("e"), nil))
		return tx.Merge(BytesAppend, key, []byte("f"))
	})
	require.NoError(t, err, "a merge reads nothing")
	v, err = db.Get(key)
	require.NoError(t, err)
	require.Equal(t, "abcdef", string(v))
	require.NoError(t, db.Close())
}

func TestOperandsAboveDeletes(t *testing.T) {
	for _, flush := range []bool{false, true} {
		db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, small())
		step := func() {
			if flush {
				require.NoError(t, db.Flush(context.Background()))
			}
		}
		key := []byte("k")
		for _, op := range []string{BytesAppend, custom.Name} {
			require.NoError(t, db.Set(key, []byte("old"), nil))
			step()
			require.NoError(t, db.DeleteRange([]byte("a"), []byte("z"), nil))
			step()
			require.NoError(t, db.Merge(op, key, []byte("1"), nil))
			v, err := db.Get(key)
			require.NoError(t, err)
			require.Equal(t, "1", string(v))
			step()
			require.NoError(t, db.Delete(key, nil))
			require.NoError(t, db.Merge(op, key, []byte("22"), nil))
			step()
			var got []string
			for e, err := range db.ScanReverse(nil, nil) {
				require.NoError(t, err)
				got = append(got, string(e.Value))
			}
			require.Equal(t, []string{"22"}, got)
			require.NoError(t, db.DeleteRange(nil, nil, nil))
			step()
			_, err = db.Get(key)
			require.ErrorIs(t, err, ErrNotFound)
		}
		require.NoError(t, db.Close())
	}
}

// Each snapshot sees what it saw: folding does not cross it.
func TestSnapshotsSeeTheOperandsOfTheirTime(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, small())
	key := []byte("k")
	require.NoError(t, db.Set(key, nil, nil))
	var snaps []*Snapshot
	const n = 3 * fold.MaxChain
	for i := range n {
		require.NoError(t, db.Merge(BytesAppend, key, []byte{byte('a' + i%26)}, NoSync))
		s, err := db.NewSnapshot()
		require.NoError(t, err)
		snaps = append(snaps, s)
		if i%20 == 19 {
			require.NoError(t, db.Flush(context.Background()))
		}
		if i == n/2 {
			require.NoError(t, db.Compact(context.Background(), nil, nil))
		}
	}
	check := func() {
		t.Helper()
		for i, s := range snaps {
			v, err := s.Get(key)
			require.NoError(t, err)
			require.Len(t, v, i+1)
			for e, err := range s.ScanReverse(nil, nil) {
				require.NoError(t, err)
				require.Equal(t, v, e.Value)
			}
		}
	}
	check()
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	check()
	longest, at := 0, 0
	for _, v := range versionsOf(t, db, key) {
		if at++; v.Kind() != keys.KindMerge {
			at = 0
		}
		longest = max(longest, at)
	}
	require.LessOrEqual(t, longest, fold.MaxChain+1, "a reader of any snapshot folds a bounded number")
	for _, s := range snaps {
		require.NoError(t, s.Close())
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.Len(t, versionsOf(t, db, key), 1)
	require.NoError(t, db.Close())
}

// versionsOf returns the trailers of the key's versions in tables, newest first.
func versionsOf(t testing.TB, db *DB, key []byte) (out []keys.Trailer) {
	t.Helper()
	ikey := append(bytes.Clone(rootPrefix), key...)
	for i := range db.state.Load().version.runs {
		var it sstable.RunIter
		it.Init(db.state.Load().version.runs[i].sources, sstable.IterOptions{})
		for ok := it.SeekGE(ikey, keys.SeekTrailer(keys.MaxSeqNum)); ok && bytes.Equal(it.Key(), ikey); ok = it.Next() {
			out = append(out, it.Trailer())
		}
		require.NoError(t, it.Close())
	}
	return out
}

// A key that is merged into without end is read in a bounded number of steps at any time, in
// the memtable, after replaying the log, and in tables; and writing to it costs no more in the
// end than in the beginning.
func TestChainsOfAHotKeyStayShort(t *testing.T) {
	z := small()
	z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes = 4<<20, 4<<20, 32<<20
	for _, op := range []string{Int64Add, BytesAppend, custom.Name} {
		t.Run(op, func(t *testing.T) {
			fs := vfs.NewMem()
			o := Options{Operators: []Operator{custom}}
			db := openSized(t, fs, o, z)
			key := []byte("hot")
			ikey := append(bytes.Clone(rootPrefix), key...)
			require.NoError(t, db.Set(key, Int64Bytes(5), nil))
			require.NoError(t, db.Flush(context.Background()))
			const n = 5000
			want := Int64Bytes(5)
			for i := range n {
				operand := Int64Bytes(1)
				switch op {
				case BytesAppend:
					operand = []byte{byte(i)}
					want = append(want, operand...)
				case custom.Name:
					operand = make([]byte, i%100)
					want = make([]byte, 99)
				default:
					want = Int64Bytes(5 + n)
				}
				require.NoError(t, db.Merge(op, key, operand, NoSync))
				require.LessOrEqual(t, chainOf(db, ikey), fold.MaxChain)
			}
			check := func() {
				t.Helper()
				require.LessOrEqual(t, chainOf(db, ikey), fold.MaxChain)
				v, err := db.Get(key)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, v), "%d bytes", len(v))
				_, version, err := db.GetWithVersion(key)
				require.NoError(t, err)
				require.Equal(t, Version(n+1), version)
			}
			check()
			if op == Int64Add {
				require.Equal(t, int64(1), db.Metrics().ChainsFolded, "from then on it is folded as it is applied")
			} else {
				require.InDelta(t, n/(fold.MaxChain-1), db.Metrics().ChainsFolded, 2)
			}
			killed := fs.Copy()
			require.NoError(t, db.Flush(context.Background()))
			check()
			require.Len(t, versionsOf(t, db, ikey[1:]), 2)
			require.NoError(t, db.Close())
			db = openSized(t, killed, o, z)
			check()
			require.NoError(t, db.Close())
			o.ReadOnly = true
			db = openSized(t, killed, o, z)
			check()
			require.NoError(t, db.Close())
		})
	}
}

// chainOf returns how many operands a Get of the key folds.
func chainOf(db *DB, ikey []byte) int {
	guard := db.readers.Enter()
	defer guard.Leave()
	c := new(fold.Chain)
	if _, err := db.collect(c, db.state.Load(), ikey, db.visible.load(), true); err != nil {
		return -1
	}
	return c.Len()
}

// Operands whose base is in no table of a merge are combined where they can be, and folded into
// what lies below when they are many.
func TestCompactionsBoundChainsWithoutTheirBase(t *testing.T) {
	z := small()
	z.L0Trigger, z.L0Slow, z.L0Stop = 2, 100, 200
	db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, z)
	fillNumbered(t, db, 4000) // a base level that level 0 is small beside
	require.NoError(t, db.Set(numbered(50), []byte("base"), NoSync))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	ikey := append(bytes.Clone(rootPrefix), numbered(50)...)
	for round := range 12 {
		for i := range 20 {
			require.NoError(t, db.Merge(custom.Name, numbered(50), make([]byte, round+i), NoSync))
		}
		require.NoError(t, db.Flush(context.Background()))
	}
	db.compactor.wake()
	require.NoError(t, db.room.wait(context.Background(), db, compacting, func() bool {
		return len(db.state.Load().version.Levels[0]) <= 3
	}))
	require.LessOrEqual(t, chainOf(db, ikey), 5*fold.MaxChain)
	v, err := db.Get(numbered(50))
	require.NoError(t, err)
	require.Len(t, v, 11+19)
	require.NoError(t, db.Close())
}

// Operands carry the time of their commit, also those that are read from the log.
func TestOperandsCarryTheTimeOfTheirCommit(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	require.NoError(t, db.Set([]byte("x"), nil, nil))
	before := db.clock.millis()
	require.NoError(t, db.Merge(BytesAppend, []byte("k"), []byte("a"), nil))
	after := db.clock.millis()
	var merged []byte
	times := func() int64 {
		for it, ok := db.state.Load().mutable.Iter(), true; ok; ok = it.Next() {
			if !it.Valid() && !it.First() {
				break
			}
			if it.Trailer().Kind() == keys.KindMerge {
				merged = bytes.Clone(it.Value())
			}
		}
		head, _ := fold.Split(merged)
		return head.Time
	}
	at := times()
	require.GreaterOrEqual(t, at, before)
	require.LessOrEqual(t, at, after)
	killed := fs.Copy()
	require.NoError(t, db.Close())
	db = openSized(t, killed, Options{}, small())
	merged = nil
	require.Equal(t, at, times())
	require.NoError(t, db.Flush(context.Background()))
	for _, run := range db.state.Load().version.runs {
		for _, tab := range run.tables {
			r, err := tab.open()
			require.NoError(t, err)
			require.True(t, r.Properties().HasMerge)
			require.Equal(t, at, r.Properties().OldestMerge)
		}
	}
	require.NoError(t, db.Close())
}

// A batch joins what it has for one key, and its size says so; what cannot be joined is
// limited.
func TestABatchJoinsOperandsOfAKey(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{Operators: []Operator{custom}}, small())
	b := db.NewBatch()
	for i := range 2000 {
		b.Merge(Int64Add, []byte("n"), Int64Bytes(1))
		b.Merge(Int64Add, fmt.Appendf(nil, "m%d", i%10), Int64Bytes(1))
	}
	require.Equal(t, 4000, b.Len())
	require.NoError(t, db.Apply(b, nil))
	require.Equal(t, 11, b.Len())
	require.Equal(t, 1, chainOf(db, append(bytes.Clone(rootPrefix), 'n')))
	require.NoError(t, db.Apply(b, nil), "again")
	v, err := db.Get([]byte("n"))
	requireInt(t, 4000, v, err)
	v, err = db.Get([]byte("m3"))
	requireInt(t, 400, v, err)
	b.Reset()
	b.Merge(Int64Add, []byte("o"), Int64Bytes(1))
	b.Set([]byte("o"), Int64Bytes(10))
	b.Merge(Int64Max, []byte("o"), Int64Bytes(3))
	b.Merge(Int64Add, []byte("o"), Int64Bytes(1))
	b.DeleteRange([]byte("n"), []byte("nn"))
	b.Merge(Int64Add, []byte("n"), Int64Bytes(1))
	require.NoError(t, db.Apply(b, nil))
	v, err = db.Get([]byte("o"))
	requireInt(t, 11, v, err)
	v, err = db.Get([]byte("n"))
	requireInt(t, 1, v, err)
	b.Reset()
	for range maxOwnOperands + 1 {
		b.Merge(custom.Name, []byte("l"), []byte("x"))
	}
	require.ErrorIs(t, db.Apply(b, nil), ErrMerge)
	_, err = db.Get([]byte("l"))
	require.ErrorIs(t, err, ErrNotFound)
	err = db.Update(func(tx *Txn) error {
		for range maxOwnOperands + 1 {
			if err := tx.Merge(custom.Name, []byte("l"), []byte("x")); err != nil {
				return err
			}
		}
		return nil
	})
	require.ErrorIs(t, err, ErrMerge)
	require.NoError(t, db.Close())
}

// A scope of which a table holds a part, and the memtable an operand on a key of its own, once
// had fewer entries by its Stats than it has.
func TestStatsCountKeysThatHaveOperandsOnly(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{BlockBytes: 512}, small())
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.NoError(t, sc.Set([]byte("large"), make([]byte, 1000), nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, sc.Merge(BytesAppend, []byte("new"), []byte("operand"), nil))
	st, err := sc.Stats()
	require.NoError(t, err)
	require.Equal(t, ScopeStats{Entries: 2, Bytes: 5 + 1000 + 3 + 7}, st)
}
