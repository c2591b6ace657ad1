package state_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// A handle of a collection whose indexes were others for a while can be used again when they are its own.
func TestAHandleIsGoodAgainWhenItsIndexesAre(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "a", person{Team: "red"}))
		people(t, sc, byMail)
		require.ErrorIs(t, c.Set(ctx, "b", person{}), state.ErrReopen)
		people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "b", person{Team: "red"}))
		require.Equal(t, []string{"a", "b"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "red")}}))

		people(t, sc, byMail)
		require.ErrorIs(t, c.Set(ctx, "c", person{}), state.ErrReopen)
		require.NoError(t, sc.Drop(ctx))
		require.NoError(t, c.Set(ctx, "c", person{Team: "red"}), "there is no other collection any more")
		requireAgreement(t, sc, c)
	})
}

// hasty is a clock that goes on by a millisecond whenever it is asked.
type hasty struct{ elapsed atomic.Int64 }

func (*hasty) Wall() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func (h *hasty) Elapsed() time.Duration { return time.Duration(h.elapsed.Add(1)) * time.Millisecond }

// A document that another writer has just written, and that expires while it is found out what was met, is no
// index that disagrees: whenever that is.
func TestADocumentThatExpiresIsNoDisagreement(t *testing.T) {
	store, err := state.OpenMemory(&state.Options{Engine: &state.EngineOptions{Clock: &hasty{}}})
	require.NoError(t, err)
	c := people(t, store.Scope(agent), byMail)
	for ttl := range 40 * time.Millisecond / time.Millisecond {
		key, before := fmt.Sprint("k", int(ttl)), true
		register(t, store, hook.Hook{Name: key, Points: []hook.Point{hook.BeforeSet}, Keys: "people/" + key, Before: func(context.Context, *hook.Change) error {
			if before { // the other one
				before = false
				return c.Set(ctx, key, person{Mail: key}, state.WithTTL((ttl+1)*time.Millisecond))
			}
			return nil
		}})
		require.NoError(t, c.Set(ctx, key, person{Mail: key}))
	}
	require.NoError(t, store.Close())
}

// With a context in which nothing is to be written no index is built or taken away.
func TestNoIndexIsBuiltInASimulation(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "a", person{Team: "red"}))
		before, err := state.Kept(sc)
		require.NoError(t, err)
		simulated := hook.Simulate(ctx)
		_, err = state.OpenCollection[person](simulated, sc, "people", byMail)
		require.ErrorIs(t, err, hook.ErrSimulated)
		require.ErrorIs(t, c.Rebuild(simulated), hook.ErrSimulated)
		same, err := state.OpenCollection[person](simulated, sc, "people", byTeam)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, docsOf(t, same, index.Query{}))
		after, err := state.Kept(sc)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}

// A query ended at the first document that was shredded, and nobody got at those behind it.
func TestWhatCannotBeReadEndsNoQuery(t *testing.T) {
	everywhere(t, sealing(), func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc)
		for i := range 6 {
			var o []state.Option
			if i%3 == 1 {
				o = append(o, sensitive)
			}
			require.NoError(t, c.Set(ctx, fmt.Sprint("p", i), person{Team: "red", Age: i}, o...))
		}
		snap, err := f.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		_, err = sc.Shred(ctx)
		require.NoError(t, err)
		met := func(d state.Doc[person], err error) string {
			if !strings.Contains("p1 p4", d.Key) || d.Key == "" {
				require.NoError(t, err)
				require.NoError(t, d.Err)
				require.Equal(t, fmt.Sprint("p", d.Value.Age), d.Key)
				return d.Key
			}
			var e *state.Error
			require.ErrorIs(t, err, state.ErrShredded)
			require.ErrorAs(t, err, &e)
			require.Equal(t, "people/"+d.Key, e.Key)
			require.Zero(t, d.Value)
			return d.Key
		}
		for _, at := range []*state.Collection[person]{c, c.In(snap.Scope(agent))} {
			for _, q := range []struct {
				index.Query
				want string
			}{
				{index.Query{}, "p0 p1 p2 p3 p4 p5"},
				{index.Query{Where: []index.Cond{index.Gt("age", 2)}}, "p1 p3 p4 p5"}, // nobody knows its age
				{index.Query{Where: []index.Cond{index.Eq("team", "blue")}}, "p1 p4"},
				{index.Query{Where: []index.Cond{index.Eq("team", "red")}, Order: []index.Order{index.Asc("age")}}, "p0 p2 p3 p5 p1 p4"},
				{index.Query{Order: []index.Order{index.Desc("age")}}, "p1 p4 p5 p3 p2 p0"},
				{index.Query{Order: []index.Order{index.Desc(index.Key)}}, "p5 p4 p3 p2 p1 p0"},
				{index.Query{Where: []index.Cond{index.Lt(index.Key, "p3")}}, "p0 p1 p2"},
			} {
				var all, paged []string
				for d, err := range at.All(ctx, q.Query) {
					all = append(all, met(d, err))
				}
				require.Equal(t, q.want, strings.Join(all, " "), "%+v", q.Query)
				for q.Limit = 2; ; {
					page, err := at.Query(ctx, q.Query)
					require.NoError(t, err)
					for _, d := range page.Docs {
						paged = append(paged, met(d, d.Err))
					}
					if q.After = page.Next; q.After == "" {
						break
					}
				}
				require.Equal(t, all, paged)
			}
		}
		n := 0
		for range c.All(ctx, index.Query{}) { // a loop that is left at what cannot be read
			if n++; n == 2 {
				break
			}
		}
		require.Equal(t, 2, n)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			n = 0
			for range c.In(tx.Scope(agent)).All(ctx, index.Query{}) {
				n++
			}
			return nil
		}))
		require.Equal(t, 6, n)
		existed, err := c.Delete(ctx, "p4")
		require.NoError(t, err)
		require.True(t, existed)
	})
}

// Queries through one handle share readers, one after the other: what they have returned stays as it was.
func TestPagesStayAsTheyAre(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		c := people(t, f.Scope(agent), byTeam, byTag)
		of := func(i, version int) person {
			return person{Name: fmt.Sprint("name ", i, version), Team: fmt.Sprint(i % 5), Age: version, Tags: []string{"a", fmt.Sprint(i), "z"}, Notes: strings.Repeat("n", i*i%700)}
		}
		const docs, versions, teams = 40, 12, 5
		var pages [versions][][]state.Doc[person]
		var wg sync.WaitGroup
		for version := range versions {
			pages[version] = make([][]state.Doc[person], teams)
			for i := range docs {
				require.NoError(t, c.Set(ctx, fmt.Sprint(i), of(i, version), state.NoSync))
			}
			for team := range teams {
				wg.Go(func() {
					page, err := c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("team", fmt.Sprint(team))}})
					requireNoError(t, err)
					for range 3 {
						_, err := c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("tags.*", fmt.Sprint(team))}})
						requireNoError(t, err)
					}
					pages[version][team] = page.Docs
				})
			}
		}
		wg.Wait()
		for _, page := range slices.Concat(pages[:]...) {
			require.Len(t, page, docs/teams)
			for _, d := range page {
				i, err := strconv.Atoi(d.Key)
				require.NoError(t, err)
				_ = append(d.Value.Tags, "is nobody else's")
				require.Equal(t, of(i, d.Value.Age), d.Value)
			}
		}
	})
}

// A loop that panics leaves no snapshot and no cursor open: the store can be closed.
func TestALoopOverDocumentsThatPanics(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		c := people(t, f.Scope(agent), byTeam)
		for i := range 3 {
			require.NoError(t, c.Set(ctx, fmt.Sprint(i), person{Team: "red"}))
		}
		for _, q := range []index.Query{{}, {Where: []index.Cond{index.Eq("team", "red")}}, {Order: []index.Order{index.Asc("name")}}} {
			require.PanicsWithValue(t, "out", func() {
				for range c.All(ctx, q) {
					panic("out")
				}
			})
			require.Equal(t, []string{"0", "1", "2"}, docsOf(t, c, q))
		}
		require.NoError(t, f.Close())
	})
}

// handler is a slog.Handler that calls a function with each message.
type handler func(message string)

func (h handler) Enabled(context.Context, slog.Level) bool { return true }
func (h handler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h handler) WithGroup(string) slog.Handler            { return h }
func (h handler) Handle(_ context.Context, r slog.Record) error {
	h(r.Message)
	return nil
}

// A query for which there is no snapshot any more used to close the store itself, and so to wait for the Close that
// waited for it.
func TestAQueryOfAStoreThatIsClosing(t *testing.T) {
	var c *state.Collection[person]
	var asked error
	logged := false
	o := &state.Options{Engine: &state.EngineOptions{Logger: slog.New(handler(func(message string) {
		if c != nil && strings.HasSuffix(message, "closed") {
			logged = true
			_, asked = c.Query(ctx, index.Query{})
		}
	}))}}
	store, err := state.OpenMemory(o)
	require.NoError(t, err)
	c = people(t, store.Scope(agent), byTeam)
	require.NoError(t, c.Set(ctx, "1", person{Team: "red"}))
	require.NoError(t, store.Close())
	require.True(t, logged)
	require.ErrorIs(t, asked, state.ErrClosed)
}

// A loop makes memory for many documents at once, also where they lack fields: each used to get its own for the list.
func TestLoopsAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random")
	}
	store, err := state.OpenMemory(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	sc := store.Scope(agent)
	c := people(t, sc, byTeam)
	const docs = 500
	for i := range docs {
		require.NoError(t, c.Set(ctx, fmt.Sprint(i), person{Team: fmt.Sprint(i % 50), Name: "name", Tags: []string{"a", "b"}}))
	}
	inLoop := testing.AllocsPerRun(20, func() {
		for range c.All(ctx, index.Query{}) {
		}
	})
	require.Less(t, inLoop, 0.5*docs)
}

// A handle of a transaction used to be kept by the memory that its queries had left, and the transaction with it.
func TestNoQueryKeepsItsHandle(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		c := people(t, f.Scope(agent), byTeam)
		require.NoError(t, c.Set(ctx, "1", person{Team: "red"}))
		var handle weak.Pointer[state.Collection[person]]
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			in := c.In(tx.Scope(agent))
			handle = weak.Make(in)
			page, err := in.Query(ctx, index.Query{})
			require.Len(t, page.Docs, 1)
			return err
		}))
		runtime.GC()
		require.Nil(t, handle.Value())
	})
}
