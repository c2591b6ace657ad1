package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
)

// Documents is a session of a store of documents: typed values under keys in scopes. Loam's is
// its state layer; of another engine it is what its users write over it (documents_peer.go).
// Documents are given as Go values: maps, lists, strings, numbers, or *document.Document.
type Documents interface {
	// In returns the handle to a scope, which need not exist. It is for the session's goroutine.
	In(scope string) DocumentScope
	// Move takes amount from the number that key has in one scope and adds it to that in
	// another, in one transaction.
	Move(from, to, key string, amount int64, sync bool) error
}

// DocumentScope is what one goroutine does in a scope. sync: what was written is on the device
// when the call returns. What reads and writes does so as one: it tries again when
// others were in the way.
type DocumentScope interface {
	// Get returns a document as a Go value of its own. found is false when there is none.
	Get(key string) (doc any, found bool, err error)
	// GetTyped reads a document into a Go type.
	GetTyped(key string, to *document.Document) (found bool, err error)
	// Set writes a document.
	Set(key string, doc any, sync bool) error
	// SetMany writes documents atomically, unsynced.
	SetMany(docs map[string]any) error
	// Patch merges a patch into a document, as RFC 7386 says.
	Patch(key string, patch map[string]any, sync bool) error
	// Append adds an element to the end of a list, an empty one where there is none.
	Append(key string, element any, sync bool) error
	// Increment adds to a number, 0 where there is none, and returns the sum.
	Increment(key string, delta int64, sync bool) (sum int64, err error)
	// Replace reads a document, calls change, and writes what it has made of it if nobody
	// else has written it in between; done is false if somebody has.
	Replace(key string, change func(doc map[string]any) error, sync bool) (done bool, err error)
	// List visits the first n documents, by key, of those whose key begins with prefix, and
	// returns how many there were.
	List(prefix string, n int, visit func(key string, doc any) error) (int, error)
}

// Classes is a session of documents that can be of several classes, by which the store treats
// them.
type Classes interface {
	// Classes are their names.
	Classes() []string
	// InClass is In for a handle whose Set gives documents a class, or nil for a class that there is not.
	InClass(class, scope string) DocumentScope
}

// ClassesOpener is an engine that has stores which do to values all that some classes are spared.
type ClassesOpener interface {
	// OpenClasses opens a new one: a hook runs before each write, and personal data is looked for.
	OpenClasses(dir string, c Config) (Store, error)
}

// Hooks is a session of documents whose store runs functions around writes.
type Hooks interface {
	// Hook has a function called before each write to a scope, and another one told of it from a queue
	// behind it. Both do nothing.
	Hook(scope string) error
	// HookCalls waits until the queue is empty, and returns how often each of the two was called.
	HookCalls() (before, after uint64, err error)
}

// MemoryOpener is an engine that has stores without files.
type MemoryOpener interface {
	// OpenMemory opens a new one.
	OpenMemory(c Config) (Store, error)
}

// documentPeers are the engines beside which Loam's state layer is measured.
var documentPeers = []string{"badger", "bbolt", "sqlite"}

// AllDocuments returns the stores of documents of this build, in the order of tables: Loam's
// state layer, and each peer with each codec.
func AllDocuments() []Engine {
	all := []Engine{loamState{}}
	for _, name := range documentPeers {
		if e, err := Find(name); err == nil {
			for i := range documentCodecs {
				all = append(all, documentsOver{e, &documentCodecs[i]})
			}
		}
	}
	return all
}

// FindDocuments returns the store of documents of a name.
func FindDocuments(name string) (Engine, error) {
	var names []string
	for _, e := range AllDocuments() {
		if e.Name() == name {
			return e, nil
		}
		names = append(names, e.Name())
	}
	if base, _, _ := strings.Cut(name, "-"); slices.Contains(documentPeers, base) {
		if _, err := Find(base); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("store of documents %q is unknown; there are %s", name, strings.Join(names, ", "))
}

// ChooseDocuments resolves a comma-separated list of names of stores of documents, "all" meaning
// every one of the build.
func ChooseDocuments(list string) ([]Engine, error) {
	return choose(list, AllDocuments, FindDocuments)
}

// errNoDocument: what was to be changed is not there.
var errNoDocument = errors.New("there is no such document")
