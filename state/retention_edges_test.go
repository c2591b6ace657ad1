package state_test

import (
	"fmt"
	"io"
	"math"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// A scope whose last writes were documents that wait for their collection to be opened, or a lease that
// somebody has, is not idle when the store is opened again.
func TestWhatWaitsKeepsItsScopeFromBeingIdle(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		docs, leases := f.Scope(agent), f.Scope(scope.Agent("a2"))
		for _, sc := range []*state.Scope{docs, leases} {
			require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		}
		clock.advance(50 * time.Minute)
		require.NoError(t, people(t, docs, byTeam).Set(ctx, "ada", person{Team: "red"}))
		at := clock.Wall()
		_, err := leases.AcquireLease(ctx, "owner", "me", 10*time.Hour)
		require.NoError(t, err)
		clock.advance(50 * time.Minute)
		f.reopenOnDisk()
		docs, leases = f.Scope(agent), f.Scope(scope.Agent("a2"))
		newest, err := state.NewestOf(docs)
		require.NoError(t, err)
		require.Equal(t, at, newest)
		newest, err = state.NewestOf(leases)
		require.NoError(t, err)
		require.Equal(t, clock.Wall(), newest)
		require.Equal(t, []string{"ada"}, docsOf(t, people(t, docs, byTeam), index.Query{}))
		_, err = leases.LeaseInfo(ctx, "owner")
		require.NoError(t, err)
	})
}

// R3: a scope that has come to the name of an idle one is not dropped in its place.
func TestAScopeThatHasComeToTheNameOfAnIdleOneStays(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc, by := f.Scope(agent), f.Scope(scope.Agent("a2"))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		require.NoError(t, by.Set(ctx, "k", 1))
		require.NoError(t, state.ReplaceUntold(sc, by))
		clock.advance(2 * time.Hour)
		settled(t, func() bool {
			listed, err := f.ListedForRetention()
			require.NoError(t, err)
			return len(listed) == 0
		})
		require.Equal(t, []string{"k"}, heldKeys(t, sc))
	})
}

// A copy is a write: what was copied from an idle scope is not idle.
func TestACopyOfAnIdleScopeIsNotIdle(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc, to := f.Scope(agent), f.Scope(scope.Agent("a2"))
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		clock.advance(50 * time.Minute)
		_, err := sc.Copy(ctx, to.Name())
		require.NoError(t, err)
		clock.advance(20 * time.Minute)
		settled(t, func() bool { return f.Metrics().RetentionDropped > 0 && len(heldKeys(t, sc)) == 0 })
		require.Equal(t, []string{"k"}, heldKeys(t, to))
		clock.advance(time.Hour)
		settled(t, func() bool { return len(heldKeys(t, to)) == 0 })
	})
}

// R1: what a transaction wrote before there was a rule counts when it is committed.
func TestATransactionThatIsOlderThanTheRuleCounts(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		tx, err := f.Begin(ctx)
		require.NoError(t, err)
		for i := range 50 {
			require.NoError(t, tx.Scope(agent).Set(ctx, fmt.Sprintf("k%02d", i), i))
		}
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		require.NoError(t, sc.Set(ctx, "before", 1))
		require.NoError(t, tx.Commit())
		settled(t, func() bool { return len(heldKeys(t, sc)) == 10 })
		require.Equal(t, "k40", heldKeys(t, sc)[0])
	})
}

func TestNoLimitIsTooLarge(t *testing.T) {
	require.Equal(t, int64(106), state.Beyond(100))
	for _, limit := range []int64{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64/21*20 + 21} {
		require.GreaterOrEqual(t, state.Beyond(limit), limit)
	}
}

// What cannot go is not looked for all the time.
func TestRetentionRestsLongerAfterEachAttempt(t *testing.T) {
	require.Equal(t, []int64{1000, 2000, 4000, 8000, 16000, 32000, 32000}, state.Rests(7))
}

func TestRulesAndLeasesAreNotSimulated(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc, sim := f.Scope(agent), hook.Simulate(ctx)
		require.ErrorIs(t, sc.SetRetention(sim, state.Retention{MaxEntries: 1}), hook.ErrSimulated)
		_, err := sc.AcquireLease(sim, "owner", "me", time.Hour)
		require.ErrorIs(t, err, hook.ErrSimulated)
		l, err := sc.AcquireLease(ctx, "owner", "me", time.Hour)
		require.NoError(t, err)
		require.ErrorIs(t, l.Renew(sim, time.Hour), hook.ErrSimulated)
		require.ErrorIs(t, l.Release(sim), hook.ErrSimulated)
		require.NoError(t, l.Release(ctx))
	})
}

// What a snapshot has of a sealed scope does not leave in the clear when the scope is gone, or another
// one has its name.
func TestASnapshotOfASealedScopeIsSealed(t *testing.T) {
	store, err := state.OpenMemory(sealing())
	require.NoError(t, err)
	defer store.Close()
	sc := store.Scope(agent)
	require.NoError(t, sc.Seal(ctx))
	require.NoError(t, sc.Set(ctx, "k", "secret"))
	snap, err := store.Snapshot()
	require.NoError(t, err)
	defer snap.Close()
	refused := func() {
		t.Helper()
		sealed, err := snap.Scope(agent).Sealed(ctx)
		require.NoError(t, err)
		require.True(t, sealed)
		_, err = snap.Scope(agent).Export(ctx, io.Discard, state.ExportOptions{})
		require.ErrorIs(t, err, state.ErrSensitive)
	}
	refused()
	require.NoError(t, sc.Move(ctx, scope.Agent("a2")))
	refused()
	require.NoError(t, sc.Set(ctx, "k", "open"))
	refused()
	_, err = sc.Export(ctx, io.Discard, state.ExportOptions{})
	require.NoError(t, err)
	require.NoError(t, store.Scope(scope.Agent("a2")).Drop(ctx))
	refused()
}

// Whoever appends to 61 lists in turn has each of them looked at.
func TestBlindAppendsLookAtListsInTurn(t *testing.T) {
	seen := map[uint32]int{}
	const rounds = 2000
	for n := range uint32(rounds * 61) {
		if state.AppendTurn(n) {
			seen[n%61]++
		}
	}
	require.Len(t, seen, 61)
	total := 0
	for _, n := range seen {
		total += n
	}
	require.Equal(t, rounds, total)
}

// The rule of a dropped scope went on deleting what was written to the next scope of its name, when the list
// of rules could not be read for a moment.
func TestTheRuleOfADroppedScopeCountsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := vfs.NewFaults(vfs.NewMem())
		store, err := (&history{mode: lsm.LogWritten}).open(faults)
		require.NoError(t, err)
		sc := store.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 2}))
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.NoError(t, store.Engine().Flush(ctx))
		faults.Add(vfs.Rule{Kinds: vfs.OpReads, Glob: "*.sst", Err: syscall.EIO, Forever: true})
		require.NoError(t, sc.Drop(ctx))
		require.NotEmpty(t, faults.Fired())
		faults.Clear()
		for i := range 10 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint(i), i))
		}
		time.Sleep(time.Minute)
		page, err := sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.Len(t, page.Entries, 10)
		require.NoError(t, store.Close())
	})
}
