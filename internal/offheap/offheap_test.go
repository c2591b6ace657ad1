package offheap_test

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/offheap"
	"github.com/stretchr/testify/require"
)

func TestRegionsAreZeroedAlignedAndWritable(t *testing.T) {
	for _, n := range []int{3, 63, 4096, 5 << 20} {
		r, err := offheap.New(n)
		require.NoError(t, err)
		p := r.Bytes()
		require.Len(t, p, n)
		require.Zero(t, uintptr(unsafe.Pointer(&p[0]))%64)
		for _, i := range []int{0, n / 2, n - 1} {
			require.Zero(t, p[i])
			p[i] = 0xff
		}
		require.NoError(t, r.Free())
		require.Nil(t, r.Bytes())
		require.NoError(t, r.Free(), "a second Free does nothing")
	}
}

// The package said that tests find a use after Free, and did nothing for it: the slice
// stayed as it was.
func TestUseAfterFreeMeetsPoison(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("needs invariants")
	}
	for _, end := range []func(*offheap.Region){(*offheap.Region).Poison, func(r *offheap.Region) { require.NoError(t, r.Free()) }} {
		r, err := offheap.New(1000)
		require.NoError(t, err)
		p := r.Bytes()
		end(r)
		require.Equal(t, bytes.Repeat([]byte{0xDB}, 1000), p)
		require.NoError(t, r.Free())
	}
}

func TestRegionsOfNothingAreRefused(t *testing.T) {
	for _, n := range []int{0, -1} {
		_, err := offheap.New(n)
		require.Error(t, err)
	}
}
