package state_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// B17: a value is absent from the instant of its expiry on, and one event is delivered, of documents too,
// whose index entries go with them.
func TestExpiriesAreToldAtTheirInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(&state.Options{Timeline: &state.TimelineOptions{}})
		require.NoError(t, err)
		h := hear(t, store, false)
		sc := store.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		require.NoError(t, sc.SetWithTTL(ctx, "k", 1, time.Minute))
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "a@x", Team: "red"}, state.WithTTL(time.Minute)))
		time.Sleep(time.Minute - time.Millisecond)
		_, err = sc.Get(ctx, "k")
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
		_, err = sc.Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
		_, err = c.Get(ctx, "ada")
		require.ErrorIs(t, err, state.ErrNotFound)
		require.Empty(t, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "red")}}))
		time.Sleep(time.Second)
		synctest.Wait()
		var keys []string
		for _, ev := range h.take() {
			if ev.Op == hook.OpExpire {
				keys = append(keys, ev.Key)
			}
		}
		slices.Sort(keys)
		require.Equal(t, []string{"k", "people/ada"}, keys)
		for key, err := range kept(t, sc) {
			require.False(t, strings.HasPrefix(key, "\x00i"), err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, h.take())
		require.NoError(t, store.Close())
	})
}

// B17: whatever a power cut leaves, the timeline has the expiry of a value at most once, and once when the
// store has come to rest.
func TestExpiriesAreRecordedOnceOverPowerCuts(t *testing.T) {
	bothWays(t, expiriesAreRecordedOnceOverPowerCuts)
}

func expiriesAreRecordedOnceOverPowerCuts(t *testing.T, encrypted bool) {
	clock := &manual{}
	open := func(fs vfs.FS) *state.Store {
		o := lsm.Options{LogMode: lsm.LogWritten, SyncInterval: -1, Clock: clock, Encryption: encryptionIf(encrypted)}
		seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{
			MinSegmentBytes: 8 << 10, MaxSegmentBytes: 8 << 10, MinMemtableBytes: 8 << 10,
			MemtableBytes: 8 << 10, BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 8 << 10,
		}})
		store, err := state.Open("db", &state.Options{Engine: &o, Timeline: &state.TimelineOptions{}})
		require.NoError(t, err)
		return store
	}
	expiries := func(store *state.Store) map[string]int {
		n := map[string]int{}
		for ev, err := range store.Timeline().ByTime(ctx, timeline.Range{}) {
			require.NoError(t, err)
			if ev.Op == hook.OpExpire {
				n[ev.Key]++
			}
		}
		return n
	}
	m := vfs.NewCrashMem()
	store := open(m)
	c := people(t, store.Scope(agent), byMail)
	require.NoError(t, store.SetWithTTL(ctx, agent, "k", 1, time.Minute))
	require.NoError(t, c.Set(ctx, "ada", person{Mail: "a@x"}, state.WithTTL(time.Minute)))
	begin := m.Ops()
	clock.advance(2 * time.Minute)
	settled(t, func() bool { return len(expiries(store)) == 2 })
	require.NoError(t, store.Close())
	states, e := 0, m.Explore()
	for k := begin; k <= m.Ops(); k += 3 {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
			states++
			store := open(s.Mem())
			settled(t, func() bool { return len(expiries(store)) == 2 })
			require.Equal(t, map[string]int{"k": 1, "people/ada": 1}, expiries(store), "%v", s)
			require.NoError(t, store.Close())
		}
	}
	require.Positive(t, states)
}

// A blind append is one that Append could have made, and many at once lose none.
func TestBlindAppends(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "l", []any{"first"}))
		var all sync.WaitGroup
		for w := range 16 {
			all.Go(func() {
				for i := range 20 {
					if err := sc.AppendBlind(ctx, "l", w*100+i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		f.reopenOnDisk()
		sc = f.Scope(agent)
		list, meta, err := sc.GetWithMeta(ctx, "l")
		require.NoError(t, err)
		require.Equal(t, state.Trusted, meta.Class)
		require.Equal(t, "first", list.([]any)[0])
		seen := map[int64]bool{}
		after := map[int64]int64{}
		for _, v := range list.([]any)[1:] {
			n := v.(int64)
			require.False(t, seen[n])
			require.Equal(t, after[n/100], n%100, "each writer's in order")
			seen[n], after[n/100] = true, n%100+1
		}
		require.Len(t, seen, 320)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			if err := tx.Scope(agent).AppendBlind(ctx, "new", map[string]any{"a": 1}); err != nil {
				return err
			}
			v, err := tx.Scope(agent).Get(ctx, "new")
			require.Equal(t, []any{map[string]any{"a": int64(1)}}, v)
			return err
		}))
		require.NoError(t, f.AppendBlind(ctx, sc.Name(), "kept", 1))
		require.ErrorIs(t, sc.AppendBlind(ctx, "l", 1, state.WithTTL(time.Hour)), state.ErrOption)
		require.ErrorIs(t, sc.AppendBlind(ctx, "l", make(chan int)), state.ErrType)

		// Who goes on is told.
		long := strings.Repeat("x", 1<<10)
		var told error
		n := 0
		for ; told == nil && n < 1000; n++ {
			told = sc.AppendBlind(ctx, "long", long)
		}
		require.ErrorIs(t, told, state.ErrTooLarge)
		require.ErrorContains(t, told, "Collection")
		require.LessOrEqual(t, n, 64+2*61)
		v, err := sc.Get(ctx, "long")
		require.NoError(t, err)
		require.Len(t, v, n-1)

		require.NoError(t, sc.Set(ctx, "text", "no list"))
		require.NoError(t, sc.AppendBlind(ctx, "text", 1))
		_, err = sc.Get(ctx, "text")
		require.ErrorIs(t, err, state.ErrMerge)
		_, err = sc.Delete(ctx, "text")
		require.NoError(t, err)
	})
}

func TestHistoryListsTheEventsOfAKey(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{RecordValues: true}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", "one"))
		require.NoError(t, sc.Set(ctx, "other", 1))
		require.NoError(t, sc.Set(ctx, "k", "two"))
		_, err := sc.Delete(ctx, "k")
		require.NoError(t, err)
		var ops []hook.Op
		var values []any
		for ev, err := range sc.History(ctx, "k") {
			require.NoError(t, err)
			ops, values = append(ops, ev.Op), append(values, ev.Values.New)
		}
		require.Equal(t, []hook.Op{hook.OpSet, hook.OpSet, hook.OpDelete}, ops)
		require.Equal(t, []any{"one", "two", nil}, values)
		for range sc.History(ctx, "k") {
			break
		}
		for _, err := range sc.History(ctx, "") {
			require.ErrorIs(t, err, state.ErrKey)
		}
		snap, err := f.Snapshot()
		require.NoError(t, err)
		for _, err := range snap.Scope(agent).History(ctx, "k") {
			require.ErrorIs(t, err, state.ErrUnsupported)
		}
		require.NoError(t, snap.Close())
	})
}
