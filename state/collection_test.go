package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

type person struct {
	Name  string   `msgpack:"name"`
	Mail  string   `msgpack:"mail,omitempty"`
	Team  string   `msgpack:"team"`
	Age   int      `msgpack:"age"`
	Tags  []string `msgpack:"tags,omitempty"`
	Notes string   `msgpack:"notes,omitempty"`
}

var (
	byMail = index.Def{Name: "mail", Fields: []string{"mail"}, Unique: true}
	byTeam = index.Def{Name: "team_age", Fields: []string{"team", "age"}}
	byTag  = index.Def{Name: "tag", Fields: []string{"tags.*"}}
	byWord = index.Def{Name: "word", Fields: []string{"word"}, Func: state.IndexFunc(func(p person) (out [][]any) {
		for _, w := range strings.Fields(p.Notes) {
			out = append(out, []any{w})
		}
		return out
	})}
)

func people(t testing.TB, s *state.Scope, defs ...index.Def) *state.Collection[person] {
	t.Helper()
	c, err := state.OpenCollection[person](ctx, s, "people", defs...)
	require.NoError(t, err)
	return c
}

// requireAgreement fails unless the entries in the scope are exactly those of the documents.
func requireAgreement[T any](t testing.TB, s *state.Scope, c *state.Collection[T]) (docs map[string][]byte) {
	t.Helper()
	kept, err := state.Kept(s)
	require.NoError(t, err)
	docs = map[string][]byte{}
	want, got := map[string]string{}, map[string]string{}
	prefix := "\x00d" + c.Name() + "\x00"
	for key, value := range kept {
		if strings.HasPrefix(key, "\x00i") {
			got[key] = value
		}
		docKey, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		_, payload, err := envelope.Decode([]byte(value))
		require.NoError(t, err)
		docs[docKey] = payload
		var ch index.Change
		require.NoError(t, state.IndexesOf(c).Change(&ch, docKey, nil, payload, false))
		for _, p := range ch.Put {
			_, twice := want[string(p.Key)]
			require.False(t, twice)
			want[string(p.Key)] = string(p.Value)
		}
	}
	require.Equal(t, want, got)
	return docs
}

func docsOf[T any](t testing.TB, c *state.Collection[T], q index.Query) []string {
	t.Helper()
	keys := []string{}
	for d, err := range c.All(ctx, q) {
		require.NoError(t, err)
		keys = append(keys, d.Key)
	}
	return keys
}

func TestDocumentsAreFoundByTheirIndexes(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam, byTag, byWord)
		require.Equal(t, "people", c.Name())
		all := map[string]person{
			"ada": {"Ada", "ada@x", "red", 36, []string{"math", "first"}, "wrote the notes"},
			"bob": {"Bob", "bob@x", "red", 29, []string{"first"}, ""},
			"cyd": {"Cyd", "", "blue", 41, nil, "the end"},
			"dan": {"Dan", "", "red", 52, nil, ""},
		}
		for key, p := range all {
			require.NoError(t, c.Set(ctx, key, p))
		}
		for range 2 {
			for key, p := range all {
				got, err := c.Get(ctx, key)
				require.NoError(t, err)
				require.Equal(t, p, got)
			}
			for _, q := range []struct {
				want  []string
				query index.Query
				index string
			}{
				{[]string{"ada"}, index.Query{Where: []index.Cond{index.Eq("mail", "ada@x")}}, "mail"},
				{[]string{"bob", "ada", "dan"}, index.Query{Where: []index.Cond{index.Eq("team", "red")}, Order: []index.Order{index.Asc("age")}}, "team_age"},
				{[]string{"dan", "ada"}, index.Query{Where: []index.Cond{index.Eq("team", "red"), index.Ge("age", 30)}, Order: []index.Order{index.Desc("age")}}, "team_age"},
				{[]string{"ada", "bob"}, index.Query{Where: []index.Cond{index.Eq("tags.*", "first")}}, "tag"},
				{[]string{"ada", "cyd"}, index.Query{Where: []index.Cond{index.Prefix("word", "th")}}, "word"},
				{[]string{"dan", "cyd", "bob", "ada"}, index.Query{Order: []index.Order{index.Desc(index.Key)}}, ""},
				{[]string{"cyd", "dan"}, index.Query{Where: []index.Cond{index.Gt("age", 40)}, Order: []index.Order{index.Asc("name")}}, ""},
			} {
				require.Equal(t, q.want, docsOf(t, c, q.query), "%+v", q.query)
				e, err := c.Explain(ctx, q.query)
				require.NoError(t, err)
				require.Equal(t, q.index, e.Index)
			}
			requireAgreement(t, sc, c)
			f.reopen()
			sc = f.Scope(agent)
			if c = people(t, sc, byMail, byTeam, byTag, byWord); f.dir == "" {
				break
			}
		}
	})
}

// Operations on documents count as those on keys do.
func TestDocumentsCountInMetrics(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		c := people(t, f.Scope(agent), byTeam)
		require.NoError(t, c.Set(ctx, "ada", person{Team: "red"}))
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return c.In(tx.Scope(agent)).Set(ctx, "bob", person{Team: "red"}) }))
		require.Equal(t, int64(2), f.Metrics().Writes)
		reads := f.Metrics().Reads
		require.Len(t, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "red")}}), 2)
		_, err := c.Get(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, reads+3, f.Metrics().Reads)
	})
}

// A Set keeps when the document was made, and nothing else; an Update keeps class and expiry too.
func TestWhatDocumentsKeep(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		header := func() envelope.Header {
			h, _, err := envelope.Decode([]byte(kept(t, sc)["\x00dpeople\x00ada"]))
			require.NoError(t, err)
			return h
		}
		require.NoError(t, c.Set(ctx, "ada", person{}, state.WithClass(state.Trusted), state.WithTTL(time.Hour)))
		made := header().Created
		clock.advance(time.Minute)
		_, err := c.Update(ctx, "ada", func(p person, _ bool) (person, error) { p.Age++; return p, nil })
		require.NoError(t, err)
		h := header()
		require.Equal(t, []any{state.Trusted, made, made + 60_000}, []any{h.Class, h.Created, h.Updated})
		require.NoError(t, c.Set(ctx, "ada", person{}))
		h = header()
		require.Equal(t, []any{state.Standard, made}, []any{h.Class, h.Created})
		clock.advance(2 * time.Hour)
		_, err = c.Get(ctx, "ada")
		require.NoError(t, err)
	})
}

func TestPagesOfACollection(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		for i := range 25 {
			require.NoError(t, c.Set(ctx, fmt.Sprintf("p%02d", i), person{Team: "red", Age: i % 5}))
		}
		for _, order := range [][]index.Order{nil, {index.Desc("age")}, {index.Asc("name")}} {
			q := index.Query{Where: []index.Cond{index.Eq("team", "red")}, Order: order, Limit: 10}
			seen := map[string]bool{}
			for pages := 0; ; pages++ {
				r, err := c.Query(ctx, q)
				require.NoError(t, err)
				for _, d := range r.Docs {
					require.False(t, seen[d.Key])
					seen[d.Key] = true
					require.Equal(t, "red", d.Value.Team)
				}
				if q.After = r.Next; r.Next == "" {
					require.Equal(t, 2, pages)
					break
				}
				_, err = c.Delete(ctx, r.Docs[9].Key) // where the page ended
				require.NoError(t, err)
				require.NoError(t, c.Set(ctx, r.Docs[9].Key, r.Docs[9].Value))
			}
			require.Len(t, seen, 25)
		}
		r, err := c.Query(ctx, index.Query{Limit: 1})
		require.NoError(t, err)
		_, err = c.Query(ctx, index.Query{Limit: 1, After: r.Next, Order: []index.Order{index.Asc("age")}})
		require.ErrorIs(t, err, state.ErrToken)
		n := 0
		for _, err := range c.All(ctx, index.Query{Limit: 7}) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 7, n)
		for range c.All(ctx, index.Query{}) {
			break
		}
		for _, err := range c.All(ctx, index.Query{Limit: -1}) {
			require.ErrorIs(t, err, index.ErrQuery)
		}
	})
}

func TestAUniqueValueIsRefused(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "secret@x"}))
		err := c.Set(ctx, "bob", person{Mail: "secret@x"})
		var ue *index.UniqueError
		require.ErrorIs(t, err, state.ErrUnique)
		require.ErrorAs(t, err, &ue)
		require.Equal(t, index.UniqueError{Index: "mail", Key: "bob", Holder: "ada"}, *ue)
		require.NotContains(t, err.Error(), "secret")
		var e *state.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "people/bob", e.Key)
		_, err = c.Get(ctx, "bob")
		require.ErrorIs(t, err, state.ErrNotFound)

		_, err = c.Update(ctx, "ada", func(p person, found bool) (person, error) {
			require.True(t, found)
			p.Mail = "other@x"
			return p, nil
		})
		require.NoError(t, err)
		require.NoError(t, c.Set(ctx, "bob", person{Mail: "secret@x"}))

		// Within a transaction too.
		err = f.Transact(ctx, func(tx *state.Txn) error {
			in := c.In(tx.Scope(agent))
			if _, err := in.Delete(ctx, "bob"); err != nil {
				return err
			}
			if err := in.Set(ctx, "cyd", person{Mail: "secret@x"}); err != nil {
				return err
			}
			require.Equal(t, []string{"cyd"}, docsOf(t, in, index.Query{Where: []index.Cond{index.Eq("mail", "secret@x")}}))
			return in.Set(ctx, "dan", person{Mail: "other@x"})
		})
		require.ErrorIs(t, err, state.ErrUnique)
		require.Equal(t, []string{"bob"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("mail", "secret@x")}}))
		requireAgreement(t, sc, c)
	})
}

func TestTransactionsWriteDocumentsAndEntries(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		c := people(t, f.Scope(agent), byMail, byTeam)
		other := scope.Agent("other")
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			for i, name := range []scope.Scope{agent, other} {
				in := c.In(tx.Scope(name))
				if err := in.Set(ctx, "ada", person{Mail: "a@x", Age: i}); err != nil {
					return err
				}
				if _, err := in.Update(ctx, "ada", func(p person, found bool) (person, error) { p.Team = "red"; return p, nil }); err != nil {
					return err
				}
			}
			return nil
		}))
		for _, name := range []scope.Scope{agent, other} {
			in := c.In(f.Scope(name))
			require.Equal(t, []string{"ada"}, docsOf(t, in, index.Query{Where: []index.Cond{index.Eq("team", "red")}}))
			requireAgreement(t, f.Scope(name), in)
		}
	})
}

// Documents are no keys of the scope, and go where the scope goes.
func TestDocumentsGoWithTheirScope(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		require.NoError(t, sc.Set(ctx, "people/ada", "a value"))
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "a@x"}))
		page, err := sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.Len(t, page.Entries, 1)
		require.Equal(t, "a value", page.Entries[0].Value)

		snap, err := f.Snapshot()
		require.NoError(t, err)
		copied, moved := scope.Agent("copied"), scope.Agent("moved")
		_, err = sc.Copy(ctx, copied)
		require.NoError(t, err)
		require.NoError(t, sc.Move(ctx, moved))
		byThat := index.Query{Where: []index.Cond{index.Eq("mail", "a@x")}}
		require.Empty(t, docsOf(t, c, byThat))
		for _, name := range []scope.Scope{copied, moved} {
			in := c.In(f.Scope(name))
			require.Equal(t, []string{"ada"}, docsOf(t, in, byThat))
			require.NoError(t, in.Set(ctx, "bob", person{Mail: "b@x"}))
			requireAgreement(t, f.Scope(name), in)
		}
		// The handle of the scope that is gone makes a new one.
		require.NoError(t, c.Set(ctx, "cyd", person{Mail: "a@x"}))
		require.Equal(t, []string{"cyd"}, docsOf(t, c, byThat))
		requireAgreement(t, sc, c)

		then := c.In(snap.Scope(agent))
		require.Equal(t, []string{"ada"}, docsOf(t, then, byThat))
		require.ErrorIs(t, then.Set(ctx, "x", person{}), state.ErrReadOnly)
		_, err = then.Delete(ctx, "ada")
		require.ErrorIs(t, err, state.ErrReadOnly)
		require.ErrorIs(t, then.Rebuild(ctx), state.ErrReadOnly)
		require.NoError(t, snap.Close())
		require.NoError(t, sc.Drop(ctx))
		require.NoError(t, c.Rebuild(ctx))
		require.Empty(t, docsOf(t, c, index.Query{}))
	})
}

func TestIndexesOfACollectionCanBeChanged(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		before := people(t, sc, byTeam)
		for i := range 600 {
			require.NoError(t, before.Set(ctx, fmt.Sprintf("p%03d", i), person{Team: fmt.Sprint(i % 3), Mail: fmt.Sprint(i), Age: i}, state.NoSync))
		}
		c := people(t, sc, byMail, byTag)
		requireAgreement(t, sc, c)
		e, err := c.Explain(ctx, index.Query{Where: []index.Cond{index.Eq("mail", "77")}})
		require.NoError(t, err)
		require.Equal(t, "people: index mail, mail fixed\nat most 100\n"+
			"not used: tag, the query neither fixes nor bounds its first field, nor asks for its order", e.String())
		require.Equal(t, []string{"p077"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("mail", "77")}}))

		// Who still has the old ones must not write, but can read.
		require.ErrorIs(t, before.Set(ctx, "x", person{}), state.ErrReopen)
		require.ErrorIs(t, before.Rebuild(ctx), state.ErrReopen)
		require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error { return before.In(tx.Scope(agent)).Set(ctx, "x", person{}) }), state.ErrReopen)
		require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error {
			_, err := state.OpenCollection[person](ctx, tx.Scope(agent), "people", byTeam)
			return err
		}), state.ErrReopen)
		require.Len(t, docsOf(t, before, index.Query{Where: []index.Cond{index.Eq("team", "1")}}), 200)

		// An index for which documents do not fit is not there, and says which.
		require.NoError(t, c.Set(ctx, "twin", person{Mail: "other", Age: 7}))
		age := index.Def{Name: "age", Fields: []string{"age"}, Unique: true}
		_, err = state.OpenCollection[person](ctx, sc, "people", byMail, age)
		var ue *index.UniqueError
		require.ErrorAs(t, err, &ue)
		require.Equal(t, index.UniqueError{Index: "age", Key: "twin", Holder: "p007"}, *ue)
		e, err = c.Explain(ctx, index.Query{Where: []index.Cond{index.Eq("age", 7)}})
		require.NoError(t, err)
		require.Empty(t, e.Index)
		fixed := people(t, sc, byMail)
		require.NoError(t, fixed.Set(ctx, "twin", person{Mail: "other", Age: 1000}))
		requireAgreement(t, sc, people(t, sc, byMail, age))
	})
}

// An entry of a value that its document does not have, or not any more, is found out by whoever decodes the document,
// and by who does not.
func TestEntriesOfOtherValuesDisagree(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, index.Def{Name: "team", Fields: []string{"team"}})
		require.NoError(t, c.Set(ctx, "1", person{Team: "red"}))
		before := kept(t, sc)["\x00dpeople\x001"]
		require.NotEmpty(t, before)
		red := index.Query{Where: []index.Cond{index.Eq("team", "red")}}
		for _, doc := range []any{person{Team: "blue"}, map[string]any{"team": nil}, map[string]any{}, map[string]any{"team": []any{"red"}}, "red"} {
			p, err := codec.Append(nil, doc, nil)
			require.NoError(t, err)
			whole, err := codec.Append(nil, person{Team: "red"}, nil)
			require.NoError(t, err)
			head, found := bytes.CutSuffix([]byte(before), whole)
			require.True(t, found)
			require.NoError(t, state.Forge(sc, "\x00dpeople\x001", append(head, p...)))
			_, err = c.Query(ctx, red)
			require.ErrorIs(t, err, state.ErrDisagrees, "%v", doc)
			_, err = c.Query(ctx, index.Query{Where: red.Where, Order: []index.Order{index.Desc("age")}})
			require.ErrorIs(t, err, state.ErrDisagrees, "%v", doc)
			for _, err = range c.All(ctx, red) {
			}
			require.ErrorIs(t, err, state.ErrDisagrees, "%v", doc)
		}
	})
}

func TestRebuildMendsWhatDisagrees(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		for i := range 10 {
			require.NoError(t, c.Set(ctx, fmt.Sprint(i), person{Team: "red", Mail: fmt.Sprint(i)}))
		}
		require.NoError(t, state.Forge(sc, "\x00dpeople\x003", nil))
		q := index.Query{Where: []index.Cond{index.Eq("team", "red")}}
		_, err := c.Query(ctx, q)
		require.ErrorIs(t, err, state.ErrDisagrees)
		require.ErrorIs(t, c.Rebuild(ctx, "no such"), index.ErrDef)
		require.NoError(t, c.Rebuild(ctx, "team_age"))
		require.Len(t, docsOf(t, c, q), 9)
		_, err = c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("mail", "3")}})
		require.ErrorIs(t, err, state.ErrDisagrees)
		require.ErrorIs(t, c.Set(ctx, "3", person{Mail: "3"}), state.ErrDisagrees)
		for key, value := range kept(t, sc) { // one is missing, one is of another document, one is none
			switch {
			case strings.HasPrefix(key, "\x00i") && value == "5":
				require.NoError(t, state.Forge(sc, key, nil))
				require.NoError(t, state.Forge(sc, key[:10]+"\x99", []byte("5")))
			case strings.HasPrefix(key, "\x00i") && value == "6":
				require.NoError(t, state.Forge(sc, key, []byte("7")))
			}
		}
		require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error {
			return c.In(tx.Scope(agent)).Set(ctx, "3", person{Mail: "3"})
		}), state.ErrDisagrees)
		require.NoError(t, c.Rebuild(ctx))
		requireAgreement(t, sc, c)
		require.NoError(t, state.Forge(sc, "\x00cpeople", []byte{9}))
		require.ErrorIs(t, people2(sc), state.ErrTooNew)
		require.NoError(t, state.Forge(sc, "\x00cpeople", []byte{1}))
		require.ErrorIs(t, people2(sc), state.ErrMalformed)
	})
}

// Documents are validated by what reads them: a query that only needs their indexed values, or their keys, finds out all
// the same that one is none, and what is written over it takes its entries away.
func TestAQueryMeetsDocumentsThatAreNone(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		for i := range 5 {
			require.NoError(t, c.Set(ctx, fmt.Sprint(i), person{Team: "red", Mail: fmt.Sprint(i), Age: i}))
		}
		break3 := func() {
			require.NoError(t, state.Forge(sc, "\x00dpeople\x003", []byte(kept(t, sc)["\x00dpeople\x003"]+"\x00")))
		}
		break3()
		red := []index.Cond{index.Eq("team", "red")}
		for _, q := range []index.Query{
			{}, {Where: red}, {Where: []index.Cond{index.Eq("mail", "3")}}, {Where: append(red, index.Ge("name", ""))},
			{Where: red, Order: []index.Order{index.Desc("name")}}, {Where: []index.Cond{index.Ge(index.Key, "3")}},
			{Where: []index.Cond{index.Ge("name", "")}}, {Where: append(red, index.Le("age", 3))},
		} {
			_, err := c.Query(ctx, q)
			require.ErrorIs(t, err, state.ErrMalformed, "%+v", q)
			for _, err = range c.All(ctx, q) {
			}
			require.ErrorIs(t, err, state.ErrMalformed, "%+v", q)
		}
		require.Equal(t, []string{"0", "1", "2"}, docsOf(t, c, index.Query{Where: append(red, index.Lt("age", 3))}))
		require.NoError(t, c.Set(ctx, "3", person{Team: "blue", Mail: "3"}))
		require.Len(t, requireAgreement(t, sc, c), 5)
		break3()
		existed, err := c.Delete(ctx, "3")
		require.NoError(t, err)
		require.True(t, existed)
		require.Len(t, requireAgreement(t, sc, c), 4)
	})
}

// A document that cannot be read, or indexed, can be deleted, and leaves no entries behind.
func TestDocumentsThatCannotBeReadCanBeDeleted(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		broken := false
		fn := index.Def{Name: "f", Fields: []string{"f"}, Func: func([]byte) ([][]any, error) {
			if broken {
				return nil, errors.New("broken")
			}
			return [][]any{{1}}, nil
		}}
		c := people(t, sc, byMail, byTeam, fn)
		for i := range 5 {
			require.NoError(t, c.Set(ctx, fmt.Sprint(i), person{Team: "red", Mail: fmt.Sprint(i)}))
		}
		require.NoError(t, state.Forge(sc, "\x00dpeople\x001", []byte{0}))
		envelopeOnly, err := envelope.Append(nil, &envelope.Header{Class: state.Standard, Codec: envelope.MessagePack})
		require.NoError(t, err)
		require.NoError(t, state.Forge(sc, "\x00dpeople\x002", append(envelopeOnly, 0xc1)))
		for _, key := range []string{"1", "2"} {
			_, err := c.Get(ctx, key)
			require.ErrorIs(t, err, state.ErrMalformed)
			require.ErrorIs(t, c.Set(ctx, key, person{}), state.ErrMalformed)
			require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error {
				_, err := c.In(tx.Scope(agent)).Delete(ctx, key)
				return err
			}), state.ErrMalformed)
		}
		require.ErrorIs(t, c.Rebuild(ctx), state.ErrMalformed)
		for i, read := range []string{"", "team_age"} { // the second is in the way when the first is gone
			existed, err := c.Delete(ctx, fmt.Sprint(i+1))
			require.NoError(t, err)
			require.True(t, existed)
			e, err := c.Explain(ctx, index.Query{Where: []index.Cond{index.Eq("team", "red")}})
			require.NoError(t, err)
			require.Equal(t, read, e.Index)
		}
		require.Len(t, requireAgreement(t, sc, c), 3)

		broken = true
		require.ErrorIs(t, c.Set(ctx, "3", person{}), index.ErrValue)
		_, err = c.Delete(ctx, "3")
		require.NoError(t, err)
		broken = false
		require.NoError(t, c.Rebuild(ctx))
		require.Len(t, requireAgreement(t, sc, c), 2)
	})
}

func kept(t *testing.T, s *state.Scope) map[string]string {
	t.Helper()
	all, err := state.Kept(s)
	require.NoError(t, err)
	return all
}

func people2(sc *state.Scope) error {
	_, err := state.OpenCollection[person](ctx, sc, "people", byMail, byTeam)
	return err
}

// manual is a clock that goes on when it is told.
type manual struct {
	mu      sync.Mutex
	elapsed time.Duration
}

func (m *manual) Wall() time.Time {
	return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(m.Elapsed())
}

func (m *manual) Elapsed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.elapsed
}

func (m *manual) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.elapsed += d
}

// An entry lives as long as its document.
func TestEntriesExpireWithTheirDocuments(t *testing.T) {
	clock := &manual{}
	everywhere(t, &state.Options{Engine: &lsm.Options{Clock: clock}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		short, long := state.WithTTL(time.Minute), state.WithTTL(time.Hour)
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "a@x"}, short))
		require.NoError(t, c.Set(ctx, "bob", person{Mail: "b@x"}, short))
		require.NoError(t, c.Set(ctx, "cyd", person{Mail: "c@x"}, short))
		require.NoError(t, c.Set(ctx, "bob", person{Mail: "b@x"}, long))
		_, err := c.Update(ctx, "cyd", func(p person, _ bool) (person, error) { p.Age = 5; return p, nil })
		require.NoError(t, err)
		clock.advance(2 * time.Minute)
		requireAgreement(t, sc, c)
		require.Equal(t, []string{"bob"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "")}}))
		require.NoError(t, c.Set(ctx, "dan", person{Mail: "a@x"}))
		require.ErrorIs(t, c.Set(ctx, "eve", person{Mail: "b@x"}), state.ErrUnique)
		require.NoError(t, c.Set(ctx, "bob", person{Mail: "b@x"}))
		clock.advance(2 * time.Hour)
		require.Equal(t, []string{"bob", "dan"}, docsOf(t, c, index.Query{}))
		requireAgreement(t, sc, c)
	})
}

func TestWhatCollectionsRefuse(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail)
		for _, key := range []string{"", "../x", "a\\b", "__x/..", "a\x00b", strings.Repeat("x", 250), "/x"} {
			require.ErrorIs(t, c.Set(ctx, key, person{}), state.ErrKey, "%q", key)
			_, err := c.Get(ctx, key)
			require.ErrorIs(t, err, state.ErrKey, "%q", key)
		}
		require.ErrorIs(t, c.Set(ctx, "x", person{}, state.WithClass(state.Ephemeral)), state.ErrUnsupported)
		for _, path := range []string{"password", "profile.api_key", "logins.*.token"} {
			_, err := state.OpenCollection[person](ctx, sc, "people", index.Def{Name: "x", Fields: []string{path}})
			require.ErrorIs(t, err, state.ErrSensitive)
		}
		_, err := state.OpenCollection[person](ctx, sc, "a/b")
		require.ErrorIs(t, err, index.ErrDef)
		_, err = state.OpenCollection[person](ctx, sc, "people", index.Def{Name: "mail", Fields: []string{"mial"}})
		require.ErrorContains(t, err, `the type has no field "mial"`)
		require.ErrorIs(t, err, index.ErrDef)
		_, err = c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("mial", "x")}})
		require.ErrorContains(t, err, `the type has no field "mial"`)
		require.ErrorIs(t, err, index.ErrQuery)
		_, err = state.OpenCollection[person](ctx, f.Scope(scope.Agent("")), "people")
		require.ErrorIs(t, err, state.ErrScope)
		long := index.Def{Name: "notes", Fields: []string{"notes"}}
		d := people(t, f.Scope(scope.Agent("other")), long)
		require.ErrorIs(t, d.Set(ctx, "k", person{Notes: strings.Repeat("x", 2000)}), index.ErrValue)
		require.Empty(t, docsOf(t, d, index.Query{}))
		stop := errors.New("stop")
		_, err = c.Update(ctx, "k", func(person, bool) (person, error) { return person{}, stop })
		require.ErrorIs(t, err, stop)
		existed, err := c.Delete(ctx, "k")
		require.NoError(t, err)
		require.False(t, existed)
	})
}

// Writers, builds and rebuilds at the same time leave indexes that agree.
func TestConcurrentWritersLeaveIndexesThatAgree(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam, byTag)
		rounds := 300
		if testing.Short() {
			rounds = 60
		}
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 9))
				for range rounds {
					key := fmt.Sprint(rnd.IntN(12))
					p := person{Mail: fmt.Sprint(rnd.IntN(20)), Team: fmt.Sprint(rnd.IntN(2)), Tags: []string{fmt.Sprint(rnd.IntN(3)), fmt.Sprint(rnd.IntN(3))}}
					var err error
					switch rnd.IntN(4) {
					case 0:
						_, err = c.Delete(ctx, key, state.NoSync)
					case 1:
						_, err = c.Update(ctx, key, func(old person, _ bool) (person, error) { old.Age++; old.Team = p.Team; return old, nil }, state.NoSync)
					default:
						err = c.Set(ctx, key, p, state.NoSync)
					}
					if !errors.Is(err, state.ErrUnique) {
						requireNoError(t, err)
					}
					_, err = c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("team", p.Team)}})
					requireNoError(t, err)
				}
			})
		}
		wg.Go(func() {
			for range rounds / 20 {
				requireNoError(t, c.Rebuild(ctx))
			}
		})
		wg.Wait()
		requireAgreement(t, sc, c)
	})
}

// requireNoError is for goroutines, which must not end a test.
func requireNoError(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}
