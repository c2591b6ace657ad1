package tidy

import (
	"go/ast"
	"slices"
	"strings"
)

// door are the files of package state that are the way to the engine: what it has to do, and the one that knows it,
// which another store is to be able to replace.
var door = []string{"state/door.go", theEngine}

const theEngine = "state/store_lsm.go"

// throughDoor are the files of package state that may import what the engine has to do with.
var throughDoor = map[string][]string{"lsm": {theEngine}, "crypto": {"state/door.go", "state/engine.go"}}

// doorTypes are the types that the rest of package state knows the engine by, with the interfaces, in the files of
// the door, that list what it may call.
var doorTypes = map[string]string{"engine": "engineMethods", "space": "spaceMethods", "cursor": "cursorMethods", "feed": "feedMethods"}

// replaceable are the types whose methods another store has to have, of which there are at most doorMethods.
var replaceable = []string{"engine", "space"}

const doorMethods = 15

// Door reports methods of the types of the door that are too many, or are in other files; and what the rest of package
// state uses of these types besides the methods on the lists: other methods, and fields that hold what is the
// engine's. It goes by names, without types: what is called like one of those elsewhere needs another name.
func Door(t *Tree) []Problem {
	listed, hidden, count := t.doorLists()
	var out []Problem
	if count > doorMethods {
		out = append(out, Problem{Path: door[0], Text: "another store would need too many methods"})
	}
	for _, inside := range []bool{true, false} {
		for _, f := range t.doorFiles(inside) {
			for _, d := range f.AST.Decls {
				m, ok := d.(*ast.FuncDecl)
				switch {
				case !ok || doorTypes[receiver(m)] == "" || m.Name.IsExported():
				case !inside:
					out = append(out, t.problem(f, m.Pos(), "methods of %s are for %s", receiver(m), strings.Join(door, " and ")))
				case !listed[m.Name.Name]:
					hidden[m.Name.Name] = "method"
				}
			}
		}
	}
	for _, f := range t.doorFiles(false) {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && hidden[s.Sel.Name] != "" {
				out = append(out, t.problem(f, s.Sel.Pos(), "%s is a %s of the engine that is not on the list of %s", s.Sel.Name, hidden[s.Sel.Name], door[0]))
			}
			return true
		})
	}
	return out
}

// doorLists returns the methods that are listed, the fields that hold what is the engine's, and how many methods
// another store has to have.
func (t *Tree) doorLists() (listed map[string]bool, hidden map[string]string, count int) {
	listed, hidden = map[string]bool{}, map[string]string{}
	for _, f := range t.doorFiles(true) {
		types := typesOf(f)
		for of, list := range doorTypes {
			if methods, ok := types[list].(*ast.InterfaceType); ok {
				for _, m := range methods.Methods.List {
					listed[m.Names[0].Name] = true
				}
				if slices.Contains(replaceable, of) {
					count += len(methods.Methods.List)
				}
			}
			if fields, ok := types[of].(*ast.StructType); ok {
				for _, field := range fields.Fields.List {
					for _, name := range field.Names {
						if ofEngine(field.Type) {
							hidden[name.Name] = "field"
						}
					}
				}
			}
		}
	}
	return listed, hidden, count
}

// doorFiles returns the files of package state that are those of the door, or the others, but tests.
func (t *Tree) doorFiles(inside bool) []*File {
	var out []*File
	for _, f := range t.goFiles() {
		if f.Dir() == "state" && !f.Test() && slices.Contains(door, f.Path) == inside {
			out = append(out, f)
		}
	}
	return out
}

// typesOf returns the types that a file declares.
func typesOf(f *File) map[string]ast.Expr {
	out := map[string]ast.Expr{}
	for _, d := range f.AST.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, spec := range g.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok {
					out[s.Name.Name] = s.Type
				}
			}
		}
	}
	return out
}

// ofEngine reports whether a type is one of package lsm.
func ofEngine(typ ast.Expr) bool {
	found := false
	ast.Inspect(typ, func(n ast.Node) bool {
		x, ok := n.(*ast.Ident)
		found = found || ok && x.Name == "lsm"
		return true
	})
	return found
}
