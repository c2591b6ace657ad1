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

// A conditional batch is compare-and-set: of two that start from the same version, one
// conflicts.
func ExampleBatch_Require() {
	db, err := lsm.Open("config", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	key := []byte("limit")
	create := db.NewBatch()
	create.Require(key, lsm.Absent)
	create.Set(key, []byte("10"))
	fmt.Println(db.Apply(create, nil))

	_, version, _ := db.GetWithVersion(key)
	for _, value := range []string{"20", "30"} {
		b := db.NewBatch()
		b.Require(key, version)
		b.Set(key, []byte(value))
		fmt.Println(db.Apply(b, nil))
	}
	v, _ := db.Get(key)
	fmt.Printf("%s\n", v)
	// Output:
	// <nil>
	// <nil>
	// lsm: conflict with another commit
	// 20
}

// A transaction reads and writes as if it were alone. The caller tries again when it was
// not.
func ExampleDB_Update() {
	db, err := lsm.Open("stock", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, item := range []string{"item/1", "item/2", "item/3"} {
		_ = db.Set([]byte(item), []byte("free"), nil)
	}
	// reserve takes the first free item.
	reserve := func(tx *lsm.Txn) error {
		for e, err := range tx.Scan([]byte("item/"), []byte("item0")) {
			if err != nil {
				return err
			}
			if string(e.Value) == "free" {
				return tx.Set(e.Key, []byte("taken"))
			}
		}
		return errors.New("sold out")
	}
	update := func() (err error) {
		for {
			if err = db.Update(reserve); !errors.Is(err, lsm.ErrConflict) {
				return err
			}
		}
	}
	for range 4 {
		fmt.Println(update())
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// sold out
}

// All reads of a view are of one moment.
func ExampleDB_View() {
	db, err := lsm.Open("pair", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_ = db.Set([]byte("a"), []byte("1"), nil)
	_ = db.Set([]byte("b"), []byte("1"), nil)
	err = db.View(func(tx *lsm.Txn) error {
		a, err := tx.Get([]byte("a"))
		if err != nil {
			return err
		}
		_ = db.Set([]byte("b"), []byte("2"), nil) // by somebody else
		b, err := tx.Get([]byte("b"))
		fmt.Printf("%s %s\n", a, b)
		return err
	})
	fmt.Println(err)
	// Output:
	// 1 1
	// <nil>
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
