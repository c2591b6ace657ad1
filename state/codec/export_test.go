package codec

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
