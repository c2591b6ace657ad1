package index

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/tuple"
	"github.com/loamdb/loam/state/codec"
)

// tuples are what one document has in one index: the forms of its values, distinct and in order.
// It can be read into again.
type tuples struct {
	buf     []byte
	spans   []span
	scratch []byte
	null    bool // of the tuple that was begun
}

// span is one tuple, in buf.
type span struct {
	from, to int
	null     bool // one of the values is nil
}

// errValues: what a function gives is not one value for each field.
var errValues = errors.New("the function gives another number of values than there are fields")

func (t *tuples) at(i int) []byte { return t.buf[t.spans[i].from:t.spans[i].to] }

// read makes t those of the document, which is nil if there is none. Errors are *ValueError without
// the document's key, which inDoc adds.
func (t *tuples) read(ix *Index, doc []byte) error {
	switch {
	case doc == nil:
		t.buf, t.spans = t.buf[:0], t.spans[:0]
		return nil
	case t.probe(ix, doc):
		return nil
	}
	t.buf, t.spans = t.buf[:0], t.spans[:0]
	switch {
	case ix.def.Func != nil:
		return t.compute(ix, doc)
	case ix.each < 0:
		return t.add(ix, codec.NodeOf(doc), codec.Node{})
	}
	root := codec.NodeOf(doc)
	for _, n := range ix.paths[ix.each].values(root) {
		if err := t.add(ix, root, n); err != nil {
			return err
		}
	}
	t.settle()
	return nil
}

// probe makes t the one tuple of a document that has just one, of values that are no lists, and reports whether
// it could. Nobody need have validated the document: then t is what it has if it is sound.
func (t *tuples) probe(ix *Index, doc []byte) bool {
	if t.begin(); !ix.plain() {
		return false
	}
	for i := range ix.paths {
		if !t.append(doc, ix.paths[i].names) {
			return false
		}
	}
	return t.one()
}

// plain reports whether a document has just one tuple, each of whose values one path leads to.
func (ix *Index) plain() bool { return ix.def.Func == nil && ix.each < 0 }

// begin begins a tuple of values that append appends and one ends.
func (t *tuples) begin() { t.buf, t.spans, t.null = t.buf[:0], t.spans[:0], false }

// append appends the value that a path of keys leads to in p, and reports whether it could.
func (t *tuples) append(p []byte, path []string) bool {
	n, ok := codec.Probe(p, path)
	if !ok {
		return false
	}
	t.null = t.null || n.Kind() <= codec.Nil
	var err error
	t.buf, err = appendValue(t.buf, n, 0)
	return err == nil
}

func (t *tuples) one() bool {
	if len(t.buf) > MaxValuesLen {
		return false
	}
	t.spans = append(t.spans, span{0, len(t.buf), t.null})
	return true
}

// add appends the tuple in which the path with stars has led to each.
func (t *tuples) add(ix *Index, root, each codec.Node) error {
	from, null := len(t.buf), false
	for i := range ix.paths {
		n := each
		if i != ix.each {
			n = ix.paths[i].value(root)
		}
		null = null || n.Kind() <= codec.Nil
		var err error
		if t.buf, err = appendValue(t.buf, n, 0); err != nil {
			return &ValueError{Index: ix.def.Name, Field: ix.def.Fields[i], Err: err}
		}
	}
	return t.end(ix, from, null)
}

// end ends the tuple that begins at from.
func (t *tuples) end(ix *Index, from int, null bool) error {
	var err error
	switch {
	case len(t.buf)-from > MaxValuesLen:
		err = fmt.Errorf("values take more than %d bytes", MaxValuesLen)
	case len(t.spans) == MaxEntries:
		err = fmt.Errorf("more than %d entries", MaxEntries)
	default:
		t.spans = append(t.spans, span{from, len(t.buf), null})
		return nil
	}
	return &ValueError{Index: ix.def.Name, Err: err}
}

// compute makes t what the index's function says.
func (t *tuples) compute(ix *Index, doc []byte) error {
	all, err := ix.def.Func(doc)
	if err != nil {
		return &ValueError{Index: ix.def.Name, Err: err}
	}
	for _, values := range all {
		if len(values) != len(ix.def.Fields) {
			return &ValueError{Index: ix.def.Name, Err: errValues}
		}
		from, null := len(t.buf), false
		for i, v := range values {
			at := len(t.buf)
			if t.buf, t.scratch, err = appendAny(t.buf, t.scratch, v); err != nil {
				return &ValueError{Index: ix.def.Name, Field: ix.def.Fields[i], Err: err}
			}
			null = null || isNil(t.buf[at:])
		}
		if err := t.end(ix, from, null); err != nil {
			return err
		}
	}
	t.settle()
	return nil
}

// isNil reports whether the value at the front of p is nil.
func isNil(p []byte) bool { return p[0] == tuple.AppendNil(nil)[0] }

// settle puts the tuples in order, each once.
func (t *tuples) settle() {
	compare := func(a, b span) int { return bytes.Compare(t.buf[a.from:a.to], t.buf[b.from:b.to]) }
	slices.SortFunc(t.spans, compare)
	t.spans = slices.CompactFunc(t.spans, func(a, b span) bool { return compare(a, b) == 0 })
}
