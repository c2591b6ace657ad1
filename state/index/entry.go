package index

import (
	"bytes"
	"fmt"
)

// The key of an entry, docs/formats/index.md:
//
//	00 · 69 · index id (8) · value … · key of the document
//
// In a unique index the entries without nil end with the values, and the document's key is the
// value stored under them. Everywhere else that is empty.
const (
	// Reserved begins every key of a scope that is no user's key: these hold no such byte.
	Reserved = 0x00
	// AreaEntries follows it in the keys of entries.
	AreaEntries = 'i'

	prefixLen = 2 + len(ID{})
)

// appendPrefix appends what the keys of all entries of an index begin with.
func appendPrefix(dst []byte, id ID) []byte {
	return append(append(dst, Reserved, AreaEntries), id[:]...)
}

// Range returns the bounds [lower, upper) of the keys of all entries of an index, which the caller
// owns.
func Range(id ID) (lower, upper []byte) {
	return appendPrefix(nil, id), append(appendPrefix(nil, id), 0xFF)
}

// appendEntry appends the key of a document's entry with the i-th of its tuples.
func (ix *Index) appendEntry(dst []byte, t *tuples, i int, key string) []byte {
	dst = append(appendPrefix(dst, ix.id), t.at(i)...)
	if !ix.bare(t.spans[i].null) {
		dst = append(dst, key...)
	}
	return dst
}

// bare reports whether the key of an entry ends with its values.
func (ix *Index) bare(null bool) bool { return ix.def.Unique && !null }

// parse takes an entry apart: the forms of its values, one after the other, and the document's key.
// Both are slices of the entry.
func (ix *Index) parse(e Entry) (values, key []byte, err error) {
	var prefix [prefixLen]byte
	p, ok := bytes.CutPrefix(e.Key, appendPrefix(prefix[:0], ix.id))
	if !ok {
		return nil, nil, fmt.Errorf("%w: an entry of another index", ErrMalformed)
	}
	at, null := 0, false
	for range ix.def.Fields {
		n, err := valueLen(p[at:])
		if err != nil {
			return nil, nil, fmt.Errorf("%w: entry of index %s", err, ix.def.Name)
		}
		null = null || isNil(p[at:])
		at += n
	}
	return ix.split(e, p, at, null)
}

// split is parse, where p is what stands behind the prefix, and its first at bytes are the values.
func (ix *Index) split(e Entry, p []byte, at int, null bool) (values, key []byte, err error) {
	values, key = p[:at], p[at:]
	if ix.bare(null) {
		if len(key) > 0 {
			return nil, nil, fmt.Errorf("%w: entry of index %s", ErrMalformed, ix.def.Name)
		}
		key = e.Value
	}
	if len(key) == 0 {
		return nil, nil, fmt.Errorf("%w: entry of index %s without a document", ErrMalformed, ix.def.Name)
	}
	return values, key, nil
}

// Holder returns the key of the document whose entry in a unique index e is. Errors match
// ErrMalformed.
func (ix *Index) Holder(e Entry) (string, error) {
	_, key, err := ix.parse(e)
	return string(key), err
}

// Has reports whether a document has an entry of the index: doc is the encoding of the one under
// Holder's key, or nil if there is none. Errors match ErrMalformed and ErrValue.
func (ix *Index) Has(e Entry, doc []byte) (bool, error) {
	values, key, err := ix.parse(e)
	if err != nil {
		return false, err
	}
	var t tuples
	if err := t.read(ix, doc); err != nil {
		return false, inDoc(err, string(key))
	}
	for i := range t.spans {
		if bytes.Equal(t.at(i), values) {
			return true, nil
		}
	}
	return false, nil
}
