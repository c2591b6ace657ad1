package state_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

// Values of class Sensitive are sealed with a key of their scope, which can be destroyed.
func ExampleScope_Shred() {
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Engine: &state.EngineOptions{Encryption: &lsm.Encryption{
		Key: crypto.KeyBytes([]byte("32 bytes from where keys are kept")[:crypto.KeyLen]),
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ann := store.Scope(scope.User("ann"))
	_ = ann.Set(ctx, "address", "1 Main Street", state.WithClass(state.Sensitive))
	_ = ann.Set(ctx, "theme", "dark")

	report, err := ann.Shred(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range report.OutOfReach {
		fmt.Println("still to be shredded:", c.Dir, c.Err)
	}
	for e, err := range ann.All(ctx, "") {
		fmt.Println(e.Key, e.Value, errors.Is(err, state.ErrShredded))
	}
	// Output:
	// address <nil> true
	// theme dark false
}

// In a sealed scope every value that is stored is sealed, of whatever class.
func ExampleScope_Seal() {
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Engine: &state.EngineOptions{Encryption: &lsm.Encryption{
		Key: crypto.KeyBytes([]byte("32 bytes from where keys are kept")[:crypto.KeyLen]),
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ann := store.Scope(scope.User("ann"))
	if err := ann.Seal(ctx); err != nil {
		log.Fatal(err)
	}
	_ = ann.Set(ctx, "theme", "dark")
	_, _ = ann.Shred(ctx)
	_, err = ann.Get(ctx, "theme")
	fmt.Println(errors.Is(err, state.ErrShredded))
	// Output:
	// true
}

// What a policy tokenises in documents is turned back by who may, and what it has not seen is found.
func ExampleCollection_Reveal() {
	type Person struct {
		Mail string `msgpack:"mail"`
	}
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Privacy: []state.Privacy{
		{Scopes: "user:*", Policy: privacy.Policy{Default: privacy.Tokenise}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ann := store.Scope(scope.User("ann"))
	people, err := state.OpenCollection[Person](ctx, ann, "people")
	if err != nil {
		log.Fatal(err)
	}
	_ = people.Set(ctx, "ada", Person{Mail: "ada@example.org"})
	_ = people.Set(ctx, "bob", Person{Mail: "bob@example.org"}, state.WithClass(state.Trusted)) // never looked at

	stored, _ := people.Get(ctx, "ada")
	whole, err := people.Reveal(ctx, "ada")
	fmt.Println(stored.Mail[:13], whole.Mail, err)
	for report, err := range ann.ScanPrivacy(ctx, nil) {
		fmt.Println(report.Name, report.Findings[0].Detector, err)
	}
	// Output:
	// [token:email: ada@example.org <nil>
	// people/bob email <nil>
}
