package codec

import "reflect"

// Encoding returns the bytes of the value.
func (n Node) Encoding() []byte { return n.p }

// DecodesOnce reports whether Decode needs a single pass for p.
func DecodesOnce(p []byte, l *Limits) bool {
	_, ok := decodeOnce(p, l.WithDefaults())
	return ok
}

// DecodeTwice is Decode in two passes.
func DecodeTwice(p []byte, l *Limits) (any, error) {
	if err := Validate(p, l); err != nil {
		return nil, err
	}
	return (&decoder{p: p}).value(), nil
}

// UnmarshalByReflect is Unmarshal where package reflect sets every field.
func UnmarshalByReflect[T any](p []byte, l *Limits) (T, error) {
	var out T
	d := typed{limits: l.WithDefaults(), unset: true}
	err := readInto(&d, shapeOf(reflect.TypeFor[T]()), p, &out)
	return out, err
}
