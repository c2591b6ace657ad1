// Basic operations: save, load, list and delete values in a scope.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(nil) // state.Open("directory", nil) keeps it
	if err != nil {
		return err
	}
	defer store.Close()
	app := store.Scope(scope.Global())

	// Save: a value is whatever JSON has, and integers, bytes and times besides.
	err = app.Set(ctx, "config", map[string]any{
		"theme":    "dark",
		"version":  "1.0.0",
		"features": map[string]any{"auto_save": true, "notifications": false},
	})
	if err != nil {
		return err
	}

	// Load: as any, or as a Go type.
	config, err := app.Get(ctx, "config")
	if err != nil {
		return err
	}
	fmt.Println("config:", config)
	type settings struct {
		Theme    string          `msgpack:"theme"`
		Features map[string]bool `msgpack:"features"`
	}
	typed, err := state.Get[settings](ctx, app, "config")
	if err != nil {
		return err
	}
	fmt.Println("theme:", typed.Theme, "auto save:", typed.Features["auto_save"])

	// Change: a part of a value, or a number.
	if _, err := app.Patch(ctx, "config", map[string]any{"theme": "light", "version": nil}); err != nil {
		return err
	}
	starts, err := state.Increment(ctx, app, "starts", 1)
	if err != nil {
		return err
	}
	fmt.Println("starts:", starts)

	// List: in the order of the keys.
	for e, err := range app.All(ctx, "") {
		if err != nil {
			return err
		}
		fmt.Println(e.Key, "=", e.Value)
	}

	// Delete: it says whether there was something.
	existed, err := app.Delete(ctx, "config")
	if err != nil {
		return err
	}
	fmt.Println("deleted:", existed)
	_, err = app.Get(ctx, "config")
	fmt.Println("gone:", errors.Is(err, state.ErrNotFound), "-", err)
	return nil
}
