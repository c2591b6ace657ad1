package lsm_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/loamdb/loam/lsm"
)

// A checkpoint is a second store, made while the first one is in use.
func ExampleDB_Checkpoint() {
	dir, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := lsm.Open(filepath.Join(dir, "state"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_ = db.Set([]byte("version"), []byte("1"), nil)

	copied := filepath.Join(dir, "before-upgrade")
	if err := db.Checkpoint(context.Background(), copied); err != nil {
		log.Fatal(err)
	}
	_ = db.Set([]byte("version"), []byte("2"), nil)

	before, err := lsm.Open(copied, &lsm.Options{MustExist: true})
	if err != nil {
		log.Fatal(err)
	}
	defer before.Close()
	was, _ := before.Get([]byte("version"))
	is, _ := db.Get([]byte("version"))
	fmt.Printf("%s %s\n", was, is)
	// Output: 1 2
}

// A table that was built outside enters the store whole.
func ExampleDB_Ingest() {
	dir, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := lsm.Open(filepath.Join(dir, "cities"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_ = db.Set([]byte("bern"), []byte("unknown"), nil)

	file := filepath.Join(dir, "import.sst")
	w, err := lsm.NewTableWriter(file, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Abort() // nothing after Finish
	for _, c := range [][2]string{{"bern", "CH"}, {"lyon", "FR"}, {"turin", "IT"}} {
		if err := w.Set([]byte(c[0]), []byte(c[1])); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		log.Fatal(err)
	}
	if err := db.Ingest(context.Background(), file); err != nil {
		log.Fatal(err)
	}
	for e, err := range db.Scan(nil, nil) {
		fmt.Printf("%s=%s %v\n", e.Key, e.Value, err)
	}
	// Output:
	// bern=CH <nil>
	// lyon=FR <nil>
	// turin=IT <nil>
}
