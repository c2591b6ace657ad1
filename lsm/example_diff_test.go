package lsm_test

import (
	"fmt"
	"log"

	"github.com/loamdb/loam/lsm"
)

// A copy of a store is kept up to date: the horizon keeps what was deleted since.
func ExampleSnapshot_Diff() {
	db, err := lsm.Open("source", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_ = db.Set([]byte("a"), []byte("1"), nil)
	_ = db.Set([]byte("b"), []byte("1"), nil)

	last := lsm.Position{} // at first everything is new
	for range 2 {
		snap, err := db.NewSnapshot()
		if err != nil {
			log.Fatal(err)
		}
		for c, err := range snap.Diff(last) {
			if err != nil {
				log.Fatal(err) // for ErrHistoryGone: again, from the beginning
			}
			fmt.Printf("%s %q %q\n", c.Kind, c.Key, c.Value)
		}
		at, err := snap.Position()
		if err != nil {
			log.Fatal(err)
		}
		if err := db.SetHorizon("copy", at); err != nil {
			log.Fatal(err)
		}
		if last, err = lsm.ParsePosition(at.String()); err != nil { // it may be kept as text
			log.Fatal(err)
		}
		_ = snap.Close()

		_ = db.Set([]byte("a"), []byte("2"), nil)
		_ = db.Delete([]byte("b"), nil)
		_ = db.DeleteRange([]byte("x"), nil, nil)
	}
	// Output:
	// set "a" "1"
	// set "b" "1"
	// set "a" "2"
	// delete "b" ""
	// delete range "x" ""
}
