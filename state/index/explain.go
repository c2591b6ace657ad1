package index

import (
	"fmt"
	"strings"
)

// Explain says how a query is answered. It names fields and never values.
type Explain struct {
	// Collection is the collection's name.
	Collection string
	// Index is the index that is read, or empty when it is the documents, in the order of keys.
	Index string
	// Equal are the fields whose values are fixed: only entries with these are read. Of the
	// documents it may be Key.
	Equal []string
	// Range is the field within whose bounds the entries that are read lie, or empty.
	Range string
	// Filter are fields that are compared with the conditions in each entry, or each document.
	Filter []string
	// Reverse says that it is read backwards.
	Reverse bool
	// Sort is the order that is made in memory, over everything found; empty when what is read
	// stands in it.
	Sort []Order
	// Limit is how many documents there are at most.
	Limit int
	// Unused are the other indexes.
	Unused []Unused
}

// Unused is an index that a plan does not read.
type Unused struct {
	// Index is its name, Reason says why in words.
	Index, Reason string
}

// String returns it in a few lines.
func (e Explain) String() string {
	var b strings.Builder
	read := "all documents"
	if e.Index != "" {
		read = "index " + e.Index
	} else if len(e.Equal) > 0 || e.Range != "" {
		read = "documents"
	}
	fmt.Fprintf(&b, "%s: %s", e.Collection, read)
	if len(e.Equal) > 0 {
		fmt.Fprintf(&b, ", %s fixed", strings.Join(e.Equal, ", "))
	}
	if e.Range != "" {
		fmt.Fprintf(&b, ", %s within bounds", e.Range)
	}
	if e.Reverse {
		b.WriteString(", backwards")
	}
	if len(e.Filter) > 0 {
		fmt.Fprintf(&b, "\nfiltered by %s", strings.Join(e.Filter, ", "))
	}
	if len(e.Sort) > 0 {
		fmt.Fprintf(&b, "\nsorted in memory by %s", joinOrders(e.Sort))
	}
	fmt.Fprintf(&b, "\nat most %d", e.Limit)
	for _, u := range e.Unused {
		fmt.Fprintf(&b, "\nnot used: %s, %s", u.Index, u.Reason)
	}
	return b.String()
}

// Explain returns what the plan does. The caller owns it.
func (p *Plan) Explain() Explain {
	e := Explain{Collection: p.set.collection, Reverse: p.reverse, Limit: p.req.limit}
	place := func(i int, bound bool) { // one field, which bounds what is read or not
		f := p.req.at(i)
		switch {
		case f == nil || !f.asked:
		case bound && f.fixed:
			e.Equal = append(e.Equal, f.name)
		case bound:
			e.Range = f.name
		default:
			e.Filter = append(e.Filter, f.name)
		}
	}
	if p.index == nil {
		place(p.req.keyField(), true)
	} else {
		e.Index = p.index.def.Name
		for i, bound := 0, true; i < len(p.own); i++ {
			place(p.own[i], bound)
			f := p.req.at(p.own[i])
			bound = bound && f != nil && f.fixed
		}
	}
	for _, i := range p.checked {
		e.Filter = append(e.Filter, p.req.fields[i].name)
	}
	if p.sorted {
		for _, b := range p.req.order {
			e.Sort = append(e.Sort, Order{p.req.fields[b.field].name, b.desc})
		}
	}
	for _, u := range p.uses {
		switch {
		case u.index == nil || u.index == p.index:
		case u.reason == "":
			e.Unused = append(e.Unused, Unused{u.index.def.Name, "another plan reads less"})
		default:
			e.Unused = append(e.Unused, Unused{u.index.def.Name, u.reason})
		}
	}
	return e
}
