package codec

import (
	"math"
	"reflect"
)

// Unmarshal reads the value whose encoding p is into a T, which may be any Go type that Append
// takes. It validates p first, and the result shares nothing with p. It is strict:
//
//   - numbers must fit: an integer that does not fit is ErrOverflow, and so is one that a float
//     cannot hold exactly, or a float beyond a float32 (within, it is rounded). A float does not
//     go into an integer, nor a string into bytes: ErrType;
//   - an array takes a list, or bytes, of its own length;
//   - nil makes anything its zero value;
//   - keys that a struct has no field for are passed over, fields without a key stay zero.
//
// On an error the zero T is returned. Errors are *FormatError and *ValueError.
func Unmarshal[T any](p []byte, l *Limits) (T, error) {
	if err := Validate(p, l); err != nil {
		var zero T
		return zero, err
	}
	return FromNode[T](NodeOf(p))
}

// FromNode reads a value within an encoding into a T, as Unmarshal does, but does not look at the
// bytes again. The zero Node is the zero T. Errors are *ValueError.
func FromNode[T any](n Node) (T, error) {
	var out T
	err := ReadNode(n, &out)
	return out, err
}

// ReadNode is FromNode into a T that the caller has, of which nothing else stays; an error leaves the
// zero T. It saves the copy and the allocation of one.
func ReadNode[T any](n Node, to *T) error {
	var zero T
	*to = zero
	d := decoder{p: n.p}
	if len(n.p) == 0 {
		return nil
	}
	if v, ok := any(to).(*any); ok {
		*v = d.value()
		return nil
	}
	if err := d.into(shapeOf(reflect.TypeFor[T]()), reflect.ValueOf(to).Elem()); err != nil {
		*to = zero
		return err
	}
	return nil
}

// into reads the value at pos into v, whose type has the shape s.
func (d *decoder) into(s *shape, v reflect.Value) error {
	kind := kindOf(d.p[d.pos])
	switch {
	case kind == Nil:
		d.pos++
		v.SetZero()
		return nil
	case s.read != methodNone:
		return d.custom(s, v)
	}
	switch s.op {
	case opAny:
		v.Set(reflect.ValueOf(d.value()))
		return nil
	case opPointer:
		if v.IsNil() {
			v.Set(reflect.New(s.elem.typ))
		}
		return d.into(s.elem, v.Elem())
	case opInt, opUint, opFloat:
		return d.intoNumber(s, v, kind)
	case opNone:
		return s.refuse()
	}
	if kind != wanted[s.op] {
		return valueError(ErrType, "%s does not go into %v", article(kind), s.typ)
	}
	if s.plain {
		v.Set(reflect.ValueOf(d.value()))
		return nil
	}
	switch s.op {
	case opBool:
		v.SetBool(d.value().(bool))
	case opString:
		v.SetString(d.string())
	case opTime:
		v.Set(reflect.ValueOf(d.time()))
	case opBytes:
		v.SetBytes(append([]byte{}, d.raw()...))
	case opByteArray:
		b := d.raw()
		if len(b) != v.Len() {
			return valueError(ErrType, "%d bytes do not go into %v", len(b), s.typ)
		}
		reflect.Copy(v, reflect.ValueOf(b))
	case opList, opArray:
		return d.intoList(s, v)
	case opMap:
		return d.intoMap(s, v)
	case opStruct:
		return d.intoStruct(s, v)
	}
	return nil
}

// wanted is the kind of value that a type takes.
var wanted = [...]Kind{
	opBool: Bool, opString: String, opBytes: Bytes, opByteArray: Bytes, opTime: Time, opList: List, opArray: List,
	opMap: Map, opStruct: Map,
}

// article returns the kind with its article.
func article(k Kind) string {
	switch k {
	case Int64:
		return "an " + k.String()
	case Bytes:
		return k.String()
	}
	return "a " + k.String()
}

func (d *decoder) intoNumber(s *shape, v reflect.Value, kind Kind) error {
	ok := true
	switch {
	case kind == Int64:
		n := d.int()
		switch s.op {
		case opInt:
			if ok = !v.OverflowInt(n); ok {
				v.SetInt(n)
			}
		case opUint:
			if ok = n >= 0 && !v.OverflowUint(uint64(n)); ok {
				v.SetUint(uint64(n))
			}
		case opFloat:
			ok = setFloat(v, float64(n)) && n != math.MaxInt64 && int64(v.Float()) == n
		}
	case kind == Uint64:
		n := d.uint()
		switch s.op {
		case opInt:
			if ok = n <= math.MaxInt64 && !v.OverflowInt(int64(n)); ok {
				v.SetInt(int64(n))
			}
		case opUint:
			if ok = !v.OverflowUint(n); ok {
				v.SetUint(n)
			}
		case opFloat:
			ok = setFloat(v, float64(n)) && v.Float() < 1<<64 && uint64(v.Float()) == n
		}
	case kind == Float64 && s.op == opFloat:
		ok = setFloat(v, d.float())
	default:
		return valueError(ErrType, "%s does not go into %v", article(kind), s.typ)
	}
	if !ok {
		return valueError(ErrOverflow, "%s does not fit %v", article(kind), s.typ)
	}
	return nil
}

// setFloat sets v unless that makes f infinite.
func setFloat(v reflect.Value, f float64) bool {
	if v.OverflowFloat(f) || v.Kind() == reflect.Float32 && math.IsInf(float64(float32(f)), 0) {
		return false
	}
	v.SetFloat(f)
	return true
}

func (d *decoder) intoList(s *shape, v reflect.Value) error {
	n := d.length()
	if s.op == opArray && n != v.Len() {
		return valueError(ErrType, "a list of %d does not go into %v", n, s.typ)
	}
	if s.op == opList {
		// Each value has a byte at least, but its Go type may be large: room for all of them only
		// when it is not out of proportion to what there is.
		if n == 0 {
			v.Set(reflect.MakeSlice(s.typ, 0, 0)) // not nil
		} else {
			v.SetZero()
			v.Grow(min(n, sliceRoom)) // which spares the slice's header an allocation
		}
	}
	for i := range n {
		if s.op == opList {
			if i == v.Cap() {
				v.Grow(1)
			}
			v.SetLen(i + 1)
		}
		if err := d.into(s.elem, v.Index(i)); err != nil {
			return InIndex(err, i)
		}
	}
	return nil
}

// sliceRoom is how many elements of a typed slice are made at once.
const sliceRoom = 256

func (d *decoder) intoMap(s *shape, v reflect.Value) error {
	n := d.length()
	v.Set(reflect.MakeMapWithSize(s.typ, min(n, sliceRoom)))
	key := reflect.New(s.typ.Key()).Elem()
	for range n {
		k := d.string()
		elem := reflect.New(s.elem.typ).Elem()
		if err := d.into(s.elem, elem); err != nil {
			return InKey(err, k)
		}
		key.SetString(k)
		v.SetMapIndex(key, elem)
	}
	return nil
}

func (d *decoder) intoStruct(s *shape, v reflect.Value) error {
	next := 0
	for range d.length() {
		key := d.raw()
		// Fields come in the order of their names from Append, and in any from others.
		i, known := next, next < len(s.fields.list) && s.fields.list[next].name == string(key)
		if !known {
			i, known = s.fields.byName[string(key)]
		}
		if !known {
			d.pos += skip(d.p[d.pos:])
			continue
		}
		next = i + 1
		f := &s.fields.list[i]
		if err := d.into(f.shape, f.in(v)); err != nil {
			return InKey(err, f.name)
		}
	}
	return nil
}

// in returns the field of the struct v, and makes the embedded structs on the way to it.
func (f *field) in(v reflect.Value) reflect.Value {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v
}
