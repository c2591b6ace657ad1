package state_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/interleave"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// document is of about 200 bytes as it is stored.
var document = map[string]any{
	"role": "assistant", "tokens": int64(412), "model": "large-2026-03", "finished": true, "score": 0.93,
	"text": "The report has three parts, of which the second one is still to be written.",
	"tags": []any{"report", "draft"}, "turn": int64(17),
}

func benchStore(b *testing.B, o *state.Options) *state.Scope {
	store, err := state.Open(b.TempDir(), o)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	return store.Scope(agent)
}

// As whatever it is, and into a struct.
func BenchmarkGet(b *testing.B) {
	sc := benchStore(b, nil)
	b.Run("any", func(b *testing.B) {
		require.NoError(b, sc.Set(ctx, "conversation/turn-17", document))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := sc.Get(ctx, "conversation/turn-17"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("struct", func(b *testing.B) {
		require.NoError(b, state.Set(ctx, sc, "conversation/turn-17", someTurn(17)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := state.Get[turn](ctx, sc, "conversation/turn-17"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	for _, class := range []state.Class{state.Trusted, state.Standard, state.External} {
		b.Run(class.String(), func(b *testing.B) {
			sc := benchStore(b, &state.Options{Class: class})
			b.ReportAllocs()
			for b.Loop() {
				if err := sc.Set(ctx, "conversation/turn-17", document, state.NoSync); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("trusted struct", func(b *testing.B) {
		sc, doc := benchStore(b, &state.Options{Class: state.Trusted}), someTurn(17)
		b.ReportAllocs()
		for b.Loop() {
			if err := state.Set(ctx, sc, "conversation/turn-17", doc, state.NoSync); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What classes save, all of them unsynced: bare, where a value of class Standard meets nothing on its
// way, and in a store that has a hook before each write and looks for personal data, as the class is
// for.
func BenchmarkClasses(b *testing.B) {
	looking := &state.Options{Privacy: []state.Privacy{{Scopes: "**", Policy: privacy.Policy{Default: privacy.Detect}}}}
	for _, c := range []struct {
		name  string
		o     *state.Options
		hooks []hook.Hook
	}{
		{"bare", nil, nil},
		{"looked at", looking, []hook.Hook{{
			Name: "before", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil },
		}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			sc := benchStore(b, c.o)
			register(b, state.StoreOf(sc), c.hooks...)
			side := func(class state.Class) interleave.Side {
				return interleave.Side{Name: class.String(), Call: func() error {
					return sc.Set(ctx, "conversation/"+class.String(), document, state.WithClass(class), state.NoSync)
				}}
			}
			interleave.Run(b, 20, side(state.Ephemeral), side(state.Trusted), side(state.Standard), side(state.External))
		})
	}
}

func BenchmarkIncrement(b *testing.B) {
	sc := benchStore(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sc.Increment(ctx, "n", 1, state.NoSync); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList(b *testing.B) {
	sc := benchStore(b, nil)
	many := map[string]any{}
	for i := range 100 {
		many["turn-"+string(rune('a'+i/10))+string(rune('a'+i%10))] = document
	}
	require.NoError(b, sc.SetMany(ctx, many))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sc.List(ctx, state.ListOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTransact(b *testing.B) {
	store, err := state.Open(b.TempDir(), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	b.ReportAllocs()
	for b.Loop() {
		err := store.Transact(ctx, func(tx *state.Txn) error {
			_, err := tx.Scope(agent).Increment(ctx, "n", 1, state.NoSync)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIncrementBlind(b *testing.B) {
	sc := benchStore(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := sc.IncrementBlind(ctx, "n", 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSetEphemeral(b *testing.B) {
	sc := benchStore(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := sc.Set(ctx, "conversation/turn-17", document, ephemeral); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExport and BenchmarkImport are of 10,000 values of some 200 bytes, for each value.
func BenchmarkExport(b *testing.B) {
	store, _ := exportable(b)
	for b.Loop() {
		if _, err := store.Scope(agent).Export(ctx, io.Discard, state.ExportOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/value")
}

func BenchmarkImport(b *testing.B) {
	for name, to := range map[string]func(i int) scope.Scope{
		"new":   func(i int) scope.Scope { return scope.Session(fmt.Sprint(i)) },
		"there": func(int) scope.Scope { return agent },
	} {
		b.Run(name, func(b *testing.B) {
			store, file := exportable(b)
			for i := 0; b.Loop(); i++ {
				_, err := store.Scope(to(i)).Import(ctx, bytes.NewReader(file), state.ImportOptions{Existing: state.ExistingReplace})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/value")
		})
	}
}

// exportable returns a store with a scope, and its file.
func exportable(b *testing.B) (*state.Store, []byte) {
	b.Helper()
	store, err := state.OpenMemory(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	values := map[string]any{}
	for i := range 10_000 {
		values[fmt.Sprintf("key/%06d", i)] = map[string]any{"n": i, "text": strings.Repeat("x", 150), "at": time.Unix(int64(i), 0)}
	}
	var file bytes.Buffer
	if err = store.SetMany(ctx, agent, values); err == nil {
		_, err = store.Scope(agent).Export(ctx, &file, state.ExportOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	return store, file.Bytes()
}

// Reads of stored values while the store has Ephemeral ones, by all processors.
func BenchmarkGetBesideEphemeral(b *testing.B) {
	sc := benchStore(b, nil)
	require.NoError(b, sc.Set(ctx, "conversation/turn-17", document))
	for i := range 1000 {
		require.NoError(b, sc.Set(ctx, fmt.Sprintf("seen/%d", i), true, state.WithClass(state.Ephemeral)))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := sc.Get(ctx, "conversation/turn-17"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
