package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/loamdb/loam/lsm"
)

// A store in a directory: what is written is there after reopening.
func Example() {
	dir, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := lsm.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Set([]byte("greeting"), []byte("hello"), nil); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}

	db, err = lsm.Open(dir, &lsm.Options{MustExist: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	v, err := db.Get([]byte("greeting"))
	fmt.Printf("%s %v\n", v, err)
	_, err = db.Get([]byte("farewell"))
	fmt.Println(errors.Is(err, lsm.ErrNotFound))
	// Output:
	// hello <nil>
	// true
}

// A batch is there whole or not at all.
func ExampleBatch() {
	db, err := lsm.Open("accounts", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	b := db.NewBatch()
	b.Set([]byte("alice"), []byte("90"))
	b.Set([]byte("bob"), []byte("110"))
	b.Delete([]byte("pending"))
	fmt.Println(b.Len(), db.Apply(b, lsm.NoSync))
	// Output: 3 <nil>
}

// Scan walks a range in order, as of its first step.
func ExampleDB_Scan() {
	db, err := lsm.Open("fruit", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, k := range []string{"cherry", "apple", "banana", "damson"} {
		if err := db.Set([]byte(k), []byte{k[0]}, lsm.NoSync); err != nil {
			log.Fatal(err)
		}
	}
	for e, err := range db.Scan([]byte("b"), []byte("d")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", e.Key, e.Value)
	}
	for e, err := range db.ScanReverse(nil, []byte("c")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", e.Key)
	}
	// Output:
	// banana=b
	// cherry=c
	// banana
	// apple
}

// A snapshot never changes.
func ExampleDB_NewSnapshot() {
	db, err := lsm.Open("counter", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_ = db.Set([]byte("n"), []byte("1"), nil)
	snap, err := db.NewSnapshot()
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close()
	_ = db.Set([]byte("n"), []byte("2"), nil)
	_ = db.Compact(context.Background(), nil, nil)
	before, _ := snap.Get([]byte("n"))
	now, _ := db.Get([]byte("n"))
	fmt.Printf("%s %s\n", before, now)
	// Output: 1 2
}

// An iterator moves both ways within its bounds.
func ExampleIterator() {
	db, err := lsm.Open("letters", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, k := range "abcde" {
		_ = db.Set([]byte(string(k)), nil, lsm.NoSync)
	}
	it, err := db.NewIter(&lsm.IterOptions{LowerBound: []byte("b")})
	if err != nil {
		log.Fatal(err)
	}
	it.SeekGE([]byte("cc"))
	fmt.Printf("%s ", it.Key())
	it.Prev()
	fmt.Printf("%s ", it.Key())
	it.Last()
	fmt.Printf("%s ", it.Key())
	for it.Prev() {
	}
	fmt.Println(it.Valid(), it.Close())
	// Output: d c e false <nil>
}

// A range delete is one record, however many keys it removes.
func ExampleDB_DeleteRange() {
	db, err := lsm.Open("", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, key := range []string{"log/1", "log/2", "log/3", "state"} {
		if err := db.Set([]byte(key), []byte("…"), nil); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.DeleteRange([]byte("log/"), []byte("log/3"), nil); err != nil {
		log.Fatal(err)
	}
	for e, err := range db.Scan(nil, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(e.Key))
	}
	// Output:
	// log/3
	// state
}
