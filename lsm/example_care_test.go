package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/loamdb/loam/lsm"
)

// damaged makes a store with one damaged block and returns its directory.
func damaged(parent string) string {
	dir := filepath.Join(parent, "store")
	db, err := lsm.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	for i := range 2000 {
		if err := db.Set(fmt.Appendf(nil, "key-%04d", i), make([]byte, 100), lsm.NoSync); err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(db.Flush(context.Background()), db.Close()); err != nil {
		log.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	p, err := os.ReadFile(tables[0])
	if err != nil {
		log.Fatal(err)
	}
	p[100] ^= 1
	if err := os.WriteFile(tables[0], p, 0o600); err != nil {
		log.Fatal(err)
	}
	return dir
}

// Verify looks at a store that nobody has open and reports everything that is wrong.
func ExampleVerify() {
	parent, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	report, err := lsm.Verify(context.Background(), damaged(parent), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range report.Findings {
		fmt.Println(f.Offset, errors.Is(f, lsm.ErrCorrupt))
	}
	fmt.Println(report.Recovery.Clean)
	// Output:
	// 80 true
	// true
}

// Salvage makes a new store of what can be read and says what cannot.
func ExampleSalvage() {
	parent, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "salvaged")
	report, err := lsm.Salvage(context.Background(), damaged(parent), dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	lost := report.Files[0].Lost[0]
	fmt.Println(report.Complete(), report.DeletedMayReturn, lost.Keys.Contains([]byte("key-0000")), lost.Keys.Contains([]byte("key-1999")))
	db, err := lsm.Open(dir, &lsm.Options{MustExist: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ok, err := db.Has([]byte("key-1999"))
	fmt.Println(ok, err)
	// Output:
	// false false true false
	// true <nil>
}

// The figures of a store as Prometheus scrapes them.
func ExampleMetrics_WritePrometheus() {
	db, err := lsm.Open("sessions", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	m := db.Metrics()
	if err := m.WritePrometheus(&b, "sessions"); err != nil {
		log.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n")[:3] {
		fmt.Println(line)
	}
	// Output:
	// # HELP loam_recovery_clean 1 if the store had been closed when it was opened, else 0.
	// # TYPE loam_recovery_clean gauge
	// loam_recovery_clean{store="sessions"} 1
}
