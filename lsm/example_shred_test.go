package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// What is sealed in a scope can be made unreadable for ever, wherever its bytes have got to.
func ExampleScope_Shred() {
	db, err := lsm.Open("", &lsm.Options{InMemory: true, Encryption: &lsm.Encryption{
		Key: crypto.KeyBytes([]byte("32 bytes from where keys are kept")[:crypto.KeyLen]),
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	alice, err := db.Scope(scope.User("alice"))
	if err != nil {
		log.Fatal(err)
	}
	_ = alice.SetSealed([]byte("address"), []byte("1 Main Street"), nil)
	_ = alice.Set([]byte("theme"), []byte("dark"), nil)
	address, err := alice.Get([]byte("address"))
	fmt.Printf("%s %v\n", address, err)

	report, err := alice.Shred(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range report.OutOfReach {
		fmt.Println("still to be destroyed:", c.Dir, c.Err)
	}
	_, err = alice.Get([]byte("address"))
	fmt.Println(errors.Is(err, lsm.ErrShredded))
	theme, err := alice.Get([]byte("theme"))
	fmt.Printf("%s %v\n", theme, err)
	// Output:
	// 1 Main Street <nil>
	// true
	// dark <nil>
}

// In a sealed scope every value is sealed, whoever writes it.
func ExampleScope_Seal() {
	db, err := lsm.Open("", &lsm.Options{InMemory: true, Encryption: &lsm.Encryption{
		Key: crypto.KeyBytes([]byte("32 bytes from where keys are kept")[:crypto.KeyLen]),
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	alice, err := db.Scope(scope.User("alice"))
	if err != nil {
		log.Fatal(err)
	}
	if err := alice.Seal(nil); err != nil {
		log.Fatal(err)
	}
	_ = alice.Set([]byte("theme"), []byte("dark"), nil)
	_, _ = alice.Shred(context.Background())
	_, err = alice.Get([]byte("theme"))
	fmt.Println(errors.Is(err, lsm.ErrShredded))
	// Output:
	// true
}
