package index

import (
	"bytes"
	"errors"
	"sync"

	"github.com/loamdb/loam/internal/mutant"
)

// ErrHidden is what Doc of a Source returns for a document that is to be passed over, as if it were not there.
var ErrHidden = errors.New("index: the document is hidden")

// ErrUnread is what a Source says of a document that is there and cannot be read. It meets every condition on its
// values, which nobody knows, and stands behind all values in an order.
var ErrUnread = errors.New("index: the document cannot be read")

// Source is what a query reads: documents and entries of one moment, which belong together. The
// slices that it gives are valid until it is asked again, those of a cursor until its next step. Nobody need have
// validated its documents.
type Source interface {
	// Entries goes through the entries whose keys lie within [lower, upper), in order or backwards.
	Entries(lower, upper []byte, reverse bool) (Cursor, error)
	// Docs goes through the documents whose keys lie within [lower, upper), nil being no bound: their
	// keys, and the encodings of their values, or ErrUnread and the key alone.
	Docs(lower, upper []byte, reverse bool) (Cursor, error)
	// Doc returns the encoding of the document under a key, or nil if there is none, or ErrUnread. What it
	// hides Docs passes over.
	Doc(key []byte) ([]byte, error)
	// Check says why a document that it has given is no encoding of a value, or returns nil. It is asked before more is read
	// of one than values that are no lists, where they lie.
	Check(doc []byte) error
}

// Cursor goes through a range of a Source, which has one at a time.
type Cursor interface {
	// Next goes to the next entry, at first to the first one. ok is false behind the last one, and with an error other
	// than ErrUnread, which is of documents.
	Next() (e Entry, ok bool, err error)
	// Close lets go of what the cursor holds, and returns an error that Next has not told of.
	Close() error
}

// Run reads the page that the plan is for, and calls yield with the key and the encoding of each
// document, nil of one that is ErrUnread, which are valid until yield returns; an error of yield ends it. Where the
// query can be answered without looking into a document, yield is the first to find out that it is no encoding. It returns the token
// with which the next page begins, or the empty one when the page was not filled: a page that was
// may have been the last one all the same. A plan can be run many times. Errors are those of the
// source and of yield, *ValueError, *DisagreeError and ErrMalformed.
func (p *Plan) Run(src Source, yield func(key, doc []byte) error) (Token, error) {
	switch {
	case p.none:
		return "", nil
	case p.sorted:
		return p.runSorted(src, yield)
	}
	rd := readings.Get().(*reading)
	defer rd.done()
	rd.n, rd.yield = 0, yield
	if err := p.walk(rd, src, (*Plan).visitPage); err != nil || rd.n < p.req.limit {
		return "", err
	}
	return p.token(rd.key), nil
}

// visitPage is the visitor of a page in the order of the walk.
func (p *Plan) visitPage(rd *reading, position, key, doc []byte) (more bool, err error) {
	if err := rd.yield(key, doc); err != nil {
		return false, err
	}
	if rd.n++; rd.n < p.req.limit {
		return true, nil
	}
	rd.key = append(rd.key[:0], position...)
	return false, nil
}

// Told tells by what a document shows that it has the entry that leads to it, where that is soon told: its own value
// under key is text, which is not empty.
func (p *Plan) Told() (key, text string, ok bool) {
	if p.lead == nil || p.sorted || len(p.checked) > 0 || len(p.own) != 1 || p.index.Computed() || len(p.index.paths[0].names) != 1 {
		return "", "", false
	}
	text = p.req.at(p.own[0]).text
	return p.index.paths[0].names[0], text, text != ""
}

// Leave has Run leave it to yield to look for what Told tells, and to ask Prove where it is not so: who decodes documents
// spares Run a look into each.
func (p *Plan) Leave() { p.left = true }

// Prove finds out whether a document that Run has yielded has its entry. Errors are those of Run.
func (p *Plan) Prove(src Source, key, doc []byte) error {
	rd := reading{src: src}
	_, err := p.wanted(&rd, p.lead[prefixLen:], key, doc) // one value: it is the first
	return err
}

var readings = sync.Pool{New: func() any { return new(reading) }}

// reading is the state of one run, and its memory: as long as the values of a few entries.
type reading struct {
	tuples tuples
	form   []byte
	best   []byte
	key    []byte

	src   Source
	visit visitor
	yield func(key, doc []byte) error
	n     int // documents of the page
	page  page
}

func (rd *reading) done() {
	rd.src, rd.visit, rd.yield, rd.page = nil, nil, nil, page{}
	readings.Put(rd)
}

// visitor is called with each document that a walk finds, and where in the walk it was found. It
// reports whether the walk is to go on. The document is nil if it cannot be read. What it keeps it has in the reading:
// for a closure memory would be made.
type visitor func(p *Plan, rd *reading, position, key, doc []byte) (more bool, err error)

// walk visits each document that meets the conditions once, in the order of the plan.
func (p *Plan) walk(rd *reading, src Source, visit visitor) (err error) {
	rd.src, rd.visit = src, visit
	lower, upper := p.bounds()
	if upper != nil && bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	open := Source.Docs
	if p.index != nil {
		open = Source.Entries
	}
	c, err := open(src, lower, upper, p.reverse)
	if err != nil {
		return err
	}
	defer func() {
		if closed := c.Close(); err == nil {
			err = closed
		}
	}()
	for {
		e, ok, err := c.Next()
		if !ok {
			return err
		}
		more := false
		if p.index != nil {
			more, err = p.followEntry(rd, e)
		} else {
			more, err = p.followDoc(rd, e, err)
		}
		if !more || err != nil {
			return err
		}
	}
}

// followEntry visits the document that an entry leads to, if it meets the conditions.
func (p *Plan) followEntry(rd *reading, e Entry) (more bool, err error) {
	values, key, ok, err := p.take(e)
	if err != nil || !ok {
		return true, err
	}
	doc, err := rd.src.Doc(key)
	switch {
	case err == ErrHidden: // returned bare
		return true, nil
	case err == ErrUnread: // returned bare
		return p.visitUnread(rd, e.Key[prefixLen:], key)
	case err != nil:
		return false, err
	}
	if doc == nil || !p.left {
		if ok, err = p.wanted(rd, values, key, doc); err != nil || !ok {
			return true, err
		}
	}
	return rd.visit(p, rd, e.Key[prefixLen:], key, doc)
}

// followDoc visits a document if it meets the conditions.
func (p *Plan) followDoc(rd *reading, e Entry, unread error) (more bool, err error) {
	if unread != nil {
		return p.visitUnread(rd, e.Key, e.Key)
	}
	if p.deep {
		if err := rd.src.Check(e.Value); err != nil {
			return false, err
		}
	}
	if ok, err := p.matches(rd, e.Key, e.Value); err != nil || !ok {
		return true, err
	}
	return rd.visit(p, rd, e.Key, e.Key, e.Value)
}

// take takes an entry apart, and reports whether its values meet the conditions.
func (p *Plan) take(e Entry) (values, key []byte, ok bool, err error) {
	if p.lead != nil && bytes.HasPrefix(e.Key, p.lead) {
		values, key, err = p.index.split(e, e.Key[prefixLen:], len(p.lead)-prefixLen, p.null)
		return values, key, err == nil, err
	}
	if values, key, err = p.index.parse(e); err != nil {
		return nil, nil, false, err
	}
	return values, key, p.admits(values), nil
}

// wanted reports whether the walk is to visit the document that an entry has led to.
func (p *Plan) wanted(rd *reading, values, key, doc []byte) (bool, error) {
	// Of most documents a look at the values tells that the entry is the only one.
	only := doc != nil && rd.tuples.probe(p.index, doc) && bytes.Equal(rd.tuples.at(0), values)
	if doc != nil && (!only || p.deep) {
		if err := rd.src.Check(doc); err != nil {
			return false, err
		}
	}
	if !only {
		if first, err := p.first(rd, values, key, doc); !first {
			return false, err
		}
	}
	return p.matches(rd, key, doc)
}

// visitUnread visits a document that cannot be read if its key meets the conditions.
func (p *Plan) visitUnread(rd *reading, position, key []byte) (more bool, err error) {
	for _, i := range p.checked {
		if f := &p.req.fields[i]; f.key && !f.admits(key) {
			return true, nil
		}
	}
	return rd.visit(p, rd, position, key, nil)
}

// bounds returns the bounds of what is left to be read.
func (p *Plan) bounds() (lower, upper []byte) {
	if p.after == nil || p.sorted {
		return p.lower, p.upper
	}
	var from []byte
	if p.index != nil {
		from = appendPrefix(nil, p.index.id)
	}
	from = append(from, p.after...)
	if p.reverse {
		if p.upper != nil && bytes.Compare(p.upper, from) < 0 {
			from = p.upper
		}
		return p.lower, from
	}
	if !(mutant.Enabled && mutant.Is(mutant.RepeatLast)) {
		from = append(from, 0) // nothing lies between a key and that
	}
	if bytes.Compare(from, p.lower) < 0 {
		from = p.lower
	}
	return from, p.upper
}

// admits reports whether the values of an entry meet the conditions on the index's fields.
func (p *Plan) admits(values []byte) bool {
	for _, place := range p.own {
		n, err := valueLen(values)
		if err != nil {
			return false
		}
		if f := p.req.at(place); f != nil && f.asked && !f.admits(values[:n]) {
			return false
		}
		values = values[n:]
	}
	return true
}

// first reports whether an entry is the first of its document's that the walk meets: the others
// are passed over, so that each document is found once, on whichever page. X5: that the document
// has the entry is found out on the way.
func (p *Plan) first(rd *reading, values, key, doc []byte) (bool, error) {
	t := &rd.tuples
	if err := t.read(p.index, doc); err != nil {
		return false, inDoc(err, string(key))
	}
	found, met, first := false, false, false
	for i := range t.spans {
		if p.reverse {
			i = len(t.spans) - 1 - i
		}
		same := bytes.Equal(t.at(i), values)
		if !met && (same || p.admits(t.at(i))) {
			met, first = true, same
		}
		found = found || same
	}
	if !found {
		return false, &DisagreeError{p.index.def.Name, string(key)}
	}
	return first, nil
}

// matches reports whether a document meets the conditions that the entry does not tell of.
func (p *Plan) matches(rd *reading, key, doc []byte) (bool, error) {
	for n, i := range p.checked {
		f := &p.req.fields[i]
		ok := false
		switch {
		case f.key:
			ok = f.admits(key)
		case f.fn != nil:
			if p.asked(f.fn, p.checked[:n]) {
				continue
			}
			t := &rd.tuples
			if err := t.read(f.fn, doc); err != nil {
				return false, inDoc(err, string(key))
			}
			for j := range t.spans {
				ok = ok || p.admitsComputed(f.fn, t.at(j))
			}
		default:
			ok = f.bestValue(rd, doc, false) != nil
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// asked reports whether a function is among those of some fields.
func (p *Plan) asked(fn *Index, fields []int) bool {
	for _, i := range fields {
		if p.req.fields[i].fn == fn {
			return true
		}
	}
	return false
}

// admitsComputed reports whether what a function has computed meets all conditions on it.
func (p *Plan) admitsComputed(fn *Index, values []byte) bool {
	for i := range p.req.fields {
		if f := &p.req.fields[i]; f.fn == fn && f.asked && !f.admits(part(values, f.at)) {
			return false
		}
	}
	return true
}

// part returns the i-th of the values that p is made of.
func part(p []byte, i int) []byte {
	for {
		n, err := valueLen(p)
		if err != nil {
			return nil
		}
		if i == 0 {
			return p[:n]
		}
		p, i = p[n:], i-1
	}
}
