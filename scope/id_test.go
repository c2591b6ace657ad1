package scope_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// edges are the ids around every change of length, and the greatest.
func edges() []scope.ID {
	ids := []scope.ID{0, scope.Root, scope.System, 238, 239, 240, 241}
	for shift := 8; shift < 64; shift += 8 {
		v := scope.ID(1) << shift
		ids = append(ids, v-1, v, v+1)
	}
	return append(ids, scope.MaxID-1, scope.MaxID)
}

// I1 and I2 for every pair of neighbours among small ids, which by transitivity holds
// for all of them, and I3 by decoding each.
func TestSmallIDsAreOrderedPrefixFreeAndCanonical(t *testing.T) {
	prev := scope.AppendID(nil, 0)
	for id := scope.ID(1); id < 1<<17; id++ {
		enc := scope.AppendID(nil, id)
		require.Len(t, enc, scope.EncodedLen(id))
		if bytes.Compare(prev, enc) >= 0 || bytes.HasPrefix(enc, prev) {
			t.Fatalf("%d encodes as % x after % x", id, enc, prev)
		}
		got, n, err := scope.DecodeID(enc)
		if err != nil || got != id || n != len(enc) {
			t.Fatalf("%d decodes as %d, %d, %v", id, got, n, err)
		}
		prev = enc
	}
}

func TestIDsAtChangesOfLengthAreOrderedAndPrefixFree(t *testing.T) {
	ids := edges()
	for i, a := range ids {
		for _, b := range ids[i+1:] {
			if a == b {
				continue
			}
			ea, eb := scope.AppendID(nil, a), scope.AppendID(nil, b)
			require.Negative(t, bytes.Compare(ea, eb), "%d, %d", a, b)
			require.False(t, bytes.HasPrefix(eb, ea), "%d, %d", a, b)
		}
	}
}

// The bound is above every key of the scope, however long and high, and not above the
// first key of the next scope.
func TestUpperBoundSeparatesAScopeFromTheNext(t *testing.T) {
	high := bytes.Repeat([]byte{0xff}, 300)
	for _, id := range edges() {
		bound := scope.AppendUpperBound([]byte{}, id)
		key := append(scope.AppendID(nil, id), high...)
		require.Negative(t, bytes.Compare(key, bound), "%d", id)
		if id < scope.MaxID {
			require.Equal(t, scope.AppendID(nil, id+1), bound)
		}
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	require.Equal(t, []byte{'k', 1}, scope.AppendID([]byte("k"), scope.Root))
	require.Equal(t, []byte{'k', 3}, scope.AppendUpperBound([]byte("k"), scope.System))
}

func TestDecodeReadsTheFrontOfAKey(t *testing.T) {
	id, n, err := scope.DecodeID(append(scope.AppendID(nil, 70_000), "user key"...))
	require.NoError(t, err)
	require.Equal(t, scope.ID(70_000), id)
	require.Equal(t, 4, n)
}

func TestDecodeTellsTruncatedFromMalformed(t *testing.T) {
	for _, p := range [][]byte{nil, {0xf0}, {0xf1, 1}, {0xf7, 1, 0, 0, 0, 0, 0, 0}} {
		_, n, err := scope.DecodeID(p)
		require.ErrorIs(t, err, scope.ErrTruncated, "% x", p)
		require.Zero(t, n)
	}
	last := binary.BigEndian.AppendUint64([]byte{0xf7}, math.MaxUint64)
	for _, p := range [][]byte{{0xf8}, {0xff, 1, 2, 3}, {0xf0, 0}, {0xf0, 239}, {0xf1, 0, 255}, last} {
		_, n, err := scope.DecodeID(p)
		require.ErrorIs(t, err, scope.ErrMalformed, "% x", p)
		require.Zero(t, n)
	}
}

func TestEncodingMatchesItsPage(t *testing.T) {
	var out strings.Builder
	for _, id := range edges() {
		fmt.Fprintf(&out, "%20d  % x\n", uint64(id), scope.AppendID(nil, id))
	}
	golden.Assert(t, "testdata/ids.txt", []byte(out.String()))
}

func FuzzDecodeID(f *testing.F) {
	for _, id := range edges() {
		f.Add(scope.AppendID(nil, id), uint64(id))
	}
	f.Add([]byte{0xf1, 0, 255}, uint64(0))
	f.Fuzz(func(t *testing.T, p []byte, other uint64) {
		id, n, err := scope.DecodeID(p)
		if err != nil {
			return
		}
		enc := scope.AppendID(nil, id)
		if !bytes.Equal(enc, p[:n]) || n != scope.EncodedLen(id) {
			t.Fatalf("% x decodes as %d, which encodes as % x", p, id, enc)
		}
		b := scope.ID(other)
		if b > scope.MaxID {
			return
		}
		eb := scope.AppendID(nil, b)
		if (id < b) != (bytes.Compare(enc, eb) < 0) || (id != b && bytes.HasPrefix(eb, enc)) {
			t.Fatalf("%d: % x, %d: % x", id, enc, b, eb)
		}
		// Whatever follows the id, the key stays below the scope's bound.
		if bytes.Compare(p, scope.AppendUpperBound(nil, id)) >= 0 {
			t.Fatalf("% x is not below the bound of %d", p, id)
		}
	})
}
