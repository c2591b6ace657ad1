package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// smallStore opens a store on a file system, in sizes so small that a short history flushes.
func smallStore(t *testing.T, fs vfs.FS, encrypted bool) *state.Store {
	t.Helper()
	o := &lsm.Options{LogMode: lsm.LogWritten, CompactionWorkers: 1, SyncInterval: -1, Encryption: encryptionIf(encrypted)}
	seams.Inject(o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10, MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10,
		BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 4 << 10, L0Trigger: 2, SettleAfter: time.Hour,
	}})
	store, err := state.Open("db", &state.Options{Engine: o})
	require.NoError(t, err)
	return store
}

// Whatever a power cut leaves, a rule that a scope has is carried out, documents agree with their indexes, and
// what was written last is there.
func TestRetentionSurvivesPowerCuts(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		steps, every := 40, 2
		if testing.Short() {
			steps, every = 20, 9
		}
		m := vfs.NewCrashMem()
		store := smallStore(t, m, encrypted)
		begin := m.Ops()
		moved := scope.Agent("moved")
		sc := store.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 4}))
		var last string
		acknowledged := map[int]string{}
		write := func(i int) {
			last = fmt.Sprintf("p%02d", i)
			require.NoError(t, c.Set(ctx, last, person{Mail: fmt.Sprint(i % 12), Team: "red"}))
			acknowledged[m.Ops()] = last
		}
		for i := range steps / 2 {
			write(i)
			if i%4 == 3 {
				settled(t, func() bool { return len(docsOf(t, c, index.Query{})) <= 4 })
			}
		}
		at := m.Ops()
		require.NoError(t, sc.Move(ctx, moved))
		done := m.Ops()
		sc = store.Scope(moved)
		c = people(t, sc, byMail, byTeam)
		for i := steps / 2; i < steps; i++ {
			write(i)
			if i%4 == 3 {
				settled(t, func() bool { return len(docsOf(t, c, index.Query{})) <= 4 })
			}
		}
		require.NoError(t, store.Close())
		states, e := 0, m.Explore()
		newest := ""
		for k := begin; k <= m.Ops(); k++ {
			if a := acknowledged[k]; a != "" {
				newest = a
			}
			if e.AdvanceTo(k); k%every > 0 && (k < at-2 || k > done+2) {
				continue
			}
			for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
				states++
				store := smallStore(t, s.Mem(), encrypted)
				listed, err := store.ListedForRetention()
				require.NoError(t, err)
				found := false
				for _, name := range []scope.Scope{agent, moved} {
					sc := store.Scope(name)
					r, err := sc.Retention(ctx)
					require.NoError(t, err)
					if r == (state.Retention{}) {
						require.NotContains(t, listed, name.String(), "%v", s)
						continue
					}
					require.Contains(t, listed, name.String(), "%v", s)
					c := people(t, sc, byMail, byTeam)
					settled(t, func() bool { return len(docsOf(t, c, index.Query{})) <= 4 })
					requireAgreement(t, sc, c)
					if newest != "" {
						if _, err := c.Get(ctx, newest); err == nil {
							found = true
						}
					}
				}
				require.True(t, newest == "" || found, "%s is gone: %v", newest, s)
				require.NoError(t, store.Close())
			}
		}
		t.Logf("%d states", states)
	})
}

// A scope that was dropped as idle is gone with its rule, or is all there with it.
func TestAnIdleDropSurvivesPowerCuts(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		m := vfs.NewCrashMem()
		store := smallStore(t, m, encrypted)
		sc := store.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2}))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		begin := m.Ops()
		require.NoError(t, state.DropIdleWith(sc, func() {}))
		held := len(heldKeys(t, sc))
		require.Equal(t, 2, held, "it is not idle")
		require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Millisecond}))
		settled(t, func() bool { return len(heldKeys(t, sc)) == 0 })
		settled(t, func() bool { return store.Metrics().RetentionDropped == 1 })
		require.NoError(t, store.Close())
		e := m.Explore()
		for k := begin; k <= m.Ops(); k++ {
			e.AdvanceTo(k)
			for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
				store := smallStore(t, s.Mem(), encrypted)
				sc := store.Scope(agent)
				settled(t, func() bool {
					r, err := sc.Retention(ctx)
					require.NoError(t, err)
					n := len(heldKeys(t, sc))
					return n == 0 && r == (state.Retention{}) || n == 2 && r.DropIdle == time.Hour
				})
				require.NoError(t, store.Close())
			}
		}
	})
}

// Documents of a collection that nobody has opened go in the commit that marks its indexes: whatever a power cut
// leaves, these agree with the documents when it is opened.
func TestUnopenedCollectionsSurvivePowerCuts(t *testing.T) {
	m := vfs.NewCrashMem()
	store := smallStore(t, m, false)
	c := people(t, store.Scope(agent), byMail, byTeam)
	for i := range 12 {
		require.NoError(t, c.Set(ctx, fmt.Sprintf("p%02d", i), person{Mail: fmt.Sprint(i), Team: "red"}))
	}
	require.NoError(t, store.Close())
	store = smallStore(t, m, false)
	begin := m.Ops()
	require.NoError(t, store.Scope(agent).SetRetention(ctx, state.Retention{MaxEntries: 4}))
	left := func(s *state.Store) bool { n, err := state.CountNow(s.Scope(agent)); return err == nil && n == 4 }
	settled(t, func() bool { return left(store) })
	require.NoError(t, store.Close())
	e := m.Explore()
	for k := begin; k <= m.Ops(); k++ {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			store := smallStore(t, s.Mem(), false)
			sc := store.Scope(agent)
			if r, err := sc.Retention(ctx); err != nil || r != (state.Retention{}) {
				require.NoError(t, err)
				settled(t, func() bool { return left(store) })
			}
			c := people(t, sc, byMail, byTeam)
			requireAgreement(t, sc, c)
			require.ElementsMatch(t, docsOf(t, c, index.Query{}), docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "red")}}), "%v", s)
			require.NoError(t, store.Close())
		}
	}
}
