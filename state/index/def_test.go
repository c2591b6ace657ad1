package index_test

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/tuple"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

func TestDeclarationsThatBreakARuleAreRefused(t *testing.T) {
	compute := func([]byte) ([][]any, error) { return nil, nil }
	nine := strings.Split("a b c d e f g h i", " ")
	for rule, defs := range map[string][]index.Def{
		"a name has":             {{Fields: nine[:1]}},
		"a name has 1":           {{Name: strings.Repeat("x", 65), Fields: nine[:1]}},
		"letters":                {{Name: "a b", Fields: nine[:1]}},
		"1 to 8 fields":          {{Name: "x"}},
		"an index has 1":         {{Name: "x", Fields: nine}},
		"only a function":        {{Name: "x", Fields: nine[:1], Version: 1}},
		"not negative":           {{Name: "x", Fields: nine[:1], Func: compute, Version: -1}},
		"field: an empty step":   {{Name: "x", Fields: []string{"a."}}},
		"field: letters":         {{Name: "x", Fields: []string{"a*"}, Func: compute}},
		"two fields lead":        {{Name: "x", Fields: []string{"a.*", "b.*.c"}}},
		"a field is there twice": {{Name: "x", Fields: []string{"a", "a"}}},
		"declared twice":         {{Name: "x", Fields: nine[:1]}, {Name: "x", Fields: nine[1:2]}},
		"another function": {{Name: "x", Fields: nine[:1], Func: compute},
			{Name: "y", Fields: nine[:1], Func: compute}},
		"a path is called": {{Name: "x", Fields: nine[:1]}, {Name: "y", Fields: nine[:1], Func: compute}},
	} {
		_, err := index.NewSet("c", defs...)
		var de *index.DefError
		require.ErrorAs(t, err, &de, rule)
		require.ErrorIs(t, err, index.ErrDef)
	}
	_, err := index.NewSet("")
	require.ErrorIs(t, err, index.ErrDef)
	_, err = index.NewSet("c", make([]index.Def, index.MaxIndexes+1)...)
	require.ErrorContains(t, err, "at most 64 indexes")
}

// A declaration is its id: whatever changes the entries changes it, and nothing else does.
func TestIdsTellDeclarationsApart(t *testing.T) {
	compute := func([]byte) ([][]any, error) { return nil, nil }
	defs := []index.Def{
		{Name: "x", Fields: []string{"a"}}, {Name: "y", Fields: []string{"a"}}, {Name: "x", Fields: []string{"b"}},
		{Name: "x", Fields: []string{"a", "b"}}, {Name: "x", Fields: []string{"b", "a"}}, {Name: "x", Fields: []string{"ab"}},
		{Name: "x", Fields: []string{"a"}, Unique: true}, {Name: "x", Fields: []string{"a"}, Func: compute},
		{Name: "x", Fields: []string{"a"}, Func: compute, Version: 1}, {Name: "x", Fields: []string{`a\.b`}}, {Name: "x", Fields: []string{`a.b`}},
		{Name: "x", Fields: []string{"a.*"}}, {Name: "x", Fields: []string{`a.\*`}},
	}
	seen := map[index.ID]bool{}
	for _, collection := range []string{"c", "d"} {
		for _, d := range defs {
			set, err := index.NewSet(collection, d)
			require.NoError(t, err)
			again, err := index.NewSet(collection, d)
			require.NoError(t, err)
			id := set.Indexes()[0].ID()
			require.Equal(t, id, again.Index(d.Name).ID())
			require.False(t, seen[id], "%v", d)
			seen[id] = true
		}
	}
	set, err := index.NewSet("c", index.Def{Name: "x", Fields: []string{`\a`}})
	require.Error(t, err)
	require.Nil(t, set)
	fields := []string{`a\.b.\*.c\\`}
	set, err = index.NewSet("c", index.Def{Name: "x", Fields: fields, Unique: true})
	require.NoError(t, err)
	ix := set.Index("x")
	require.Equal(t, fields, ix.Fields())
	require.True(t, ix.Unique())
	require.False(t, ix.Computed())
	require.Equal(t, "c", set.Collection())
	require.Nil(t, set.Index("y"))
	require.Len(t, ix.ID().String(), 16)
}

// Names that hold dots, stars and backslashes are reached by escapes.
func TestPathsEscapeNames(t *testing.T) {
	m := newMemory(t, index.Def{Name: "x", Fields: []string{`a\.b.\*.c\\`}})
	require.NoError(t, m.put("k", encode(t, map[string]any{"a.b": map[string]any{"*": map[string]any{`c\`: 5}}}), false))
	require.NoError(t, m.put("l", encode(t, map[string]any{"a": map[string]any{"b": 5}}), false))
	require.Equal(t, []string{"k"}, m.pages(index.Query{Where: []index.Cond{index.Eq(`a\.b.\*.c\\`, 5)}, Limit: 9}))
}

// X6.
func TestWhatCannotBeIndexedIsRefused(t *testing.T) {
	nested := any("x")
	for range tuple.MaxDepth + 1 {
		nested = []any{nested}
	}
	many := make([]any, index.MaxEntries+1)
	for i := range many {
		many[i] = i
	}
	failed := errors.New("failed")
	fn := func(out [][]any, err error) index.Def {
		return index.Def{Name: "f", Fields: []string{"g", "h"}, Func: func([]byte) ([][]any, error) { return out, err }}
	}
	for name, c := range map[string]struct {
		def   index.Def
		doc   any
		field string
		err   error
	}{
		"a map":             {pool[0], map[string]any{"team": map[string]any{"secret": 1}}, "team", nil},
		"a map in a list":   {pool[0], map[string]any{"team": []any{map[string]any{"secret": 1}}}, "team", nil},
		"lists in lists":    {pool[0], map[string]any{"team": nested}, "team", nil},
		"a long string":     {pool[0], map[string]any{"team": strings.Repeat("secret", 200)}, "", nil},
		"a long list":       {pool[0], map[string]any{"team": []any{strings.Repeat("secret", 1000), "b"}}, "", nil},
		"many elements":     {pool[6], map[string]any{"tags": many}, "", nil},
		"a failing func":    {fn(nil, failed), nil, "", failed},
		"too few values":    {fn([][]any{{1}}, nil), nil, "", nil},
		"a computed map":    {fn([][]any{{1, map[string]any{}}}, nil), nil, "h", nil},
		"a computed func":   {fn([][]any{{1, fn}}, nil), nil, "h", codec.ErrType},
		"many computed":     {fn(make([][]any, 0), failed), nil, "", failed},
		"a computed string": {fn([][]any{{strings.Repeat("secret", 200), 1}}, nil), nil, "", nil},
	} {
		m := newMemory(t, c.def)
		err := m.put("key", encode(t, c.doc), false)
		var ve *index.ValueError
		require.ErrorAs(t, err, &ve, name)
		require.ErrorIs(t, err, index.ErrValue)
		require.Equal(t, []string{c.def.Name, "key", c.field}, []string{ve.Index, ve.Key, ve.Field}, name)
		require.NotContains(t, err.Error(), "secret")
		if c.err != nil {
			require.ErrorIs(t, err, c.err)
		}
		require.Empty(t, m.docs)
	}
	// The most that is allowed.
	m := newMemory(t, pool[6], pool[0])
	require.NoError(t, m.put("k", encode(t, map[string]any{"tags": many[1:], "team": strings.Repeat("x", 1021)}), false))
	require.Len(t, m.entries, index.MaxEntries+1)
}

func TestUniqueValuesHaveOneDocument(t *testing.T) {
	m := newMemory(t, index.Def{Name: "u", Fields: []string{"a", "b"}, Unique: true}, index.Def{Name: "w", Fields: []string{"w.*"}, Unique: true})
	put := func(key string, doc map[string]any) error { return m.put(key, encode(t, doc), false) }
	require.NoError(t, put("k", map[string]any{"a": 1, "b": "x"}))
	err := put("l", map[string]any{"a": 1.0, "b": "x"})
	var ue *index.UniqueError
	require.ErrorAs(t, err, &ue)
	require.ErrorIs(t, err, index.ErrUnique)
	require.Equal(t, index.UniqueError{Index: "u", Key: "l", Holder: "k"}, *ue)
	require.NoError(t, put("l", map[string]any{"a": 1, "b": "y"}))
	require.NoError(t, put("k", map[string]any{"a": 1, "b": "x", "more": true}))

	// Nil is not a value that anybody holds, in any of the fields.
	for _, key := range []string{"m", "n"} {
		require.NoError(t, put(key, map[string]any{"a": 1, "b": nil}))
		require.NoError(t, put(key, map[string]any{"a": nil, "b": "x"}))
		require.NoError(t, put(key, map[string]any{"a": 1}))
	}
	// One document may have its value twice; values that it gives up are free.
	require.NoError(t, put("m", map[string]any{"w": []any{"p", "q", "p"}}))
	require.ErrorIs(t, put("n", map[string]any{"w": []any{"r", "q"}}), index.ErrUnique)
	require.NoError(t, put("m", map[string]any{"w": []any{"p"}}))
	require.NoError(t, put("n", map[string]any{"w": []any{"r", "q"}}))
	require.NoError(t, m.put("m", nil, false))
	require.NoError(t, put("n", map[string]any{"w": []any{"p"}}))
	m.requireEntriesOfDocuments()
}

// A write costs what it changes: entries that stay are not written, unless they have to be.
func TestEntriesThatStayAreNotWritten(t *testing.T) {
	m := newMemory(t, pool[0], pool[4], pool[6])
	doc := func(team, mail string, tags ...any) []byte {
		return encode(t, map[string]any{"team": team, "mail": mail, "tags": tags})
	}
	old := doc("red", "m", "a", "b")
	var c index.Change
	require.NoError(t, m.set.Change(&c, "k", nil, old, false))
	require.Len(t, c.Put, 4)
	require.Equal(t, []bool{false, true, false, false}, absences(&c))
	require.NoError(t, m.set.Change(&c, "k", old, old, false))
	require.Empty(t, c.Put)
	require.Empty(t, c.Delete)
	require.NoError(t, m.set.Change(&c, "k", old, old, true))
	require.Len(t, c.Put, 4)
	require.Equal(t, make([]bool, 4), absences(&c))
	require.Empty(t, c.Delete)
	require.NoError(t, m.set.Change(&c, "k", old, doc("red", "n", "b", "c"), false))
	require.Equal(t, []bool{true, false}, absences(&c))
	require.Len(t, c.Delete, 2)
	require.NoError(t, m.set.Change(&c, "k", old, nil, true))
	require.Empty(t, c.Put)
	require.Len(t, c.Delete, 4)
}

func absences(c *index.Change) (out []bool) {
	for _, p := range c.Put {
		out = append(out, p.Absent)
	}
	return out
}

// A Change can be used again and again without memory.
func TestChangesDoNotAllocate(t *testing.T) {
	m := newMemory(t, pool[0], pool[1], pool[4])
	a := encode(t, map[string]any{"team": "red", "age": 7, "mail": "a"})
	b := encode(t, map[string]any{"team": "blue", "age": 8, "mail": "b"})
	var c index.Change
	change := func() {
		if err := m.set.Change(&c, "key", a, b, false); err != nil || len(c.Put) != 3 || len(c.Delete) != 3 {
			panic(fmt.Sprint(err, c))
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, change))
}

// What becomes of entries when some fields of a document change is what there is more or less of than before.
func TestChangesOfSomeFieldsAreThoseOfAll(t *testing.T) {
	m := newMemory(t, pool...)
	var c, before, after index.Change
	rnd := rand.New(rand.NewPCG(9, 9))
	for range 4000 {
		doc := someDoc(rnd)
		old := encode(t, doc)
		for range rnd.IntN(3) {
			key := choose(rnd, "team", "age", "mail", "name", "tags", "visits", "at")
			if _, there := doc[key]; there || rnd.IntN(8) == 0 {
				doc[key] = choose[any](rnd, nil, someDoc(rnd)[key])
			}
		}
		now := encode(t, doc)
		require.NoError(t, m.set.Change(&c, "k", old, now, false))
		require.NoError(t, m.set.Change(&before, "k", nil, old, false))
		require.NoError(t, m.set.Change(&after, "k", nil, now, false))
		was, is := map[string]index.Put{}, map[string]index.Put{}
		for _, p := range before.Put {
			was[string(p.Key)] = p
		}
		for _, p := range after.Put {
			is[string(p.Key)] = p
		}
		for _, p := range c.Put {
			require.NotContains(t, was, string(p.Key))
			was[string(p.Key)] = p
		}
		for _, k := range c.Delete {
			require.Contains(t, was, string(k))
			require.NotContains(t, is, string(k))
			delete(was, string(k))
		}
		require.Equal(t, is, was)
	}
}

func TestPathsThatLeadNowhereAreRefused(t *testing.T) {
	type place struct {
		City string         `msgpack:"city,alias:town"`
		More map[string]int `msgpack:"more"`
		Any  any            `msgpack:"any"`
		At   time.Time      `msgpack:"at"`
	}
	type doc struct {
		place
		Home  *place   `msgpack:"home"`
		Away  []place  `msgpack:"away"`
		Pair  [2]*doc  `msgpack:"pair"`
		Bytes []byte   `msgpack:"bytes"`
		Own   big.Int  `msgpack:"own"` // it writes itself
		Tags  []string `msgpack:"tags"`
	}
	shape := codec.ShapeOf[doc]()
	for _, path := range []string{
		"city", "town", "home.city", "away.*.city", "away", "pair.*.home.city", "more.x", "any", "any.x.*.y", "at", "bytes", "own.x", "tags.*", "home", "home.any.*",
	} {
		of, err := must(index.NewSet("c", index.Def{Name: "i", Fields: []string{path}})).Of(shape)
		require.NoError(t, err, path)
		for _, name := range []string{path, "home.city"} {
			_, err = of.Plan(&index.Query{Where: []index.Cond{index.Eq(name, 1)}}, nil)
			require.NoError(t, err, name)
		}
	}
	set, err := must(index.NewSet("c", index.Def{Name: "i", Fields: []string{"city"}})).Of(shape)
	require.NoError(t, err)
	for _, path := range []string{
		"City", "cty", "home.cty", "home.*", "away.city", "away.*.cty", "more.x.y", "at.x", "bytes.*", "tags.x", "tags.*.x", "city.x", "place.city",
	} {
		_, err := must(index.NewSet("c", index.Def{Name: "i", Fields: []string{path}})).Of(shape)
		require.ErrorIs(t, err, index.ErrDef, path)
		_, err = set.Plan(&index.Query{Where: []index.Cond{index.Eq(path, 1)}}, nil)
		require.ErrorIs(t, err, index.ErrQuery, path)
		_, err = set.Plan(&index.Query{Order: []index.Order{index.Asc(path)}}, nil)
		require.ErrorIs(t, err, index.ErrQuery, path)
		_, err = must(index.NewSet("c", index.Def{Name: "i", Fields: []string{path}})).Of(codec.ShapeOf[map[string]any]())
		require.NoError(t, err, path)
	}
}

// Pointers that lead to each other alone tell nothing.
func TestPathsIntoPointersWithoutEnd(t *testing.T) {
	type b *b
	type c *[]*c
	_, err := must(index.NewSet("c", index.Def{Name: "i", Fields: []string{"x"}})).Of(codec.ShapeOf[b]())
	require.NoError(t, err)
	_, err = must(index.NewSet("c", index.Def{Name: "i", Fields: []string{"x"}})).Of(codec.ShapeOf[c]())
	require.ErrorIs(t, err, index.ErrDef)
}

func must(s *index.Set, err error) *index.Set {
	if err != nil {
		panic(err)
	}
	return s
}
