package codec

import "reflect"

// Shape is what a Go type tells of where its values' encodings have something. It never changes, and the zero Shape is
// that of a type that tells nothing.
type Shape struct{ s *shape }

// ShapeOf returns the shape of a type.
func ShapeOf[T any]() Shape { return Shape{shapeOf(reflect.TypeFor[T]())} }

// Key returns the shape of what values have under a key, and whether they can have anything there: not if they are
// no maps, or structs without a field of that name or alias.
func (s Shape) Key(key string) (under Shape, ok bool) {
	in, told := s.told()
	switch {
	case !told:
		return Shape{}, true
	case in.op == opMap:
		return Shape{in.elem}, true
	case in.op == opStruct:
		if i, found := in.fields.byName[key]; found {
			return Shape{in.fields.list[i].shape}, true
		}
	}
	return Shape{}, false
}

// Elements returns the shape of what values have as elements, and whether they can have any: not if they are no
// lists.
func (s Shape) Elements() (of Shape, ok bool) {
	in, told := s.told()
	switch {
	case !told:
		return Shape{}, true
	case in.op == opList || in.op == opArray:
		return Shape{in.elem}, true
	}
	return Shape{}, false
}

// told returns what pointers lead to, and whether that tells anything: not what may be of any type, or is written by a
// method of its own.
func (s Shape) told() (in *shape, ok bool) {
	in = s.s
	for hops := 0; in != nil && in.op == opPointer; hops++ {
		if in = in.elem; hops == maxHops {
			return nil, false // pointers to each other alone
		}
	}
	return in, in != nil && in.write == methodNone && in.op != opAny && in.op != opNone
}
