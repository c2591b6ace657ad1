package state_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// openOn opens a store on a file system, in sizes so small that a short history flushes.
func openOn(t *testing.T, fs vfs.FS) *state.Store {
	o := &lsm.Options{LogMode: lsm.LogWritten, CompactionWorkers: 1, SyncInterval: -1}
	seams.Inject(o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10, MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10,
		BudgetBytes: 256 << 10, TableBytes: 4 << 10, L0Trigger: 2, SettleAfter: time.Hour,
	}})
	store, err := state.Open("db", &state.Options{Engine: o})
	require.NoError(t, err)
	return store
}

// holdings returns all that is stored, as text.
func holdings(t *testing.T, store *state.Store) string {
	snap, err := store.Snapshot()
	require.NoError(t, err)
	defer snap.Close()
	var out []string
	for s, err := range snap.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		out = append(out, s.String())
		for e, err := range snap.Scope(s).All(ctx, "") {
			require.NoError(t, err)
			out = append(out, fmt.Sprint(s, " ", e.Key, "=", fmt.Sprint(e.Value)[:min(12, len(fmt.Sprint(e.Value)))]))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// step does one operation, which is on the device when it returns.
func step(store *state.Store, rnd *rand.Rand, n int) error {
	scopes := []scope.Scope{scope.Agent("a"), scope.Agent("b"), scope.Step("w", "s")}
	sc := store.Scope(scopes[rnd.IntN(3)])
	key := func() string { return fmt.Sprint("k", rnd.IntN(4)) }
	var err error
	switch rnd.IntN(12) {
	case 0, 1:
		return sc.Set(ctx, key(), fmt.Sprint(n, " ", strings.Repeat("x", rnd.IntN(1500))))
	case 2:
		return sc.SetMany(ctx, map[string]any{"k0": n, "k1": n, "k2": n, "n": n})
	case 3:
		_, err = sc.DeleteMany(ctx, []string{"k0", "k1", "n"}, state.Sync)
	case 4:
		_, err = sc.Delete(ctx, key(), state.Sync)
	case 5:
		_, err = sc.Increment(ctx, "n", 1, state.Sync)
	case 6:
		return sc.IncrementBlind(ctx, "n", 1, state.Sync)
	case 7:
		return sc.Set(ctx, key(), n, ephemeral)
	case 8:
		return sc.Drop(ctx)
	case 9, 10:
		name := scope.Custom(fmt.Sprint("copy", n))
		if st, err := sc.Stats(ctx); err != nil || st.Entries == 0 {
			return err // there may be no such scope
		}
		if rnd.IntN(2) == 0 {
			return sc.Move(ctx, name)
		}
		_, err = sc.Copy(ctx, name)
	default:
		return store.Transact(ctx, func(tx *state.Txn) error {
			for _, s := range scopes {
				if _, err := tx.Scope(s).Increment(ctx, "n", 1, state.WithClass(state.Standard)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return err
}

// B6, B11, B12: whatever a power cut leaves is what the store held after some operation, with all
// that had returned.
func TestPowerCutsLeaveWholeOperations(t *testing.T) {
	rounds, every := 1, 5
	if os.Getenv("LOAM_LONG") != "" {
		rounds, every = 20, 1
	}
	opened := 0
	for round := range rounds {
		rnd := rand.New(rand.NewPCG(uint64(round), 30))
		mem := vfs.NewCrashMem()
		store := openOn(t, mem)
		first := mem.Ops()
		held, returned := []string{holdings(t, store)}, []int{first}
		for n := range 60 {
			require.NoError(t, step(store, rnd, n))
			held, returned = append(held, holdings(t, store)), append(returned, mem.Ops())
		}
		e := mem.Explore()
		for k := first; k <= e.Len(); k += every {
			e.AdvanceTo(k)
			i := sort.SearchInts(returned, k+1) - 1 // the last one that had returned
			for left := range e.States(vfs.StateOptions{Random: 1, Pending: 2, Cuts: 1, Expect: uint64(i + 1)}) {
				again := openOn(t, left.Mem())
				got := holdings(t, again)
				possible := []string{held[i]}
				if i+1 < len(held) {
					possible = append(possible, held[i+1])
				}
				require.Contains(t, possible, got, "round %d, after operation %d: %v", round, i, left)
				require.NoError(t, again.Close())
				opened++
			}
		}
		require.NoError(t, store.Close())
	}
	require.Greater(t, opened, 100)
	t.Logf("%d states", opened)
}
