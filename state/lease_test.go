package state_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

func TestALeaseIsHeldByOne(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		_, err := sc.LeaseInfo(ctx, "owner")
		require.ErrorIs(t, err, state.ErrNotFound)
		a, err := sc.AcquireLease(ctx, "owner", "a", time.Minute)
		require.NoError(t, err)
		require.Equal(t, []any{"owner", agent, a.Info().Token}, []any{a.Name(), a.Scope(), a.Token()})
		_, err = sc.AcquireLease(ctx, "owner", "b", time.Minute)
		var held *state.LeaseHeldError
		require.ErrorIs(t, err, state.ErrLeaseHeld)
		require.ErrorAs(t, err, &held)
		require.Equal(t, state.LeaseHeldError{Holder: "a", Expires: a.Info().Expires}, *held)
		other, err := sc.AcquireLease(ctx, "other", "b", time.Minute)
		require.NoError(t, err)
		require.Greater(t, other.Token(), a.Token())
		require.Empty(t, heldKeys(t, sc))

		// A renewal keeps the token, and lasts.
		clock.advance(50 * time.Second)
		require.NoError(t, a.Renew(ctx, time.Minute))
		clock.advance(50 * time.Second)
		info, err := sc.LeaseInfo(ctx, "owner")
		require.NoError(t, err)
		require.Equal(t, state.LeaseInfo{Holder: "a", Token: a.Token(), Expires: a.Info().Expires}, info)
		clock.advance(time.Minute)
		b, err := sc.AcquireLease(ctx, "owner", "b", time.Minute)
		require.NoError(t, err)
		require.Greater(t, b.Token(), other.Token())
		require.ErrorIs(t, a.Renew(ctx, time.Minute), state.ErrLeaseLost)
		require.ErrorIs(t, a.Release(ctx), state.ErrLeaseLost)

		// What is done for who has lost it is not committed.
		fenced := func(l *state.Lease) error {
			return f.Transact(ctx, func(tx *state.Txn) error {
				if err := l.Check(ctx, tx); err != nil {
					return err
				}
				return tx.Scope(agent).Set(ctx, "by", int64(l.Token()))
			})
		}
		require.ErrorIs(t, fenced(a), state.ErrLeaseLost)
		require.NoError(t, fenced(b))
		tries := 0
		err = f.Transact(ctx, func(tx *state.Txn) error {
			tries++
			if err := b.Check(ctx, tx); err != nil {
				return err
			}
			require.NoError(t, b.Release(ctx)) // ends between the check and the commit
			return tx.Scope(agent).Set(ctx, "by", "nobody")
		})
		require.ErrorIs(t, err, state.ErrLeaseLost)
		require.Equal(t, 2, tries)
		v, err := state.Get[int64](ctx, sc, "by")
		require.NoError(t, err)
		require.Equal(t, int64(b.Token()), v)

		// Tokens grow when the scope has gone, and the store was closed.
		require.NoError(t, sc.Drop(ctx))
		f.reopenOnDisk()
		c, err := f.Scope(agent).AcquireLease(ctx, "owner", "c", time.Minute)
		require.NoError(t, err)
		require.Greater(t, c.Token(), b.Token())
	})
}

func TestWhatLeasesRefuse(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		_, err := sc.AcquireLease(ctx, "x/../y", "a", time.Minute)
		require.ErrorIs(t, err, state.ErrKey)
		_, err = sc.AcquireLease(ctx, "x", "", time.Minute)
		require.ErrorIs(t, err, state.ErrOption)
		_, err = sc.AcquireLease(ctx, "x", "a", 0)
		require.ErrorIs(t, err, state.ErrInvalidExpiry)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			_, err := tx.Scope(agent).AcquireLease(ctx, "x", "a", time.Minute)
			require.ErrorIs(t, err, state.ErrUnsupported)
			return nil
		}))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		_, err = snap.Scope(agent).AcquireLease(ctx, "x", "a", time.Minute)
		require.ErrorIs(t, err, state.ErrReadOnly)
		require.NoError(t, snap.Close())
	})
}

// Of many who want a lease one has it at any time, and each has a greater token than the one before.
func TestManyWantALease(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		var inside atomic.Int32
		var last atomic.Uint64
		var all sync.WaitGroup
		turns := 5
		if testing.Short() {
			turns = 2
		}
		for w := range 16 {
			all.Go(func() {
				for had := 0; had < turns; {
					l, err := sc.AcquireLease(ctx, "one", fmt.Sprint(w), time.Hour, state.NoSync)
					if errors.Is(err, state.ErrLeaseHeld) {
						continue
					}
					if err != nil || inside.Add(1) != 1 || last.Swap(uint64(l.Token())) >= uint64(l.Token()) {
						t.Error("two have it", err)
						return
					}
					had++
					if err := l.Renew(ctx, time.Hour); err != nil {
						t.Error(err)
					}
					inside.Add(-1)
					if err := l.Release(ctx); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}

// A lease that was acquired is held whatever a power cut leaves, and no token is given out twice.
func TestLeasesSurvivePowerCuts(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		mem := vfs.NewCrashMem()
		store := smallStore(t, mem, encrypted)
		begin := mem.Ops()
		name := scope.Agent("a")
		var tokens []state.Token
		var returned []int
		for i := range 6 {
			l, err := store.Scope(name).AcquireLease(ctx, "one", fmt.Sprint(i), time.Hour)
			require.NoError(t, err)
			tokens, returned = append(tokens, l.Token()), append(returned, mem.Ops())
			require.NoError(t, l.Release(ctx))
		}
		_, err := store.Scope(name).AcquireLease(ctx, "one", "last", time.Hour)
		require.NoError(t, err)
		held := mem.Ops()
		require.NoError(t, store.Close())
		e := mem.Explore()
		for k := begin; k <= held; k += 3 {
			e.AdvanceTo(k)
			for left := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
				again := smallStore(t, left.Mem(), encrypted)
				l, err := again.Scope(name).AcquireLease(ctx, "one", "new", time.Hour)
				if err == nil {
					for i, at := range returned {
						require.True(t, at > k || l.Token() > tokens[i], "%v", left)
					}
				} else {
					require.ErrorIs(t, err, state.ErrLeaseHeld)
				}
				require.NoError(t, again.Close())
			}
		}
		e.AdvanceTo(held)
		for left := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			again := smallStore(t, left.Mem(), encrypted)
			_, err := again.Scope(name).AcquireLease(ctx, "one", "new", time.Hour)
			require.ErrorIs(t, err, state.ErrLeaseHeld)
			require.NoError(t, again.Close())
		}
	})
}
