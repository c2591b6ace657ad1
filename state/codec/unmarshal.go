package codec

import (
	"bytes"
	"math"
	"reflect"
	"time"
)

// Unmarshal reads the value whose encoding p is into a T, which may be any Go type that Append
// takes. It accepts what Validate accepts, which it finds out in the same pass, and the result shares
// nothing with p; of a value of at most 4 KiB all strings share one copy of it. It is strict:
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
	var out T
	d := typed{limits: l.WithDefaults()}
	err := readInto(&d, shapeOf(reflect.TypeFor[T]()), p, &out)
	return out, err
}

// FromNode reads a value within an encoding into a T, as Unmarshal does. The zero Node is the zero T. Errors are
// *ValueError.
func FromNode[T any](n Node) (T, error) {
	var out T
	if len(n.p) == 0 {
		return out, nil
	}
	d := typed{limits: Limits{MaxBytes: len(n.p), MaxDepth: math.MaxInt, MaxNodes: math.MaxInt}, sound: true}
	err := readInto(&d, shapeOf(reflect.TypeFor[T]()), n.p, &out)
	return out, err
}

// readInto reads p into a T, whose shape is s.
func readInto[T any](d *typed, s *shape, p []byte, to *T) error {
	var zero T
	*to = zero
	d.p, d.nodes, d.room = p, d.limits.MaxNodes, len(p)
	err := d.read(s, reflect.ValueOf(to).Elem())
	if err != nil {
		*to = zero
	}
	return err
}

// typed reads a value into Go types, and finds out in the same pass what Validate would. Only what
// does not come out so, and what methods of types read, is validated before.
type typed struct {
	once
	limits Limits
	sound  bool   // all of p is the encoding of a value
	lists  *lists // memory for lists of strings, or nil
	unset  bool   // no field is set in its place, as a test has it
}

// errUnsound stands for any rule that p breaks; Validate tells which.
var errUnsound = ErrMalformed

// read reads all of p into v, whose type has the shape s.
func (d *typed) read(s *shape, v reflect.Value) error {
	err := errUnsound
	if len(d.p) <= d.limits.MaxBytes {
		err = d.into(s, v, d.limits.MaxDepth)
	}
	if err == nil && d.pos != len(d.p) {
		err = errUnsound
	}
	if err == nil {
		return nil
	}
	if unsound := d.check(); unsound != nil {
		return unsound
	}
	return err
}

// check validates all of p, unless that was done.
func (d *typed) check() error {
	if d.sound {
		return nil
	}
	_, err := validate(d.p, d.limits)
	d.sound = err == nil
	return err
}

// into reads the value at pos, in which lists and maps may lie depth deep, into v, whose type has the
// shape s.
func (d *typed) into(s *shape, v reflect.Value, depth int) error {
	at := d.pos
	kind, n, size, err := d.head()
	switch {
	case err != nil:
		return errUnsound
	case kind == Nil:
		d.pos = at + size
		v.SetZero()
		return nil
	case s.read != methodNone:
		return d.custom(s, v)
	}
	switch s.op {
	case opAny:
		return d.intoAny(v, depth)
	case opPointer:
		if v.IsNil() {
			v.Set(reflect.New(s.elem.typ))
		}
		d.nodes++ // it is counted again
		return d.into(s.elem, v.Elem(), depth)
	case opInt, opUint, opFloat:
		d.pos = at + size
		return d.intoNumber(s, v, kind, d.p[at:d.pos])
	case opNone:
		return s.refuse()
	}
	if kind != wanted[s.op] {
		return valueError(ErrType, "%s does not go into %v", article(kind), s.typ)
	}
	if s.plain {
		return d.intoAny(v, depth)
	}
	d.pos = at + size
	switch s.op {
	case opBool:
		v.SetBool(d.p[at] == codeTrue)
	case opString:
		text, ok := d.string(n)
		if !ok {
			return errUnsound
		}
		v.SetString(text)
	case opTime:
		return d.intoTime(v, at)
	case opBytes, opByteArray:
		d.pos += n
		return intoBytes(s, v, d.p[d.pos-n:d.pos])
	case opList, opArray:
		return d.intoList(s, v, n, depth)
	case opMap:
		return d.intoMap(s, v, n, depth)
	case opStruct:
		return d.intoStruct(s, v, n, depth)
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

// intoAny reads the value at pos, whose head was counted, as Decode does.
func (d *typed) intoAny(v reflect.Value, depth int) error {
	d.nodes++ // it is counted again
	value, ok := d.value(depth)
	if !ok {
		return errUnsound
	}
	v.Set(reflect.ValueOf(value))
	return nil
}

// intoTime reads the time at a place.
func (d *typed) intoTime(v reflect.Value, at int) error {
	if sec, nanos := timeOf(d.p[at:]); !validTime(sec, nanos) {
		return errUnsound
	}
	*v.Addr().Interface().(*time.Time) = (&decoder{p: d.p, pos: at}).time()
	return nil
}

func intoBytes(s *shape, v reflect.Value, b []byte) error {
	if s.op == opBytes {
		v.SetBytes(append([]byte{}, b...))
		return nil
	}
	if len(b) != v.Len() {
		return valueError(ErrType, "%d bytes do not go into %v", len(b), s.typ)
	}
	reflect.Copy(v, reflect.ValueOf(b))
	return nil
}

// intoNumber reads the number p.
func (d *typed) intoNumber(s *shape, v reflect.Value, kind Kind, p []byte) error {
	ok := true
	bits := number(p[1:], uint8(len(p)-1))
	switch {
	case kind == Int64:
		n := intOf(p[0], bits)
		if len(p) == 1 {
			n = int64(int8(p[0]))
		}
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
		n := bits
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
		if !finite(p) {
			return errUnsound
		}
		ok = setFloat(v, floatOf(p[0], bits))
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

// begin accounts for what announces n values in it, for which memory is made.
func (d *typed) begin(n, depth int) error {
	if d.room -= n; d.room < 0 || n > d.nodes || depth == 0 {
		return errUnsound
	}
	return nil
}

func (d *typed) intoList(s *shape, v reflect.Value, n, depth int) error {
	if err := d.begin(n, depth); err != nil {
		return err
	}
	switch {
	case s.op == opArray && n != v.Len():
		return valueError(ErrType, "a list of %d does not go into %v", n, s.typ)
	case s.typ == stringsType:
		return d.intoStrings(v, n)
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
		if err := d.into(s.elem, v.Index(i), depth-1); err != nil {
			return InIndex(err, i)
		}
	}
	return nil
}

// sliceRoom is how many elements of a typed slice are made at once.
const sliceRoom = 256

var stringsType = reflect.TypeFor[[]string]()

// intoStrings is intoList for what lists are mostly of.
func (d *typed) intoStrings(v reflect.Value, n int) error {
	list := make([]string, n)
	for i := range list {
		kind, length, size, err := d.head()
		if err != nil {
			return errUnsound
		}
		switch d.pos += size; kind {
		case Nil:
		case String:
			var ok bool
			if list[i], ok = d.string(length); !ok {
				return errUnsound
			}
		default:
			return InIndex(valueError(ErrType, "%s does not go into %v", article(kind), stringsType.Elem()), i)
		}
	}
	*v.Addr().Interface().(*[]string) = list
	return nil
}

func (d *typed) intoMap(s *shape, v reflect.Value, n, depth int) error {
	if err := d.begin(2*n, depth); err != nil {
		return err
	}
	v.Set(reflect.MakeMapWithSize(s.typ, min(n, sliceRoom)))
	key := reflect.New(s.typ.Key()).Elem()
	for range n {
		p, err := d.mapKey()
		if err != nil {
			return err
		}
		d.pos -= len(p)
		k, _ := d.string(len(p)) // mapKey has looked at it
		elem := reflect.New(s.elem.typ).Elem()
		if err := d.into(s.elem, elem, depth-1); err != nil {
			return InKey(err, k)
		}
		key.SetString(k)
		v.SetMapIndex(key, elem)
	}
	if v.Len() != n {
		return errUnsound // a key is there twice
	}
	return nil
}

// mapKey reads a map's key.
func (d *typed) mapKey() ([]byte, error) {
	kind, n, size, err := d.head()
	if err != nil || kind != String {
		return nil, errUnsound
	}
	d.pos += size + n
	key := d.p[d.pos-n : d.pos]
	if !validUTF8(key) {
		return nil, errUnsound
	}
	return key, nil
}

// intoStruct reads a map of n pairs. Append writes its keys in order, which shows that none is there twice; from
// others they come in any order, and only Validate tells.
func (d *typed) intoStruct(s *shape, v reflect.Value, n, depth int) error {
	if depth == 0 {
		return errUnsound
	}
	next, expected := 0, true // the field that comes next, and whether the one before it has just come
	var last []byte
	base := address(v)
	for i := range n {
		var f *field
		var key []byte
		came := next < len(s.fields.list) && d.isKey(&s.fields.list[next])
		if came {
			f = &s.fields.list[next]
			key = d.p[d.pos-len(f.name) : d.pos]
			next++
		} else {
			var err error
			if key, err = d.mapKey(); err != nil {
				return err
			}
			if at, known := s.fields.byName[string(key)]; known {
				f, next = &s.fields.list[at], at+1
			}
		}
		if i > 0 && !(came && expected) && bytes.Compare(last, key) >= 0 {
			if err := d.check(); err != nil {
				return err
			}
		}
		last, expected = key, came
		switch {
		case f != nil && depth > 1 && !d.unset && d.set(f, base):
		case f == nil:
			if err := d.pass(depth - 1); err != nil {
				return err
			}
		default:
			if err := d.into(f.shape, f.in(v), depth-1); err != nil {
				return InKey(err, f.name)
			}
		}
	}
	return nil
}

// isKey goes past a field's key, if that comes next, in the form that Append gives it.
func (d *typed) isKey(f *field) bool {
	end := d.pos + len(f.lead)
	if end > len(d.p) || f.lead == "" || string(d.p[d.pos:end]) != f.lead || d.nodes == 0 {
		return false
	}
	d.pos = end
	d.nodes--
	return true
}

// pass goes past the value at pos.
func (d *typed) pass(depth int) error {
	if d.sound {
		d.pos += skip(d.p[d.pos:])
		return nil
	}
	return d.accept(depth)
}

// in returns the field of the struct v, and makes the embedded structs on the way to it.
func (f *field) in(v reflect.Value) reflect.Value {
	if len(f.index) == 1 {
		return v.Field(f.index[0])
	}
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
