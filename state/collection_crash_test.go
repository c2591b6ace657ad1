package state_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// ledger is what was written to a collection: after each operation the documents, as text.
type ledger struct {
	after  []map[string]string
	begun  []int // operations of the file system before each
	acked  []int // and when each had returned
	synced []bool
}

// crashStore opens a store whose smallest parts fill up within a few documents. One of the modes is encrypted.
func crashStore(t *testing.T, fs vfs.FS, mode lsm.LogMode) *state.Store {
	t.Helper()
	o := lsm.Options{LogMode: mode, SyncInterval: -1, Encryption: encryptionIf(mode == lsm.LogWritten)}
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 8 << 10, MinMemtableBytes: 8 << 10,
		MemtableBytes: 8 << 10, BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 8 << 10,
	}})
	store, err := state.Open("db", &state.Options{Engine: &o})
	require.NoError(t, err)
	return store
}

// write does one operation and enters it.
func (l *ledger) write(t *testing.T, m *vfs.Mem, c *state.Collection[person], i int) {
	t.Helper()
	now := map[string]string{}
	if len(l.after) > 0 {
		now = maps.Clone(l.after[len(l.after)-1])
	}
	key, sync := fmt.Sprint(i*7%9), state.Sync
	if i%3 == 1 {
		sync = state.NoSync
	}
	l.begun = append(l.begun, m.Ops())
	if i%5 == 4 {
		_, err := c.Delete(ctx, key, sync)
		require.NoError(t, err)
		delete(now, key)
	} else {
		p := person{Mail: fmt.Sprintf("m%d", i%13), Team: fmt.Sprint(i % 2), Age: i, Tags: []string{fmt.Sprint(i % 4), "all"}, Notes: strings.Repeat("x", i*37%300)}
		err := c.Set(ctx, key, p, sync)
		if err == nil {
			now[key] = fmt.Sprint(p)
		} else {
			require.ErrorIs(t, err, state.ErrUnique)
		}
	}
	l.after, l.acked, l.synced = append(l.after, now), append(l.acked, m.Ops()), append(l.synced, i%3 != 1)
}

// The crash harness through collections: a ledger of sets and deletes, an index that is added on the
// way, and after a power cut anywhere in it documents that the ledger has, with exactly the entries
// of these.
func TestIndexesAgreeWithDocumentsAfterAPowerCut(t *testing.T) {
	modes, steps, every := []lsm.LogMode{lsm.LogMapped, lsm.LogWritten}, 60, 1
	if testing.Short() {
		modes, steps, every = modes[1:], 20, 9
	}
	for _, mode := range modes {
		t.Run(fmt.Sprint("mode ", mode), func(t *testing.T) {
			m := vfs.NewCrashMem()
			store := crashStore(t, m, mode)
			sc := store.Scope(agent)
			c, l := people(t, sc, byMail, byTeam), &ledger{}
			for i := range steps {
				if i == steps/2 {
					c = people(t, sc, byMail, byTeam, byTag)
				}
				l.write(t, m, c, i)
			}
			require.NoError(t, store.Close())
			states, partial := 0, 0
			e := m.Explore()
			for k := l.begun[0]; k <= m.Ops(); k++ {
				if e.AdvanceTo(k); k%every > 0 {
					continue
				}
				for s := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1}) {
					states++
					store := crashStore(t, s.Mem(), mode)
					partial += l.check(t, k, store, s.String())
					require.NoError(t, store.Close())
				}
			}
			t.Logf("%d states, %d with an index that is being built", states, partial)
			require.Positive(t, states)
			require.True(t, testing.Short() || partial > 0)
		})
	}
}

// check compares a store after a cut with the ledger, and returns how many of its indexes are being
// built. Opening the collection completes these.
func (l *ledger) check(t *testing.T, k int, store *state.Store, where string) (partial int) {
	t.Helper()
	sc := store.Scope(agent)
	partial = requireEntries(t, sc, false, where)
	c := people(t, sc, byMail, byTeam, byTag) // which completes what is being built
	requireAgreement(t, sc, c)
	l.matches(t, k, c, where)
	return partial
}

// requireEntries fails unless the collection of a scope has, in each of its indexes, exactly the entries of
// its documents, or some of them where the index is being built, and others too if some may be stale. It
// returns how many indexes are being built.
func requireEntries(t *testing.T, sc *state.Scope, stale bool, where string) (partial int) {
	t.Helper()
	kept, err := state.Kept(sc)
	require.NoError(t, err)
	set, err := index.NewSet("people", byMail, byTeam, byTag)
	require.NoError(t, err)
	var list index.Catalog
	if p, ok := kept["\x00cpeople"]; ok {
		list, err = index.DecodeCatalog([]byte(p))
		require.NoError(t, err)
	}
	for _, ix := range set.Indexes() {
		lower, upper := index.Range(ix.ID())
		got, want := map[string]bool{}, map[string]bool{}
		for key := range kept {
			if key >= string(lower) && key < string(upper) {
				got[key] = true
			}
		}
		for key, value := range kept {
			docKey, ok := strings.CutPrefix(key, "\x00dpeople\x00")
			if !ok {
				continue
			}
			_, payload, err := envelope.Decode([]byte(value))
			require.NoError(t, err)
			var ch index.Change
			require.NoError(t, set.Only(func(o *index.Index) bool { return o == ix }).Change(&ch, docKey, nil, payload, false))
			for _, p := range ch.Put {
				want[string(p.Key)] = true
			}
		}
		switch stateOf(list, ix.ID()) {
		case index.Ready:
			require.Equal(t, want, got, "index %s, %s", ix.Name(), where)
		case index.Building:
			partial++
			for key := range got {
				require.True(t, stale || want[key], "index %s, %s", ix.Name(), where)
			}
		default:
			require.Empty(t, got, "index %s, %s", ix.Name(), where)
		}
	}
	return partial
}

// matches fails unless the documents are those after some operation: after the last that was
// acknowledged as synced, or one begun later.
func (l *ledger) matches(t *testing.T, k int, c *state.Collection[person], where string) {
	t.Helper()
	got := map[string]string{}
	for d, err := range c.All(ctx, index.Query{}) {
		require.NoError(t, err)
		got[d.Key] = fmt.Sprint(d.Value)
	}
	from, to := -1, -1
	for i := range l.after {
		if l.synced[i] && l.acked[i] <= k {
			from = i
		}
		if l.begun[i] <= k {
			to = i
		}
	}
	for i := from; i <= to; i++ {
		if i < 0 && len(got) == 0 || i >= 0 && maps.Equal(got, l.after[i]) {
			return
		}
	}
	require.Fail(t, "documents that the ledger does not have", "%s: %v, between operations %d and %d", where, got, from, to)
}

func stateOf(list index.Catalog, id index.ID) index.State {
	for _, l := range list {
		if l.ID == id {
			return l.State
		}
	}
	return 0
}
