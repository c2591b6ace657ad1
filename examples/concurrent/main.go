// Concurrent access: any number of goroutines share a store. Readers take no lock, and nothing that
// was changed is lost.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(nil)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, step := range []func(context.Context, *state.Store) error{keys, counter, ticket, transfer, snapshot} {
		if err := step(ctx, store); err != nil {
			return err
		}
	}
	return nil
}

// together runs fn in n goroutines and returns what went wrong.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// keys: a hundred writers, each with a key of its own.
func keys(ctx context.Context, store *state.Store) error {
	sc := store.Scope(scope.Global())
	err := together(100, func(i int) error {
		return sc.Set(ctx, fmt.Sprintf("key/%02d", i), map[string]any{"id": i})
	})
	if err != nil {
		return err
	}
	stats, err := sc.Stats(ctx)
	fmt.Println("written by a hundred:", stats.Entries, err)
	return nil
}

// counter: ten times a hundred increments are a thousand.
func counter(ctx context.Context, store *state.Store) error {
	sc := store.Scope(scope.Tool("search"))
	err := together(10, func(int) error {
		for range 100 {
			if _, err := sc.Increment(ctx, "calls", 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	calls, err := sc.Get(ctx, "calls")
	fmt.Println("calls:", calls, err)
	return nil
}

// ticket: of ten who want it one gets it, since what each has seen was so when it is written.
func ticket(ctx context.Context, store *state.Store) error {
	sc := store.Scope(scope.Workflow("nightly"))
	var mu sync.Mutex
	won, lost := 0, 0
	err := together(10, func(i int) error {
		_, err := sc.CompareAndSet(ctx, "owner", state.Absent, fmt.Sprintf("worker %d", i))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, state.ErrConflict):
			lost++
			return nil
		case err != nil:
			return err
		}
		won++
		return nil
	})
	fmt.Println("won:", won, "lost:", lost)
	return err
}

// transfer: transactions over two scopes, which never show half of themselves.
func transfer(ctx context.Context, store *state.Store) error {
	ann, bob := scope.User("ann"), scope.User("bob")
	if err := store.Set(ctx, ann, "points", 100); err != nil {
		return err
	}
	err := together(8, func(int) error {
		for range 10 {
			err := store.Transact(ctx, func(tx *state.Txn) error { // run again if somebody was faster
				if _, err := tx.Scope(ann).Increment(ctx, "points", -1); err != nil {
					return err
				}
				_, err := tx.Scope(bob).Increment(ctx, "points", 1)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	left, err := store.Get(ctx, ann, "points")
	if err != nil {
		return err
	}
	got, err := store.Get(ctx, bob, "points")
	fmt.Println("ann:", left, "bob:", got, err)
	return nil
}

// snapshot: readers see one moment while others write.
func snapshot(ctx context.Context, store *state.Store) error {
	snap, err := store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	err = together(4, func(i int) error {
		return store.Set(ctx, scope.Global(), fmt.Sprintf("key/%02d", i), "changed")
	})
	if err != nil {
		return err
	}
	changed := 0
	for e, err := range snap.Scope(scope.Global()).All(ctx, "key/") {
		if err != nil {
			return err
		}
		if e.Value == "changed" {
			changed++
		}
	}
	fmt.Println("changes in the snapshot:", changed)
	return nil
}
