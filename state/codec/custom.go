package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// custom appends v by its type's own method. What the method makes is checked like bytes from
// anywhere.
func (e *encoder) custom(s *shape, v reflect.Value, depth int) error {
	if k := v.Kind(); (k == reflect.Map || k == reflect.Slice) && v.IsNil() {
		return e.scalar(codeNil)
	}
	m := receiver(v, writers[s.write])
	switch s.write {
	case methodCustom:
		var out bytes.Buffer
		enc := msgpack.NewEncoder(&out)
		enc.SetSortMapKeys(true)
		err := m.(msgpack.CustomEncoder).EncodeMsgpack(enc)
		return e.made(s, out.Bytes(), err, depth)
	case methodMsgpack:
		p, err := m.(msgpack.Marshaler).MarshalMsgpack()
		return e.made(s, p, err, depth)
	case methodBinary:
		p, err := m.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return customError(s, err)
		}
		return e.bytes(p)
	default:
		p, err := m.(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return customError(s, err)
		}
		return e.string(string(p))
	}
}

// made appends the MessagePack p that a method made, unless it failed with err.
func (e *encoder) made(s *shape, p []byte, err error, depth int) error {
	if err != nil {
		return customError(s, err)
	}
	lim := e.lim
	lim.MaxDepth, lim.MaxNodes = depth, e.nodes+1 // itself was announced
	left, err := validate(p, lim)
	if err != nil {
		return customError(s, err)
	}
	e.nodes = left
	e.dst = append(e.dst, p...)
	return e.fits()
}

// custom reads the value at pos into v by its type's own method, which sees nothing that is not sound.
func (d *typed) custom(s *shape, v reflect.Value) error {
	if err := d.check(); err != nil {
		return err
	}
	p := d.p[d.pos:]
	kind := kindOf(p[0])
	p = p[:skip(p)]
	m := v.Addr().Interface()
	var err error
	switch {
	case s.read == methodCustom:
		err = m.(msgpack.CustomDecoder).DecodeMsgpack(msgpack.NewDecoder(bytes.NewReader(p)))
	case s.read == methodMsgpack:
		err = m.(msgpack.Unmarshaler).UnmarshalMsgpack(bytes.Clone(p))
	case kind != Bytes && kind != String:
		return valueError(ErrType, "%s does not go into %v", article(kind), s.typ)
	case s.read == methodBinary:
		err = m.(encoding.BinaryUnmarshaler).UnmarshalBinary(contentOf(p))
	default:
		err = m.(encoding.TextUnmarshaler).UnmarshalText(contentOf(p))
	}
	d.pos += len(p)
	if err != nil {
		return customError(s, err)
	}
	return nil
}

// contentOf returns a copy of the string or bytes whose encoding p is.
func contentOf(p []byte) []byte { return bytes.Clone((&decoder{p: p}).raw()) }

// receiver returns v, or a pointer to it or to a copy of it, as what has the method.
func receiver(v reflect.Value, method reflect.Type) any {
	if v.Type().Implements(method) {
		return v.Interface()
	}
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}

func customError(s *shape, err error) error {
	return &ValueError{Err: fmt.Errorf("%w: %v: %w", ErrCustom, s.typ, err)}
}
