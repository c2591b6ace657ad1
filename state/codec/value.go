package codec

import (
	"bytes"
	"time"
)

// MinTime and MaxTime are the first and the last instant that a value can hold: the years that
// RFC 3339 can write, to the nanosecond. Zones are not kept: times are read back in UTC.
var (
	MinTime = time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC)
	MaxTime = time.Date(9999, time.December, 31, 23, 59, 59, 999_999_999, time.UTC)
)

const minUnix, maxUnix = -62135596800, 253402300799 // seconds of MinTime and MaxTime

// Kind is the kind of a value.
type Kind uint8

// Kinds of values. Invalid is what is no value.
const (
	Invalid Kind = iota
	Nil
	Bool
	Int64
	Uint64
	Float64
	String
	Bytes
	Time
	List
	Map
)

var kindNames = [...]string{"no value", "nil", "bool", "int64", "uint64", "float64", "string", "bytes", "time", "list", "map"}

// String returns the kind's name, as errors and documents have it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Invalid]
}

// KindOf returns the kind of v, and Invalid when v is of another Go type than values are.
// Lists and maps are not looked into.
func KindOf(v any) Kind {
	switch v.(type) {
	case nil:
		return Nil
	case bool:
		return Bool
	case int64:
		return Int64
	case uint64:
		return Uint64
	case float64:
		return Float64
	case string:
		return String
	case []byte:
		return Bytes
	case time.Time:
		return Time
	case []any:
		return List
	case map[string]any:
		return Map
	}
	return Invalid
}

// Equal reports whether a and b are the same value: of one kind, integers of the two kinds
// being different, with equal content. Times are equal when they are the same instant, floats
// when == says so. A nil slice or map equals an empty one. What is no value equals nothing.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool, int64, uint64, float64, string:
		return KindOf(b) == KindOf(a) && a == b
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	case []any:
		b, ok := b.([]any)
		return ok && equalLists(a, b)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && equalMaps(a, b)
	}
	return false
}

func equalLists(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalMaps(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		w, ok := b[k]
		if !ok || !Equal(v, w) {
			return false
		}
	}
	return true
}

// Clone returns a copy of v that shares no list, map or bytes with it. v must be a value and
// hold no cycle; parts that are no values are kept as they are.
func Clone(v any) any {
	switch v := v.(type) {
	case []byte:
		return append([]byte{}, v...)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Clone(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, w := range v {
			out[k] = Clone(w)
		}
		return out
	}
	return v
}
