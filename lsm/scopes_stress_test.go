package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Many goroutines do everything to a few scopes at once, until the store is closed under
// them. Each batch writes its number to two keys: whoever reads both at one moment must
// find them equal. Nobody hangs, and the only errors are those that callers may meet.
func TestScopesUnderEverythingAtOnce(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		fs := vfs.NewMem()
		o := randomOptions(rnd, fs)
		db, err := lsm.Open("db", &o)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for g := range 6 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(100+g)))
				for i := 0; i < 1500; i++ {
					err := disturb(db, rnd, fmt.Sprintf("%d-%d", g, i))
					switch {
					case errors.Is(err, lsm.ErrClosed):
						return
					case err != nil && !errors.Is(err, lsm.ErrScopeExists) && !errors.Is(err, lsm.ErrNotFound):
						t.Error(err)
						return
					}
					if g == 0 && i == 1000 {
						if err := db.Close(); err != nil && !errors.Is(err, lsm.ErrInUse) {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		_ = db.Close()
		o = randomOptions(rnd, fs)
		db, err = lsm.Open("db", &o)
		require.NoError(t, err)
		for s, err := range db.ListScopes(scope.AnyKind, "") {
			require.NoError(t, err)
			require.NoError(t, pair(handle(t, db, s)))
		}
		require.NoError(t, db.Verify(context.Background()))
		require.NoError(t, db.Close())
	}
}

// disturb does one thing at random.
func disturb(db *lsm.DB, rnd *rand.Rand, id string) error {
	name := func() scope.Scope { return scope.Agent(fmt.Sprint(rnd.IntN(4))) }
	sc, err := db.Scope(name())
	if err != nil {
		return err
	}
	w := lsm.NoSync
	if rnd.IntN(4) == 0 {
		w = lsm.Sync
	}
	switch rnd.IntN(12) {
	case 0:
		return sc.Drop(w)
	case 1:
		return sc.Move(name(), w)
	case 2:
		_, err := sc.Copy(context.Background(), name(), w)
		return err
	case 3:
		return pair(sc)
	case 4:
		snap, err := db.NewSnapshot()
		if err != nil {
			return err
		}
		then, err := snap.Scope(sc.Name())
		if err == nil {
			err = pair(then)
		}
		return errors.Join(err, snap.Close())
	case 5:
		_, err := sc.Stats()
		return err
	case 6:
		_, err := sc.Get([]byte("x"))
		return err
	case 7:
		return sc.Set([]byte("more"), make([]byte, 300), w)
	}
	other, err := db.Scope(name())
	if err != nil {
		return err
	}
	b := sc.NewBatch()
	for _, s := range []*lsm.Scope{sc, other} {
		b.In(s).Set([]byte("x"), []byte(id))
		b.Set([]byte("y"), []byte(id))
	}
	return db.Apply(b, w)
}

// pair reads the two keys at one moment.
func pair(sc *lsm.Scope) error {
	got := map[string]string{}
	for e, err := range sc.Scan(nil, nil) {
		if err != nil {
			return err
		}
		got[string(e.Key)] = string(e.Value)
	}
	if got["x"] != got["y"] {
		return fmt.Errorf("half a batch: %q and %q", got["x"], got["y"])
	}
	return nil
}
