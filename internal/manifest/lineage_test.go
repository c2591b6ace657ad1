package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// A number belongs to the opening that gave it out, and to none where a crash made it nobody's.
func TestNumbersHavePlacesOnTheLineage(t *testing.T) {
	a, b, c, d := fileid.UID{1}, fileid.UID{2}, fileid.UID{3}, fileid.UID{4}
	s := &manifest.State{Lineage: []manifest.Open{
		{ID: a, First: 1},
		{ID: b, First: 101, Gap: 60},  // a crash: 40 was the last number found
		{ID: c, First: 201, Gap: 160}, // another one, and nothing in between
		{ID: d, First: 251},
	}}
	for _, p := range []struct {
		n, number keys.SeqNum
		opening   fileid.UID
	}{
		{0, 0, fileid.UID{}}, {1, 1, a}, {40, 40, a}, {41, 40, a}, {100, 40, a}, {101, 40, a}, {200, 40, a},
		{201, 201, c}, {250, 250, c}, {251, 251, d}, {9999, 9999, d},
	} {
		opening, number, ok := s.Place(p.n)
		require.True(t, ok)
		require.Equal(t, p.opening, opening, "%d", p.n)
		require.Equal(t, p.number, number, "%d", p.n)
		require.True(t, s.OnLineage(opening, number))
	}
	for _, p := range []manifest.Open{{ID: a, First: 41}, {ID: a, First: 100}, {ID: b, First: 101}, {ID: b, First: 100},
		{ID: c, First: 251}, {ID: c, First: 200}, {ID: d, First: 250}, {ID: fileid.UID{9}, First: 5}, {First: 1}, {ID: a}} {
		require.False(t, s.OnLineage(p.ID, p.First), "%v", p)
	}
}

// What a store held before its first opening is that opening's.
func TestContentsOlderThanTheLineageHaveAPlace(t *testing.T) {
	a := fileid.UID{1}
	s := &manifest.State{}
	_, _, ok := s.Place(7)
	require.False(t, ok)
	s.Lineage = []manifest.Open{{ID: a, First: 8}, {ID: fileid.UID{2}, First: 20}}
	opening, number, ok := s.Place(7)
	require.True(t, ok)
	require.Equal(t, a, opening)
	require.EqualValues(t, 7, number)
	require.True(t, s.OnLineage(a, 7))
	require.False(t, s.OnLineage(a, 6))
	_, _, ok = s.Place(6)
	require.False(t, ok)
}

// A gap is kept, and one that reaches below the first number is none.
func TestGapsOfTheLineageAreKept(t *testing.T) {
	s := &manifest.State{}
	e := &manifest.Edit{Opened: &manifest.Open{ID: fileid.UID{1}, First: 101, Gap: 60}}
	p := manifest.AppendEdit(nil, e)
	decoded, err := manifest.DecodeEdit(p)
	require.NoError(t, err)
	require.Equal(t, e.Opened, decoded.Opened)
	s, err = s.Apply(decoded)
	require.NoError(t, err)
	require.EqualValues(t, 40, s.Lineage[0].Found())
	_, err = s.Apply(&manifest.Edit{Opened: &manifest.Open{ID: fileid.UID{2}, First: 101, Gap: 101}})
	require.ErrorIs(t, err, manifest.ErrInvalidEdit)
	_, err = s.Apply(&manifest.Edit{Opened: &manifest.Open{ID: fileid.UID{2}, First: 0, Gap: 1}})
	require.ErrorIs(t, err, manifest.ErrInvalidEdit)
}
