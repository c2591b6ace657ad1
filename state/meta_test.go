package state_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// B17: to the millisecond; what changes a value keeps its expiry.
func TestValuesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		began := time.Now()
		require.NoError(t, sc.SetWithTTL(ctx, "k", int64(1), time.Minute))
		require.NoError(t, sc.Set(ctx, "until", 1, state.WithExpiry(began.Add(time.Hour))))
		require.NoError(t, sc.SetWithTTL(ctx, "short", 1, 1)) // rounded up
		time.Sleep(30 * time.Second)
		_, err = sc.Increment(ctx, "k", 1)
		require.NoError(t, err)
		_, err = sc.Patch(ctx, "until", map[string]any{"a": 1}, state.WithTTL(time.Hour))
		require.NoError(t, err)
		v, meta, err := sc.GetWithMeta(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, int64(2), v)
		require.True(t, began.Add(time.Minute).Equal(meta.Expires))
		time.Sleep(30*time.Second - time.Millisecond)
		require.Equal(t, []string{"k", "until"}, keysOf(t, sc, ""))
		time.Sleep(time.Millisecond)
		require.Equal(t, []string{"until"}, keysOf(t, sc, ""))
		_, err = sc.Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
		existed, err := sc.Delete(ctx, "k")
		require.NoError(t, err)
		require.False(t, existed)
		created, err := sc.SetIfAbsent(ctx, "k", "new")
		require.NoError(t, err)
		require.True(t, created)
		time.Sleep(29*time.Minute + 30*time.Second - time.Minute)
		require.NoError(t, sc.Set(ctx, "k", "stays"))
		time.Sleep(365 * 24 * time.Hour)
		require.Equal(t, []string{"k"}, keysOf(t, sc, ""))
		for _, ttl := range []time.Duration{0, -1} {
			require.ErrorIs(t, sc.SetWithTTL(ctx, "k", 1, ttl), state.ErrInvalidExpiry)
		}
		require.ErrorIs(t, sc.Set(ctx, "k", 1, state.WithExpiry(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))), state.ErrInvalidExpiry)
		require.ErrorIs(t, sc.Set(ctx, "k", 1, state.WithExpiry(time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC))), state.ErrInvalidExpiry)
		v, err = sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "stays", v)
		require.NoError(t, store.Close())
	})
}

// B17: on disk as in memory, to whatever reads it, and when the store was opened again.
func TestAnExpiredValueIsAbsentEverywhere(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.SetWithTTL(ctx, agent, "k", 1, time.Minute))
		require.NoError(t, f.Set(ctx, agent, "stays", 1))
		clock.advance(time.Minute - time.Millisecond)
		there, err := f.Has(ctx, agent, "k")
		require.NoError(t, err)
		require.True(t, there)
		clock.advance(time.Millisecond)
		for range 2 {
			sc := f.Scope(agent)
			_, err = sc.Get(ctx, "k")
			require.ErrorIs(t, err, state.ErrNotFound)
			there, err = sc.Has(ctx, "k")
			require.NoError(t, err)
			require.False(t, there)
			many, err := sc.GetMany(ctx, "k", "stays")
			require.NoError(t, err)
			require.Equal(t, map[string]any{"stays": int64(1)}, many)
			require.Equal(t, []string{"stays"}, keysOf(t, sc, ""))
			existed, err := sc.Delete(ctx, "k")
			require.NoError(t, err)
			require.False(t, existed)
			require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
				_, err := tx.Scope(agent).Get(ctx, "k")
				require.ErrorIs(t, err, state.ErrNotFound)
				return nil
			}))
			if f.dir == "" {
				break
			}
			f.reopen()
		}
	})
}

func TestTimesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		metaOf := func() state.Meta {
			_, m, err := sc.GetWithMeta(ctx, "k")
			require.NoError(t, err)
			return m
		}
		first := time.Now()
		require.NoError(t, sc.Set(ctx, "k", 1))
		m := metaOf()
		require.True(t, first.Equal(m.Created) && first.Equal(m.Updated), "%v", m)
		require.True(t, m.Expires.IsZero())
		time.Sleep(time.Hour)
		_, err = sc.Increment(ctx, "k", 1)
		require.NoError(t, err)
		m = metaOf()
		require.True(t, first.Equal(m.Created) && time.Now().Equal(m.Updated), "%v", m)
		require.NoError(t, sc.Set(ctx, "k", 1)) // reads nothing: begins anew
		require.True(t, time.Now().Equal(metaOf().Created))
		require.NoError(t, store.Close())
	})
}

func TestCorrelationsAreKept(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		traced, err := hook.WithCorrelation(ctx, "run-1")
		require.NoError(t, err)
		require.NoError(t, sc.Set(traced, "a", 1))
		require.NoError(t, sc.Set(traced, "b", 1, state.WithCorrelation("run-2")))
		require.NoError(t, sc.Set(ctx, "c", 1))
		for key, want := range map[string]string{"a": "run-1", "b": "run-2", "c": ""} {
			_, meta, err := sc.GetWithMeta(ctx, key)
			require.NoError(t, err)
			require.Equal(t, want, meta.Correlation)
		}
		for _, id := range []string{strings.Repeat("x", 129), "\xff"} {
			require.ErrorIs(t, sc.Set(ctx, "a", 1, state.WithCorrelation(id)), state.ErrOption)
		}
	})
}

// B22: one error of each kind, with what it is about.
func TestErrorsSayWhatTheyAreAbout(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(scope.Step("w", "s"))
		_, err := sc.Get(ctx, "k")
		require.EqualError(t, err, `get workflow:w:step:s "k": state: not found`)
		require.ErrorIs(t, err, state.ErrNotFound)
		require.NoError(t, sc.Set(ctx, "k", 1))
		_, err = sc.CompareAndSet(ctx, "k", state.Absent, 1)
		require.EqualError(t, err, `compare and set workflow:w:step:s "k": state: conflict with another write`)
		err = sc.SetMany(ctx, map[string]any{"a": 1, "b\n": 2})
		require.EqualError(t, err, `set many workflow:w:step:s "b\n": codec: invalid key: a key holds no NUL, CR or LF`)
		err = sc.Set(ctx, "k", 1, state.WithClass(state.Sensitive))
		require.ErrorIs(t, err, state.ErrNotEncrypted)
		require.ErrorContains(t, err, "sealed with a key of their scope")
		err = sc.Set(ctx, "k", 1, state.WithClass(77))
		require.ErrorIs(t, err, state.ErrOption)
		var e *state.Error
		require.ErrorAs(t, sc.Move(ctx, scope.Scope{}), &e)
		require.Equal(t, "move", e.Op)
		_, err = state.Get[string](ctx, sc, "k")
		require.ErrorIs(t, err, state.ErrType)
		require.NoError(t, sc.Set(ctx, "big", uint64(300)))
		_, err = state.Get[uint8](ctx, sc, "big")
		require.ErrorIs(t, err, state.ErrOverflow)
	})
}

// B6: a store with a path persists; two do not share a directory.
func TestADirectoryHasOneStore(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	f.open()
	_, err := state.Open(f.dir, nil)
	require.ErrorIs(t, err, state.ErrLocked)
	for _, s := range []scope.Scope{
		scope.Global(), scope.User("u"), scope.Session("s"), scope.Agent("a"), scope.Tool("t"), scope.Workflow("w"),
		scope.Step("w", "s"), scope.Hook("h"), scope.Custom("c"),
	} {
		require.NoError(t, f.Set(ctx, s, "k", s.String()))
	}
	f.reopen()
	n := 0
	for s, err := range f.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		v, err := f.Get(ctx, s, "k")
		require.NoError(t, err)
		require.Equal(t, s.String(), v)
		n++
	}
	require.Equal(t, 9, n)
	require.NoError(t, f.Close())
	store, err := state.Open(f.dir, &state.Options{Engine: &lsm.Options{ReadOnly: true}})
	require.NoError(t, err)
	for _, opts := range [][]state.Option{nil, {ephemeral}} {
		require.ErrorIs(t, store.Set(ctx, agent, "k", 1, opts...), state.ErrReadOnly)
	}
	require.NoError(t, store.Close())
}

// B70: what is read and written, and what the engine measures.
func TestMetricsTellWhatTheStoreHolds(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "k", strings.Repeat("x", 1000)))
		require.NoError(t, f.Set(ctx, agent, "m", 1, ephemeral))
		m := f.Metrics()
		require.Greater(t, m.Engine.MemtableBytes, int64(1000))
		require.Equal(t, int64(1), m.Ephemeral)
		require.Positive(t, m.EphemeralBytes)
		require.Equal(t, int64(2), m.Writes)
		for range 3 {
			_, err := f.Get(ctx, agent, "k")
			require.NoError(t, err)
		}
		_, err := f.Update(ctx, agent, "k", func(old any, _ bool) (any, error) {
			if len(old.(string)) == 1000 {
				require.NoError(t, f.Set(ctx, agent, "k", "short"))
			}
			return "done", nil
		})
		require.NoError(t, err)
		m = f.Metrics()
		require.Equal(t, int64(5), m.Reads)
		require.Equal(t, int64(4), m.Writes)
		require.Equal(t, int64(1), m.Conflicts)
	})
}

// B13: through the typed API.
func TestTypedValues(t *testing.T) {
	type turn struct {
		Role   string            `msgpack:"role"`
		Tokens int               `msgpack:"tokens"`
		At     time.Time         `msgpack:"at"`
		Meta   map[string]string `msgpack:"meta,omitempty"`
	}
	key := state.NewKey[turn]("turn", state.WithClass(state.Trusted))
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		want := turn{"user", 200, time.Date(2026, 3, 1, 0, 0, 0, 1, time.UTC), map[string]string{"a": "b"}}
		require.NoError(t, key.Set(ctx, sc, want))
		got, err := key.Get(ctx, sc)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, meta, err := sc.GetWithMeta(ctx, key.Name())
		require.NoError(t, err)
		require.Equal(t, state.Trusted, meta.Class)
		got, err = key.Update(ctx, sc, func(old turn, found bool) (turn, error) {
			require.True(t, found)
			old.Tokens++
			return old, nil
		}, state.WithClass(state.External))
		require.NoError(t, err)
		require.Equal(t, 201, got.Tokens)
		_, meta, err = sc.GetWithMeta(ctx, key.Name())
		require.NoError(t, err)
		require.Equal(t, state.External, meta.Class)
		v, err := sc.Get(ctx, "turn")
		require.NoError(t, err)
		require.Equal(t, int64(201), v.(map[string]any)["tokens"])
		existed, err := key.Delete(ctx, sc)
		require.NoError(t, err)
		require.True(t, existed)
		_, err = key.Get(ctx, sc)
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}
