package index

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// State says what an index of the catalog is good for. The numbers are on disk.
type State uint8

// States. Writers keep the entries of an index in either.
const (
	// Building: it may lack documents that were there before it.
	Building State = 1
	// Ready: it has all.
	Ready State = 2
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Building:
		return "building"
	case Ready:
		return "ready"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Listed is an index as the catalog of a collection has it.
type Listed struct {
	// ID is the index's id, Name its name.
	ID   ID
	Name string
	// State says whether it is complete.
	State State
}

// Catalog is what a scope knows of a collection: which indexes there are. It is in the order of
// their names.
type Catalog []Listed

// Ready reports whether an index is there and complete.
func (c Catalog) Ready(id ID) bool {
	return slices.ContainsFunc(c, func(l Listed) bool { return l.ID == id && l.State == Ready })
}

// Agrees reports whether the catalog has the indexes of s and no others.
func (c Catalog) Agrees(s *Set) bool {
	if len(c) != len(s.indexes) {
		return false
	}
	for _, l := range c {
		if ix := s.Index(l.Name); ix == nil || ix.id != l.ID {
			return false
		}
	}
	return true
}

// Reconcile returns the catalog that s is to have in the place of c, and the ids of c that it has
// no more, whose entries are to be deleted. What is new has the state fresh: Ready if there are no
// documents.
func (s *Set) Reconcile(c Catalog, fresh State) (next Catalog, gone []ID) {
	for _, ix := range s.indexes {
		l := Listed{ix.id, ix.def.Name, fresh}
		for _, old := range c {
			if old.ID == ix.id {
				l.State = old.State
			}
		}
		next = append(next, l)
	}
	slices.SortFunc(next, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	for _, old := range c {
		if !slices.ContainsFunc(next, func(l Listed) bool { return l.ID == old.ID }) {
			gone = append(gone, old.ID)
		}
	}
	return next, gone
}

// The catalog, docs/formats/index.md:
//
//	version 1 · number of indexes varint · (id 8 · state 1 · length 1 · name) …
const catalogVersion = 1

// AppendCatalog appends the encoding of a catalog, whose names must ascend.
func AppendCatalog(dst []byte, c Catalog) []byte {
	dst = binary.AppendUvarint(append(dst, catalogVersion), uint64(len(c)))
	for _, l := range c {
		dst = append(append(dst, l.ID[:]...), byte(l.State), byte(len(l.Name)))
		dst = append(dst, l.Name...)
	}
	return dst
}

// DecodeCatalog reads a catalog. It accepts what AppendCatalog makes, and nothing else. Errors are
// ErrMalformed and ErrTooNew.
func DecodeCatalog(p []byte) (Catalog, error) {
	switch {
	case len(p) == 0 || p[0] == 0:
		return nil, fmt.Errorf("%w: catalog", ErrMalformed)
	case p[0] > catalogVersion:
		return nil, fmt.Errorf("%w: catalog of version %d, and %d is known", ErrTooNew, p[0], catalogVersion)
	}
	n, size := binary.Uvarint(p[1:])
	if size != 1 || n > MaxIndexes { // which takes one byte
		return nil, fmt.Errorf("%w: catalog", ErrMalformed)
	}
	p = p[2:]
	var c Catalog
	for range n {
		const head = len(ID{}) + 2
		if len(p) < head || len(p) < head+int(p[head-1]) {
			return nil, fmt.Errorf("%w: catalog ends within an index", ErrMalformed)
		}
		l := Listed{ID: ID(p[:len(ID{})]), State: State(p[head-2]), Name: string(p[head : head+int(p[head-1])])}
		p = p[head+len(l.Name):]
		if l.State != Building && l.State != Ready || checkName(l.Name) != "" || len(c) > 0 && c[len(c)-1].Name >= l.Name {
			return nil, fmt.Errorf("%w: catalog", ErrMalformed)
		}
		c = append(c, l)
	}
	if len(p) > 0 {
		return nil, fmt.Errorf("%w: bytes behind the catalog", ErrMalformed)
	}
	return c, nil
}
