package index_test

import (
	"fmt"

	"github.com/loamdb/loam/state/index"
)

func Example() {
	set, err := index.NewSet("people",
		index.Def{Name: "mail", Fields: []string{"mail"}, Unique: true},
		index.Def{Name: "team_age", Fields: []string{"team", "age"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := set.Plan(&index.Query{
		Where: []index.Cond{index.Eq("team", "red"), index.Ge("age", 18), index.Prefix("name", "A")},
		Order: []index.Order{index.Desc("age")},
		Limit: 20,
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.Explain())
	// Output:
	// people: index team_age, team fixed, age within bounds, backwards
	// filtered by name
	// at most 20
	// not used: mail, the query neither fixes nor bounds its first field, nor asks for its order
}
