package codec

import (
	"cmp"
	"reflect"
	"slices"
	"time"
)

// maxHops is how many pointers may lead to each other before one is a value.
const maxHops = 100

// reflected appends a Go value of a type that values do not have.
func (e *encoder) reflected(v any, depth int) error {
	rv := reflect.ValueOf(v)
	return e.shaped(shapeOf(rv.Type()), rv, depth)
}

// shaped appends v, whose type has the shape s.
func (e *encoder) shaped(s *shape, v reflect.Value, depth int) error {
	if s.write != methodNone {
		return e.custom(s, v, depth)
	}
	switch s.op {
	case opBool:
		return e.scalar(boolCode(v.Bool()))
	case opInt:
		return e.int(v.Int())
	case opUint:
		return e.uint(v.Uint())
	case opFloat:
		return e.float(v.Float())
	case opString:
		return e.string(v.String())
	case opTime:
		if v.CanAddr() { // without a copy on the heap
			return e.time(*v.Addr().Interface().(*time.Time))
		}
		return e.time(v.Interface().(time.Time))
	case opNone:
		return s.refuse()
	case opByteArray:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return e.bytes(b)
	case opArray:
		return e.shapedList(s, v, depth)
	case opStruct:
		return e.shapedStruct(s, v, depth)
	}
	if v.IsNil() {
		return e.scalar(codeNil)
	}
	if s.op == opAny || s.plain {
		return e.value(v.Interface(), depth)
	}
	switch s.op {
	case opBytes:
		return e.bytes(v.Bytes())
	case opPointer:
		hops := e.hops
		if e.hops++; e.hops > maxHops {
			return e.tooDeep()
		}
		err := e.shaped(s.elem, v.Elem(), depth)
		e.hops = hops
		return err
	case opList:
		return e.shapedList(s, v, depth)
	default:
		return e.shapedMap(s, v, depth)
	}
}

func (e *encoder) shapedList(s *shape, v reflect.Value, depth int) error {
	if depth == 0 {
		return e.tooDeep()
	}
	n := v.Len()
	if err := e.listHead(n); err != nil {
		return err
	}
	for i := range n {
		if err := e.shaped(s.elem, v.Index(i), depth-1); err != nil {
			return InIndex(err, i)
		}
	}
	return nil
}

type pair struct {
	key   string
	value reflect.Value
}

func (e *encoder) shapedMap(s *shape, v reflect.Value, depth int) error {
	if depth == 0 {
		return e.tooDeep()
	}
	if err := e.mapHead(v.Len()); err != nil {
		return err
	}
	pairs := make([]pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		pairs = append(pairs, pair{it.Key().String(), it.Value()})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
	for _, p := range pairs {
		if err := e.string(p.key); err != nil {
			return InKey(err, p.key)
		}
		if err := e.shaped(s.elem, p.value, depth-1); err != nil {
			return InKey(err, p.key)
		}
	}
	return nil
}

func (e *encoder) shapedStruct(s *shape, v reflect.Value, depth int) error {
	if depth == 0 {
		return e.tooDeep()
	}
	n := len(s.fields.list)
	if !s.fields.fixed {
		n = 0
		for i := range s.fields.list {
			if _, ok := s.fields.list[i].of(v); ok {
				n++
			}
		}
	}
	if err := e.mapHead(n); err != nil {
		return err
	}
	for i := range s.fields.list {
		f := &s.fields.list[i]
		fv, ok := f.of(v)
		if !ok {
			continue
		}
		if err := e.string(f.name); err != nil {
			return InKey(err, f.name)
		}
		if err := e.shaped(f.shape, fv, depth-1); err != nil {
			return InKey(err, f.name)
		}
	}
	return nil
}

// of returns the field of the struct v, and whether it is written.
func (f *field) of(v reflect.Value) (reflect.Value, bool) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, !f.omitEmpty || !empty(v)
}

// empty reports whether omitempty leaves v out: what is false, zero, nil, without elements, or
// says so by a method IsZero.
func empty(v reflect.Value) bool {
	if v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		if v.Len() == 0 {
			return true
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return true
		}
	}
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.Kind() != reflect.Array && v.IsZero()
}
