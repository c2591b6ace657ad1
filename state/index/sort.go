package index

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/loamdb/loam/state/codec"
)

// maxSortLen is how long the values may be by which one document is sorted in memory, encoded.
const maxSortLen = 4 << 10

// unordered is the form, in an order made in memory, of what has none: maps, lists with maps, and what cannot be
// read. It is behind all others.
const unordered = 0xF0

// found is a document of a sorted page: the form of its place in the order, at whose end stands
// its key.
type found struct {
	place []byte
	key   int // where in place the key begins
}

// page is a sorted page in the making: up to twice as many documents as it has in the end.
type page struct {
	found []found
	full  bool // none behind the last one of the first so many can enter it
}

// cut sorts what was found, and lets go of what is behind a page of so many.
func (g *page) cut(limit int) {
	slices.SortFunc(g.found, func(a, b found) int { return bytes.Compare(a.place, b.place) })
	if len(g.found) >= limit {
		g.found, g.full = g.found[:limit], true
	}
}

// runSorted is Run for a plan that sorts in memory. It keeps the places of documents, and reads those of the page
// again in the end.
func (p *Plan) runSorted(src Source, yield func(key, doc []byte) error) (Token, error) {
	rd := readings.Get().(*reading)
	defer rd.done()
	if err := p.walk(rd, src, (*Plan).visitSorted); err != nil {
		return "", err
	}
	rd.page.cut(p.req.limit)
	page := rd.page.found
	for _, f := range page {
		key := f.place[f.key:]
		doc, err := src.Doc(key)
		if err == ErrUnread { // returned bare
			doc, err = nil, nil
		}
		if err != nil {
			return "", err
		}
		if err := yield(key, doc); err != nil {
			return "", err
		}
	}
	if len(page) < p.req.limit {
		return "", nil
	}
	return p.token(page[len(page)-1].place), nil
}

// visitSorted is the visitor of a page that is sorted in memory.
func (p *Plan) visitSorted(rd *reading, _, key, doc []byte) (more bool, err error) {
	g := &rd.page
	place, at, err := p.sortPlace(rd, key, doc)
	switch {
	case err != nil:
		return false, err
	case p.after != nil && bytes.Compare(place, p.after) <= 0:
		return true, nil
	case g.full && bytes.Compare(place, g.found[p.req.limit-1].place) > 0:
		return true, nil
	}
	if g.found = append(g.found, found{bytes.Clone(place), at}); len(g.found) >= 2*p.req.limit {
		g.cut(p.req.limit)
	}
	return true, nil
}

// sortPlace returns the form of a document's place in the order, and where in it the document's
// key begins. Among the values that meet the conditions the first one in the order counts.
func (p *Plan) sortPlace(rd *reading, key, doc []byte) (place []byte, at int, err error) {
	place = rd.key[:0]
	chosen := map[*Index][]byte{}
	for _, b := range p.req.order {
		f := &p.req.fields[b.field]
		from := len(place)
		switch {
		case f.key:
			place = append(append(place, key...), 0)
		case doc == nil:
			place = append(place, unordered)
		case f.fn != nil:
			if chosen[f.fn] == nil {
				if chosen[f.fn], err = p.bestComputed(rd, f.fn, key, doc); err != nil {
					return nil, 0, err
				}
			}
			place = append(place, part(chosen[f.fn], f.at)...)
		default:
			place = append(place, f.bestValue(rd, doc, b.desc)...)
		}
		if len(place) > maxSortLen {
			return nil, 0, &ValueError{Key: string(key), Field: f.name, Index: "none",
				Err: fmt.Errorf("values to sort by take more than %d bytes", maxSortLen)}
		}
		if b.desc {
			invert(place[from:])
		}
	}
	at = len(place)
	place = append(place, key...)
	rd.key = place
	return place, at, nil
}

// invert turns the order of forms round, none of which begins another.
func invert(p []byte) {
	for i := range p {
		p[i] = ^p[i]
	}
}

// bestValue returns the least, or greatest, form of those of a path's values that lie in the
// interval, or nil if none does. It is valid until the next call.
func (f *field) bestValue(rd *reading, doc []byte, greatest bool) []byte {
	there := false
	for _, n := range f.path.values(codec.NodeOf(doc)) {
		form, err := appendValue(rd.form[:0], n, 0)
		if err != nil {
			if form = append(form[:0], unordered); f.asked {
				continue
			}
		}
		rd.form = form
		if f.asked && !f.admits(form) {
			continue
		}
		if c := bytes.Compare(form, rd.best); !there || greatest && c > 0 || !greatest && c < 0 {
			rd.best, there = append(rd.best[:0], form...), true
		}
	}
	if !there {
		return nil
	}
	return rd.best
}

// bestComputed returns, of what a function has computed and meets the conditions, what stands
// first in the order, as a copy.
func (p *Plan) bestComputed(rd *reading, fn *Index, key, doc []byte) ([]byte, error) {
	t := &rd.tuples
	if err := t.read(fn, doc); err != nil {
		return nil, inDoc(err, string(key))
	}
	var best, bestPlace []byte
	for i := range t.spans {
		values := t.at(i)
		if !p.admitsComputed(fn, values) {
			continue
		}
		var place []byte
		for _, b := range p.req.order {
			if f := &p.req.fields[b.field]; f.fn == fn {
				from := len(place)
				if place = append(place, part(values, f.at)...); b.desc {
					invert(place[from:])
				}
			}
		}
		if best == nil || bytes.Compare(place, bestPlace) < 0 {
			best, bestPlace = bytes.Clone(values), place
		}
	}
	return best, nil
}
