package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Sixteen goroutines count in scopes that others make, drop, move and copy at the same time.
// Whoever counts to n adds a mark to the entry of n, so that a scope holds, at each moment, one
// mark for each number up to its count. A read that did not count, of a scope that was not
// there yet, or was another by the time of the commit, would leave a gap or a second mark.
func TestCountingInScopesThatComeAndGo(t *testing.T) {
	each := 150
	if testing.Short() {
		each = 50
	}
	for seed := range uint64(2) {
		rnd := rand.New(rand.NewPCG(seed, 17))
		z := tinySizing(rnd)
		z.RingKeys = []int{0, 4}[seed%2]
		o := lsm.Options{SyncInterval: -1}
		seams.Inject(&o, seams.Seams{FS: vfs.NewMem(), Sizing: z})
		db, err := lsm.Open("db", &o)
		require.NoError(t, err)
		var counted, conflicts atomic.Int64
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(100+g)))
				for range each {
					err := comeAndGo(db, rnd, &counted)
					switch {
					case errors.Is(err, lsm.ErrConflict):
						conflicts.Add(1)
					case err != nil && !errors.Is(err, lsm.ErrScopeExists) && !errors.Is(err, lsm.ErrNotFound):
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		t.Logf("counted %d times, %d conflicts", counted.Load(), conflicts.Load())
		require.Positive(t, counted.Load())
		require.Positive(t, conflicts.Load())
		require.NoError(t, db.View(func(tx *lsm.Txn) error {
			for i := range comingScopes {
				require.NoError(t, checkCount(tx, comingScope(i)))
			}
			return nil
		}))
		require.NoError(t, db.Verify(context.Background()))
		require.NoError(t, db.Close())
	}
}

const comingScopes = 4

func comingScope(i int) scope.Scope { return scope.Workflow(fmt.Sprint(i)) }

// comeAndGo does one thing at random.
func comeAndGo(db *lsm.DB, rnd *rand.Rand, counted *atomic.Int64) error {
	one, other := comingScope(rnd.IntN(comingScopes)), comingScope(rnd.IntN(comingScopes))
	w := &lsm.WriteOptions{Unsynced: rnd.IntN(4) > 0}
	sc, err := db.Scope(one)
	if err != nil {
		return err
	}
	switch n := rnd.IntN(20); {
	case n < 13:
		err := db.Update(func(tx *lsm.Txn) error {
			tx.SetWriteOptions(w)
			if err := count(tx, one); err != nil || n < 6 || one == other {
				return err
			}
			return count(tx, other)
		})
		if err == nil {
			counted.Add(1)
		}
		return err
	case n == 13:
		return sc.Drop(w)
	case n == 14:
		return sc.Move(other, w)
	case n == 15:
		_, err := sc.Copy(context.Background(), other, w)
		return err
	}
	return db.View(func(tx *lsm.Txn) error { return errors.Join(checkCount(tx, one), checkCount(tx, other)) })
}

func count(tx *lsm.Txn, name scope.Scope) error {
	in, err := tx.Scope(name)
	if err != nil {
		return err
	}
	n := byte(0)
	v, err := in.Get([]byte("count"))
	runtime.Gosched() // others commit between the read and the commit, on a single processor too
	if err == nil {
		n = v[0]
	} else if !errors.Is(err, lsm.ErrNotFound) {
		return err
	}
	if n == 200 {
		return in.DeleteRange(nil, nil)
	}
	return errors.Join(in.Set([]byte("count"), []byte{n + 1}), in.Merge(lsm.BytesAppend, []byte{'n', n + 1}, []byte{'x'}))
}

// checkCount returns an error if a scope does not hold one mark for each number.
func checkCount(tx *lsm.Txn, name scope.Scope) error {
	in, err := tx.Scope(name)
	if err != nil {
		return err
	}
	want, n := -1, 0
	for e, err := range in.Scan(nil, nil) {
		switch {
		case err != nil:
			return err
		case string(e.Key) == "count":
			want = int(e.Value[0])
		default:
			if n++; e.Key[0] != 'n' || int(e.Key[1]) != n || len(e.Value) != 1 {
				return fmt.Errorf("%s: the entry %q has the marks %q where that of %d should be", name, e.Key, e.Value, n)
			}
		}
	}
	if n != max(want, 0) {
		return fmt.Errorf("%s: counted to %d, with %d marks", name, want, n)
	}
	return nil
}
