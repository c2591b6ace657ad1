package state_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
)

func ExampleCollection() {
	type User struct {
		Mail string `msgpack:"mail"`
		Team string `msgpack:"team"`
		Age  int    `msgpack:"age"`
	}
	ctx := context.Background()
	store, err := state.OpenMemory(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	users, err := state.OpenCollection[User](ctx, store.Scope(scope.Global()), "users",
		index.Def{Name: "mail", Fields: []string{"mail"}, Unique: true},
		index.Def{Name: "team_age", Fields: []string{"team", "age"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for key, u := range map[string]User{
		"ada": {"ada@example.com", "red", 36}, "bob": {"bob@example.com", "red", 29}, "cyd": {"cyd@example.com", "blue", 41},
	} {
		if err := users.Set(ctx, key, u); err != nil {
			fmt.Println(err)
		}
	}
	err = users.Set(ctx, "eve", User{Mail: "ada@example.com"})
	fmt.Println(errors.Is(err, state.ErrUnique), err)

	q := index.Query{Where: []index.Cond{index.Eq("team", "red")}, Order: []index.Order{index.Desc("age")}, Limit: 1}
	for {
		page, err := users.Query(ctx, q)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, d := range page.Docs {
			fmt.Println(d.Key, d.Value.Age)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	plan, err := users.Explain(ctx, q)
	fmt.Println(plan, err)
	// Output:
	// true set global "users/eve": index: another document has the same values: index mail, key "eve", held by "ada"
	// ada 36
	// bob 29
	// users: index team_age, team fixed, backwards
	// at most 1
	// not used: mail, the query neither fixes nor bounds its first field, nor asks for its order <nil>
}
