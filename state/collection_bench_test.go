package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/interleave"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// turn is a document of about 200 bytes as it is stored.
type turn struct {
	Role   string   `msgpack:"role"`
	Tokens int      `msgpack:"tokens"`
	Model  string   `msgpack:"model"`
	Score  float64  `msgpack:"score"`
	Text   string   `msgpack:"text"`
	Tags   []string `msgpack:"tags"`
	User   string   `msgpack:"user"`
}

func someTurn(i int) turn {
	return turn{"assistant", i % 1000, "large-2026-03", 0.93, "The report has three parts, of which the second one is still to be written.",
		[]string{"report", "draft"}, fmt.Sprintf("user%06d", i/10)}
}

// A Set of a document with two indexes against one without, and against a Set of a key: documents
// that are new, that stay as they are, and whose indexed fields change.
func BenchmarkCollectionSet(b *testing.B) {
	byUser, byTokens := index.Def{Name: "user", Fields: []string{"user"}}, index.Def{Name: "tokens", Fields: []string{"tokens"}}
	for _, bench := range []struct {
		name    string
		fresh   bool
		change  int
		plain   bool
		indexes []index.Def
		opts    []state.Option
	}{
		{"key/new", true, 0, true, nil, nil},
		{"documents/new", true, 0, false, nil, nil},
		{"indexes/new", true, 0, false, []index.Def{byUser, byTokens}, nil},
		{"key/same", false, 0, true, nil, nil},
		{"documents/same", false, 0, false, nil, nil},
		{"indexes/same", false, 0, false, []index.Def{byUser, byTokens}, nil},
		{"indexes/changed", false, 10, false, []index.Def{byUser, byTokens}, nil},
	} {
		for _, sync := range []state.Option{state.NoSync, state.Sync} {
			name := bench.name + "/nosync"
			if sync == state.Sync {
				name = bench.name + "/sync"
			}
			b.Run(name, func(b *testing.B) {
				sc := benchStore(b, nil)
				c, err := state.OpenCollection[turn](ctx, sc, "turns", bench.indexes...)
				require.NoError(b, err)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					key := fmt.Sprintf("turn-%07d", i)
					if !bench.fresh {
						key = fmt.Sprintf("turn-%07d", i%1000)
					}
					doc := someTurn(i*bench.change + len(key))
					if bench.plain {
						err = state.Set(ctx, sc, key, doc, sync)
					} else {
						err = c.Set(ctx, key, doc, sync)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The same unsynced, beside each other: new documents whose keys come in any order, as ids do, and in
// their own; and documents whose indexed fields change.
func BenchmarkCollectionSetBeside(b *testing.B) {
	byUser, byTokens := index.Def{Name: "user", Fields: []string{"user"}}, index.Def{Name: "tokens", Fields: []string{"tokens"}}
	docs := make([]turn, 1000)
	for i := range docs {
		docs[i] = someTurn(i)
	}
	for _, bench := range []struct {
		name       string
		keys, step int
	}{{"new", 10_000_019, 7919}, {"new in order", 10_000_019, 1}, {"changed", 1000, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			side := func(name string, set func(key string, doc turn) error) interleave.Side {
				n := 0
				return interleave.Side{Name: name, Call: func() error {
					key, doc := fmt.Sprintf("turn-%08d", n*bench.step%bench.keys), docs[(n*7+n/bench.keys)%len(docs)]
					n++
					return set(key, doc)
				}}
			}
			collection := func(indexes ...index.Def) func(key string, doc turn) error {
				c, err := state.OpenCollection[turn](ctx, benchStore(b, nil), "turns", indexes...)
				require.NoError(b, err)
				return func(key string, doc turn) error { return c.Set(ctx, key, doc, state.NoSync) }
			}
			plain := benchStore(b, nil)
			interleave.Run(b, 20,
				side("plain", func(key string, doc turn) error { return state.Set(ctx, plain, key, doc, state.NoSync) }),
				side("documents", collection()), side("indexes", collection(byUser, byTokens)))
		})
	}
}

// An equality query for 10 documents among a million (100,000 in the short form).
func BenchmarkCollectionQuery(b *testing.B) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	store, err := state.Open(b.TempDir(), &state.Options{Class: state.Trusted})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	c, err := state.OpenCollection[turn](ctx, store.Scope(agent), "turns", index.Def{Name: "user", Fields: []string{"user"}})
	require.NoError(b, err)
	for i := range n {
		if err := c.Set(ctx, fmt.Sprintf("turn-%07d", i*7919%n), someTurn(i)); err != nil {
			b.Fatal(err)
		}
	}
	requireRest(b, store) // or the tables are merged beside the first of these
	query := func(b *testing.B, user int) {
		r, err := c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("user", fmt.Sprintf("user%06d", user))}})
		if err != nil || len(r.Docs) != 10 {
			b.Fatal(len(r.Docs), err)
		}
	}
	b.Run("hot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			query(b, n/20)
		}
	})
	b.Run("anywhere", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			query(b, i*7919%(n/10))
		}
	})
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("user", "nobody")}})
			if err != nil || len(r.Docs) > 0 {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := c.Get(ctx, fmt.Sprintf("turn-%07d", i*7919%n)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// requireRest waits until the engine has nothing left to do of its own: for a second nothing has ended, and nothing
// is under way.
func requireRest(b *testing.B, store *state.Store) {
	b.Helper()
	last, looks := int64(-1), 0
	require.Eventually(b, func() bool {
		m := store.Metrics().Engine
		if done := m.Flushes + m.Compactions; done != last || m.RunningCompactions > 0 {
			last, looks = done, 0
		}
		looks++
		return looks > 20
	}, 5*time.Minute, 50*time.Millisecond)
}
