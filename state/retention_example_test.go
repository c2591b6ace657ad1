package state_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

// A session keeps its last hundred entries, and goes when nobody has written to it for a month.
func ExampleScope_SetRetention() {
	store, err := state.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	session := store.Scope(scope.Session("s1"))
	err = session.SetRetention(ctx, state.Retention{MaxEntries: 100, DropIdle: 30 * 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	rule, err := session.Retention(ctx)
	fmt.Println(rule.MaxEntries, rule.DropIdle, err)
	// Output: 100 720h0m0s <nil>
}

// Two workers want to own an agent; what the one writes that has lost it is not committed.
func ExampleScope_AcquireLease() {
	store, err := state.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sc := store.Scope(scope.Agent("a1"))
	first, err := sc.AcquireLease(ctx, "owner", "worker-1", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	_, err = sc.AcquireLease(ctx, "owner", "worker-2", time.Minute)
	fmt.Println(errors.Is(err, state.ErrLeaseHeld))
	if err := first.Release(ctx); err != nil {
		log.Fatal(err)
	}
	second, err := sc.AcquireLease(ctx, "owner", "worker-2", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(second.Token() > first.Token())
	err = store.Transact(ctx, func(tx *state.Txn) error {
		if err := first.Check(ctx, tx); err != nil {
			return err
		}
		return tx.Scope(scope.Agent("a1")).Set(ctx, "plan", "mine")
	})
	fmt.Println(errors.Is(err, state.ErrLeaseLost))
	// Output:
	// true
	// true
	// true
}

func ExampleStore_Begin() {
	store, err := state.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	tx, err := store.Begin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback() // does nothing behind a Commit
	for _, user := range []string{"ann", "bob"} {
		if err := tx.Scope(scope.User(user)).Set(ctx, "invited", true); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(tx.Commit())
	// Output: <nil>
}

func ExampleScope_AppendBlind() {
	store, err := state.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sc := store.Scope(scope.Agent("a1"))
	for _, tag := range []string{"draft", "long"} {
		if err := sc.AppendBlind(ctx, "tags", tag); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(sc.Get(ctx, "tags"))
	// Output: [draft long] <nil>
}

func ExampleScope_History() {
	store, err := state.OpenMemory(&state.Options{Timeline: &state.TimelineOptions{}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sc := store.Scope(scope.Agent("a1"))
	if err := sc.Set(ctx, "goal", "write the report"); err != nil {
		log.Fatal(err)
	}
	if _, err := sc.Delete(ctx, "goal"); err != nil {
		log.Fatal(err)
	}
	for ev, err := range sc.History(ctx, "goal") {
		fmt.Println(ev.Op, err)
	}
	// Output:
	// set <nil>
	// delete <nil>
}
