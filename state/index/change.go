package index

import (
	"bytes"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/codec"
)

// Change is what a write of one document does to the entries of its indexes. It can be used again:
// its keys and values are valid until then.
type Change struct {
	// Put are the entries to write.
	Put []Put
	// Delete are the keys of the entries to delete. None of them is among those of Put.
	Delete [][]byte

	// Check says why a document is no encoding of a value; nil: the old document is one. It is asked before
	// more is read of that than values that are no lists, where they lie.
	Check func(doc []byte) error

	keys     []byte
	old, now tuples
	changed  []codec.Changed // what differs between the documents, at the top
}

// Put is an entry to write.
type Put struct {
	Entry
	// Index is the index that it is of.
	Index *Index
	// Absent says that the key must not be there, before the write: if it is, another document has
	// the values, Index.Holder tells which, and the write is a *UniqueError.
	Absent bool
}

// Entry is a key with its value.
type Entry struct {
	// Key and Value belong to whoever has made the entry.
	Key, Value []byte
}

// Change makes c what becomes of the entries when the document under key, which was old, becomes
// doc. Each is the encoding of a value, the old one as far as Check says, or nil where there is no document. With renew the entries
// that stay are put again, as they must be when the document gets another expiry. Indexes that read nothing which differs
// are left alone, whatever they make of it.
//
// It holds if old is what is stored at the time of the write, which the caller has to require.
// Errors are *ValueError and those of Check; c then says nothing.
func (s *Set) Change(c *Change, key string, old, doc []byte, renew bool) error {
	err := s.change(c, key, old, doc, renew)
	clear(c.changed) // c lives on, and would hold the documents
	return err
}

func (s *Set) change(c *Change, key string, old, doc []byte, renew bool) error {
	c.Put, c.Delete, c.keys = c.Put[:0], c.Delete[:0], c.keys[:0]
	if old != nil && !renew && bytes.Equal(old, doc) {
		return nil // X2
	}
	checked := old == nil || c.Check == nil
	known := false // what differs
	if c.changed = c.changed[:0]; old != nil && doc != nil && !renew && len(s.indexes) > 0 {
		c.changed, known = codec.Changes(c.changed, old, doc)
	}
	for _, ix := range s.indexes {
		if known {
			if !c.touches(ix) {
				continue // X2
			}
			if c.probe(ix, doc) {
				c.merge(ix, key, renew)
				continue
			}
		}
		if !c.old.probe(ix, old) {
			if !checked {
				if err := c.Check(old); err != nil {
					return err
				}
				checked = true
			}
			if err := c.old.read(ix, old); err != nil {
				return inDoc(err, key)
			}
		}
		if err := c.now.read(ix, doc); err != nil {
			return inDoc(err, key)
		}
		c.merge(ix, key, renew)
	}
	return nil
}

// touches reports whether what an index reads of a document, which is a map, may lie in something that has changed.
func (c *Change) touches(ix *Index) bool {
	if ix.def.Func != nil {
		return true
	}
	paths := ix.paths
	if mutant.Enabled && mutant.Is(mutant.ForgetOtherPaths) {
		paths = paths[:1]
	}
	for i := range paths {
		if c.of(paths[i].steps[0].name) != nil { // elements a map has none
			return true
		}
	}
	return false
}

// of returns what has changed of a field at the top, nil for nothing.
func (c *Change) of(name string) *codec.Changed {
	for i := range c.changed {
		if string(c.changed[i].Key) == name {
			return &c.changed[i]
		}
	}
	return nil
}

// probe makes c.old and c.now what tuples.probe makes of them, of what has changed alone as far as the index reads that.
func (c *Change) probe(ix *Index, doc []byte) bool {
	if !ix.plain() {
		return false
	}
	c.old.begin()
	c.now.begin()
	for i := range ix.paths {
		names := ix.paths[i].names
		from := len(c.now.buf)
		ch := c.of(names[0])
		switch {
		case ch == nil && c.now.append(doc, names):
			same := c.now.buf[from:]
			c.old.buf, c.old.null = append(c.old.buf, same...), c.old.null || isNil(same)
		case ch == nil || !c.old.append(ch.Old, names[1:]) || !c.now.append(ch.New, names[1:]):
			return false
		}
	}
	return c.old.one() && c.now.one()
}

// merge walks the two lists of tuples side by side.
func (c *Change) merge(ix *Index, key string, renew bool) {
	i, j := 0, 0
	for i < len(c.old.spans) || j < len(c.now.spans) {
		order := 0
		switch {
		case i == len(c.old.spans):
			order = 1
		case j == len(c.now.spans):
			order = -1
		default:
			order = bytes.Compare(c.old.at(i), c.now.at(j))
		}
		if order < 0 && !(mutant.Enabled && mutant.Is(mutant.KeepOldEntries)) {
			c.Delete = append(c.Delete, c.entry(ix, &c.old, i, key))
		}
		if order > 0 || order == 0 && renew {
			c.put(ix, j, key, order > 0)
		}
		if order <= 0 {
			i++
		}
		if order >= 0 {
			j++
		}
	}
}

func (c *Change) put(ix *Index, j int, key string, fresh bool) {
	p := Put{Index: ix, Entry: Entry{Key: c.entry(ix, &c.now, j, key)}}
	if ix.bare(c.now.spans[j].null) {
		from := len(c.keys)
		c.keys = append(c.keys, key...)
		p.Value, p.Absent = c.keys[from:len(c.keys):len(c.keys)], fresh
	}
	c.Put = append(c.Put, p)
}

// entry makes the key of an entry. Keys made before stay as they are when the buffer moves.
func (c *Change) entry(ix *Index, t *tuples, i int, key string) []byte {
	from := len(c.keys)
	c.keys = ix.appendEntry(c.keys, t, i, key)
	return c.keys[from:len(c.keys):len(c.keys)]
}
