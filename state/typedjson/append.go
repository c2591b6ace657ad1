package typedjson

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/loamdb/loam/state/codec"
)

// Keys of the objects that stand for what JSON lacks.
const (
	tagUint  = "$uint"
	tagBytes = "$bytes"
	tagTime  = "$time"
)

// Append appends the text of v to dst and returns the extended slice. v must be a value, as
// package codec has them: what is none is a *codec.ValueError, and dst is returned as it was. Of
// the limits those on depth and nodes are checked. v is not changed or kept.
func Append(dst []byte, v any, l *codec.Limits) ([]byte, error) {
	lim := l.WithDefaults()
	e := encoder{dst: dst, nodes: lim.MaxNodes}
	if err := e.value(v, lim.MaxDepth); err != nil {
		return dst, err
	}
	return e.dst, nil
}

type encoder struct {
	dst   []byte
	nodes int
}

func (e *encoder) value(v any, depth int) error {
	if e.nodes--; e.nodes < 0 {
		return &codec.ValueError{Err: codec.ErrTooLarge, Detail: "too many nodes"}
	}
	switch v := v.(type) {
	case nil:
		e.dst = append(e.dst, "null"...)
	case bool:
		e.dst = strconv.AppendBool(e.dst, v)
	case int64:
		e.dst = strconv.AppendInt(e.dst, v, 10)
	case uint64:
		e.tag(tagUint, strconv.FormatUint(v, 10))
	case float64:
		return e.float(v)
	case string:
		return e.string(v)
	case []byte:
		e.tag(tagBytes, base64.StdEncoding.EncodeToString(v))
	case time.Time:
		if v.Before(codec.MinTime) || v.After(codec.MaxTime) {
			return &codec.ValueError{Err: codec.ErrTimeRange}
		}
		e.tag(tagTime, v.UTC().Format(time.RFC3339Nano))
	case []any:
		return e.list(v, depth)
	case map[string]any:
		return e.mapOf(v, depth)
	default:
		return &codec.ValueError{Err: codec.ErrType, Detail: "not a value"}
	}
	return nil
}

// tag appends an object that stands for something; its text needs no escapes.
func (e *encoder) tag(name, text string) {
	e.dst = append(e.dst, `{"`...)
	e.dst = append(e.dst, name...)
	e.dst = append(e.dst, `":"`...)
	e.dst = append(e.dst, text...)
	e.dst = append(e.dst, `"}`...)
}

func (e *encoder) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return &codec.ValueError{Err: codec.ErrNotFinite}
	}
	from := len(e.dst)
	e.dst = strconv.AppendFloat(e.dst, f, 'g', -1, 64)
	for _, c := range e.dst[from:] {
		if c == '.' || c == 'e' {
			return nil
		}
	}
	e.dst = append(e.dst, ".0"...)
	return nil
}

func (e *encoder) string(s string) error {
	if !utf8.ValidString(s) {
		return &codec.ValueError{Err: codec.ErrNotUTF8}
	}
	e.dst = appendText(e.dst, s)
	return nil
}

func (e *encoder) list(list []any, depth int) error {
	if depth == 0 {
		return &codec.ValueError{Err: codec.ErrTooDeep}
	}
	e.dst = append(e.dst, '[')
	for i, v := range list {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if err := e.value(v, depth-1); err != nil {
			return codec.InIndex(err, i)
		}
	}
	e.dst = append(e.dst, ']')
	return nil
}

func (e *encoder) mapOf(m map[string]any, depth int) error {
	if depth == 0 {
		return &codec.ValueError{Err: codec.ErrTooDeep}
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	e.dst = append(e.dst, '{')
	for i, k := range keys {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		e.nodes--
		written := k
		if k != "" && k[0] == '$' {
			written = "$" + k
		}
		if err := e.string(written); err != nil {
			return codec.InKey(err, k)
		}
		e.dst = append(e.dst, ':')
		if err := e.value(m[k], depth-1); err != nil {
			return codec.InKey(err, k)
		}
	}
	e.dst = append(e.dst, '}')
	return nil
}
