package index

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/loamdb/loam/internal/tuple"
)

// request is a query with its values in the form that sorts: each field that the query names has
// one interval, in which its values must lie.
type request struct {
	fields []field
	order  []by
	limit  int
}

// field is a field that a query names.
type field struct {
	name  string // in the one spelling that there is
	key   bool   // the document's key, whose form is its bytes
	fn    *Index // whose function computes it, or nil
	at    int    // its place among what fn computes
	path  path   // without fn
	asked bool   // there is a condition on it
	fixed bool   // its value is lower
	text  string // that, if it is a string
	lower []byte
	upper []byte // nil: unbounded
}

// by is one field of an order.
type by struct {
	field int
	desc  bool
}

// admits reports whether a value lies in the interval.
func (f *field) admits(v []byte) bool {
	return bytes.Compare(v, f.lower) >= 0 && (f.upper == nil || bytes.Compare(v, f.upper) < 0)
}

// empty reports whether no value lies in it.
func (f *field) empty() bool { return f.upper != nil && bytes.Compare(f.lower, f.upper) >= 0 }

// request checks a query and makes r of it, which is zero but for memory for fields. Errors are *QueryError.
func (s *Set) request(r *request, q *Query) error {
	r.limit = q.Limit
	switch {
	case q.Limit < 0 || q.Limit > MaxLimit:
		return &QueryError{Reason: fmt.Sprintf("the limit is not within 0 and %d", MaxLimit)}
	case len(q.Where) > MaxTerms || len(q.Order) > MaxTerms:
		return &QueryError{Reason: fmt.Sprintf("more than %d conditions or orders", MaxTerms)}
	case q.Limit == 0:
		r.limit = DefaultLimit
	}
	r.fields = slices.Grow(r.fields, len(q.Where)+len(q.Order))
	for _, c := range q.Where {
		i, err := r.field(s, c.Field)
		if err == nil {
			err = r.fields[i].narrow(c)
		}
		if err != nil {
			return &QueryError{c.Field, err.Error()}
		}
	}
	for _, o := range q.Order {
		i, err := r.field(s, o.Field)
		if err != nil {
			return &QueryError{o.Field, err.Error()}
		}
		for _, b := range r.order {
			if b.field == i {
				return &QueryError{o.Field, "the order names it twice"}
			}
		}
		r.order = append(r.order, by{i, o.Desc})
	}
	return nil
}

// field returns the place of a field among those of the request, and makes it if need be.
func (r *request) field(s *Set, name string) (int, error) {
	f := field{name: name}
	if name == Key {
		f.key = true
	} else if f.fn = s.computed[name]; f.fn != nil {
		f.at = position(f.fn.def.Fields, name)
	} else if p := s.path(name); p != nil {
		f.path = *p
	} else {
		p, err := parsePath(name)
		if err != nil {
			return 0, err
		}
		if reason := p.astray(s.shape); reason != "" {
			return 0, errors.New(reason)
		}
		f.path, f.name = p, p.text
	}
	for i := range r.fields {
		if r.fields[i].name == f.name && r.fields[i].key == f.key {
			return i, nil
		}
	}
	r.fields = append(r.fields, f)
	return len(r.fields) - 1, nil
}

func position(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// narrow takes a condition into the interval.
func (f *field) narrow(c Cond) error {
	form, err := f.form(c)
	if err != nil {
		return err
	}
	// Nothing has the form of one value and more behind it, but for keys. The two share their memory.
	above := append(form, 0xFF)
	form = above[:len(form):len(form)]
	var low, high []byte
	if f.key {
		above[len(form)] = 0
	} else if c.Op != Equal {
		low, high = bracket(form)
	}
	switch c.Op {
	case Equal:
		low, high = form, above
	case Less:
		high = form
	case AtMost:
		high = above
	case Greater:
		low = above
	case AtLeast:
		low = form
	case HasPrefix:
		low, high = form, successor(append([]byte{}, form...))
	default:
		return fmt.Errorf("no such operator: %v", c.Op)
	}
	if bytes.Compare(low, f.lower) > 0 {
		f.lower = low
	}
	if high != nil && (f.upper == nil || bytes.Compare(high, f.upper) < 0) {
		f.upper = high
	}
	f.asked = true
	if c.Op == Equal {
		f.fixed = true
		f.text, _ = c.Value.(string)
	}
	return nil
}

// form returns the form of a condition's operand; of a prefix, what the forms of all that begin
// with it begin with.
func (f *field) form(c Cond) ([]byte, error) {
	text, isText := c.Value.(string)
	switch {
	case f.key && !isText:
		return nil, fmt.Errorf("a key is compared with strings, not with %T", c.Value)
	case f.key:
		return append(make([]byte, 0, len(text)+1), text...), nil
	case c.Op == HasPrefix && !isText:
		return nil, fmt.Errorf("a prefix is a string, not %T", c.Value)
	}
	var form []byte
	var err error
	if isText && len(text) <= MaxValuesLen && utf8.ValidString(text) { // as appendAny, which is for any type
		form = tuple.AppendString(make([]byte, 0, len(text)+len("@\x00\x01\xff")), text)
	} else {
		form, _, err = appendAny(nil, nil, c.Value)
	}
	switch {
	case err != nil:
		return nil, err
	case len(form) > 2*MaxValuesLen:
		return nil, fmt.Errorf("the operand takes more than %d bytes", 2*MaxValuesLen)
	case c.Op != Equal && isNil(form):
		return nil, fmt.Errorf("nil is compared by %v only", Equal)
	case c.Op == HasPrefix:
		form = form[:len(form)-len(tuple.AppendString(nil, ""))+1] // without the end of the string
	}
	return form, nil
}

// digest appends what tells queries apart whose tokens must not be mixed.
func (r *request) digest(dst []byte) []byte {
	part := func(p []byte) { dst = append(tuple.AppendBytes(dst, p), boolByte(p == nil)) }
	for i := range r.fields {
		f := &r.fields[i]
		part([]byte(f.name))
		if f.fn != nil {
			dst = append(dst, f.fn.id[:]...)
		}
		dst = append(dst, boolByte(f.key), boolByte(f.asked))
		part(f.lower)
		part(f.upper)
	}
	for _, b := range r.order {
		part([]byte(r.fields[b.field].name))
		dst = append(dst, boolByte(b.desc))
	}
	return dst
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}
