package lsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/manifest"
)

func someAnchors() []Anchor {
	a := Anchor{
		keyring:  crypto.Anchor{UID: fileid.UID{1, 2, 3}, Epoch: 7, Digest: [32]byte{31: 9}},
		manifest: manifest.Anchor{File: 12, UID: fileid.UID{15: 4}, Record: 300},
	}
	return []Anchor{{}, a}
}

// The text of an anchor is what docs/formats/anchor.md says.
func TestAnchorsHaveTheDocumentedForm(t *testing.T) {
	var out bytes.Buffer
	for _, a := range someAnchors() {
		fmt.Fprintf(&out, "%q\n", a)
		var b Anchor
		require.NoError(t, b.UnmarshalText([]byte(a.String())))
		require.Equal(t, a, b)
		p, err := json.Marshal(map[string]Anchor{"anchor": a})
		require.NoError(t, err)
		var m map[string]Anchor
		require.NoError(t, json.Unmarshal(p, &m))
		require.Equal(t, a, m["anchor"])
	}
	golden.Assert(t, "testdata/anchors.txt", out.Bytes())
}

// A text that was changed anywhere, cut or extended is none: it would otherwise be an anchor that
// asks for less, or for what never was.
func TestDamagedAnchorsAreRefused(t *testing.T) {
	text := []byte(someAnchors()[1].String())
	for i := range text {
		b := bytes.Clone(text)
		b[i] ^= 1
		require.Error(t, new(Anchor).UnmarshalText(b))
		if i > 0 {
			require.ErrorIs(t, new(Anchor).UnmarshalText(text[:i]), ErrInvalidAnchor)
		}
	}
	require.ErrorIs(t, new(Anchor).UnmarshalText(append(text, "00"...)), ErrInvalidAnchor)
	require.ErrorIs(t, new(Anchor).UnmarshalText(bytes.ToUpper(text)), ErrInvalidAnchor)
	require.ErrorIs(t, new(Anchor).UnmarshalText([]byte("02a62346b3")), ErrTooNew)
}

// What is accepted is the text that it gives.
func FuzzAnchor(f *testing.F) {
	for _, a := range someAnchors() {
		f.Add([]byte(a.String()))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var a Anchor
		if a.UnmarshalText(text) == nil {
			require.Equal(t, string(text), a.String())
		}
	})
}
