package index_test

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// memory is a collection in two maps, which is all that the package needs of a store.
type memory struct {
	t       testing.TB
	set     *index.Set
	docs    map[string][]byte
	entries map[string][]byte
	change  index.Change
	open    bool // a cursor
}

func newMemory(t testing.TB, defs ...index.Def) *memory {
	set, err := index.NewSet("people", defs...)
	require.NoError(t, err)
	return &memory{t: t, set: set, docs: map[string][]byte{}, entries: map[string][]byte{}}
}

func encode(t testing.TB, v any) []byte {
	p, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	return p
}

// put writes a document with its entries, or deletes it if doc is nil.
func (m *memory) put(key string, doc []byte, renew bool) error {
	if err := m.set.Change(&m.change, key, m.docs[key], doc, renew); err != nil {
		return err
	}
	for _, p := range m.change.Put {
		holder, there := m.entries[string(p.Key)]
		if there && p.Absent {
			return &index.UniqueError{Index: p.Index.Name(), Key: key, Holder: string(holder)}
		}
	}
	for _, k := range m.change.Delete {
		_, there := m.entries[string(k)]
		require.True(m.t, there)
		delete(m.entries, string(k))
	}
	for _, p := range m.change.Put {
		m.entries[string(p.Key)] = bytes.Clone(p.Value)
	}
	if delete(m.docs, key); doc != nil {
		m.docs[key] = doc
	}
	return nil
}

// within goes through what lies in bounds. The slices that it gives are overwritten afterwards.
type within struct {
	m    *memory
	all  map[string][]byte
	keys []string
	e    index.Entry
}

func (m *memory) within(all map[string][]byte, lower, upper []byte, reverse bool) (index.Cursor, error) {
	require.False(m.t, m.open, "two cursors at a time")
	m.open = true
	keys := slices.Sorted(maps.Keys(all))
	keys = slices.DeleteFunc(keys, func(k string) bool { return k < string(lower) || upper != nil && k >= string(upper) })
	if reverse {
		slices.Reverse(keys)
	}
	return &within{m: m, all: all, keys: keys}, nil
}

func (c *within) Next() (index.Entry, bool, error) {
	clear(c.e.Key)
	clear(c.e.Value)
	if len(c.keys) == 0 {
		return index.Entry{}, false, nil
	}
	c.e = index.Entry{Key: []byte(c.keys[0]), Value: bytes.Clone(c.all[c.keys[0]])}
	c.keys = c.keys[1:]
	return c.e, true, nil
}

func (c *within) Close() error {
	c.m.open = false
	return nil
}

func (m *memory) Entries(lower, upper []byte, reverse bool) (index.Cursor, error) {
	return m.within(m.entries, lower, upper, reverse)
}

func (m *memory) Docs(lower, upper []byte, reverse bool) (index.Cursor, error) {
	return m.within(m.docs, lower, upper, reverse)
}

func (m *memory) Doc(key []byte) ([]byte, error) { return m.docs[string(key)], nil }

func (m *memory) Check(doc []byte) error { return codec.Validate(doc, nil) }

// page runs a query.
func (m *memory) page(q *index.Query) (keys []string, next index.Token, err error) {
	p, err := m.set.Plan(q, nil)
	if err != nil {
		return nil, "", err
	}
	next, err = p.Run(m, func(key, doc []byte) error {
		require.True(m.t, bytes.Equal(m.docs[string(key)], doc))
		keys = append(keys, string(key))
		return nil
	})
	return keys, next, err
}

// pages runs a query page by page.
func (m *memory) pages(q index.Query) (keys []string) {
	for {
		page, next, err := m.page(&q)
		require.NoError(m.t, err)
		if keys = append(keys, page...); next == "" {
			return keys
		}
		require.Len(m.t, page, q.Limit)
		require.LessOrEqual(m.t, len(keys), len(m.docs), "pages without end")
		q.After = next
	}
}

// The oracle: what a query means, on decoded values, without a byte of an index.

// rank orders kinds; maps come last.
func rank(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int64, uint64, float64:
		return 2
	case time.Time:
		return 3
	case string:
		return 4
	case []byte:
		return 5
	case []any:
		return 6
	}
	return 7
}

// compareValues orders values; every number in these tests is exact as a float64.
func compareValues(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	number := func(v any) float64 {
		switch v := v.(type) {
		case int64:
			return float64(v)
		case uint64:
			return float64(v)
		}
		return v.(float64)
	}
	switch a := a.(type) {
	case bool:
		return cmp.Compare(map[bool]int{true: 1}[a], map[bool]int{true: 1}[b.(bool)])
	case int64, uint64, float64:
		return cmp.Compare(number(a), number(b))
	case time.Time:
		return a.Compare(b.(time.Time))
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case []any:
		return slices.CompareFunc(a, b.([]any), compareValues)
	}
	return 0
}

// lookUp returns the values that a path without escapes leads to.
func lookUp(v any, path string) []any {
	name, rest, more := strings.Cut(path, ".")
	var found []any
	if name == "*" {
		list, _ := v.([]any)
		for _, e := range list {
			if more {
				found = append(found, lookUp(e, rest)...)
			} else {
				found = append(found, e)
			}
		}
		return found
	}
	m, _ := v.(map[string]any)
	if more {
		return lookUp(m[name], rest)
	}
	return []any{m[name]}
}

func holds(c index.Cond, v any) bool {
	want := value(c.Value)
	if c.Op == index.Equal {
		return compareValues(v, want) == 0
	}
	if rank(v) != rank(want) {
		return false
	}
	order := compareValues(v, want)
	switch c.Op {
	case index.Less:
		return order < 0
	case index.AtMost:
		return order <= 0
	case index.Greater:
		return order > 0
	case index.AtLeast:
		return order >= 0
	}
	return strings.HasPrefix(v.(string), want.(string))
}

// value returns what a Go value amounts to.
func value(v any) any {
	if n, ok := v.(int); ok {
		return int64(n)
	}
	return v
}

// groups returns, for each group of fields of which values go together, the tuples that meet the
// conditions on it: maps from the names of fields. A document without one does not match.
func (m *memory) groups(q *index.Query, key string) (groups [][]map[string]any) {
	doc, err := codec.Decode(m.docs[key], nil)
	require.NoError(m.t, err)
	names := map[string]bool{}
	for _, c := range q.Where {
		names[c.Field] = true
	}
	for _, o := range q.Order {
		names[o.Field] = true
	}
	var tuples [][]map[string]any
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch name {
		case index.Key:
			tuples = append(tuples, []map[string]any{{name: key}})
		case "initial", "length":
			if name == "initial" || !names["initial"] {
				tuples = append(tuples, words(doc))
			}
		default:
			var ts []map[string]any
			values := lookUp(doc, name)
			if len(values) == 0 {
				values = []any{nil}
			}
			for _, v := range values {
				ts = append(ts, map[string]any{name: v})
			}
			tuples = append(tuples, ts)
		}
	}
	for _, ts := range tuples {
		var left []map[string]any
		for _, tuple := range ts {
			ok := true
			for _, c := range q.Where {
				if v, mine := tuple[c.Field]; mine && !holds(c, v) {
					ok = false
				}
			}
			if ok {
				left = append(left, tuple)
			}
		}
		groups = append(groups, left)
	}
	return groups
}

// place returns the values by which a document is sorted, and whether it meets the conditions.
func (m *memory) place(q *index.Query, key string) ([]any, bool) {
	values := map[string]any{}
	for _, group := range m.groups(q, key) {
		if len(group) == 0 {
			return nil, false
		}
		best := slices.MinFunc(group, func(a, b map[string]any) int {
			for _, o := range q.Order {
				if _, mine := a[o.Field]; mine {
					if c := directed(o, a[o.Field], b[o.Field]); c != 0 {
						return c
					}
				}
			}
			return 0
		})
		maps.Copy(values, best)
	}
	var out []any
	for _, o := range q.Order {
		out = append(out, values[o.Field])
	}
	return out, true
}

func directed(o index.Order, a, b any) int {
	c := compareValues(a, b)
	if o.Desc {
		return -c
	}
	return c
}

// answer checks what a query gave: the right documents, each once, in the right order. where says
// which query it was.
func (m *memory) answer(q *index.Query, got []string, where func() string) {
	m.t.Helper()
	places := map[string][]any{}
	for key := range m.docs {
		if place, ok := m.place(q, key); ok {
			places[key] = place
		}
	}
	if want := slices.Sorted(maps.Keys(places)); !slices.Equal(want, slices.Sorted(slices.Values(got))) {
		require.Equal(m.t, want, slices.Sorted(slices.Values(got)), where())
	}
	for i := 1; i < len(got); i++ {
		for j, o := range q.Order {
			c := directed(o, places[got[i-1]][j], places[got[i]][j])
			if c > 0 {
				require.Fail(m.t, "wrong order", "%s before %s, %s", got[i-1], got[i], where())
			}
			if c < 0 {
				break
			}
		}
	}
}

// words is what the function of the tests computes: of each word of a name, its initial and its
// length.
func words(doc any) (out []map[string]any) {
	m, _ := doc.(map[string]any)
	name, _ := m["name"].(string)
	for _, w := range strings.Fields(name) {
		out = append(out, map[string]any{"initial": w[:1], "length": int64(len(w))})
	}
	return out
}

func computeWords(doc []byte) (out [][]any, err error) {
	v, err := codec.Decode(doc, nil)
	if err != nil {
		return nil, err
	}
	for _, w := range words(v) {
		out = append(out, []any{w["initial"], int(w["length"].(int64))})
	}
	return out, nil
}
