package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

// A checkpoint is made while the store is used, and is a store itself.
func ExampleEngine_Checkpoint() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loam-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := state.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	planner := scope.Agent("planner")
	_ = store.Set(ctx, planner, "goal", "write the report")

	before := filepath.Join(dir, "before")
	if err := store.Engine().Checkpoint(ctx, before); err != nil {
		log.Fatal(err)
	}
	_ = store.Set(ctx, planner, "goal", "something else")

	copied, err := state.Open(before, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer copied.Close()
	fmt.Println(store.Get(ctx, planner, "goal"))
	fmt.Println(copied.Get(ctx, planner, "goal"))
	// Output:
	// something else <nil>
	// write the report <nil>
}

// The master key is changed while the store is used: from then on it opens with the new one.
func ExampleEngine_RotateMasterKey() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loam-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	key := func(b byte) crypto.KeyProvider { return crypto.KeyBytes(bytes.Repeat([]byte{b}, crypto.KeyLen)) }
	open := func(k crypto.KeyProvider) (*state.Store, error) {
		return state.Open(dir, &state.Options{Engine: &state.EngineOptions{Encryption: &lsm.Encryption{Key: k}}})
	}
	store, err := open(key(1))
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Engine().RotateMasterKey(ctx, key(2)); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}
	_, err = open(key(1))
	fmt.Println(errors.Is(err, lsm.ErrWrongKey))
	store, err = open(key(2))
	fmt.Println(err, store.Close())
	// Output:
	// true
	// <nil> <nil>
}
