package lsm_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// The same key in two scopes is two keys; a dropped scope is gone at once.
func ExampleDB_Scope() {
	db, err := lsm.Open("agents", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	a1, err := db.Scope(scope.Agent("a1"))
	if err != nil {
		log.Fatal(err)
	}
	a2, _ := db.Scope(scope.Agent("a2"))
	_ = a1.Set([]byte("mood"), []byte("calm"), nil)
	_ = a2.Set([]byte("mood"), []byte("busy"), nil)
	v, err := a1.Get([]byte("mood"))
	fmt.Printf("%s %v\n", v, err)

	_ = a1.Drop(nil)
	_, err = a1.Get([]byte("mood"))
	fmt.Println(errors.Is(err, lsm.ErrNotFound))
	for s, err := range db.ListScopes(scope.KindAgent, "") {
		fmt.Println(s, err)
	}
	// Output:
	// calm <nil>
	// true
	// agent:a2 <nil>
}

// One batch writes to several scopes, and makes those that are not there.
func ExampleBatch_In() {
	db, err := lsm.Open("flow", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	flow, _ := db.Scope(scope.Workflow("nightly"))
	load, _ := db.Scope(scope.Step("nightly", "load"))
	b := flow.NewBatch()
	b.Set([]byte("state"), []byte("running"))
	b.In(load).Set([]byte("rows"), []byte("0"))
	if err := db.Apply(b, nil); err != nil {
		log.Fatal(err)
	}
	st, err := load.Stats()
	fmt.Println(st.Entries, st.Bytes, st.Exact, err)
	// Output: 1 5 true <nil>
}

// A transaction moves work from one agent to another, who is new, and counts in the root: all
// of it or nothing, and only if nobody has changed what it has read.
func ExampleTxn_Scope() {
	db, err := lsm.Open("work", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	a1, _ := db.Scope(scope.Agent("a1"))
	_ = a1.Set([]byte("task"), []byte("dig"), nil)
	err = db.Update(func(tx *lsm.Txn) error {
		from, err := tx.Scope(scope.Agent("a1"))
		if err != nil {
			return err
		}
		to, err := tx.Scope(scope.Agent("a2"))
		if err != nil {
			return err
		}
		task, err := from.Get([]byte("task"))
		if err != nil {
			return err // nothing is written
		}
		return errors.Join(from.Delete([]byte("task")), to.Set([]byte("task"), task), tx.Set([]byte("moves"), []byte("1")))
	})
	fmt.Println(err)
	a2, _ := db.Scope(scope.Agent("a2"))
	v, err := a2.Get([]byte("task"))
	fmt.Printf("%s %v\n", v, err)
	// Output:
	// <nil>
	// dig <nil>
}

// A snapshot has the scopes of its time.
func ExampleSnapshot_Scope() {
	db, err := lsm.Open("users", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	u, _ := db.Scope(scope.User("u"))
	_ = u.Set([]byte("name"), []byte("Ada"), nil)
	snap, err := db.NewSnapshot()
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close()
	_ = u.Move(scope.User("v"), nil)
	then, _ := snap.Scope(scope.User("u"))
	v, _ := then.Get([]byte("name"))
	there, _ := u.Exists()
	fmt.Printf("%s %v\n", v, there)
	// Output: Ada false
}
