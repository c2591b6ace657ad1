package codec

import (
	"reflect"
	"strconv"
	"time"
	"unsafe"
)

// Fields of the types that most documents are made of are set where they lie in their struct, without package
// reflect, which looks at each step at what is known of the type. Other forms than Append gives are left to into, but
// for times; it reads everything, and is what this is tested against.

// form is what a field that is set in its place holds.
type form uint8

const (
	formNone    form = iota // it is set by package reflect
	formBool                // bool
	formInt                 // a signed integer of 64 bits
	formFloat               // float64
	formString              // string
	formStrings             // []string
	formTime                // time.Time
)

// place says where a field lies within the struct t, index being as reflect.Value.FieldByIndex takes it.
func (f *field) place(t reflect.Type) {
	for _, i := range f.index {
		if t.Kind() == reflect.Pointer {
			return // to an embedded struct that may have to be made
		}
		in := t.Field(i)
		f.offset += in.Offset
		t = in.Type
	}
	switch s := f.shape; {
	case s.read != methodNone:
	case s.op == opBool:
		f.form = formBool
	case s.op == opInt && (t.Kind() == reflect.Int64 || t.Kind() == reflect.Int && strconv.IntSize == 64):
		f.form = formInt
	case s.op == opFloat && t.Kind() == reflect.Float64:
		f.form = formFloat
	case s.op == opString:
		f.form = formString
	case t == stringsType:
		f.form = formStrings
	case s.op == opTime:
		f.form = formTime
	}
}

// address returns where v lies. Addr looks up the type of the pointer, which is a twelfth of the time that it takes to read
// a document of 200 bytes.
func address(v reflect.Value) unsafe.Pointer { return unsafe.Pointer(v.UnsafeAddr()) }

// set reads the value at pos into the field f of the struct at base, and reports whether it has: otherwise nothing
// has happened.
func (d *typed) set(f *field, base unsafe.Pointer) bool {
	at := unsafe.Add(base, f.offset)
	switch f.form {
	case formString:
		return d.setString((*string)(at))
	case formInt:
		return d.setInt((*int64)(at))
	case formFloat:
		return d.setFloat((*float64)(at))
	case formBool:
		return d.setBool((*bool)(at))
	case formStrings:
		return d.setStrings((*[]string)(at))
	case formTime:
		return d.setTime((*time.Time)(at))
	}
	return false
}

// setString reads a string of at most 255 bytes.
func (d *typed) setString(to *string) bool {
	rest := d.p[d.pos:]
	if len(rest) < 2 || d.nodes == 0 {
		return false
	}
	head, n := 1, int(rest[0]-fixStr)
	if n > maxFixStr {
		if rest[0] != str8 {
			return false
		}
		head, n = 2, int(rest[1])
	}
	if n > len(rest)-head {
		return false
	}
	s := d.copied(d.pos+head, d.pos+head+n)
	if !validString(s) {
		return false
	}
	*to = s
	d.pos += head + n
	d.nodes--
	return true
}

// maxFixStr is the length of the longest string whose length is part of its first byte.
const maxFixStr = 31

func (d *typed) setInt(to *int64) bool {
	rest := d.p[d.pos:]
	if len(rest) == 0 || d.nodes == 0 {
		return false
	}
	c := rest[0]
	if c > posFixMax && c < negFixMin {
		if kindOf(c) != Int64 {
			return false
		}
		size := sizes[c-codeNil]
		if len(rest) <= int(size) {
			return false
		}
		*to = intOf(c, number(rest[1:], size))
		d.pos += int(size)
	} else {
		*to = int64(int8(c))
	}
	d.pos++
	d.nodes--
	return true
}

func (d *typed) setFloat(to *float64) bool {
	const size = 1 + 8
	rest := d.p[d.pos:]
	if len(rest) < size || rest[0] != float64c || d.nodes == 0 || !finite(rest) {
		return false
	}
	*to = floatOf(float64c, number(rest[1:], 8))
	d.pos += size
	d.nodes--
	return true
}

func (d *typed) setBool(to *bool) bool {
	rest := d.p[d.pos:]
	if len(rest) == 0 || rest[0]&^1 != codeFalse || d.nodes == 0 {
		return false
	}
	*to = rest[0] == codeTrue
	d.pos++
	d.nodes--
	return true
}

func (d *typed) setTime(to *time.Time) bool {
	rest := d.p[d.pos:]
	if len(rest) == 0 || d.nodes == 0 {
		return false
	}
	_, _, size, err := timeHead(rest)
	if err != nil {
		return false
	}
	sec, nanos := timeOf(rest)
	if !validTime(sec, nanos) {
		return false
	}
	*to = timeAt(sec, nanos)
	d.pos += size
	d.nodes--
	return true
}

// setStrings reads a list of at most 15 strings.
func (d *typed) setStrings(to *[]string) bool {
	rest := d.p[d.pos:]
	if len(rest) == 0 || rest[0]&^0x0f != fixList {
		return false
	}
	n := int(rest[0] & 0x0f)
	if n > len(rest) || n >= d.nodes || n > d.room {
		return false
	}
	pos, nodes := d.pos, d.nodes
	list := d.strings(n)
	d.pos++
	d.nodes--
	for i := range list {
		if !d.setString(&list[i]) {
			d.pos, d.nodes = pos, nodes
			return false
		}
	}
	d.room -= n
	*to = list
	return true
}

// strings returns a list of n strings, all empty.
func (d *typed) strings(n int) []string {
	if d.lists == nil || n == 0 {
		return make([]string, n)
	}
	return d.lists.cut(n)
}

// lists is memory for lists of strings, which are cut from longer ones: one for each piece of the strings' own memory,
// or a few, so that who keeps a list keeps no more pieces than two.
type lists struct {
	free []string
	used int // strings cut since the piece began
	last int // used of the piece before
}

// sharedStrings is the length of the longest list that others are cut from.
const sharedStrings = 64

func (l *lists) cut(n int) []string {
	if n > len(l.free) {
		l.free = make([]string, max(n, min(max(l.last-l.used, 2*l.used), sharedStrings)))
	}
	list := l.free[:n:n]
	l.free = l.free[n:]
	l.used += n
	return list
}

// next begins with a new piece.
func (l *lists) next() { *l = lists{last: l.used} }
