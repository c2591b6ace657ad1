package codec

import (
	"iter"
	"math"
	"time"
)

// Node is a value within an encoding, for looking into a document without decoding it. It is a
// slice of the encoding and valid as long as that is. The zero Node is no value, of kind Invalid.
//
// Each accessor is for one kind and returns the zero value for the others.
type Node struct{ p []byte }

// NodeOf returns the value whose encoding p is. Validate must have accepted p, or Append made it:
// else accessors may panic. It does not allocate, nor does any accessor.
func NodeOf(p []byte) Node { return Node{p} }

// Kind returns the kind of the value.
func (n Node) Kind() Kind {
	if len(n.p) == 0 {
		return Invalid
	}
	return kindOf(n.p[0])
}

// Field returns the value of a map's key, and the zero Node where there is none, or no map.
func (n Node) Field(key string) Node {
	if n.Kind() != Map {
		return Node{}
	}
	v := validator{p: n.p, nodes: math.MaxInt}
	_, pairs, size, _ := v.head()
	v.pos = size
	if found, _ := v.find(key, pairs); !found {
		return Node{}
	}
	return Node{v.p[v.pos : v.pos+skip(v.p[v.pos:])]}
}

// Probe returns what a path of keys leads to in p, of which nobody need have found out whether it is an encoding: a
// value that is neither a list nor a map, or the zero Node if there is none. Of what it goes past it
// looks at kinds and lengths alone, and it does not allocate. It is not ok if what it has seen is no encoding, or
// what is there is a list or a map.
func Probe(p []byte, path []string) (n Node, ok bool) {
	v := validator{p: p, nodes: math.MaxInt}
	for _, key := range path {
		kind, pairs, size, err := v.head()
		if err != nil || kind != Map {
			return Node{}, err == nil
		}
		v.pos += size
		if found, ok := v.find(key, pairs); !found {
			return Node{}, ok
		}
	}
	kind, length, size, err := v.head()
	if err != nil || kind == List || kind == Map {
		return Node{}, false
	}
	return Node{p[v.pos : v.pos+size+length]}, true
}

// Elements yields the elements of a list, in order.
func (n Node) Elements() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if n.Kind() != List {
			return
		}
		d := decoder{p: n.p}
		for range d.length() {
			from := d.pos
			d.pos += skip(d.p[from:])
			if !yield(Node{d.p[from:d.pos]}) {
				return
			}
		}
	}
}

// Bool returns a bool.
func (n Node) Bool() bool { return n.Kind() == Bool && n.p[0] == codeTrue }

// Int64 returns a signed integer.
func (n Node) Int64() int64 {
	if n.Kind() != Int64 {
		return 0
	}
	return (&decoder{p: n.p}).int()
}

// Uint64 returns an unsigned integer.
func (n Node) Uint64() uint64 {
	if n.Kind() != Uint64 {
		return 0
	}
	return (&decoder{p: n.p}).uint()
}

// Float64 returns a float64.
func (n Node) Float64() float64 {
	if n.Kind() != Float64 {
		return 0
	}
	return (&decoder{p: n.p}).float()
}

// Time returns an instant in UTC.
func (n Node) Time() time.Time {
	if n.Kind() != Time {
		return time.Time{}
	}
	return (&decoder{p: n.p}).time()
}

// Raw returns the content of a string or of bytes, without a copy.
func (n Node) Raw() []byte {
	if k := n.Kind(); k != String && k != Bytes {
		return nil
	}
	return (&decoder{p: n.p}).raw()
}
