// Data types: what is written is read back as what it was, and Go types read strictly.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// Turn is one turn of a conversation. A struct is stored as a map of its fields.
type Turn struct {
	Role string    `msgpack:"role"`
	Text string    `msgpack:"text"`
	Time time.Time `msgpack:"time"`
	Cost float64   `msgpack:"cost,omitempty"`
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(nil)
	if err != nil {
		return err
	}
	defer store.Close()
	sc := store.Scope(scope.Session("s1"))

	noon := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)
	err = sc.SetMany(ctx, map[string]any{
		"01 nil":    nil,
		"02 bool":   true,
		"03 int":    42, // every int is an int64
		"04 int64":  int64(math.MinInt64),
		"05 uint64": uint64(math.MaxUint64),
		"06 float":  0.1,
		"07 string": "grüezi",
		"08 bytes":  []byte{0, 1, 255},
		"09 time":   noon,
		"10 list":   []any{1, "two", 3.0, nil},
		"11 map":    map[string]any{"nested": map[string]any{"deep": []any{true}}},
		"12 struct": Turn{Role: "user", Text: "hello", Time: noon},
	})
	if err != nil {
		return err
	}
	for e, err := range sc.All(ctx, "") {
		if err != nil {
			return err
		}
		fmt.Printf("%-9s  %-22T  %v\n", e.Key, e.Value, e.Value)
	}

	turn, err := state.Get[Turn](ctx, sc, "12 struct")
	if err != nil {
		return err
	}
	fmt.Println("a Turn again:", turn.Text, turn.Time.Equal(noon))

	// A value goes into a Go type whole, or not at all.
	_, err = state.Get[int8](ctx, sc, "04 int64")
	fmt.Println(errors.Is(err, state.ErrOverflow), err)
	_, err = state.Get[int](ctx, sc, "07 string")
	fmt.Println(errors.Is(err, state.ErrType), err)
	err = sc.Set(ctx, "bad", map[string]any{"rate": math.NaN()})
	fmt.Println(err)

	// A key with a type: misuse does not compile.
	turns := state.NewKey[[]Turn]("turns")
	if err := turns.Set(ctx, sc, []Turn{turn}); err != nil {
		return err
	}
	all, err := turns.Update(ctx, sc, func(all []Turn, found bool) ([]Turn, error) {
		return append(all, Turn{Role: "agent", Text: "hi", Time: noon, Cost: 0.002}), nil
	})
	if err != nil {
		return err
	}
	fmt.Println("turns:", len(all), "last of", all[1].Role)
	return nil
}
