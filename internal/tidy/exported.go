package tidy

import (
	"go/ast"
	"sort"
)

// publicPackages are the packages whose exported names users may rely on. The parts of
// the engine (wal, memtable, sstable, compaction) can be imported and promise nothing: with
// them the list would have four times the names, and hide a change of those that matter.
var publicPackages = []string{"access", "hook", "lsm", "privacy", "scope", "state"}

// Exported lists the exported names of the public packages, sorted: package.Name, and
// package.Type.Member for methods and for the members of structs and interfaces.
func Exported(t *Tree) []string {
	var out []string
	for _, f := range t.goFiles() {
		if f.Test() || !under(f.Dir(), publicPackages) {
			continue
		}
		add := func(name string) { out = append(out, f.AST.Name.Name+"."+name) }
		for _, decl := range f.AST.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if !decl.Name.IsExported() || !exportedReceiver(decl) {
					continue
				}
				if r := receiver(decl); r != "" {
					add(r + "." + decl.Name.Name)
				} else {
					add(decl.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					exportedSpec(spec, add)
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

func exportedSpec(spec ast.Spec, add func(string)) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() {
				add(name.Name)
			}
		}
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		add(spec.Name.Name)
		var fields *ast.FieldList
		switch typ := spec.Type.(type) {
		case *ast.StructType:
			fields = typ.Fields
		case *ast.InterfaceType:
			fields = typ.Methods
		default:
			return
		}
		for _, field := range fields.List {
			for _, name := range field.Names {
				if name.IsExported() {
					add(spec.Name.Name + "." + name.Name)
				}
			}
		}
	}
}
