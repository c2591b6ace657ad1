package lsm_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// plainAppend appends as the built-in operator does, but cannot join operands.
var plainAppend = lsm.Operator{Name: "test.append", Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
	dst = append(dst, value...)
	for _, o := range operands {
		dst = append(dst, o...)
	}
	return dst, nil
}}

// counter returns the key of an integer.
func (r *run) counter() string { return fmt.Sprintf("n%03d", r.rnd.IntN(12)) }

// merge merges into a random key, and into the model.
func (r *run) merge(m model, merge func(op string, key, operand []byte)) {
	switch r.rnd.IntN(4) {
	case 0:
		k, v := r.key(), r.value()
		merge(lsm.BytesAppend, []byte(k), []byte(v))
		m[k] += v
	case 1:
		k, v := r.key(), fmt.Sprint(r.rnd.IntN(100))
		merge(plainAppend.Name, []byte(k), []byte(v))
		m[k] += v
	default:
		k, n := r.counter(), int64(r.rnd.IntN(1000)-300)
		op, have := lsm.Int64Add, int64(0)
		old, ok := m[k]
		if ok {
			have, _ = lsm.Int64Of([]byte(old))
		}
		want := have + n
		switch r.rnd.IntN(6) {
		case 0:
			op, want = lsm.Int64Max, max(have, n)
		case 1:
			op, want = lsm.Int64Min, min(have, n)
		}
		if !ok {
			want = n
		}
		merge(op, []byte(k), lsm.Int64Bytes(n))
		m[k] = string(lsm.Int64Bytes(want))
	}
}

func (r *run) mergeStep() {
	switch r.rnd.IntN(12) {
	case 0:
		b := r.db.NewBatch()
		after := maps.Clone(r.model)
		for range r.rnd.IntN(60) {
			switch k := r.key(); r.rnd.IntN(8) {
			case 0:
				b.Delete([]byte(k))
				delete(after, k)
			case 1:
				v := r.value()
				b.Set([]byte(k), []byte(v))
				after[k] = v
			case 2:
				lo, hi := r.bounds()
				b.DeleteRange(lo, hi)
				after.deleteRange(lo, hi)
			default:
				r.merge(after, b.Merge)
			}
		}
		require.NoError(r.t, r.db.Apply(b, r.writeOptions()))
		r.model = after
	case 1:
		k := r.counter()
		if r.rnd.IntN(2) == 0 {
			require.NoError(r.t, r.db.Delete([]byte(k), lsm.NoSync))
			delete(r.model, k)
		} else {
			require.NoError(r.t, r.db.Set([]byte(k), lsm.Int64Bytes(7), lsm.NoSync))
			r.model[k] = string(lsm.Int64Bytes(7))
		}
	default:
		for range 1 + r.rnd.IntN(40)*r.rnd.IntN(2) {
			r.merge(r.model, func(op string, key, operand []byte) {
				require.NoError(r.t, r.db.Merge(op, key, operand, r.writeOptions()))
			})
		}
	}
}

// A store that is merged into, too, behaves as a sorted map: through snapshots, flushes,
// compactions, range deletes and reopenings.
func TestStoreWithMergesBehavesAsASortedMap(t *testing.T) {
	seeds, steps := 8, 1500
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newRun(t, uint64(1000+seed))
			r.operators = []lsm.Operator{plainAppend}
			r.reopen()
			for range steps {
				if r.rnd.IntN(3) == 0 {
					r.mergeStep()
				} else {
					r.step()
				}
			}
			r.checkAll()
			r.checkSeeks(r.db.NewIter, r.model)
			r.reopen()
			r.checkAll()
			require.NoError(t, r.db.Compact(context.Background(), nil, nil))
			r.checkAll()
			require.NoError(t, r.db.Verify(context.Background()))
			require.NoError(t, r.db.Close())
		})
	}
}

// Merges in scopes are those of the scope: they make it, they are dropped with it, and a copy
// has what they make, with operands of its own from then on.
func TestMergesInScopes(t *testing.T) {
	db, err := lsm.Open("db", &lsm.Options{InMemory: true})
	require.NoError(t, err)
	defer db.Close()
	value := func(sc *lsm.Scope, want int64) {
		t.Helper()
		v, err := sc.Get([]byte("n"))
		require.NoError(t, err)
		n, err := lsm.Int64Of(v)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	a, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	b, err := db.Scope(scope.Agent("b"))
	require.NoError(t, err)
	require.NoError(t, a.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(1), nil))
	require.NoError(t, a.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(2), nil))
	value(a, 3)
	batch := db.NewBatch()
	for range 50 {
		batch.In(a).Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(1))
		batch.In(b).Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(10))
		batch.In(nil).Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(100))
	}
	require.NoError(t, db.Apply(batch, nil))
	value(a, 53)
	value(b, 500)
	fork, err := a.Fork(context.Background(), scope.Agent("c"), nil)
	require.NoError(t, err)
	require.NoError(t, a.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(1), nil))
	require.NoError(t, fork.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(1000), nil))
	value(a, 54)
	value(fork, 1053)
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	value(a, 54)
	require.NoError(t, a.Drop(nil))
	require.NoError(t, a.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(5), nil))
	value(a, 5)
	st, err := b.Stats()
	require.NoError(t, err)
	require.Equal(t, int64(1), st.Entries)
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	then, err := snap.Scope(scope.Agent("b"))
	require.NoError(t, err)
	require.ErrorIs(t, then.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(1), nil), lsm.ErrReadOnly)
	require.NoError(t, b.Merge(lsm.Int64Add, []byte("n"), lsm.Int64Bytes(1), nil))
	value(then, 500)
}

// B15: ten writers × 100 increments of one counter give exactly 1000, beside readers,
// transactions and flushes.
func TestIncrementsAreNotLost(t *testing.T) {
	db, err := lsm.Open("db", &lsm.Options{InMemory: true, MemtableBytes: 64 << 10})
	require.NoError(t, err)
	defer db.Close()
	key := []byte("n")
	var wg sync.WaitGroup
	for g := range 10 {
		wg.Go(func() {
			for i := range 100 {
				w := lsm.NoSync
				if i%10 == g {
					w = lsm.Sync
				}
				var err error
				switch i % 3 {
				case 0:
					err = db.Update(func(tx *lsm.Txn) error {
						tx.SetWriteOptions(w)
						return tx.Merge(lsm.Int64Add, key, lsm.Int64Bytes(1))
					})
				default:
					err = db.Merge(lsm.Int64Add, key, lsm.Int64Bytes(1), w)
				}
				if err == nil && i%25 == 0 && g == 0 {
					err = db.Flush(context.Background())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := int64(0)
	for range 2000 {
		v, err := db.Get(key)
		if err != nil {
			require.ErrorIs(t, err, lsm.ErrNotFound)
			continue
		}
		n, err := lsm.Int64Of(v)
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, last)
		last = n
	}
	wg.Wait()
	v, err := db.Get(key)
	require.NoError(t, err)
	require.Equal(t, lsm.Int64Bytes(1000), v)
}

// What a kill leaves of a log is folded as it was before.
func TestMergesSurviveAKill(t *testing.T) {
	mem := vfs.NewCrashMem()
	r := newRun(t, 77)
	require.NoError(t, r.db.Close())
	r.fs = mem
	r.operators = []lsm.Operator{plainAppend}
	r.opts = randomOptions(r.rnd, mem)
	r.opts.Operators = r.operators
	r.open()
	for round := range 6 {
		for range 150 {
			r.mergeStep()
		}
		killed := mem.Copy()
		opts := randomOptions(r.rnd, killed)
		opts.Operators = r.operators
		db, err := lsm.Open("db", &opts)
		require.NoError(t, err)
		after := &run{t: t, rnd: r.rnd, fs: killed, db: db, model: r.model, keys: r.keys}
		after.checkAll()
		after.checkSeeks(db.NewIter, r.model)
		require.NoError(t, db.Close(), round)
	}
	require.NoError(t, r.db.Close())
}
