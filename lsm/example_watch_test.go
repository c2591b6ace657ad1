package lsm_test

import (
	"context"
	"fmt"
	"log"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// A watcher shows the operations of each commit together, and goes on later from where it was.
func ExampleDB_Watch() {
	db, err := lsm.Open("tasks", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	w, err := db.Watch(ctx, &lsm.WatchOptions{Prefix: []byte("task/")})
	if err != nil {
		log.Fatal(err)
	}
	b := db.NewBatch()
	b.Set([]byte("task/1"), []byte("open"))
	b.Set([]byte("task/2"), []byte("open"))
	b.Set([]byte("log/1"), []byte("two tasks"))
	_ = db.Apply(b, nil)
	_ = db.Delete([]byte("task/1"), nil)
	for e, err := range w.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %q, last of its commit: %v\n", e.Kind, e.Key, e.Value, e.Last)
		if e.Kind == lsm.WatchDelete {
			break
		}
	}
	at, err := w.Position() // to be kept, and used after the next opening too
	if err != nil {
		log.Fatal(err)
	}
	_ = w.Close()

	_ = db.Set([]byte("task/2"), []byte("done"), nil)
	w, err = db.Watch(ctx, &lsm.WatchOptions{Prefix: []byte("task/"), From: &at})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	for e, err := range w.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %q\n", e.Kind, e.Key, e.Value)
		if e.Last {
			break
		}
	}
	// Output:
	// set task/1 "open", last of its commit: false
	// set task/2 "open", last of its commit: true
	// delete task/1 "", last of its commit: true
	// lagged  ""
	// set task/2 "done"
}

// The drop of a scope ends its watch.
func ExampleScope_Watch() {
	db, err := lsm.Open("sessions", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	session, err := db.Scope(scope.Session("42"))
	if err != nil {
		log.Fatal(err)
	}
	w, err := session.Watch(context.Background(), nil) // it need not be there yet
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	_ = session.Set([]byte("cart"), []byte("3 items"), nil)
	_ = session.Drop(nil)
	for e, err := range w.Events() {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s %s %q\n", e.Kind, e.Key, e.Value)
	}
	// Output:
	// set cart "3 items"
	// dropped  ""
	// lsm: the watched scope is gone
}
