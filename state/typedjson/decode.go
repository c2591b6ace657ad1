package typedjson

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/loamdb/loam/state/codec"
)

// Decode returns the value that p is the text of. It accepts what Append writes and other
// spellings of the same, and refuses what it could not keep, and what is beyond the limits: on
// depth and nodes, and a text of more than eight times MaxBytes, which is more than the text of
// any value within MaxBytes has. The value shares nothing with p. Errors are *TextError.
func Decode(p []byte, l *codec.Limits) (any, error) {
	lim := l.WithDefaults()
	if int64(len(p)) > textFactor*int64(lim.MaxBytes) {
		return nil, &TextError{Err: codec.ErrTooLarge}
	}
	d := decoder{p: p, nodes: lim.MaxNodes}
	v, err := d.value(lim.MaxDepth)
	if err == nil {
		if d.space(); d.pos != len(p) {
			err = ErrSyntax
		}
	}
	if err != nil {
		return nil, &TextError{Offset: min(d.pos, len(p)), Err: err}
	}
	return v, nil
}

// textFactor is more than a text may be longer than the encoding of its value: uint64 and bytes of
// two bytes take twelve characters and a comma, other things less.
const textFactor = 8

type decoder struct {
	p     []byte
	pos   int // where an error is, when there is one
	nodes int
}

// space passes over white space.
func (d *decoder) space() {
	for d.pos < len(d.p) {
		switch d.p[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// next passes over white space and returns the byte after it, or 0.
func (d *decoder) next() byte {
	d.space()
	if d.pos < len(d.p) {
		return d.p[d.pos]
	}
	return 0
}

// take passes over c, if it is what comes next.
func (d *decoder) take(c byte) bool {
	if d.next() != c {
		return false
	}
	d.pos++
	return true
}

func (d *decoder) count() error {
	if d.nodes--; d.nodes < 0 {
		return codec.ErrTooLarge
	}
	return nil
}

func (d *decoder) value(depth int) (any, error) {
	if err := d.count(); err != nil {
		return nil, err
	}
	switch c := d.next(); c {
	case 'n':
		return nil, d.word("null")
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case '"':
		return d.text()
	case '[', '{':
		if depth == 0 {
			return nil, codec.ErrTooDeep
		}
		d.pos++
		if c == '[' {
			return d.list(depth - 1)
		}
		return d.object(depth - 1)
	}
	return d.number()
}

func (d *decoder) word(w string) error {
	if !strings.HasPrefix(string(d.p[d.pos:min(d.pos+len(w), len(d.p))]), w) {
		return ErrSyntax
	}
	d.pos += len(w)
	return nil
}

// list reads an array, after its bracket.
func (d *decoder) list(depth int) (any, error) {
	list := []any{}
	if d.take(']') {
		return list, nil
	}
	for {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		switch {
		case d.take(']'):
			return list, nil
		case !d.take(','):
			return nil, ErrSyntax
		}
	}
}

// object reads a map, or what an object of one key stands for, after the brace.
func (d *decoder) object(depth int) (any, error) {
	m := map[string]any{}
	if d.take('}') {
		return m, nil
	}
	for {
		if d.next() != '"' {
			return nil, ErrSyntax
		}
		from := d.pos
		key, err := d.text()
		if err == nil {
			err = d.count()
		}
		if err != nil {
			return nil, err
		}
		if !d.take(':') {
			return nil, ErrSyntax
		}
		if strings.HasPrefix(key, "$") {
			if !strings.HasPrefix(key, "$$") {
				if len(m) > 0 {
					d.pos = from
					return nil, ErrTag
				}
				d.nodes += 2 // key and text are one node, that of the object
				return d.tagged(key, from)
			}
			key = key[1:]
		}
		if _, twice := m[key]; twice {
			d.pos = from
			return nil, ErrDuplicateKey
		}
		if m[key], err = d.value(depth); err != nil {
			return nil, err
		}
		switch {
		case d.take('}'):
			return m, nil
		case !d.take(','):
			return nil, ErrSyntax
		}
	}
}

// tagged reads what an object with the key tag, which begins at from, stands for.
func (d *decoder) tagged(tag string, from int) (any, error) {
	if d.next() != '"' {
		d.pos = from
		return nil, ErrTag
	}
	if err := d.count(); err != nil {
		return nil, err
	}
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	if !d.take('}') {
		return nil, ErrTag
	}
	v, err := meaning(tag, text)
	if err != nil {
		d.pos = from
	}
	return v, err
}

// meaning returns the value that a text under a tag stands for.
func meaning(tag, text string) (any, error) {
	switch tag {
	case tagUint:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || strconv.FormatUint(n, 10) != text {
			return nil, ErrTag
		}
		return n, nil
	case tagBytes:
		p, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || strings.ContainsAny(text, "\r\n") {
			return nil, ErrTag
		}
		return p, nil
	case tagTime:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.UTC().Format(time.RFC3339Nano) != text {
			return nil, ErrTag
		}
		if t = t.UTC(); t.Before(codec.MinTime) || t.After(codec.MaxTime) {
			return nil, codec.ErrTimeRange
		}
		return t, nil
	}
	return nil, ErrTag
}

// number reads an integer, or with a fraction or an exponent a float.
func (d *decoder) number() (any, error) {
	from := d.pos
	digits := func() bool {
		start := d.pos
		for d.pos < len(d.p) && d.p[d.pos] >= '0' && d.p[d.pos] <= '9' {
			d.pos++
		}
		return d.pos > start
	}
	is := func(set string) bool {
		if d.pos < len(d.p) && strings.IndexByte(set, d.p[d.pos]) >= 0 {
			d.pos++
			return true
		}
		return false
	}
	is("-")
	if !is("0") && !digits() {
		return nil, ErrSyntax
	}
	float := false
	if is(".") {
		if float = true; !digits() {
			return nil, ErrSyntax
		}
	}
	if is("eE") {
		is("+-")
		if float = true; !digits() {
			return nil, ErrSyntax
		}
	}
	v, err := parseNumber(string(d.p[from:d.pos]), float)
	if err != nil {
		d.pos = from
	}
	return v, err
}

func parseNumber(text string, float bool) (any, error) {
	if float {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, codec.ErrOverflow
		}
		return f, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	return nil, codec.ErrOverflow
}
