package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

func heldKeys(t testing.TB, sc *state.Scope) []string {
	t.Helper()
	keys := []string{}
	for key, err := range sc.Keys(ctx, "") {
		require.NoError(t, err)
		keys = append(keys, key)
	}
	return keys
}

// settled waits until a condition holds that a sweep brings about.
func settled(t testing.TB, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, time.Minute, time.Millisecond)
}

func TestRetentionKeepsTheEntriesThatWereWrittenLast(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		rule := state.Retention{MaxEntries: 100}
		require.NoError(t, sc.SetRetention(ctx, rule))
		write := func(from, to int) {
			for i := from; i < to; i++ {
				require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%04d", i), i, state.NoSync))
			}
		}
		newest := func(end int) {
			t.Helper()
			settled(t, func() bool { return len(heldKeys(t, sc)) <= 110 })
			keys := heldKeys(t, sc)
			require.GreaterOrEqual(t, len(keys), 100)
			require.Equal(t, fmt.Sprintf("k%04d", end-len(keys)), keys[0])
			require.Equal(t, fmt.Sprintf("k%04d", end-1), keys[len(keys)-1])
		}
		write(0, 1000)
		newest(1000)
		require.Positive(t, f.Metrics().RetentionDeleted)
		f.reopenOnDisk()
		sc = f.Scope(agent)
		got, err := sc.Retention(ctx)
		require.NoError(t, err)
		require.Equal(t, rule, got)
		write(1000, 1300)
		newest(1300)
		// What is overwritten is new again, and one entry.
		looks := f.Metrics().RetentionLooks
		for range 50 {
			require.NoError(t, sc.Set(ctx, "k1299", "again", state.NoSync))
		}
		newest(1300)
		require.Less(t, f.Metrics().RetentionLooks, looks+20)
		// A rule can be changed, and be taken away.
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
		settled(t, func() bool { return len(heldKeys(t, sc)) == 10 })
		require.NoError(t, sc.SetRetention(ctx, state.Retention{}))
		got, err = sc.Retention(ctx)
		require.NoError(t, err)
		require.Zero(t, got)
		listed, err := f.ListedForRetention()
		require.NoError(t, err)
		require.Empty(t, listed)
		write(2000, 2050)
		require.Len(t, heldKeys(t, sc), 60)
	})
}

func TestRetentionKeepsBytes(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "before", strings.Repeat("x", 5000)))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxBytes: 10_000}))
		for i := range 40 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint("k", i), strings.Repeat("x", 980), state.NoSync))
		}
		settled(t, func() bool { return len(heldKeys(t, sc)) <= 10 })
		require.NotContains(t, heldKeys(t, sc), "before")
		require.GreaterOrEqual(t, len(heldKeys(t, sc)), 8)
		require.Contains(t, heldKeys(t, sc), "k39")
	})
}

func TestRetentionByAge(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}, Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		h := hear(t, f.Store, false)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxAge: time.Hour}))
		require.NoError(t, sc.Set(ctx, "old", 1))
		require.NoError(t, sc.Set(ctx, "kept", 1))
		clock.advance(50 * time.Minute)
		require.NoError(t, sc.Set(ctx, "kept", 2))
		require.NoError(t, sc.Set(ctx, "new", 1))
		require.NoError(t, sc.IncrementBlind(ctx, "counter", 1))
		clock.advance(20 * time.Minute)
		settled(t, func() bool { return len(heldKeys(t, sc)) == 3 })
		require.Equal(t, []string{"counter", "kept", "new"}, heldKeys(t, sc))
		settled(t, func() bool { return slices.ContainsFunc(h.all(), isExpiryOf("old")) })
		expired := 0
		for ev, err := range sc.History(ctx, "old") {
			require.NoError(t, err)
			if ev.Op == hook.OpExpire {
				expired++
			}
		}
		require.Equal(t, 1, expired)
		f.reopenOnDisk()
		sc = f.Scope(agent)
		clock.advance(2 * time.Hour)
		settled(t, func() bool { return len(heldKeys(t, sc)) == 0 })
		// A scope that has become empty is looked at again when it is not.
		require.NoError(t, sc.Set(ctx, "k", 1))
		clock.advance(2 * time.Hour)
		settled(t, func() bool { return len(heldKeys(t, sc)) == 0 })
	})
}

// all returns the events heard so far.
func (h *heard) all() []hook.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

func isExpiryOf(key string) func(hook.Event) bool {
	return func(ev hook.Event) bool { return ev.Op == hook.OpExpire && ev.Key == key }
}

func TestAnIdleScopeIsDropped(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		session := scope.Session("s1")
		sc := f.Scope(session)
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		there := func() bool {
			for s, err := range f.ListScopes(scope.AnyKind, "") {
				require.NoError(t, err)
				if s == session {
					return true
				}
			}
			return false
		}
		clock.advance(50 * time.Minute)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(session).Set(ctx, "k", 2) }))
		clock.advance(50 * time.Minute)
		f.reopenOnDisk()
		sc = f.Scope(session)
		require.True(t, there())
		require.Zero(t, f.Metrics().RetentionDropped)
		clock.advance(20 * time.Minute)
		settled(t, func() bool { return !there() })
		settled(t, func() bool { return f.Metrics().RetentionDropped == 1 })
		listed, err := f.ListedForRetention()
		require.NoError(t, err)
		require.Empty(t, listed)
		require.NoError(t, sc.Set(ctx, "k", 3))
		clock.advance(24 * time.Hour)
		r, err := sc.Retention(ctx)
		require.NoError(t, err)
		require.Zero(t, r, "the rule has gone with the scope")
		require.True(t, there())
	})
}

// R2: what is written between the look and the delete stays.
func TestRetentionDeletesNothingNewer(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for i := range 100 {
			require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%03d", i), i, state.NoSync))
		}
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 100}))
		require.NoError(t, sc.Set(ctx, "k100", 20)) // within a twentieth: nobody looks
		n, err := state.SweepWith(sc, func() { require.NoError(t, sc.Set(ctx, "k000", "newer")) })
		require.NoError(t, err)
		require.Zero(t, n)
		v, err := sc.Get(ctx, "k000")
		require.NoError(t, err)
		require.Equal(t, "newer", v)
		n, err = state.SweepWith(sc, func() {})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		_, err = sc.Get(ctx, "k001")
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}

// A value that nobody can read is left alone, and in nobody's way.
func TestRetentionPassesOverWhatCannotBeRead(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "m", "text"))
		require.NoError(t, sc.IncrementBlind(ctx, "m", 1))
		require.NoError(t, sc.PutRaw("newer", []byte{200, 1, 2}))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxAge: time.Hour}))
		for _, key := range []string{"a", "z"} {
			require.NoError(t, sc.Set(ctx, key, 1))
		}
		clock.advance(2 * time.Hour)
		for _, key := range []string{"a", "z"} {
			settled(t, func() bool { ok, err := sc.Has(ctx, key); return err == nil && !ok })
		}
		_, err := sc.Get(ctx, "m")
		require.ErrorIs(t, err, state.ErrMerge)
		_, err = sc.Get(ctx, "newer")
		require.ErrorIs(t, err, state.ErrTooNew)
	})
}

// R3: a scope that is written to is not dropped.
func TestAScopeThatIsWrittenToIsNotDropped(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{DropIdle: time.Hour}))
		require.NoError(t, state.DropIdleWith(sc, func() { require.NoError(t, sc.Set(ctx, "k", 1)) }))
		_, err := sc.Get(ctx, "k")
		require.NoError(t, err)
	})
}

// The entries that are left are always the ones that were written last, whatever was done.
func TestRetentionAgreesWithAModel(t *testing.T) {
	modelled(t, state.Options{}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		rnd := rand.New(rand.NewPCG(7, 40))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 20}))
		var order []string // keys by last write, oldest first
		write := func(key string) {
			order = append(slices.DeleteFunc(order, func(k string) bool { return k == key }), key)
		}
		for round := range 30 {
			deletes := 0
			for range rnd.IntN(60) {
				key := fmt.Sprint("k", rnd.IntN(60))
				switch rnd.IntN(6) {
				case 0:
					deletes++
					_, err := sc.Delete(ctx, key, state.NoSync)
					require.NoError(t, err)
					order = slices.DeleteFunc(order, func(k string) bool { return k == key })
				case 1:
					require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, key, round, state.NoSync) }))
					write(key)
				case 2:
					require.NoError(t, sc.AppendBlind(ctx, "list "+key, round))
					write("list " + key)
				default:
					require.NoError(t, sc.Set(ctx, key, round, state.NoSync))
					write(key)
				}
			}
			settled(t, func() bool { return len(heldKeys(t, sc)) <= 22 })
			var got []string
			state.BetweenSweeps(f.Store, func() { got = heldKeys(t, sc) }) // or one would end among the next deletes
			// What a sweep has met may be among the newest 20 since some of these were deleted.
			require.Subset(t, got, order[max(len(order)-max(20-deletes, 0), 0):], "round %d", round)
			order = slices.DeleteFunc(order, func(k string) bool { return !slices.Contains(got, k) })
			require.ElementsMatch(t, order, got, "round %d", round)
		}
	})
}

func TestRetentionUnderManyWriters(t *testing.T) {
	modelled(t, state.Options{}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 200, DropIdle: time.Hour}))
		each := 300
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := range each {
					if i%3 == 0 {
						_ = f.Transact(ctx, func(tx *state.Txn) error {
							return tx.Scope(agent).Set(ctx, fmt.Sprintf("w%d-%d", w, i), i, state.NoSync)
						})
						continue
					}
					if err := sc.Set(ctx, fmt.Sprintf("w%d-%d", w, i), i, state.NoSync); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		settled(t, func() bool { return len(heldKeys(t, sc)) <= 220 })
		require.GreaterOrEqual(t, len(heldKeys(t, sc)), 200)
		require.Zero(t, f.Metrics().RetentionFailed)
	})
}

func TestDocumentsGoWithTheirEntries(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		plain, err := state.OpenCollection[person](ctx, sc, "plain")
		require.NoError(t, err)
		require.NoError(t, plain.Set(ctx, "oldest", person{}))
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 20}))
		h := hear(t, f.Store, false)
		for i := range 60 {
			require.NoError(t, c.Set(ctx, fmt.Sprintf("p%02d", i), person{Mail: fmt.Sprint(i), Team: "red"}, state.NoSync))
		}
		docs := func() []string { return docsOf(t, c, index.Query{}) }
		settled(t, func() bool { return len(docs()) <= 21 }) // at 22 a sweep is due
		require.GreaterOrEqual(t, len(docs()), 20)
		require.Equal(t, "p59", docs()[len(docs())-1])
		require.Empty(t, docsOf(t, plain, index.Query{}))
		requireAgreement(t, sc, c)
		require.Len(t, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "red")}}), len(docs()))
		require.NoError(t, c.Set(ctx, "again", person{Mail: "0"}), "the value of a unique index is free")
		settled(t, func() bool { return slices.ContainsFunc(h.all(), isExpiryOf("people/p00")) })
		if f.dir == "" {
			return
		}
		// Documents whose indexes nobody has declared in this process wait until somebody does.
		f.reopen()
		sc = f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 5}))
		for i := range 10 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint("k", i), i, state.NoSync))
		}
		settled(t, func() bool { return len(heldKeys(t, sc)) == 5 })
		c = people(t, sc, byMail, byTeam)
		settled(t, func() bool { return len(docs()) == 0 })
		require.Len(t, heldKeys(t, sc), 5)
		requireAgreement(t, sc, c)
	})
}

// A rule goes where its scope goes.
func TestRulesGoWithTheirScope(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		rule := state.Retention{MaxEntries: 10}
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, rule))
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.Equal(t, []string{"k"}, heldKeys(t, sc))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		copied, moved, late := scope.Agent("copied"), scope.Agent("moved"), scope.Agent("late")
		_, err = sc.Copy(ctx, copied)
		require.NoError(t, err)
		require.NoError(t, sc.Move(ctx, moved))
		_, err = sc.Retention(ctx)
		require.NoError(t, err)
		require.NoError(t, f.Scope(moved).Drop(ctx))
		_, err = snap.Scope(agent).Copy(ctx, late)
		require.NoError(t, err)
		require.ErrorIs(t, snap.Scope(agent).SetRetention(ctx, rule), state.ErrReadOnly)
		require.NoError(t, snap.Close())
		f.reopenOnDisk()
		listed, err := f.ListedForRetention()
		require.NoError(t, err)
		require.ElementsMatch(t, []string{copied.String(), late.String()}, listed)
		for _, name := range []scope.Scope{copied, late} {
			got, err := f.Scope(name).Retention(ctx)
			require.NoError(t, err)
			require.Equal(t, rule, got)
			for i := range 30 {
				require.NoError(t, f.Scope(name).Set(ctx, fmt.Sprint("k", i), i, state.NoSync))
			}
			settled(t, func() bool { return len(heldKeys(t, f.Scope(name))) <= 11 })
		}
	})
}

func TestWhatRetentionRefuses(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for _, r := range []state.Retention{{MaxAge: -1}, {MaxEntries: -1}, {MaxBytes: -1}, {DropIdle: -1}} {
			var e *state.Error
			err := sc.SetRetention(ctx, r)
			require.ErrorIs(t, err, state.ErrOption)
			require.ErrorAs(t, err, &e)
		}
		require.ErrorIs(t, f.Scope(scope.Custom("__x")).SetRetention(ctx, state.Retention{}), state.ErrScope)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{}))
		require.Equal(t, 0, scopesOf(t, f.Store), "no scope comes into being")
		require.NoError(t, state.Forge(sc, "\x00r", []byte{9}))
		_, err := sc.Retention(ctx)
		require.ErrorIs(t, err, state.ErrTooNew)
		require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxAge: time.Nanosecond}))
		got, err := sc.Retention(ctx)
		require.NoError(t, err)
		require.Equal(t, time.Millisecond, got.MaxAge)
	})
}

func scopesOf(t *testing.T, s *state.Store) int {
	t.Helper()
	n := 0
	for _, err := range s.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		n++
	}
	return n
}

// The records are what docs/formats/scope-records.md says.
func TestRecordsOfScopes(t *testing.T) {
	rule := state.Retention{MaxAge: 90 * time.Second, MaxEntries: 300, DropIdle: 1}
	require.Equal(t, []byte("\x01\x90\xbf\x05\xac\x02\x00\x01\x80\x01"), state.EncodeRule(rule, 128))
	got, since, err := state.DecodeRule(state.EncodeRule(rule, 128))
	rule.DropIdle = time.Millisecond
	require.NoError(t, err)
	require.Equal(t, rule, got)
	require.Equal(t, int64(128), since)
	require.Equal(t, []byte("\x01\xac\x02me"), state.EncodeLease(300, "me"))
	for _, p := range []string{"", "\x00", "\x01", "\x01\x00\x00\x00\x00\x00\x00", "\x01\x80\x00\x00\x00\x00\x00"} {
		_, _, err := state.DecodeRule([]byte(p))
		require.ErrorIs(t, err, state.ErrMalformed, "%q", p)
	}
	for _, p := range []string{"", "\x00", "\x01", "\x01\x00", "\x01\x80\x00me", "\x01\x01" + strings.Repeat("x", 129)} {
		_, _, err := state.DecodeLease([]byte(p))
		require.ErrorIs(t, err, state.ErrMalformed, "%q", p)
	}
}

func FuzzRecordsOfScopes(f *testing.F) {
	f.Add(state.EncodeRule(state.Retention{MaxAge: 1 << 62, MaxEntries: 5, MaxBytes: 1 << 40, DropIdle: time.Hour}, 1))
	f.Add(state.EncodeLease(300, "me"))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, since, err := state.DecodeRule(p)
		if err == nil {
			require.Equal(t, p, state.EncodeRule(r, since))
		} else {
			require.True(t, errors.Is(err, state.ErrMalformed) || errors.Is(err, state.ErrTooNew))
		}
		token, holder, err := state.DecodeLease(p)
		if err == nil {
			require.Equal(t, p, state.EncodeLease(token, holder))
		}
	})
}

// What a look costs for each entry of a scope.
func BenchmarkLook(b *testing.B) {
	sc := benchStore(b, nil)
	const n = 100_000
	for i := 0; i < n; i += 1000 {
		many := map[string]any{}
		for j := range 1000 {
			many[fmt.Sprintf("key-%07d", (i+j)*7919%n)] = "a value of some thirty bytes or so"
		}
		if err := sc.SetMany(ctx, many, state.NoSync); err != nil {
			b.Fatal(err)
		}
	}
	if err := sc.SetRetention(ctx, state.Retention{MaxEntries: 2 * n}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := state.SweepWith(sc, func() {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
}

// Scopes in which every value is sealed have rules and leases as others do, and entries of a scope that was
// shredded go.
func TestSealedScopesHaveRulesAndLeases(t *testing.T) {
	store, err := state.OpenMemory(sealing())
	require.NoError(t, err)
	defer store.Close()
	sc := store.Scope(agent)
	require.NoError(t, sc.Seal(ctx))
	require.NoError(t, sc.SetRetention(ctx, state.Retention{MaxEntries: 10}))
	for i := range 40 {
		require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%02d", i), i, state.NoSync))
	}
	settled(t, func() bool { return len(heldKeys(t, sc)) <= 11 })
	l, err := sc.AcquireLease(ctx, "owner", "me", time.Hour)
	require.NoError(t, err)
	require.NoError(t, l.Renew(ctx, time.Hour))
	require.NoError(t, l.Release(ctx))
	require.Zero(t, store.Metrics().RetentionFailed)
}
