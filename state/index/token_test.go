package index_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// tokenOf returns the token after one document of a collection with a few.
func tokenOf(t *testing.T, m *memory, q index.Query) index.Token {
	for i := range 3 {
		require.NoError(t, m.put(fmt.Sprint(i), encode(t, map[string]any{"team": "red", "age": i}), false))
	}
	q.Limit = 1
	_, next, err := m.page(&q)
	require.NoError(t, err)
	require.NotEmpty(t, next)
	return next
}

func TestTokensOfOtherQueriesAreRefused(t *testing.T) {
	m := newMemory(t, pool[0], pool[1])
	red, old := index.Eq("team", "red"), index.Ge("age", 0)
	queries := []index.Query{
		{}, {Where: []index.Cond{red}}, {Where: []index.Cond{old}}, {Where: []index.Cond{red, old}}, {Where: []index.Cond{index.Gt("age", -1)}},
		{Order: []index.Order{index.Asc("age")}}, {Order: []index.Order{index.Desc("age")}}, {Order: []index.Order{index.Asc("x")}},
		{Where: []index.Cond{red}, Order: []index.Order{index.Asc("age")}}, {Order: []index.Order{index.Desc(index.Key)}},
	}
	for i, q := range queries {
		token := tokenOf(t, m, q)
		for j, other := range queries {
			other.Limit, other.After = 50, token
			_, _, err := m.page(&other)
			if i == j {
				require.NoError(t, err)
				continue
			}
			var te *index.TokenError
			require.ErrorAs(t, err, &te, "%d %d", i, j)
			require.ErrorIs(t, err, index.ErrToken)
		}
		other := newMemory(t, pool[0], pool[1])
		other.set, _ = index.NewSet("others", pool[0], pool[1])
		q.After = token
		_, _, err := other.page(&q)
		require.ErrorIs(t, err, index.ErrToken)
	}
}

func TestDamagedTokensAreRefused(t *testing.T) {
	m := newMemory(t, pool[0])
	q := index.Query{Where: []index.Cond{index.Eq("team", "red")}}
	token := tokenOf(t, m, q)
	raw, err := base64.RawURLEncoding.DecodeString(string(token))
	require.NoError(t, err)
	try := func(token index.Token) error {
		q.After = token
		_, _, err := m.page(&q)
		return err
	}
	require.NoError(t, try(token))
	for i := range raw {
		for _, change := range []byte{1, 0x80} {
			raw[i] ^= change
			require.ErrorIs(t, try(index.Token(base64.RawURLEncoding.EncodeToString(raw))), index.ErrToken, "byte %d", i)
			raw[i] ^= change
		}
		if i < len(raw)-1 {
			require.ErrorIs(t, try(index.Token(base64.RawURLEncoding.EncodeToString(raw[:i+1]))), index.ErrToken)
		}
	}
	raw[0] = 2
	require.ErrorContains(t, try(index.Token(base64.RawURLEncoding.EncodeToString(raw))), "later version")
	for _, text := range []string{"!", "AQ", string(token) + "=", string(token) + " ", string(make([]byte, 9000))} {
		require.ErrorIs(t, try(index.Token(text)), index.ErrToken)
	}
}

// A token needs the plan that it came from, and gets it although a better one has come up.
func TestTokensKeepTheirPlan(t *testing.T) {
	m := newMemory(t, pool[0])
	q := index.Query{Where: []index.Cond{index.Eq("team", "red"), index.Ge("age", 0)}}
	q.After = tokenOf(t, m, q)
	better, err := index.NewSet("people", pool[0], pool[2])
	require.NoError(t, err)
	p, err := better.Plan(&q, nil)
	require.NoError(t, err)
	require.Equal(t, "team", p.Explain().Index)
	p, err = better.Plan(&index.Query{Where: q.Where}, nil)
	require.NoError(t, err)
	require.Equal(t, "team_age", p.Explain().Index)

	none, err := index.NewSet("people", pool[2])
	require.NoError(t, err)
	_, err = none.Plan(&q, nil)
	require.ErrorIs(t, err, index.ErrToken)
	_, err = m.set.Plan(&q, func(index.ID) bool { return false })
	require.ErrorIs(t, err, index.ErrToken)
}
