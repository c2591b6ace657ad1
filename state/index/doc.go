// Package index holds secondary indexes: their declarations, the bytes of their entries, what a
// write does to them, and how a query is answered from them.
//
//	set, err := index.NewSet("users",
//		index.Def{Name: "email", Fields: []string{"email"}, Unique: true},
//		index.Def{Name: "team_age", Fields: []string{"team", "age"}})
//	err = set.Change(&c, key, old, doc, false)  // entries to put and to delete
//	plan, err := set.Plan(&index.Query{Where: []index.Cond{index.Eq("team", "red")}}, nil)
//	next, err := plan.Run(source, yield)
//
// A document is the encoding of a value by package codec, under a key. Nobody need have validated those
// that a query reads, or the old one of a change: the package asks (Source.Check, Change.Check) before it
// reads more of one than values that are neither lists nor maps, where they lie. The package must not know
// where documents and entries lie, how they are committed, or what time it is: entries go in and
// out as bytes, and a query reads through a Source.
//
// Everything in it but Change and Plan.Run is safe for concurrent use; these are for one goroutine
// for each Change and each Source.
//
// Invariants:
//
//   - X1. Entries of an index sort as bytes in the order of its fields, numbers by amount whatever
//     their type, and then by the document's key.
//   - X2. The entries of a document follow from the document, its key and the declaration alone.
//   - X3. A query gives the same documents whichever plan answers it, each once, and in the order
//     that it asks for; documents alike in that stand in an order that the plan determines.
//   - X4. A token is a position, not a count: pages miss and repeat nothing that is not written
//     in between. It is of one query and one plan, and refused elsewhere.
//   - X5. An entry that its document does not have is an error, never an answer.
//   - X6. An error names index, field and key, and never a value.
//
// docs/formats/index.md has the bytes, docs/collections.md is for users, ADR 0031 says why.
//
// Reading order: def.go, path.go, value.go, tuples.go, entry.go, change.go; query.go, request.go,
// plan.go, explain.go, token.go, run.go, sort.go; catalog.go; errors.go.
package index
