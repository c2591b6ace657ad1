// Backend comparison: the same work on three stores, and what each of them promises for it.
// Times, which are the machine's, go to standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

const writes = 500

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "loam-comparison-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	durable, unsynced := filepath.Join(dir, "durable"), filepath.Join(dir, "unsynced")
	backends := []struct {
		name, power, kill string
		open              func() (*state.Store, error)
	}{
		{"memory", "no", "no", func() (*state.Store, error) { return state.OpenMemory(nil) }},
		{"disk, unsynced", "all but a second", "yes", func() (*state.Store, error) { return state.Open(unsynced, &state.Options{NoSync: true}) }},
		{"disk, durable", "yes", "yes", func() (*state.Store, error) { return state.Open(durable, nil) }},
	}
	fmt.Printf("%-15s %-17s %-20s %-17s %s\n", "", "waits for device", "survives power cut", "survives a kill", "there after closing")
	for _, b := range backends {
		store, err := b.open()
		if err != nil {
			return err
		}
		waits, err := work(ctx, store, b.name)
		if err := errors.Join(err, store.Close()); err != nil {
			return err
		}
		again, err := b.open()
		if err != nil {
			return err
		}
		there, err := again.Scope(scope.Agent("a1")).Has(ctx, "step/0")
		if err := errors.Join(err, again.Close()); err != nil {
			return err
		}
		fmt.Printf("%-15s %-17s %-20s %-17s %t\n", b.name, waits, b.power, b.kill, there)
	}
	return nil
}

// work writes and reads, one value at a time, and says how often that has waited for the device.
func work(ctx context.Context, store *state.Store, name string) (string, error) {
	sc := store.Scope(scope.Agent("a1"))
	before, began := store.Metrics().Engine.LogSyncs, time.Now()
	for i := range writes {
		if err := sc.Set(ctx, fmt.Sprintf("step/%d", i), map[string]any{"n": i, "state": "done"}); err != nil {
			return "", err
		}
	}
	wrote, syncs := time.Since(began), store.Metrics().Engine.LogSyncs-before
	began = time.Now()
	for i := range writes {
		if _, err := sc.Get(ctx, fmt.Sprintf("step/%d", i)); err != nil {
			return "", err
		}
	}
	log.Printf("%s: %v a write, %v a read", name, wrote/writes, time.Since(began)/writes)
	switch {
	case syncs >= writes:
		return "for each write", nil
	case syncs < writes/10:
		return "hardly ever", nil
	}
	return "now and then", nil
}
