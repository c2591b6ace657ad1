package main

import (
	"bytes"
	"compress/flate"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPermutationVisitsEveryKeyOnce(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 7, 100, 1023, 1024, 1025, 20_000} {
		for seed := range uint64(3) {
			p := newPermutation(n, seed)
			seen := make([]bool, n)
			for i := range n {
				at := p.at(i)
				require.Less(t, at, n)
				require.False(t, seen[at])
				seen[at] = true
			}
		}
	}
}

func TestPermutationScatters(t *testing.T) {
	const n = 10_000
	p := newPermutation(n, 1)
	neighbours, rising := 0, 0
	for i := range uint64(n - 1) {
		a, b := p.at(i), p.at(i+1)
		if b == a+1 || a == b+1 {
			neighbours++
		}
		if b > a {
			rising++
		}
	}
	require.Less(t, neighbours, 20)
	require.InDelta(t, n/2, rising, n/20)
}

func TestKeysAscendAndMissingOnesLieBetween(t *testing.T) {
	s, err := newKeyspace(5000, 16)
	require.NoError(t, err)
	var last []byte
	for i := range uint64(5000) {
		key := bytes.Clone(s.present(make([]byte, 16), i))
		missing := bytes.Clone(s.missing(make([]byte, 16), i))
		require.Len(t, key, 16)
		require.Less(t, string(last), string(key))
		require.Less(t, string(key), string(missing))
		last = missing
	}
}

func TestValuesCompressToAboutHalf(t *testing.T) {
	v := newValues(100, 1)
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.DefaultCompression)
	require.NoError(t, err)
	const n = 2000
	for range n {
		value := v.take()
		require.Len(t, value, 100)
		_, err := w.Write(value)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.InDelta(t, n*100/2, packed.Len(), n*100/8)
}

func TestForkedValuesDiffer(t *testing.T) {
	v := newValues(64, 1)
	require.NotEqual(t, v.fork(0).take(), v.fork(1).take())
	require.Len(t, newValues(3<<20, 1).take(), 3<<20)
	require.Empty(t, newValues(0, 1).take())
}
