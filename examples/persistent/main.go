// Persistent backend with its defaults: what a write has returned from is on the device, and is
// there when the store is opened again.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "loam-persistent-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for range 3 { // three runs of a program
		if err := session(ctx, dir); err != nil {
			return err
		}
	}

	// A store that must be there, for reading only.
	_, err = state.Open(dir+"-missing", &state.Options{Engine: &state.EngineOptions{MustExist: true}})
	fmt.Println("a store that is not there:", errors.Is(err, state.ErrNotExist))
	reader, err := state.Open(dir, &state.Options{Engine: &state.EngineOptions{ReadOnly: true}})
	if err != nil {
		return err
	}
	defer reader.Close()
	err = reader.Set(ctx, scope.Global(), "runs", 0)
	fmt.Println("read-only:", errors.Is(err, state.ErrReadOnly))
	return nil
}

// session opens the store, goes on where the last one has ended, and closes it.
func session(ctx context.Context, dir string) (err error) {
	store, err := state.Open(dir, nil) // nil: durable, safe and fast
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := state.Open(dir, nil); !errors.Is(err, state.ErrLocked) { // one process at a time
		return fmt.Errorf("opened twice: %w", err)
	}

	app := store.Scope(scope.Global())
	runs, err := state.Increment(ctx, app, "runs", 1)
	if err != nil {
		return err
	}
	seen, err := app.Append(ctx, "log", fmt.Sprintf("run %d", runs))
	if err != nil {
		return err
	}
	recovery := store.Metrics().Engine.Recovery
	fmt.Println("run", runs, "log", seen, "closed before:", recovery.Clean)
	return nil
}
