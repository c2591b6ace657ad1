package metamorphic

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// State is what a store holds at one moment. It is never changed.
type State struct {
	spaces []space // by name; the first is the root, whose name is ""
}

// space is a scope, by its text form, and its entries.
type space struct {
	name string
	keys *tree
}

// emptyState is what a new store holds.
func emptyState() State { return State{spaces: []space{{}}} }

// find returns the entries of a scope and whether it is there.
func (s State) find(name string) (*tree, bool) {
	i, ok := s.search(name)
	if !ok {
		return nil, false
	}
	return s.spaces[i].keys, true
}

func (s State) search(name string) (int, bool) {
	return slices.BinarySearchFunc(s.spaces, name, func(a space, name string) int { return strings.Compare(a.name, name) })
}

// with returns s with other entries in a scope, which is made if it is not there.
func (s State) with(name string, keys *tree) State {
	i, ok := s.search(name)
	spaces := slices.Clone(s.spaces)
	if !ok {
		spaces = slices.Insert(spaces, i, space{})
	}
	spaces[i] = space{name, keys}
	return State{spaces}
}

// without returns s without a scope.
func (s State) without(name string) State {
	if i, ok := s.search(name); ok {
		return State{slices.Delete(slices.Clone(s.spaces), i, i+1)}
	}
	return s
}

// alive returns s without what has expired by an hour.
func (s State) alive(hour int) State {
	spaces := s.spaces
	for i, sp := range s.spaces {
		if keys := sp.keys.alive(hour); keys != sp.keys {
			if &spaces[0] == &s.spaces[0] {
				spaces = slices.Clone(spaces)
			}
			spaces[i].keys = keys
		}
	}
	return State{spaces}
}

// digest identifies contents: scopes, empty ones too, with their keys, values and expiries.
type digest struct {
	spaces, entries int
	sum             uint64
}

// add adds a scope with so many entries, the sum of whose hashes is given.
func (d *digest) add(name string, entries int, sum uint64) {
	d.spaces++
	d.entries += entries
	d.sum += xxhash.Sum64String(name) * (sum | 1<<63) * uint64(2*entries+1)
}

// digest returns that of s.
func (s State) digest() (d digest) {
	for _, sp := range s.spaces {
		d.add(sp.name, sp.keys.len(), sp.keys.hash())
	}
	return d
}
