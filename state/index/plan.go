package index

import (
	"bytes"
	"slices"
)

// Plan is how a query is answered: through one index, or through the documents in the order of
// their keys. It never changes but by Leave.
type Plan struct {
	set     *Set
	req     *request
	index   *Index // nil: the documents
	reverse bool
	sorted  bool   // in memory
	lower   []byte // of keys of entries, or of documents
	upper   []byte // nil: unbounded
	after   []byte // the position to go on behind, or nil
	none    bool   // no document can meet the conditions
	checked []int  // fields of the request that are looked up in each document
	deep    bool   // documents are looked into, for these or for their order
	lead    []byte // of keys of entries whose values are all fixed: what stands before the document's key, else nil
	null    bool   // one of these values is nil
	left    bool   // to who gets the documents: finding out whether they have their entries
	own     []int  // for each field of the index, its place among those of the request, or -1
	uses    []use  // that there were
}

// planned is a plan with what it refers to, in one piece of memory for most queries: four allocations less.
type planned struct {
	plan    Plan
	request request
	fields  [2]field
	uses    [3]use
}

// use is how well an index, or the documents if it is nil, serves a request.
type use struct {
	index   *Index
	own     []int
	equal   int  // leading fields whose values are fixed
	ranged  bool // the next one is bounded
	single  bool // at most one document
	ordered bool
	reverse bool
	reason  string // why it does not serve at all
}

// Plan chooses how to answer a query. ready says which indexes are complete; nil means all. It
// prefers, in this order: what gives one document at most; more leading fields that are fixed; a
// range on the next; the order that is asked for; the documents; fewer fields; what was declared
// earlier. Errors are *QueryError and *TokenError.
func (s *Set) Plan(q *Query, ready func(ID) bool) (*Plan, error) {
	at := new(planned)
	r := &at.request
	r.fields = at.fields[:0]
	err := s.request(r, q)
	if err != nil {
		return nil, err
	}
	uses := append(at.uses[:0], r.use(nil))
	for _, ix := range s.indexes {
		u := use{index: ix, reason: "it is being built"}
		if ready == nil || ready(ix.id) {
			u = r.use(ix)
		}
		uses = append(uses, u)
	}
	var pos *place
	if q.After != "" {
		if pos, err = q.After.open(s, r); err != nil {
			return nil, err
		}
	}
	best := -1
	for i := range uses {
		u := &uses[i]
		if u.reason != "" || pos != nil && !pos.fits(u) {
			continue
		}
		if best < 0 || u.better(&uses[best]) {
			best = i
		}
	}
	if best < 0 {
		return nil, &TokenError{"the index that the page was read from cannot be used any more"}
	}
	p := s.build(&at.plan, r, uses[best])
	if pos != nil {
		p.after = pos.position
	}
	p.uses = uses
	return p, nil
}

// use finds out how an index serves the request.
func (r *request) use(ix *Index) use {
	u := use{index: ix}
	var names []string
	mentioned := false
	if ix != nil {
		names = ix.def.Fields
	}
	own := r.own(ix)
	u.own = own
	for i := range names {
		f := r.at(own[i])
		mentioned = mentioned || f != nil
		if u.equal == i && f != nil && f.fixed {
			u.equal++
		} else if u.equal == i && f != nil && f.asked {
			u.ranged = true
		}
	}
	switch {
	case ix == nil:
		key := r.at(r.keyField())
		u.ranged, u.single = key != nil && key.asked, key != nil && key.fixed
	case u.equal == len(names) && ix.def.Unique:
		u.single = !slices.ContainsFunc(own, func(i int) bool { return isNil(r.fields[i].lower) })
	}
	u.ordered, u.reverse = r.ordered(own)
	switch {
	case ix == nil || u.equal > 0 || u.ranged:
	case ix.Computed() && !mentioned:
		u.reason = "the query names none of its fields"
	case !u.ordered || len(r.order) == 0:
		u.reason = "the query neither fixes nor bounds its first field, nor asks for its order"
	}
	return u
}

// own returns, for each field of an index, its place among those of the request, or -1.
func (r *request) own(ix *Index) []int {
	if ix == nil {
		return nil
	}
	own := make([]int, len(ix.def.Fields))
	for i, name := range ix.def.Fields {
		own[i] = -1
		for j := range r.fields {
			f := &r.fields[j]
			if f.name == name && !f.key && (f.fn == ix || f.fn == nil && !ix.Computed()) {
				own[i] = j
			}
		}
	}
	return own
}

// at returns a field of the request, or nil for -1.
func (r *request) at(i int) *field {
	if i < 0 {
		return nil
	}
	return &r.fields[i]
}

func (r *request) keyField() int {
	for i := range r.fields {
		if r.fields[i].key {
			return i
		}
	}
	return -1
}

// ordered reports whether what has the given fields, and behind them the document's key, stands in
// the order that is asked for, or is that turned round. What conditions fix does not matter in
// either.
func (r *request) ordered(own []int) (ordered, reverse bool) {
	rest := make([]by, 0, len(r.order))
	for _, b := range r.order {
		if !r.fields[b.field].fixed {
			rest = append(rest, b)
		}
	}
	if len(rest) == 0 {
		return true, false
	}
	reverse = rest[0].desc
	next := func(place int) bool {
		if len(rest) == 0 || rest[0].field != place || rest[0].desc != reverse {
			return false
		}
		rest = rest[1:]
		return true
	}
	for _, place := range own {
		if f := r.at(place); f != nil && f.fixed {
			continue
		}
		if !next(place) {
			return len(rest) == 0, reverse
		}
	}
	// No two documents have one key: what is asked for behind it says no more.
	return len(rest) == 0 || next(r.keyField()), reverse
}

// better reports whether a use is to be preferred to another, which was declared earlier.
func (u *use) better(than *use) bool {
	for _, c := range [][2]int{
		{int(boolByte(u.single)), int(boolByte(than.single))},
		{u.equal, than.equal},
		{int(boolByte(u.ranged)), int(boolByte(than.ranged))},
		{int(boolByte(u.ordered)), int(boolByte(than.ordered))},
		{-u.width(), -than.width()},
	} {
		if c[0] != c[1] {
			return c[0] > c[1]
		}
	}
	return false
}

// width is how many fields the index has; the documents, which need no second look-up, none.
func (u *use) width() int {
	if u.index == nil {
		return 0
	}
	return len(u.index.def.Fields)
}

// build makes p the plan of a use.
func (s *Set) build(p *Plan, r *request, u use) *Plan {
	*p = Plan{set: s, req: r, index: u.index, reverse: u.reverse && u.ordered, sorted: !u.ordered, own: u.own}
	key := r.keyField()
	for i := range r.fields {
		f := &r.fields[i]
		p.none = p.none || f.empty()
		told := slices.Contains(p.own, i) || p.index == nil && f.key
		if !told && (f.asked || f.fn != nil) {
			p.checked = append(p.checked, i)
			p.deep = p.deep || !f.key
		}
	}
	p.deep = p.deep || p.sorted
	if p.index == nil {
		if f := r.at(key); f != nil {
			p.lower, p.upper = f.lower, f.upper
		}
		return p
	}
	size := prefixLen
	for _, place := range p.own[:u.equal] {
		size += len(r.fields[place].lower)
	}
	bounds := make([]byte, 0, 2*size+1)
	prefix := appendPrefix(bounds, p.index.id)
	for _, place := range p.own[:u.equal] {
		prefix = append(prefix, r.fields[place].lower...)
		p.null = p.null || isNil(r.fields[place].lower)
	}
	prefix = prefix[:size:size]
	if u.equal == len(p.own) {
		p.lead = prefix
	}
	p.lower, p.upper = prefix, append(append(bounds[size:size], prefix...), 0xFF)
	next := key // behind the values stands the document's key
	if u.equal < len(p.own) {
		next = p.own[u.equal]
	} else if p.index.def.Unique {
		next = -1 // or not
	}
	if f := r.at(next); f != nil && f.asked {
		p.lower = append(bytes.Clone(prefix), f.lower...)
		if f.upper != nil {
			p.upper = append(bytes.Clone(prefix), f.upper...)
		}
	}
	return p
}
