package state_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// Blind changes make what changes make, whatever is stored below, before and after the store was
// opened again, alone and in transactions.
func TestBlindChangesMakeWhatChangesMake(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		rnd := rand.New(rand.NewPCG(6, 15))
		check := func() {
			sc := f.Scope(agent)
			for i := range 8 {
				want, wantErr := sc.Get(ctx, fmt.Sprint("plain", i))
				got, err := sc.Get(ctx, fmt.Sprint("blind", i))
				require.Equal(t, wantErr == nil, err == nil)
				require.Equal(t, want, got)
			}
		}
		for round := range 200 {
			sc := f.Scope(agent)
			i := rnd.IntN(8)
			plain, blind := fmt.Sprint("plain", i), fmt.Sprint("blind", i)
			deltas := []any{int64(3), -2, uint64(7)}
			patches := []any{
				map[string]any{"a": round}, map[string]any{"a": nil, "b": map[string]any{"c": round}}, map[string]any{"b": map[string]any{"d": "x"}},
			}
			var err, blindErr error
			switch op := rnd.IntN(20); {
			case op == 0:
				_, err = sc.Delete(ctx, plain)
				_, blindErr = sc.Delete(ctx, blind)
			case op == 1 && i != 3:
				err, blindErr = sc.Set(ctx, plain, 1000+round), sc.Set(ctx, blind, 1000+round)
			case op == 2 && f.dir != "":
				f.reopen()
			case i < 4: // numbers, of which 3 is a float
				delta := deltas[rnd.IntN(3)]
				if i == 3 {
					delta = 0.5
				}
				if _, missing := sc.Get(ctx, plain); missing != nil {
					require.NoError(t, sc.SetMany(ctx, map[string]any{plain: zeroFor(i), blind: zeroFor(i)}))
				}
				_, err = sc.Increment(ctx, plain, delta)
				if op < 12 {
					blindErr = sc.IncrementBlind(ctx, blind, delta)
				} else {
					blindErr = f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).IncrementBlind(ctx, blind, delta) })
				}
			default:
				patch := patches[rnd.IntN(3)]
				_, err = sc.Patch(ctx, plain, patch)
				blindErr = sc.PatchBlind(ctx, blind, patch)
			}
			require.NoError(t, err)
			require.NoError(t, blindErr)
			if round%20 == 0 {
				check()
			}
		}
		check()
	})
}

func zeroFor(i int) any {
	if i == 3 {
		return 0.0
	}
	return int64(0)
}

// B15: none of many at once is lost, and none conflicts.
func TestTenBlindWritersOfOneCounter(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		together(10, func(int) {
			for range 100 {
				if err := sc.IncrementBlind(ctx, "n", 1); err != nil {
					t.Error(err)
				}
			}
		})
		v, meta, err := sc.GetWithMeta(ctx, "n")
		require.NoError(t, err)
		require.Equal(t, int64(1000), v)
		require.Equal(t, state.Trusted, meta.Class)
		require.NotZero(t, meta.Version)
	})
}

func TestBlindChangesThatCannotBe(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.ErrorIs(t, sc.IncrementBlind(ctx, "n", "one"), state.ErrType)
		require.ErrorIs(t, sc.PatchBlind(ctx, "n", func() {}), state.ErrType)
		require.ErrorIs(t, sc.IncrementBlind(ctx, "n", 1, state.WithClass(state.Standard)), state.ErrOption)
		require.ErrorIs(t, sc.IncrementBlind(ctx, "n", 1, state.WithTTL(time.Hour)), state.ErrOption)
		require.NoError(t, sc.Set(ctx, "m", 1, ephemeral))
		require.ErrorIs(t, sc.IncrementBlind(ctx, "m", 1), state.ErrUnsupported)
		_, err := sc.Get(ctx, "n")
		require.ErrorIs(t, err, state.ErrNotFound)

		for _, remove := range []func() error{
			func() error { existed, err := sc.Delete(ctx, "n"); require.True(t, existed); return err },
			func() error { n, err := sc.DeleteMany(ctx, []string{"n"}); require.Equal(t, 1, n); return err },
			func() error { return sc.Set(ctx, "n", int64(1)) },
			func() error { // which deletes what is stored
				if err := sc.Set(ctx, "n", int64(1), ephemeral); err != nil {
					return err
				}
				return sc.Set(ctx, "n", int64(1))
			},
		} {
			for _, v := range []any{"text", int64(math.MaxInt64)} {
				require.NoError(t, sc.Set(ctx, "n", v))
				require.NoError(t, sc.IncrementBlind(ctx, "n", 1))
				_, err := sc.Get(ctx, "n")
				require.ErrorIs(t, err, state.ErrMerge)
				_, err = sc.Increment(ctx, "n", 1)
				require.ErrorIs(t, err, state.ErrMerge)
				require.NoError(t, remove())
				_, err = sc.Increment(ctx, "n", 1)
				require.NoError(t, err)
			}
		}
	})
}

// Who may change one key cannot end a listing of the others: the error comes with the key.
func TestABlindChangeThatCannotBeEndsNoListing(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": int64(1), "bad": "text", "c": int64(3)}))
		require.NoError(t, sc.IncrementBlind(ctx, "bad", 1))
		about := func(err error) {
			t.Helper()
			var failed *state.Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, "bad", failed.Key)
			require.ErrorIs(t, err, state.ErrMerge)
		}
		look := func(sc *state.Scope) {
			t.Helper()
			page, err := sc.List(ctx, state.ListOptions{})
			require.NoError(t, err)
			require.Len(t, page.Entries, 3)
			about(page.Entries[1].Err)
			require.Equal(t, int64(3), page.Entries[2].Value)
			page, err = sc.List(ctx, state.ListOptions{KeysOnly: true})
			require.NoError(t, err)
			require.Len(t, page.Entries, 3)
			var keys, met []string
			for key, err := range sc.Keys(ctx, "") {
				require.NoError(t, err)
				keys = append(keys, key)
			}
			require.Equal(t, []string{"a", "bad", "c"}, keys)
			for e, err := range sc.All(ctx, "") {
				if met = append(met, e.Key); e.Key == "bad" {
					about(err)
				} else {
					require.NoError(t, err)
				}
			}
			require.Equal(t, keys, met)
		}
		look(sc)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { look(tx.Scope(agent)); return nil }))
		var changed []string
		for c, err := range sc.Diff(ctx, state.Position{}) {
			if c.Kind != state.ChangeSet {
				continue
			}
			if changed = append(changed, c.Key); c.Key == "bad" {
				about(err)
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, []string{"a", "bad", "c"}, changed)
		_, err := sc.Delete(ctx, "bad")
		require.NoError(t, err)
		for _, err := range sc.All(ctx, "") {
			require.NoError(t, err)
		}
	})
}

// What blind changes make is bounded as what is written is. What was read before is there again with a delete of
// what was too much.
func TestBlindChangesStayWithinTheLimits(t *testing.T) {
	everywhere(t, &state.Options{MaxValueBytes: 1000}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for _, key := range []string{"a", "b", "c"} {
			require.NoError(t, sc.PatchBlind(ctx, "p", map[string]any{key: strings.Repeat("x", 400)}))
		}
		_, err := sc.Get(ctx, "p")
		require.ErrorIs(t, err, state.ErrMerge)
		require.ErrorIs(t, err, state.ErrTooLarge)
		require.NoError(t, sc.PatchBlind(ctx, "p", map[string]any{"b": nil}))
		v, err := sc.Get(ctx, "p")
		require.NoError(t, err)
		require.Len(t, v, 2)
		if f.dir == "" {
			return
		}
		require.NoError(t, sc.PatchBlind(ctx, "p", map[string]any{"b": strings.Repeat("x", 400)}))
		f.opts = nil
		f.reopen()
		v, err = f.Scope(agent).Get(ctx, "p")
		require.NoError(t, err)
		require.Len(t, v, 3)
	})
}

func TestBlindChangesShowToWatchers(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		w, err := sc.Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, sc.IncrementBlind(ctx, "n", 2))
		require.NoError(t, sc.PatchBlind(ctx, "p", map[string]any{"a": nil}))
		c, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, state.ChangeMerge, c.Kind)
		require.Equal(t, int64(2), c.Value)
		require.False(t, c.Patch)
		c, err = w.Next()
		require.NoError(t, err)
		require.True(t, c.Patch)
		require.Equal(t, map[string]any{"a": nil}, c.Value)
		var kinds []state.ChangeKind
		for c, err := range sc.Diff(ctx, state.Position{}) {
			require.NoError(t, err)
			kinds = append(kinds, c.Kind)
		}
		require.Equal(t, []state.ChangeKind{state.ChangeNewScope, state.ChangeSet, state.ChangeSet}, kinds)
	})
}

func TestBlindChangesKeepTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		first := time.Now()
		require.NoError(t, sc.SetWithTTL(ctx, "n", int64(1), time.Hour))
		time.Sleep(time.Minute)
		require.NoError(t, sc.IncrementBlind(ctx, "n", 1, state.WithCorrelation("run-1")))
		v, meta, err := sc.GetWithMeta(ctx, "n")
		require.NoError(t, err)
		require.Equal(t, int64(2), v)
		require.True(t, first.Equal(meta.Created) && time.Now().Equal(meta.Updated), "%v", meta)
		require.True(t, first.Add(time.Hour).Equal(meta.Expires))
		require.Equal(t, "run-1", meta.Correlation)
		time.Sleep(time.Hour)
		require.NoError(t, sc.IncrementBlind(ctx, "n", 5))
		v, err = sc.Get(ctx, "n")
		require.NoError(t, err)
		require.Equal(t, int64(5), v)
		require.NoError(t, store.Close())
	})
}

// Whatever bytes are folded, no panic, and what comes out is a value that was stored.
func FuzzFoldOperands(f *testing.F) {
	header := string([]byte{1, 10, 8, 1}) // trusted, MessagePack, created at 1
	f.Add(true, []byte(header+"\x05"), []byte(header+"\x01"), []byte(header+"\xd0\xfe"))
	f.Add(false, []byte(header+"\x81\xa1a\x01"), []byte(header+"\x81\xa1b\xc0"), []byte(header+"\x81\xa1a\x80"))
	f.Fuzz(func(t *testing.T, increment bool, value, first, second []byte) {
		if len(value) == 0 {
			value = nil
		}
		out, err := state.FoldOperands(increment, []byte("dst"), value, [][]byte{first, second})
		if err != nil {
			require.Equal(t, "dst", string(out))
			return
		}
		require.NoError(t, state.CheckStored(out[3:]))
	})
}
