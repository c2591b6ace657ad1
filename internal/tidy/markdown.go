package tidy

import (
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"unicode"
)

var mdLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links reports links in documents to files of the tree, or headings, that are not
// there. Links to other sites are not followed.
func Links(t *Tree) []Problem {
	anchors := map[string]map[string]bool{}
	docs := t.withSuffix(".md")
	for _, f := range docs {
		anchors[f.Path] = headings(f.Src)
	}
	var out []Problem
	for _, f := range docs {
		for n, line := range prose(f.Src) {
			for _, m := range mdLink.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				to := f.Path
				if target != "" {
					to = path.Join(f.Dir(), target)
				}
				if !t.Names[to] {
					out = append(out, Problem{Path: f.Path, Line: n, Text: "no file " + to})
				} else if anchor != "" && !anchors[to][anchor] {
					out = append(out, Problem{Path: f.Path, Line: n, Text: "no heading #" + anchor + " in " + to})
				}
			}
		}
	}
	return out
}

// prose returns the lines of a document by number, fenced code left out.
func prose(src string) map[int]string {
	out := map[int]string{}
	n, fenced := 0, false
	for line := range strings.Lines(src) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			out[n] = line
		}
	}
	return out
}

// headings returns the anchors of a document's headings, as forges make them: lower
// case, spaces as dashes, punctuation dropped.
func headings(src string) map[string]bool {
	out := map[string]bool{}
	for _, line := range prose(src) {
		text := strings.TrimLeft(line, "#")
		if text == line {
			continue
		}
		out[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(text))] = true
	}
	return out
}

// Snippet is Go code in a document.
type Snippet struct {
	// Path and Line say where the code begins.
	Path string
	Line int
	// Src is the code.
	Src string
	// Given are the declarations that a fragment takes for granted: those of a comment before it
	// that no reader sees, <!-- go: var x int -->.
	Given string
	// Prints is what a program prints, as a block says that follows it behind the word "prints";
	// empty where the document does not say.
	Prints string
}

// Program reports whether the snippet is a whole program.
func (s Snippet) Program() bool { return strings.HasPrefix(s.Src, "package main\n") }

// Declarations reports whether the snippet stands outside functions; other fragments are
// statements.
func (s Snippet) Declarations() bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+s.Src, parser.SkipObjectResolution)
	return err == nil
}

var given = regexp.MustCompile(`(?s)<!-- go:(.*?)-->\s*$`)

// Snippets returns the fenced blocks marked go of all documents.
func Snippets(t *Tree) []Snippet {
	var out []Snippet
	for _, f := range t.withSuffix(".md") {
		before := ""     // the text since the last block
		follows := false // on Go code
		var inside *Snippet
		var prints *string
		n := 0
		for line := range strings.Lines(f.Src) {
			n++
			fence := strings.TrimSpace(line)
			switch {
			case inside != nil && fence == "```":
				out = append(out, *inside)
				inside, before, follows = nil, "", true
			case inside != nil:
				inside.Src += line
			case prints != nil && fence == "```":
				prints, before, follows = nil, "", false
			case prints != nil:
				*prints += line
			case fence == "```go":
				inside = &Snippet{Path: f.Path, Line: n + 1}
				if m := given.FindStringSubmatch(before); m != nil {
					inside.Given = strings.TrimSpace(m[1])
				}
			case strings.HasPrefix(fence, "```"):
				prints = new(string)
				if follows && strings.TrimSpace(before) == "prints" {
					prints = &out[len(out)-1].Prints
				}
			default:
				before += line
			}
		}
	}
	return out
}

// SnippetSyntax reports Go code in documents that is neither a file, nor declarations, nor
// statements, or is not formatted.
func SnippetSyntax(t *Tree) []Problem {
	var out []Problem
	for _, s := range Snippets(t) {
		formatted, err := format.Source([]byte(s.Src))
		switch {
		case err != nil:
			out = append(out, Problem{Path: s.Path, Line: s.Line, Text: "Go code does not parse: " + err.Error()})
		case string(formatted) != s.Src:
			out = append(out, Problem{Path: s.Path, Line: s.Line, Text: "Go code is not as gofmt writes it"})
		}
	}
	return out
}
