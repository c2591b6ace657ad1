package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

// memory opens a store for an example.
func memory() *state.Store {
	store, err := state.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	return store
}

// State that is there after the program has ended.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := state.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	agent := store.Scope(scope.Agent("planner"))
	if err := agent.Set(ctx, "goal", "write the report"); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	store, err = state.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	goal, err := store.Get(ctx, scope.Agent("planner"), "goal")
	fmt.Println(goal, err)
	_, err = store.Get(ctx, scope.Agent("writer"), "goal")
	fmt.Println(errors.Is(err, state.ErrNotFound), err)
	// Output:
	// write the report <nil>
	// true get agent:writer "goal": state: not found
}

// Go types in place of any.
func ExampleKey() {
	type settings struct {
		Model string  `msgpack:"model"`
		Heat  float64 `msgpack:"heat"`
	}
	key := state.NewKey[settings]("settings")

	ctx := context.Background()
	store := memory()
	defer store.Close()
	agent := store.Scope(scope.Agent("planner"))
	if err := key.Set(ctx, agent, settings{"large", 0.2}); err != nil {
		log.Fatal(err)
	}
	s, err := key.Update(ctx, agent, func(s settings, found bool) (settings, error) {
		s.Heat *= 2
		return s, nil
	})
	fmt.Println(s, err)
	// Output: {large 0.4} <nil>
}

func ExampleScope_All() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Session("s1"))
	if err := sc.SetMany(ctx, map[string]any{"task/1": "read", "task/2": "write", "user": "ann"}); err != nil {
		log.Fatal(err)
	}
	for e, err := range sc.All(ctx, "task/") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Key, e.Value)
	}
	// Output:
	// task/1 read
	// task/2 write
}

// Pages for somebody who turns them slowly.
func ExampleScope_List() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Session("s1"))
	if err := sc.SetMany(ctx, map[string]any{"a": 1, "b": 2, "c": 3}); err != nil {
		log.Fatal(err)
	}
	o := state.ListOptions{Limit: 2}
	for {
		page, err := sc.List(ctx, o)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(page.Entries), "from", page.Entries[0].Key)
		if o.After = page.Next; o.After == "" {
			break
		}
	}
	// Output:
	// 2 from a
	// 1 from c
}

// A write that depends on what was read.
func ExampleScope_CompareAndSet() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Workflow("w1"))
	version, err := sc.CompareAndSet(ctx, "owner", state.Absent, "ann")
	fmt.Println(version != state.Absent, err)
	_, err = sc.CompareAndSet(ctx, "owner", state.Absent, "bob")
	fmt.Println(errors.Is(err, state.ErrConflict))
	_, err = sc.CompareAndSet(ctx, "owner", version, "bob")
	fmt.Println(err)
	// Output:
	// true <nil>
	// true
	// <nil>
}

func ExampleScope_Increment() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Tool("search"))
	for range 3 {
		if _, err := sc.Increment(ctx, "calls", 1); err != nil {
			log.Fatal(err)
		}
	}
	calls, err := state.Increment(ctx, sc, "calls", 10)
	fmt.Println(calls, err)
	// Output: 13 <nil>
}

// Where many count and nobody has to know the sum at once.
func ExampleScope_IncrementBlind() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Tool("search"))
	for range 3 {
		if err := sc.IncrementBlind(ctx, "calls", 1); err != nil {
			log.Fatal(err)
		}
	}
	calls, err := sc.Get(ctx, "calls")
	fmt.Println(calls, err)
	// Output: 3 <nil>
}

func ExampleScope_Patch() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.User("ann"))
	if err := sc.Set(ctx, "profile", map[string]any{"name": "Ann", "city": "Bern", "beta": true}); err != nil {
		log.Fatal(err)
	}
	profile, err := sc.Patch(ctx, "profile", map[string]any{"city": "Basel", "beta": nil})
	fmt.Println(profile, err)
	// Output: map[city:Basel name:Ann] <nil>
}

func ExampleScope_GetInherited() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	if err := store.Set(ctx, scope.Workflow("w1"), "budget", 100); err != nil {
		log.Fatal(err)
	}
	v, from, err := store.GetInherited(ctx, scope.Step("w1", "draft"), "budget")
	fmt.Println(v, from, err)
	// Output: 100 workflow:w1 <nil>
}

// A copy to try something on.
func ExampleScope_Fork() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	agent := store.Scope(scope.Agent("planner"))
	if err := agent.Set(ctx, "plan", "cautious"); err != nil {
		log.Fatal(err)
	}
	trial, err := agent.Fork(ctx, scope.Custom("trial"))
	if err != nil {
		log.Fatal(err)
	}
	if err := trial.Set(ctx, "plan", "bold"); err != nil {
		log.Fatal(err)
	}
	plan, err := agent.Get(ctx, "plan")
	fmt.Println(plan, err)
	// Output: cautious <nil>
}

// A scope goes to another store as a file that people can read.
func ExampleScope_Export() {
	ctx := context.Background()
	from, to := memory(), memory()
	defer from.Close()
	defer to.Close()
	planner := scope.Agent("planner")
	if err := from.SetMany(ctx, planner, map[string]any{"goal": "report", "steps": 3}); err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := from.Scope(planner).Export(ctx, &file, state.ExportOptions{}); err != nil {
		log.Fatal(err)
	}
	done, err := to.Scope(planner).Import(ctx, &file, state.ImportOptions{})
	if err != nil {
		log.Fatal(err)
	}
	steps, err := to.Get(ctx, planner, "steps")
	fmt.Println(done.Entries, steps, err)
	// Output: 2 3 <nil>
}

// What is written shows to a watcher, commit by commit.
func ExampleScope_Watch() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Session("s1"))
	w, err := sc.Watch(ctx, "task/", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	if err := sc.Set(ctx, "task/1", "open"); err != nil {
		log.Fatal(err)
	}
	if _, err := sc.Delete(ctx, "task/1"); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		c, err := w.Next()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Kind, c.Key, c.Value)
	}
	// Output:
	// set task/1 open
	// delete task/1 <nil>
}

// Two scopes change together or not at all.
func ExampleStore_Transact() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	ann, bob := scope.User("ann"), scope.User("bob")
	if err := store.Set(ctx, ann, "points", 100); err != nil {
		log.Fatal(err)
	}
	err := store.Transact(ctx, func(tx *state.Txn) error {
		left, err := state.Increment(ctx, tx.Scope(ann), "points", -30)
		if err != nil {
			return err
		}
		if left < 0 {
			return errors.New("not enough points")
		}
		_, err = tx.Scope(bob).Increment(ctx, "points", 30)
		return err
	})
	fmt.Println(err)
	points, err := store.Get(ctx, bob, "points")
	fmt.Println(points, err)
	// Output:
	// <nil>
	// 30 <nil>
}

// A snapshot goes on showing what was there.
func ExampleStore_Snapshot() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	s := scope.Agent("planner")
	if err := store.Set(ctx, s, "plan", "first"); err != nil {
		log.Fatal(err)
	}
	snap, err := store.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close()
	if err := store.Set(ctx, s, "plan", "second"); err != nil {
		log.Fatal(err)
	}
	then, err := snap.Scope(s).Get(ctx, "plan")
	fmt.Println(then, err)
	// Output: first <nil>
}

// Values for a while, in memory only.
func ExampleWithClass() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	sc := store.Scope(scope.Session("s1"))
	err := sc.SetWithTTL(ctx, "draft", "Dear", time.Hour, state.WithClass(state.Ephemeral))
	if err != nil {
		log.Fatal(err)
	}
	v, meta, err := sc.GetWithMeta(ctx, "draft")
	fmt.Println(v, meta.Class, err)
	// Output: Dear ephemeral <nil>
}
