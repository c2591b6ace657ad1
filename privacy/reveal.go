package privacy

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"time"
)

// Reveal returns the document with everything in the place of its mark that was tokenised or
// encrypted; what was redacted or hashed stays. The document is not changed. Errors:
// *RevealError for a mark that these keys have not made, ErrNoKeys, *TypeError, ErrTooDeep.
func (p *Protector) Reveal(doc any) (any, error) {
	w := walker{reveals: true, keys: p.keys}
	out, _, err := w.value(doc, &modes{})
	return out, err
}

// reveal returns what a leaf becomes, and whether it changed.
func (w *walker) reveal(leaf any) (any, bool, error) {
	switch v := leaf.(type) {
	case string:
		if m, ok := markAt(v, 0); ok && m.end == len(v) && m.mode >= Tokenise {
			out, err := w.open(m)
			return out, err == nil, err
		}
		if out, err := w.revealText(v); out != nil || err != nil {
			return string(out), err == nil, err
		}
	case []byte:
		if out, err := w.revealText(string(v)); out != nil || err != nil {
			return out, err == nil, err
		}
	}
	return leaf, false, nil
}

// revealText returns the text with its marks turned back, or nil if there are none.
func (w *walker) revealText(s string) ([]byte, error) {
	var out []byte
	done := 0
	for i := 0; i < len(s); {
		m, ok := markAt(s, i)
		if !ok {
			i++
			continue
		}
		if m.mode >= Tokenise {
			value, err := w.open(m)
			if err != nil {
				return nil, err
			}
			text, ok := value.(string)
			if !ok {
				return nil, w.revealError(m, errForeign)
			}
			out = append(append(out, s[done:i]...), text...)
			done = m.end
		}
		i = m.end
	}
	if done == 0 {
		return nil, nil
	}
	return append(out, s[done:]...), nil
}

// open returns the value that a token or ciphertext stands for.
func (w *walker) open(m mark) (any, error) {
	if w.keys == nil {
		return nil, w.revealError(m, ErrNoKeys)
	}
	sealed, err := hex.DecodeString(m.payload)
	if err != nil {
		return nil, w.revealError(m, err)
	}
	plain, err := w.keys.Reveal(m.mode, m.detector, sealed)
	if err != nil {
		return nil, w.revealError(m, err)
	}
	value, err := decode(plain)
	if err != nil {
		return nil, w.revealError(m, err)
	}
	return value, nil
}

func (w *walker) revealError(m mark, err error) error {
	return &RevealError{Path: pathText(w.path), Detector: m.detector, Err: err}
}

// What the keys are given is the value with its type before it: s text, b bytes, i, u and f
// eight bytes big-endian, t a time as MarshalBinary writes it.

// encode returns the bytes that the keys are given for a leaf.
func encode(v any) []byte {
	switch v := v.(type) {
	case string:
		return append([]byte{'s'}, v...)
	case []byte:
		return append([]byte{'b'}, v...)
	case int64:
		return binary.BigEndian.AppendUint64([]byte{'i'}, uint64(v))
	case uint64:
		return binary.BigEndian.AppendUint64([]byte{'u'}, v)
	case float64:
		return binary.BigEndian.AppendUint64([]byte{'f'}, math.Float64bits(v))
	case time.Time:
		out, err := v.AppendBinary([]byte{'t'})
		if err != nil { // of an offset beyond what the form holds; the instant stays
			out, _ = v.UTC().AppendBinary([]byte{'t'})
		}
		return out
	}
	return nil
}

var errValue = errors.New("not a value")

// decode returns the leaf that was encoded.
func decode(p []byte) (any, error) {
	if len(p) == 0 {
		return nil, errValue
	}
	kind, p := p[0], p[1:]
	switch kind {
	case 's':
		return string(p), nil
	case 'b':
		return p, nil
	case 't':
		var t time.Time
		if err := t.UnmarshalBinary(p); err != nil {
			return nil, errValue
		}
		return t, nil
	}
	if len(p) != 8 {
		return nil, errValue
	}
	switch n := binary.BigEndian.Uint64(p); kind {
	case 'i':
		return int64(n), nil
	case 'u':
		return n, nil
	case 'f':
		return math.Float64frombits(n), nil
	}
	return nil, errValue
}
