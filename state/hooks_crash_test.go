package state_test

import (
	"fmt"
	"testing"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// recordingStore opens a store that records events, whose smallest parts fill up soon.
func recordingStore(t *testing.T, fs vfs.FS, encrypted bool) *state.Store {
	t.Helper()
	o := lsm.Options{LogMode: lsm.LogWritten, SyncInterval: -1, Encryption: encryptionIf(encrypted)}
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 8 << 10, MinMemtableBytes: 8 << 10,
		MemtableBytes: 8 << 10, BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 8 << 10,
	}})
	store, err := state.Open("db", &state.Options{Engine: &o, Timeline: &state.TimelineOptions{RecordValues: true}})
	require.NoError(t, err)
	return store
}

// numbers is a collection in the scope of an agent.
func numbers(t *testing.T, store *state.Store) *state.Collection[map[string]any] {
	t.Helper()
	c, err := state.OpenCollection[map[string]any](ctx, store.Scope(agent), "numbers", index.Def{Name: "n", Fields: []string{"n"}})
	require.NoError(t, err)
	return c
}

// After a power cut anywhere the events that are recorded are those of the commits that are there: played
// one after another they give what the scopes hold.
func TestTheTimelineAgreesWithWhatACrashLeaves(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		steps, every := 40, 1
		if testing.Short() {
			steps, every = 16, 3
		}
		m := vfs.NewCrashMem()
		store := recordingStore(t, m, encrypted)
		begin := m.Ops()
		other := scope.Agent("other")
		for i := range steps {
			sync, key := state.Sync, fmt.Sprint("k", i%5)
			if i%3 == 1 {
				sync = state.NoSync
			}
			var err error
			switch i % 6 {
			case 0:
				err = store.Set(ctx, agent, key, i, sync)
			case 1:
				_, err = store.Delete(ctx, agent, key, sync)
			case 2:
				err = store.SetMany(ctx, other, map[string]any{key: i, "x": -i}, sync)
			case 3:
				err = store.Transact(ctx, func(tx *state.Txn) error {
					if err := tx.Scope(agent).Set(ctx, key, i, sync); err != nil {
						return err
					}
					return tx.Scope(other).Set(ctx, key, -i, sync)
				})
			case 4:
				err = numbers(t, store).Set(ctx, "d", map[string]any{"n": i}, sync)
			case 5:
				err = numbers(t, store).Set(ctx, fmt.Sprint("d", i%4), map[string]any{"n": i}, sync)
				if err == nil && i%4 == 1 {
					_, err = numbers(t, store).Delete(ctx, "d1", sync)
				}
			}
			require.NoError(t, err)
		}
		require.NoError(t, store.Close())
		states, events := 0, 0
		e := m.Explore()
		for k := begin; k <= m.Ops(); k++ {
			if e.AdvanceTo(k); k%every > 0 {
				continue
			}
			for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
				states++
				store := recordingStore(t, s.Mem(), encrypted)
				told := recorded(t, store)
				events += len(told)
				requireTold(t, store, told, s.String())
				require.NoError(t, store.Close())
			}
		}
		t.Logf("%d states, %d events", states, events)
		require.Positive(t, events)
	})
}

// requireTold fails unless events make what the store holds.
func requireTold(t *testing.T, store *state.Store, events []hook.Event, where string) {
	t.Helper()
	type key struct {
		scope scope.Scope
		key   string
	}
	want, got := map[key]any{}, map[key]any{}
	for _, ev := range events {
		at := key{ev.Scope, ev.Key}
		require.Equal(t, want[at], ev.Values.Old, "event %s of %v, %s", ev.ID, at, where)
		if want[at] = ev.Values.New; !ev.Values.HasNew {
			delete(want, at)
		}
	}
	for s, err := range store.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		for entry, err := range store.Scope(s).All(ctx, "") {
			require.NoError(t, err)
			got[key{s, entry.Key}] = entry.Value
		}
	}
	for d, err := range numbers(t, store).All(ctx, index.Query{}) {
		require.NoError(t, err)
		got[key{agent, "numbers/" + d.Key}] = d.Value
	}
	require.Equal(t, want, got, where)
}
