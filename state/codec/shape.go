package codec

import (
	"encoding"
	"reflect"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// shape is what a Go type amounts to: how it is written and read. It is immutable once it can
// be found in shapes.
type shape struct {
	typ    reflect.Type
	write  method // of encoding, if the type has one of its own
	read   method // of decoding
	op     op
	plain  bool   // values have this type: []any, map[string]any
	elem   *shape // of lists, arrays, maps and pointers
	fields *fields
	reason string // why the type is no value, of opNone
}

// op is what a type is without regard to its methods.
type op uint8

const (
	opNone op = iota
	opBool
	opInt
	opUint
	opFloat
	opString
	opBytes     // []byte
	opByteArray // [N]byte
	opTime
	opAny
	opPointer
	opList
	opArray
	opMap
	opStruct
)

// method is the family of methods by which a type writes or reads itself.
type method uint8

const (
	methodNone    method = iota
	methodCustom         // EncodeMsgpack, DecodeMsgpack
	methodMsgpack        // MarshalMsgpack, UnmarshalMsgpack
	methodBinary         // MarshalBinary, UnmarshalBinary
	methodText           // MarshalText, UnmarshalText
)

var (
	timeType = reflect.TypeFor[time.Time]()
	listType = reflect.TypeFor[[]any]()
	mapType  = reflect.TypeFor[map[string]any]()

	writers = [...]reflect.Type{
		methodCustom:  reflect.TypeFor[msgpack.CustomEncoder](),
		methodMsgpack: reflect.TypeFor[msgpack.Marshaler](),
		methodBinary:  reflect.TypeFor[encoding.BinaryMarshaler](),
		methodText:    reflect.TypeFor[encoding.TextMarshaler](),
	}
	readers = [...]reflect.Type{
		methodCustom:  reflect.TypeFor[msgpack.CustomDecoder](),
		methodMsgpack: reflect.TypeFor[msgpack.Unmarshaler](),
		methodBinary:  reflect.TypeFor[encoding.BinaryUnmarshaler](),
		methodText:    reflect.TypeFor[encoding.TextUnmarshaler](),
	}
)

// shapes has the shape of each type that was met, by reflect.Type.
var shapes sync.Map

// shapeOf returns the shape of a type.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	b := builder{}
	s := b.shape(t)
	// Only now, when all of them are whole, others may find them.
	for t, s := range b {
		shapes.Store(t, s)
	}
	return s
}

// builder holds the shapes that are being made: those of types that contain themselves are met
// again before they are whole.
type builder map[reflect.Type]*shape

func (b builder) shape(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	if s := b[t]; s != nil {
		return s
	}
	s := &shape{typ: t}
	b[t] = s
	b.fill(s, t)
	return s
}

func (b builder) fill(s *shape, t reflect.Type) {
	if t == timeType {
		s.op = opTime
		return
	}
	s.plain = t == listType || t == mapType
	kind := t.Kind()
	if kind != reflect.Pointer && kind != reflect.Interface {
		s.write, s.read = methodsOf(t)
	}
	switch kind {
	case reflect.Bool:
		s.op = opBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.op = opInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.op = opUint
	case reflect.Float32, reflect.Float64:
		s.op = opFloat
	case reflect.String:
		s.op = opString
	case reflect.Interface:
		if t.NumMethod() == 0 {
			s.op = opAny
		} else {
			s.reason = "an interface with methods"
		}
	case reflect.Pointer:
		s.op, s.elem = opPointer, b.shape(t.Elem())
	case reflect.Slice:
		s.op, s.elem = opList, b.shape(t.Elem())
		if t.Elem().Kind() == reflect.Uint8 {
			s.op = opBytes
		}
	case reflect.Array:
		s.op, s.elem = opArray, b.shape(t.Elem())
		if t.Elem().Kind() == reflect.Uint8 {
			s.op = opByteArray
		}
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			s.op, s.elem = opMap, b.shape(t.Elem())
		} else {
			s.reason = "a map whose keys are no strings"
		}
	case reflect.Struct:
		if s.fields, s.reason = b.structFields(t); s.reason == "" {
			s.op = opStruct
		}
	default:
		s.reason = "a " + kind.String()
	}
}

// methodsOf returns by which methods of their own values of t, or pointers to them, are written
// and read: the first family of which there are both, else the first that writes. What is not
// written by a method is not read by one.
func methodsOf(t reflect.Type) (write, read method) {
	has := func(methods reflect.Type) bool {
		return t.Implements(methods) || reflect.PointerTo(t).Implements(methods)
	}
	for m := methodCustom; m <= methodText; m++ {
		switch writes := has(writers[m]); {
		case writes && has(readers[m]):
			return m, m
		case writes && write == methodNone:
			write = m
		}
	}
	return write, methodNone
}

// refuse is the error of a type that is no value.
func (s *shape) refuse() error {
	return valueError(ErrType, "%v is %s", s.typ, s.reason)
}
