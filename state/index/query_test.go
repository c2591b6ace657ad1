package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// pool are the declarations that the tests choose from.
var pool = []index.Def{
	{Name: "team", Fields: []string{"team"}},
	{Name: "age", Fields: []string{"age"}},
	{Name: "team_age", Fields: []string{"team", "age"}},
	{Name: "age_team_city", Fields: []string{"age", "team", "at.city"}},
	{Name: "mail", Fields: []string{"mail"}, Unique: true},
	{Name: "mail_team", Fields: []string{"team", "mail"}, Unique: true},
	{Name: "tags", Fields: []string{"tags.*"}},
	{Name: "team_tags", Fields: []string{"team", "tags.*", "age"}},
	{Name: "visits", Fields: []string{"visits.*.at"}},
	{Name: "list", Fields: []string{"tags"}},
	{Name: "words", Fields: []string{"initial", "length"}, Func: computeWords, Version: 1},
}

var fields = []string{"team", "age", "at.city", "mail", "tags.*", "visits.*.at", "tags", "initial", "length", index.Key, "name"}

func choose[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

// someValue returns a value that a field may have, and conditions may ask for.
func someValue(rnd *rand.Rand, field string) any {
	text := func() any { return choose(rnd, "", "a", "ab", "abc", "b", "ba", "c\x00", "c\x00d", "ä") }
	switch field {
	case index.Key, "initial", "mail", "name":
		return text()
	case "length":
		return choose[any](rnd, 1, 2, 3)
	case "age":
		return choose[any](rnd, nil, int64(-1), 0, int64(7), uint64(7), 7.0, 7.5, uint64(8), int64(300), -0.5, "7", true)
	case "visits.*.at":
		return choose[any](rnd, nil, time.Unix(100, 0).UTC(), time.Unix(-5, 3).UTC(), time.Unix(100, 1).UTC())
	case "tags":
		return choose[any](rnd, nil, []any{}, []any{"a"}, []any{"a", int64(1)}, []any{[]any{1.0}}, "a")
	case "tags.*":
		return choose[any](rnd, nil, "a", "b", "ab", int64(1), 1.5, []byte("a"), false)
	}
	return choose(rnd, nil, text(), text(), text())
}

func someDoc(rnd *rand.Rand) map[string]any {
	doc := map[string]any{}
	set := func(name string, v any) {
		if rnd.IntN(8) > 0 {
			doc[name] = v
		}
	}
	set("team", someValue(rnd, "team"))
	set("age", someValue(rnd, "age"))
	set("mail", choose[any](rnd, nil, fmt.Sprintf("m%d", rnd.IntN(12))))
	set("at", choose[any](rnd, nil, map[string]any{"city": someValue(rnd, "team")}, "nowhere"))
	set("name", strings.Repeat(choose(rnd, "", "ann", "bo", "ann bo", "x yy zzz"), rnd.IntN(3)))
	var tags []any
	for range rnd.IntN(4) {
		tags = append(tags, someValue(rnd, "tags.*"))
	}
	set("tags", tags)
	var visits []any
	for range rnd.IntN(3) {
		visits = append(visits, map[string]any{"at": someValue(rnd, "visits.*.at")})
	}
	set("visits", visits)
	return doc
}

func someQuery(rnd *rand.Rand, computed bool) index.Query {
	var q index.Query
	field := func() string {
		for {
			if f := choose(rnd, fields...); computed || f != "initial" && f != "length" {
				return f
			}
		}
	}
	for range rnd.IntN(4) {
		c := index.Cond{Field: field(), Op: choose(rnd, index.Equal, index.Equal, index.Less, index.AtMost, index.Greater, index.AtLeast, index.HasPrefix)}
		if c.Value = someValue(rnd, c.Field); c.Value == nil {
			c.Op = index.Equal
		}
		if _, text := c.Value.(string); !text && c.Op == index.HasPrefix {
			c.Op = index.Equal
		}
		q.Where = append(q.Where, c)
	}
	desc := rnd.IntN(2) == 0
	for range rnd.IntN(4) {
		o := index.Order{Field: field(), Desc: desc != (rnd.IntN(6) == 0)}
		if !slices.ContainsFunc(q.Order, func(other index.Order) bool { return other.Field == o.Field }) {
			q.Order = append(q.Order, o)
		}
	}
	return q
}

// X1 to X4, against a filter and a sort of decoded documents: whichever indexes there are, whatever
// was written before, however long the pages.
func TestQueriesGiveWhatAFilterAndASortGive(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 16
	}
	read := map[string]int{}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 6))
		var defs []index.Def
		for _, i := range rnd.Perm(len(pool))[:rnd.IntN(len(pool))] {
			defs = append(defs, pool[i])
		}
		m := newMemory(t, defs...)
		refused := 0
		for step := range 300 {
			key := choose(rnd, "a", "ab", "abc", "b", "ba", "c", "d", "d/e", "d0", "é") + choose(rnd, "", "", "0", "1", "/x")
			var doc []byte
			if rnd.IntN(4) > 0 {
				doc = encode(t, someDoc(rnd))
			}
			switch err := m.put(key, doc, rnd.IntN(5) == 0); {
			case errors.Is(err, index.ErrUnique):
				refused++
			default:
				require.NoError(t, err)
			}
			if step%6 > 0 {
				continue
			}
			q := someQuery(rnd, m.set.Index("words") != nil)
			q.Limit = choose(rnd, 1, 2, 3, 7, 100)
			p, err := m.set.Plan(&q, nil)
			require.NoError(t, err)
			e := p.Explain()
			read[e.Index]++
			if len(e.Sort) > 0 {
				read["sorted"]++
			}
			got := m.pages(q)
			m.answer(&q, got, func() string { return fmt.Sprintf("seed %d, step %d: %+v\n%v\n%v", seed, step, q, e, got) })
		}
		require.True(t, m.set.Index("mail") == nil || refused > 0)
		m.requireEntriesOfDocuments()
	}
	for _, d := range pool {
		require.Positive(t, read[d.Name], "no query read %s", d.Name)
	}
	require.Positive(t, read["sorted"])
}

// X2.
func (m *memory) requireEntriesOfDocuments() {
	fresh := newMemory(m.t)
	fresh.set = m.set
	for key, doc := range m.docs {
		require.NoError(m.t, fresh.put(key, doc, false))
	}
	require.Equal(m.t, fresh.entries, m.entries)
}

// X4: what nobody writes is on exactly one page, whatever is written between the pages.
func TestPagesSurviveWrites(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 7))
	for range 60 {
		m := newMemory(t, pool[0], pool[2], pool[6])
		for i := range 40 {
			doc := someDoc(rnd)
			doc["kept"] = i%2 == 0
			require.NoError(t, m.put(fmt.Sprintf("k%02d", i), encode(t, doc), false))
		}
		q := someQuery(rnd, false)
		q.Limit = 1 + rnd.IntN(5)
		want, seen := m.pages(q), map[string]int{}
		for {
			page, next, err := m.page(&q)
			require.NoError(t, err)
			for _, k := range page {
				seen[k]++
			}
			if next == "" {
				break
			}
			q.After = next
			// Everything odd is deleted or changed, the document at the page's end among them.
			key := fmt.Sprintf("k%02d", 1+2*rnd.IntN(20))
			if last := page[len(page)-1]; last[2]%2 == 1 {
				key = last
			}
			if rnd.IntN(2) == 0 {
				require.NoError(t, m.put(key, nil, false))
			} else {
				require.NoError(t, m.put(key, encode(t, someDoc(rnd)), false))
			}
		}
		for _, k := range want {
			if k[2]%2 == 0 {
				require.Equal(t, 1, seen[k], "%s, %+v", k, q)
			}
		}
	}
}

// X1: integers and floats are one order, without a loss at either end.
func TestNumbersAreOneOrder(t *testing.T) {
	ascending := []any{-1e300, int64(-1 << 63), int64(-1<<63 + 1), int64(-1 << 53), int64(-1<<53 + 1), -1.5, int64(-1), -0.5, uint64(0),
		5e-324, int64(1), 1.5, uint64(2), int64(1<<53 - 1), 9007199254740992.0, int64(1<<53 + 1), uint64(1<<53 + 2), uint64(1<<53 + 3),
		int64(1<<62 + 1), int64(1<<63 - 513), int64(1<<63 - 512), int64(1<<63 - 1), uint64(1 << 63), uint64(1<<63 + 1),
		uint64(1<<64 - 1025), uint64(1<<64 - 1024), uint64(1<<64 - 1), 18446744073709551616.0, 1e300}
	m := newMemory(t, pool[1])
	for i, n := range ascending {
		require.NoError(t, m.put(fmt.Sprintf("%02d", len(ascending)-i), encode(t, map[string]any{"age": n}), false))
	}
	for i, n := range ascending {
		got := m.pages(index.Query{Where: []index.Cond{index.Gt("age", n)}, Limit: 100})
		require.Len(t, got, len(ascending)-i-1, "above %v", n)
		got = m.pages(index.Query{Where: []index.Cond{index.Eq("age", n)}, Limit: 100})
		require.Equal(t, []string{fmt.Sprintf("%02d", len(ascending)-i)}, got)
	}
	for _, same := range [][]any{{0.0, int64(0), uint64(0), -1 / inf}, {7.0, int64(7), uint64(7), 7}, {9007199254740992.0, int64(1 << 53)}, {uint64(1 << 63), 9223372036854775808.0}} {
		for _, a := range same {
			m := newMemory(t, pool[1])
			require.NoError(t, m.put("k", encode(t, map[string]any{"age": a}), false))
			for _, b := range same {
				require.Len(t, m.pages(index.Query{Where: []index.Cond{index.Eq("age", b)}, Limit: 100}), 1, "%T, %T", a, b)
			}
		}
	}
}

var inf = 1e300 * func() float64 { return 1e300 }()

func TestQueriesThatBreakARuleAreRefused(t *testing.T) {
	m := newMemory(t, pool...)
	seventeen := make([]index.Cond, 17)
	for i := range seventeen {
		seventeen[i] = index.Eq("team", i)
	}
	for name, q := range map[string]index.Query{
		"limit":           {Limit: -1},
		"limit is":        {Limit: index.MaxLimit + 1},
		"17":              {Where: seventeen},
		"empty":           {Where: []index.Cond{index.Eq("", 1)}},
		"step":            {Where: []index.Cond{index.Eq("a..b", 1)}},
		"alone":           {Order: []index.Order{index.Asc("a*")}},
		"stands":          {Order: []index.Order{index.Asc(`a\b`)}},
		"twice":           {Order: []index.Order{index.Asc("a"), index.Desc("a")}},
		"nil":             {Where: []index.Cond{index.Lt("team", nil)}},
		"no such":         {Where: []index.Cond{{Field: "team", Op: 9, Value: 1}}},
		"strings":         {Where: []index.Cond{index.Eq(index.Key, 1)}},
		"a prefix":        {Where: []index.Cond{{Field: "team", Op: index.HasPrefix, Value: 1}}},
		"map":             {Where: []index.Cond{index.Eq("team", map[string]any{})}},
		"type":            {Where: []index.Cond{index.Eq("team", make(chan int))}},
		"operand":         {Where: []index.Cond{index.Eq("team", strings.Repeat("x", 3000))}},
		"a path has":      {Where: []index.Cond{index.Eq(strings.Repeat("x", 300), 1)}},
		"a path has at m": {Where: []index.Cond{index.Eq(strings.Repeat("x.", 40)+"x", 1)}},
	} {
		_, err := m.set.Plan(&q, nil)
		var qe *index.QueryError
		require.ErrorAs(t, err, &qe, name)
		require.ErrorIs(t, err, index.ErrQuery)
		require.NotContains(t, err.Error(), strings.Repeat("x", 200))
	}
	require.Equal(t, "op(9)", index.Op(9).String())
	require.Equal(t, "begins with", index.HasPrefix.String())
}

// X5.
func TestAnEntryWithoutItsDocumentIsAnError(t *testing.T) {
	q := index.Query{Where: []index.Cond{index.Eq("team", "a")}}
	for name, spoil := range map[string]func(m *memory){
		"no document":          func(m *memory) { delete(m.docs, "k") },
		"another value":        func(m *memory) { m.docs["k"] = encode(t, map[string]any{"team": "b"}) },
		"nothing of the field": func(m *memory) { m.docs["k"] = encode(t, nil) },
	} {
		m := newMemory(t, pool[0])
		require.NoError(t, m.put("k", encode(t, map[string]any{"team": "a"}), false))
		_, _, err := m.page(&q)
		require.NoError(t, err)
		spoil(m)
		_, _, err = m.page(&q)
		var de *index.DisagreeError
		require.ErrorAs(t, err, &de, name)
		require.ErrorIs(t, err, index.ErrDisagrees)
		require.Equal(t, index.DisagreeError{Index: "team", Key: "k"}, *de)
	}
}

// An error of the source, or of the caller, ends a run and comes back as it is.
func TestErrorsEndARun(t *testing.T) {
	stop := errors.New("stop")
	m := newMemory(t, pool[0])
	for i := range 5 {
		require.NoError(t, m.put(fmt.Sprint(i), encode(t, map[string]any{"team": "a", "n": i}), false))
	}
	for _, q := range []index.Query{{}, {Where: []index.Cond{index.Eq("team", "a")}}, {Order: []index.Order{index.Asc("n")}}} {
		p, err := m.set.Plan(&q, nil)
		require.NoError(t, err)
		n := 0
		_, err = p.Run(m, func([]byte, []byte) error { n++; return stop })
		require.ErrorIs(t, err, stop)
		require.Equal(t, 1, n)
	}
	long := strings.Repeat("x", 5000)
	require.NoError(t, m.put("long", encode(t, map[string]any{"s": long, "n": 1}), false))
	_, _, err := m.page(&index.Query{Order: []index.Order{index.Asc("s")}})
	require.ErrorIs(t, err, index.ErrValue)
	require.NotContains(t, err.Error(), "xxx")
}

func TestOnlyCompleteIndexesAreRead(t *testing.T) {
	m := newMemory(t, pool[0])
	q := index.Query{Where: []index.Cond{index.Eq("team", "a")}}
	p, err := m.set.Plan(&q, func(index.ID) bool { return false })
	require.NoError(t, err)
	require.Equal(t, "people: all documents\nfiltered by team\nat most 100\nnot used: team, it is being built", p.Explain().String())
	p, err = m.set.Plan(&q, func(id index.ID) bool { return id == m.set.Index("team").ID() })
	require.NoError(t, err)
	require.Equal(t, "people: index team, team fixed\nat most 100", p.Explain().String())
}

var _ = codec.Nil
