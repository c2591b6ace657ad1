package lsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
)

func somePositions() []Position {
	var open fileid.UID
	for i := range open {
		open[i] = byte(17 * i)
	}
	return []Position{{}, {open, 1}, {open, 1729}, {open, keys.MaxSeqNum}}
}

// Both forms of positions are what docs/formats/position.md says.
func TestPositionsHaveTheDocumentedForms(t *testing.T) {
	var out bytes.Buffer
	for _, p := range somePositions() {
		b, err := p.MarshalBinary()
		require.NoError(t, err)
		fmt.Fprintf(&out, "%s\n  %x\n", p, b)
		var q Position
		require.NoError(t, q.UnmarshalBinary(b))
		require.Equal(t, p, q)
		q, err = ParsePosition(p.String())
		require.NoError(t, err)
		require.Equal(t, p, q)
		require.Equal(t, p == Position{}, p.IsZero())
	}
	golden.Assert(t, "testdata/positions.txt", out.Bytes())
}

// A position that was changed anywhere, cut or extended is none: it would otherwise be taken
// for another place in the history.
func TestDamagedPositionsAreRefused(t *testing.T) {
	for _, p := range somePositions() {
		good, err := p.MarshalBinary()
		require.NoError(t, err)
		for i := range good {
			for bit := range 8 {
				b := bytes.Clone(good)
				b[i] ^= 1 << bit
				require.Error(t, new(Position).UnmarshalBinary(b))
			}
			require.ErrorIs(t, new(Position).UnmarshalBinary(good[:i]), ErrInvalidPosition)
		}
		require.ErrorIs(t, new(Position).UnmarshalBinary(append(good, 0)), ErrInvalidPosition)
		text := p.String()
		for i := range text {
			b := []byte(text)
			b[i] ^= 1
			require.Error(t, new(Position).UnmarshalText(b))
			_, err := ParsePosition(text[:i])
			require.Error(t, err)
		}
		for _, bad := range []string{text + "0", " " + text, strings.ToUpper(text) + "-", "0" + text, strings.Replace(text, "-", "-0", 2)} {
			_, err := ParsePosition(bad)
			require.ErrorIs(t, err, ErrInvalidPosition, bad)
		}
	}
	require.ErrorIs(t, new(Position).UnmarshalBinary([]byte{2, 1}), ErrTooNew)
	_, err := ParsePosition("2-x")
	require.ErrorIs(t, err, ErrTooNew)
	// A number without an opening, and the other way round.
	for _, p := range []Position{{seq: 3}, {open: fileid.UID{1}}, {fileid.UID{1}, keys.MaxSeqNum + 1}} {
		b, err := p.MarshalBinary()
		require.NoError(t, err)
		require.ErrorIs(t, new(Position).UnmarshalBinary(b), ErrInvalidPosition)
		_, err = ParsePosition(p.String())
		require.ErrorIs(t, err, ErrInvalidPosition)
	}
}

// What is accepted encodes to the same bytes, in both forms.
func FuzzPosition(f *testing.F) {
	for _, p := range somePositions() {
		b, _ := p.MarshalBinary()
		f.Add(b)
		f.Add([]byte(p.String()))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var p Position
		if p.UnmarshalBinary(in) == nil {
			out, err := p.MarshalBinary()
			require.NoError(t, err)
			require.Equal(t, in, out)
		}
		if q, err := ParsePosition(string(in)); err == nil {
			require.Equal(t, string(in), q.String())
		}
	})
}
