package typedjson

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/loamdb/loam/state/codec"
)

const hexDigits = "0123456789abcdef"

// appendText appends s, which is valid UTF-8, as a JSON string.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// text reads a JSON string.
func (d *decoder) text() (string, error) {
	d.pos++ // the quote
	from := d.pos
	var out []byte // once there was an escape
	escaped := false
	for d.pos < len(d.p) {
		switch c := d.p[d.pos]; {
		case c == '"':
			tail := d.p[from:d.pos]
			if !utf8.Valid(tail) {
				return "", codec.ErrNotUTF8
			}
			d.pos++
			if !escaped {
				return string(tail), nil
			}
			return string(append(out, tail...)), nil
		case c < ' ':
			return "", ErrSyntax
		case c == '\\':
			// Parts between escapes are checked one by one: a character cannot span an escape.
			part := d.p[from:d.pos]
			if !utf8.Valid(part) {
				return "", codec.ErrNotUTF8
			}
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(append(out, part...), r)
			escaped, from = true, d.pos
		default:
			d.pos++
		}
	}
	return "", ErrSyntax
}

// escape reads what begins with a backslash.
func (d *decoder) escape() (rune, error) {
	if d.pos+1 >= len(d.p) {
		return 0, ErrSyntax
	}
	c := d.p[d.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return d.unicode()
	default:
		return 0, ErrSyntax
	}
	d.pos += 2
	return rune(c), nil
}

// unicode reads \uXXXX, or two of them that are one character.
func (d *decoder) unicode() (rune, error) {
	r, ok := d.unit(d.pos)
	if !ok {
		return 0, ErrSyntax
	}
	if !utf16.IsSurrogate(r) {
		d.pos += 6
		return r, nil
	}
	low, _ := d.unit(d.pos + 6) // 0 makes no pair
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, codec.ErrNotUTF8
	}
	d.pos += 12
	return r, nil
}

// unit reads the \uXXXX at the place at.
func (d *decoder) unit(at int) (rune, bool) {
	if at+6 > len(d.p) || d.p[at] != '\\' || d.p[at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(d.p[at+2:at+6]), 16, 16)
	return rune(n), err == nil
}
