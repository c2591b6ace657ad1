package index

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/loamdb/loam/state/codec"
)

// Def declares an index.
type Def struct {
	// Name is the index's name within its collection: 1 to 64 letters, digits, '.', '_' or '-'.
	Name string
	// Fields are what is indexed, in order, 1 to 8. Without Func they are paths into the document:
	// names joined by dots, where * stands for every element of a list and a backslash takes its
	// meaning from a dot, a star or a backslash. At most one path has stars. With Func they are
	// names for what it computes, by which queries speak of it.
	Fields []string
	// Unique says that no two documents may have the same values, unless one of these is nil.
	Unique bool
	// Func computes what is indexed, or is nil.
	Func Func
	// Version is of what Func computes. Another version is another index, which is built anew.
	Version int
}

// Func computes what an index holds of a document: any number of entries, each with a value for
// each of Def.Fields. Values may be of any Go type that codec.Append takes and amount to anything
// but a map. It must give the same for the same document, whenever it is asked, until Def.Version
// rises; may be called by several goroutines; and must not keep doc, which is an encoding that
// codec.Decode reads.
type Func func(doc []byte) ([][]any, error)

// Limits of declarations, and of what one document may have in one index.
const (
	// MaxNameLen is the longest name of an index or a collection, in bytes.
	MaxNameLen = 64
	// MaxFields is how many fields an index may have, MaxIndexes how many indexes a collection.
	MaxFields, MaxIndexes = 8, 64
	// MaxEntries is how many entries a document may have in an index.
	MaxEntries = 1000
	// MaxValuesLen is how long the values of one entry may be together, encoded, in bytes.
	MaxValuesLen = 1024
)

// ID names an index for ever: what it is of, how it is declared, which version of the layout it
// has. Another declaration has another id.
type ID [8]byte

// String returns the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Index is a declared index. It never changes.
type Index struct {
	def   Def
	id    ID
	paths []path // of an index without function
	each  int    // the path that has stars, or -1
}

// Name returns the index's name.
func (ix *Index) Name() string { return ix.def.Name }

// ID returns the index's id.
func (ix *Index) ID() ID { return ix.id }

// Fields returns a copy of the names of the fields, paths in one spelling.
func (ix *Index) Fields() []string { return slices.Clone(ix.def.Fields) }

// Names returns the names that the paths of the index go by, stars left out, or the fields of a
// function.
func (ix *Index) Names() (names []string) {
	if ix.Computed() {
		return ix.Fields()
	}
	for _, p := range ix.paths {
		for _, s := range p.steps {
			if !s.each {
				names = append(names, s.name)
			}
		}
	}
	return names
}

// Unique reports whether no two documents may have the same values.
func (ix *Index) Unique() bool { return ix.def.Unique }

// Computed reports whether a function computes what the index holds.
func (ix *Index) Computed() bool { return ix.def.Func != nil }

// Set is the indexes of one collection. It never changes.
type Set struct {
	collection string
	indexes    []*Index
	computed   map[string]*Index // by the names of what functions compute
	shape      codec.Shape       // of the documents
}

// NewSet checks declarations. It keeps no slice of them. Errors are *DefError.
func NewSet(collection string, defs ...Def) (*Set, error) {
	if reason := checkName(collection); reason != "" {
		return nil, &DefError{Reason: fmt.Sprintf("collection %.80q: %s", collection, reason)}
	}
	if len(defs) > MaxIndexes {
		return nil, &DefError{Reason: fmt.Sprintf("a collection has at most %d indexes", MaxIndexes)}
	}
	s := &Set{collection: collection, computed: map[string]*Index{}}
	for _, d := range defs {
		ix, err := newIndex(collection, d)
		if err != nil {
			return nil, err
		}
		if s.Index(d.Name) != nil {
			return nil, &DefError{d.Name, "declared twice"}
		}
		s.indexes = append(s.indexes, ix)
		if ix.Computed() {
			for _, f := range ix.def.Fields {
				if s.computed[f] != nil {
					return nil, &DefError{d.Name, "another function computes a field of the same name"}
				}
				s.computed[f] = ix
			}
		}
	}
	for _, ix := range s.indexes {
		for _, f := range ix.def.Fields {
			if !ix.Computed() && s.computed[f] != nil {
				return nil, &DefError{ix.def.Name, "a path is called like what a function computes"}
			}
		}
	}
	return s, nil
}

// Of returns the set for documents of a shape: then *DefError is the error for a path, and *QueryError that of a query
// for one, that leads to nothing in any of them.
func (s *Set) Of(shape codec.Shape) (*Set, error) {
	for _, ix := range s.indexes {
		for i := range ix.paths {
			if reason := ix.paths[i].astray(shape); reason != "" {
				return nil, &DefError{ix.def.Name, reason}
			}
		}
	}
	of := *s
	of.shape = shape
	return &of, nil
}

// Collection returns the collection's name.
func (s *Set) Collection() string { return s.collection }

// Indexes returns the indexes, in the order of their declaration.
func (s *Set) Indexes() []*Index { return slices.Clone(s.indexes) }

// Len returns how many indexes there are.
func (s *Set) Len() int { return len(s.indexes) }

// Only returns the set of those of the indexes that keep says, for building some of them.
func (s *Set) Only(keep func(*Index) bool) *Set {
	some := &Set{collection: s.collection, computed: s.computed, shape: s.shape}
	for _, ix := range s.indexes {
		if keep(ix) {
			some.indexes = append(some.indexes, ix)
		}
	}
	return some
}

// Index returns the index of a name, or nil.
func (s *Set) Index(name string) *Index {
	for _, ix := range s.indexes {
		if ix.def.Name == name {
			return ix
		}
	}
	return nil
}

// path returns the path that a name is in its one spelling, if an index has that, so that it need not be parsed.
func (s *Set) path(name string) *path {
	for _, ix := range s.indexes {
		for i := range ix.paths {
			if ix.paths[i].text == name {
				return &ix.paths[i]
			}
		}
	}
	return nil
}

func newIndex(collection string, d Def) (*Index, error) {
	d.Fields = slices.Clone(d.Fields)
	ix := &Index{each: -1}
	refuse := func(reason string) (*Index, error) { return nil, &DefError{d.Name, reason} }
	if reason := checkName(d.Name); reason != "" {
		return refuse(reason)
	}
	switch {
	case len(d.Fields) == 0 || len(d.Fields) > MaxFields:
		return refuse(fmt.Sprintf("an index has 1 to %d fields", MaxFields))
	case d.Func == nil && d.Version != 0:
		return refuse("only a function has a version")
	case d.Version < 0:
		return refuse("a version is not negative")
	}
	for i, f := range d.Fields {
		if d.Func != nil {
			if reason := checkName(f); reason != "" {
				return refuse("field: " + reason)
			}
		} else {
			p, err := parsePath(f)
			if err != nil {
				return refuse("field: " + err.Error())
			}
			if d.Fields[i] = p.text; p.each {
				if ix.each >= 0 {
					return refuse("two fields lead into lists")
				}
				ix.each = i
			}
			ix.paths = append(ix.paths, p)
		}
		if slices.Contains(d.Fields[:i], d.Fields[i]) {
			return refuse("a field is there twice")
		}
	}
	ix.def, ix.id = d, idOf(collection, &d)
	return ix, nil
}

// checkName returns the rule that a name breaks, or "".
func checkName(name string) string {
	if len(name) == 0 || len(name) > MaxNameLen {
		return fmt.Sprintf("a name has 1 to %d bytes", MaxNameLen)
	}
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return "a name holds letters of ASCII, digits, '.', '_' and '-' only"
		}
	}
	return ""
}

// idOf is the front of a hash of everything that the entries depend on.
func idOf(collection string, d *Def) ID {
	text := []byte("loam index 1")
	part := func(s string) { text = append(binary.AppendUvarint(text, uint64(len(s))), s...) }
	part(collection)
	part(d.Name)
	flags := byte(0)
	if d.Unique {
		flags |= 1
	}
	if d.Func != nil {
		flags |= 2
	}
	text = append(text, flags)
	text = binary.AppendUvarint(text, uint64(d.Version))
	for _, f := range d.Fields {
		part(f)
	}
	sum := sha256.Sum256(text)
	return ID(sum[:len(ID{})])
}
