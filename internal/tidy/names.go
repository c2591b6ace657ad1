package tidy

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// emptyNames say nothing of what a package is for; such packages become drawers.
var emptyNames = []string{"util", "utils", "common", "base", "types", "helper", "helpers", "manager", "misc", "shared"}

// Names reports packages called after nothing, packages without a comment, and
// exported names without one that begins with the name.
func Names(t *Tree) []Problem {
	var out []Problem
	comments := map[string]int{} // package directory -> package comments
	first := map[string]*File{}
	for _, f := range t.goFiles() {
		if f.Test() {
			continue
		}
		dir := f.Dir()
		if first[dir] == nil {
			first[dir] = f
			if slices.Contains(emptyNames, f.AST.Name.Name) {
				out = append(out, t.problem(f, f.AST.Name.Pos(), "the name %q says nothing", f.AST.Name.Name))
			}
		}
		if f.AST.Doc != nil {
			comments[dir]++
		}
		for _, decl := range f.AST.Decls {
			out = append(out, t.undocumented(f, decl)...)
		}
	}
	for dir, f := range first {
		if n := comments[dir]; n != 1 {
			out = append(out, Problem{Path: f.Path, Text: "a package has one package comment, in doc.go or its only file"})
		}
	}
	return out
}

// undocumented reports the exported names of a declaration that lack a comment.
func (t *Tree) undocumented(f *File, decl ast.Decl) []Problem {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if !decl.Name.IsExported() || !exportedReceiver(decl) || begins(decl.Doc, decl.Name.Name) {
			return nil
		}
		return []Problem{t.problem(f, decl.Pos(), "the comment of %s must begin with its name", decl.Name.Name)}
	case *ast.GenDecl:
		var out []Problem
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				out = append(out, t.undocumentedType(f, decl, spec)...)
			case *ast.ValueSpec:
				out = append(out, t.undocumentedValues(f, decl, spec)...)
			}
		}
		return out
	}
	return nil
}

func (t *Tree) undocumentedType(f *File, decl *ast.GenDecl, spec *ast.TypeSpec) []Problem {
	if !spec.Name.IsExported() {
		return nil
	}
	doc := spec.Doc
	if doc == nil && !decl.Lparen.IsValid() {
		doc = decl.Doc
	}
	var out []Problem
	if !begins(doc, spec.Name.Name) {
		out = append(out, t.problem(f, spec.Pos(), "the comment of %s must begin with its name", spec.Name.Name))
	}
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		// Elsewhere the comment of a small struct may speak for its fields.
		if under(f.Dir(), publicPackages) {
			return append(out, t.undocumentedFields(f, spec.Name.Name, typ.Fields)...)
		}
	case *ast.InterfaceType:
		return append(out, t.undocumentedFields(f, spec.Name.Name, typ.Methods)...)
	}
	return out
}

// undocumentedFields reports exported fields and methods without a comment. Fields that
// stand together, with no empty line between, share the comment of the first.
func (t *Tree) undocumentedFields(f *File, owner string, fields *ast.FieldList) []Problem {
	var out []Problem
	last, covered := 0, false
	for _, field := range fields.List {
		covered = field.Doc != nil || field.Comment != nil || covered && t.line(field.Pos()) == last+1
		last = t.line(field.End())
		for _, name := range field.Names {
			if name.IsExported() && !covered {
				out = append(out, t.problem(f, name.Pos(), "%s.%s has no comment", owner, name.Name))
			}
		}
	}
	return out
}

// undocumentedValues reports constants and variables. In a group any comment of the
// member, or one of the group, will do; alone the comment begins with the name.
func (t *Tree) undocumentedValues(f *File, decl *ast.GenDecl, spec *ast.ValueSpec) []Problem {
	var out []Problem
	for _, name := range spec.Names {
		grouped := decl.Lparen.IsValid()
		switch {
		case !name.IsExported():
		case grouped && (spec.Doc != nil || spec.Comment != nil || decl.Doc != nil):
		case !grouped && begins(decl.Doc, name.Name):
		case decl.Tok == token.CONST || decl.Tok == token.VAR:
			out = append(out, t.problem(f, name.Pos(), "the comment of %s must begin with its name", name.Name))
		}
	}
	return out
}

// begins reports whether the comment's first word is the name, an article apart.
func begins(doc *ast.CommentGroup, name string) bool {
	if doc == nil {
		return false
	}
	words := strings.Fields(doc.Text())
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	return strings.TrimSuffix(strings.TrimRight(words[0], ".,:;"), "'s") == name
}

// exportedReceiver reports whether the function is no method, or one of an exported
// type.
func exportedReceiver(decl *ast.FuncDecl) bool {
	name := receiver(decl)
	return name == "" || ast.IsExported(name)
}

// receiver returns the name of the type of which decl is a method, or "".
func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil || len(decl.Recv.List) == 0 {
		return ""
	}
	for expr := decl.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}
