package keys_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/stretchr/testify/require"
)

func TestTrailersKeepNumberAndKind(t *testing.T) {
	for _, seq := range []keys.SeqNum{0, 1, 255, 256, 1 << 40, keys.MaxSeqNum} {
		for kind := keys.KindInvalid; kind <= keys.KindSetSealedExpiryBlob; kind++ {
			tr := keys.MakeTrailer(seq, kind)
			require.Equal(t, seq, tr.SeqNum())
			require.Equal(t, kind, tr.Kind())
			require.Equal(t, kind != keys.KindInvalid, kind.Valid())
		}
	}
	require.False(t, keys.Kind(15).Valid())
	require.Equal(t, "KIND(200)", keys.Kind(200).String())
	require.Equal(t, "7,SET", keys.MakeTrailer(7, keys.KindSet).String())
}

// Internal keys sort by user key ascending, then newest first.
// The layout of a merge was undecided: values of eight bytes passed, in which no operator
// and no schema stamp had room (docs/formats/keys.md).
func TestKindsWithAHeaderNeedRoomForIt(t *testing.T) {
	want := map[keys.Kind]int{keys.KindSetWithExpiry: 8, keys.KindSetWithExpiryBlob: 8, keys.KindExpiryMarker: 8,
		keys.KindMerge: 16, keys.KindMergeBlob: 16, keys.KindSetSealedExpiry: 8, keys.KindSetSealedExpiryBlob: 8}
	for k := range 256 {
		require.Equal(t, want[keys.Kind(k)], keys.Kind(k).MinValueLen(), keys.Kind(k))
	}
}

// What is sealed is of a kind of its own, which says else what the kind says of which it is.
func TestSealedKindsHaveTwins(t *testing.T) {
	for k := keys.Kind(0); k.Valid() || k == keys.KindInvalid; k++ {
		require.Equal(t, k.IsSealed(), k.Opened() != k, k)
		require.False(t, k.Opened().IsSealed(), k)
		require.Equal(t, k.MinValueLen(), k.Opened().MinValueLen(), k)
		require.Equal(t, k.IsBlob(), k.Opened().IsBlob(), k)
		require.Equal(t, k.Expires(), k.Opened().Expires(), k)
		require.Equal(t, k.Inline().Opened(), k.Opened().Inline(), k)
		if s := k.Sealed(); s != keys.KindInvalid {
			require.True(t, s.IsSealed(), k)
			require.Equal(t, k.Opened(), s.Opened(), k)
			require.Equal(t, s.Blob().Opened(), s.Opened().Blob(), k)
		}
	}
	require.Equal(t, keys.KindInvalid, keys.KindMerge.Sealed())
	require.Equal(t, keys.KindInvalid, keys.KindDelete.Sealed())
}

func TestOrderOfInternalKeys(t *testing.T) {
	type entry struct {
		key string
		t   keys.Trailer
	}
	want := []entry{
		{"", keys.MakeTrailer(9, keys.KindSet)},
		{"", keys.MakeTrailer(1, keys.KindDelete)},
		{"a", keys.MakeTrailer(3, keys.KindSet)},
		{"a", keys.MakeTrailer(2, keys.KindSet)},
		{"a\x00", keys.MakeTrailer(8, keys.KindSet)},
		{"b", keys.MakeTrailer(1, keys.KindSet)},
	}
	got := slices.Clone(want)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
	require.Equal(t, want, got)
	require.Zero(t, keys.Compare([]byte("a"), 5, []byte("a"), 5))
}

// A seek at a number lands before every version that may be seen, and behind the others.
func TestSeekTrailerDividesVersions(t *testing.T) {
	at := keys.SeekTrailer(5)
	for seq := keys.SeqNum(1); seq < 10; seq++ {
		for kind := keys.KindDelete; kind.Valid(); kind++ {
			c := keys.Compare(nil, at, nil, keys.MakeTrailer(seq, kind))
			require.Equal(t, seq <= 5, c <= 0)
		}
	}
}
