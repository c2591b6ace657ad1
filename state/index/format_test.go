package index_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

func TestEntriesMatchTheirPage(t *testing.T) {
	var out strings.Builder
	m := newMemory(t, pool...)
	for _, d := range pool {
		fmt.Fprintf(&out, "%-14s %v %v\n", d.Name, m.set.Index(d.Name).ID(), d.Fields)
	}
	list, _ := m.set.Reconcile(nil, index.Ready)
	list[1].State = index.Building
	fmt.Fprintf(&out, "\ncatalog of the first three by name\n% x\n", index.AppendCatalog(nil, list[:3]))
	for _, doc := range []map[string]any{
		{"team": "red", "age": int64(7), "mail": "a@x", "tags": []any{"b", "a", "b"}, "visits": []any{map[string]any{"at": time.Unix(100, 5)}}, "name": "ann bo"},
		{"team": nil, "age": -1.5, "tags": []any{}, "at": map[string]any{"city": "Köln"}},
		{"age": uint64(1<<53 + 1), "team": true, "mail": []byte{0, 1}},
	} {
		m.docs, m.entries = map[string][]byte{}, map[string][]byte{}
		require.NoError(t, m.put("key", encode(t, doc), false))
		fmt.Fprintf(&out, "\n%v\n", doc)
		for _, k := range slices.Sorted(maps.Keys(m.entries)) {
			fmt.Fprintf(&out, "% x = %q\n", k, m.entries[k])
		}
	}
	q := index.Query{Where: []index.Cond{index.Eq("team", "red")}, Limit: 1}
	require.NoError(t, m.put("a", encode(t, map[string]any{"team": "red", "age": 7}), false))
	for _, order := range [][]index.Order{nil, {index.Desc("age")}, {index.Asc("city"), index.Desc("age")}} {
		q.Order = order
		_, next, err := m.page(&q)
		require.NoError(t, err)
		raw, err := base64.RawURLEncoding.DecodeString(string(next))
		require.NoError(t, err)
		fmt.Fprintf(&out, "\ntoken, order %v\n% x\n", order, raw)
	}
	golden.Assert(t, "testdata/entries.txt", []byte(out.String()))
}

func TestPlansAreChosenAsTheyAreDescribed(t *testing.T) {
	var out strings.Builder
	m := newMemory(t, pool...)
	for _, q := range []index.Query{
		{},
		{Order: []index.Order{index.Desc(index.Key)}},
		{Where: []index.Cond{index.Eq(index.Key, "k"), index.Eq("team", 1)}},
		{Where: []index.Cond{index.Prefix(index.Key, "k")}, Order: []index.Order{index.Asc("age")}},
		{Where: []index.Cond{index.Eq("team", "red")}},
		{Where: []index.Cond{index.Eq("team", "red")}, Order: []index.Order{index.Asc("age")}},
		{Where: []index.Cond{index.Eq("team", "red")}, Order: []index.Order{index.Desc("age"), index.Desc(index.Key)}},
		{Where: []index.Cond{index.Eq("team", "red")}, Order: []index.Order{index.Desc("age"), index.Asc(index.Key)}},
		{Where: []index.Cond{index.Eq("team", "red"), index.Gt("age", 5), index.Lt("age", 9)}, Order: []index.Order{index.Asc("name")}},
		{Where: []index.Cond{index.Eq("mail", "m"), index.Eq("team", "red")}},
		{Where: []index.Cond{index.Eq("mail", nil)}},
		{Order: []index.Order{index.Desc("age")}},
		{Where: []index.Cond{index.Gt("age", 5), index.Eq("at.city", "x")}, Limit: 5},
		{Where: []index.Cond{index.Eq("tags.*", "x")}, Order: []index.Order{index.Asc("tags.*")}},
		{Where: []index.Cond{index.Eq("initial", "x")}, Order: []index.Order{index.Asc("length")}},
		{Where: []index.Cond{index.Eq("length", 1)}},
		{Where: []index.Cond{index.Eq("team", "a"), index.Eq("team", "b")}},
	} {
		p, err := m.set.Plan(&q, nil)
		require.NoError(t, err)
		e := p.Explain()
		e.Unused = nil
		fmt.Fprintf(&out, "%+v\n%v\n\n", q, e)
	}
	p, err := m.set.Plan(&index.Query{Where: []index.Cond{index.Eq("team", "red")}}, nil)
	require.NoError(t, err)
	fmt.Fprintf(&out, "%v\n", p.Explain())
	golden.Assert(t, "testdata/plans.txt", []byte(out.String()))
}

func TestCatalogsAreReconciled(t *testing.T) {
	old, err := index.NewSet("c", pool[0], pool[1])
	require.NoError(t, err)
	now, err := index.NewSet("c", pool[2], pool[1])
	require.NoError(t, err)
	list, gone := old.Reconcile(nil, index.Ready)
	require.Empty(t, gone)
	require.True(t, list.Agrees(old))
	require.False(t, list.Agrees(now))
	require.True(t, list.Ready(old.Index("team").ID()))
	next, gone := now.Reconcile(list, index.Building)
	require.Equal(t, []index.ID{old.Index("team").ID()}, gone)
	require.Equal(t, index.Catalog{
		{now.Index("age").ID(), "age", index.Ready}, {now.Index("team_age").ID(), "team_age", index.Building},
	}, next)
	require.False(t, next.Ready(now.Index("team_age").ID()))
	require.False(t, next[:1].Agrees(now))
	require.Equal(t, "building ready state 3", fmt.Sprint(index.Building, index.Ready, index.State(3)))

	p := index.AppendCatalog(nil, next)
	for cut := range p {
		_, err := index.DecodeCatalog(p[:cut])
		require.ErrorIs(t, err, index.ErrMalformed)
	}
	_, err = index.DecodeCatalog(append(p, 0))
	require.ErrorIs(t, err, index.ErrMalformed)
	p[0]++
	_, err = index.DecodeCatalog(p)
	require.ErrorIs(t, err, index.ErrTooNew)
}

func TestEntriesOfOtherIndexesAreRefused(t *testing.T) {
	m := newMemory(t, pool[0], pool[4])
	require.NoError(t, m.put("k", encode(t, map[string]any{"mail": "m"}), false))
	mail, team := m.set.Index("mail"), m.set.Index("team")
	for key, value := range m.entries {
		e := index.Entry{Key: []byte(key), Value: []byte(value)}
		ix, other := mail, team
		if lower, upper := index.Range(team.ID()); key >= string(lower) && key < string(upper) {
			ix, other = team, mail
		}
		holder, err := ix.Holder(e)
		require.NoError(t, err)
		require.Equal(t, "k", holder)
		_, err = other.Holder(e)
		require.ErrorIs(t, err, index.ErrMalformed)
		_, err = ix.Holder(index.Entry{Key: e.Key[:11]})
		require.ErrorIs(t, err, index.ErrMalformed)
		_, err = mail.Holder(index.Entry{Key: append(e.Key, 'x'), Value: e.Value})
		require.ErrorIs(t, err, index.ErrMalformed)
		_, err = mail.Holder(index.Entry{Key: e.Key})
		require.ErrorIs(t, err, index.ErrMalformed)
	}
}

// Hostile bytes in the place of entries, catalogs and tokens are errors, and what is accepted has one
// encoding.
func FuzzDecode(f *testing.F) {
	set, err := index.NewSet("people", pool...)
	if err != nil {
		f.Fatal(err)
	}
	list, _ := set.Reconcile(nil, index.Ready)
	f.Add(index.AppendCatalog(nil, list))
	doc, err := codec.Append(nil, map[string]any{"team": "red", "age": 7, "mail": "m", "tags": []any{"a"}, "name": "x y"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	var c index.Change
	if err := set.Change(&c, "key", nil, doc, false); err != nil {
		f.Fatal(err)
	}
	for _, p := range c.Put {
		f.Add(p.Key)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if list, err := index.DecodeCatalog(p); err == nil && string(index.AppendCatalog(nil, list)) != string(p) {
			t.Fatalf("% x is %v, which is % x", p, list, index.AppendCatalog(nil, list))
		}
		for _, ix := range set.Indexes() {
			if _, err := ix.Holder(index.Entry{Key: p, Value: p}); err != nil && !errors.Is(err, index.ErrMalformed) {
				t.Fatal(err)
			}
		}
		q := index.Query{After: index.Token(base64.RawURLEncoding.EncodeToString(p))}
		if _, err := set.Plan(&q, nil); err != nil && !errors.Is(err, index.ErrToken) {
			t.Fatal(err)
		}
	})
}
