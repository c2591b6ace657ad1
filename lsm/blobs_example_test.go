package lsm_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/loamdb/loam/lsm"
)

// Large values are written to files of their own, and read like any other.
func Example_largeValues() {
	db, err := lsm.Open("attachments", &lsm.Options{InMemory: true, BlobThreshold: 16 << 10})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	page := bytes.Repeat([]byte("page "), 10_000)
	_ = db.Set([]byte("report.pdf"), page, nil)
	_ = db.Set([]byte("title"), []byte("Report"), nil)
	if err := db.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	value, err := db.Get([]byte("report.pdf"))
	fmt.Println(len(value), bytes.Equal(value, page), err)
	fmt.Println(db.Metrics().BlobFiles, "blob file")
	// Output:
	// 50000 true <nil>
	// 1 blob file
}
