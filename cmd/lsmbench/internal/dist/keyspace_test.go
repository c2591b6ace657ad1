package dist

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func newKeys(t testing.TB, n uint64, size string) *Keyspace {
	t.Helper()
	s, err := NewKeyspace(n, parseSizeOf(t, size))
	require.NoError(t, err)
	return s
}

func TestKeysOfConstantSizeAreDigits(t *testing.T) {
	s := newKeys(t, 5000, "16")
	for _, i := range []uint64{0, 1, 7, 4999, 123_456_789} {
		require.Equal(t, fmt.Sprintf("%016d", 2*i), string(s.Present(nil, i)))
		require.Equal(t, fmt.Sprintf("%016d", 2*i+1), string(s.Missing(nil, i)))
	}
	require.Equal(t, strings.Repeat("0", 96)+"9998", string(newKeys(t, 5000, "100").Present(nil, 4999)))
	require.Equal(t, 16, s.MaxLen())
	require.Equal(t, 16.0, s.MeanLen())
}

func TestKeysAscendAndMissingOnesLieBetween(t *testing.T) {
	const n = 20_000
	for _, size := range []string{"5", "16", "uniform:5-40", "uniform:16-200", "lognormal:30,0.8,8-100", "lognormal:100,0.3"} {
		s := newKeys(t, n, size)
		lengths := parseSizeOf(t, size)
		var last []byte
		total := 0
		for i := range uint64(n) {
			key := s.Present(nil, i)
			missing := s.Missing(nil, i)
			if want := lengths.At(i); len(key) != want || len(missing) != want {
				require.FailNow(t, "length", "%s: %q, %q, want %d", size, key, missing, want)
			}
			if bytes.Compare(last, key) >= 0 || bytes.Compare(key, missing) >= 0 {
				require.FailNow(t, "order", "%s: %q, %q, %q", size, last, key, missing)
			}
			last = missing
			total += len(key)
		}
		require.InEpsilon(t, s.MeanLen(), float64(total)/n, 0.03, size)
	}
}

func TestMissingKeysAreNeverPresent(t *testing.T) {
	const n = 20_000
	s := newKeys(t, n, "uniform:6-12")
	present := map[string]bool{}
	for i := range uint64(n) {
		present[string(s.Present(nil, i))] = true
	}
	require.Len(t, present, n)
	for i := range uint64(n) {
		require.False(t, present[string(s.Missing(nil, i))])
	}
}

func TestKeysBeginWithTheirNumberAndGoOnWithLetters(t *testing.T) {
	s := newKeys(t, 1000, "uniform:8-60")
	fills := map[string]bool{}
	letters := make([]int, 16)
	for i := range uint64(10_000) {
		key := s.Present(nil, i)
		require.Equal(t, fmt.Sprintf("%08d", 2*i), string(key[:8]))
		for _, c := range key[8:] {
			letters[c-'a']++
		}
		if len(key) >= 40 {
			require.False(t, fills[string(key[8:40])])
			fills[string(key[8:40])] = true
		}
	}
	requireDistribution(t, letters, func(int) float64 { return 1.0 / 16 })
}

// Stores outlive the program that filled them, so keys must not change.
func TestKeysAreFixedForever(t *testing.T) {
	s := newKeys(t, 1000, "uniform:8-60")
	require.Equal(t, "00000000pknmnblhpgohjbnebjolmpidigcaimkkofenpflgejaldj", string(s.Present(nil, 0)))
	require.Equal(t, "00000002omgfhjmbeleihnpafjmofhckpmkael", string(s.Present(nil, 1)))
	require.Equal(t, "00000003nopibalnhjiibkgjdbdblglbjjpamh", string(s.Missing(nil, 1)))
	require.Equal(t, "00000006aaaopo", string(s.Present(nil, 3)))
}

func TestKeysAreWrittenOverWhatWasThere(t *testing.T) {
	s := newKeys(t, 1000, "uniform:8-60")
	dst := make([]byte, 0, s.MaxLen())
	for i := range uint64(1000) {
		key := s.Present(dst, i)
		require.Same(t, &dst[:1][0], &key[0])
		require.Equal(t, s.Present(nil, i), key)
		require.Equal(t, key, s.Present(bytes.Repeat([]byte("zz"), 50), i))
	}
}

func TestKeyspaceRefusesKeysThatAreTooShort(t *testing.T) {
	for _, c := range []struct {
		n    uint64
		size string
		fits bool
	}{
		{0, "1", true}, {4, "1", true}, {5, "1", false}, {5, "2", true}, {0, "0", false}, {49, "2", true}, {50, "2", false},
		{math.MaxInt64, "20", true}, {math.MaxInt64, "19", false}, {math.MaxInt64 + 1, "20", false},
		{1000, "uniform:4-100", true}, {1000, "uniform:3-100", false}, {1000, "lognormal:100,0.8", false},
	} {
		s, err := NewKeyspace(c.n, parseSizeOf(t, c.size))
		if !c.fits {
			require.Error(t, err, "%d records, size %s", c.n, c.size)
			continue
		}
		require.NoError(t, err, "%d records, size %s", c.n, c.size)
		if c.n > 0 {
			require.Contains(t, string(s.Missing(nil, c.n-1)), fmt.Sprint(2*c.n-1))
		}
	}
	require.Panics(t, func() { newKeys(t, 4, "1").Present(nil, 5) }, "not over another record's key")
	for size, nines := range map[string]int{"1": 1, "2": 2, "16": 16, "19": 19} {
		s := newKeys(t, 1, size)
		require.Equal(t, strings.Repeat("9", nines), string(s.Missing(nil, s.Last())), size)
	}
	require.EqualValues(t, math.MaxInt64-1, newKeys(t, 1, "20").Last())
}

// The numbers are FNV-1a's by hand: h = 0xcbf29ce484222325; for each of the eight bytes,
// the lowest first, h = (h xor byte)·1099511628211 modulo 2^64; negated where the top
// bit is set. The first two keys are known from YCSB's own data.
func TestYCSBKeysAreThoseOfYCSB(t *testing.T) {
	for i, want := range map[uint64]string{
		0:              "user6284781860667377211",
		1:              "user8517097267634966620",
		2:              "user1820151046732198393",
		3:              "user4052466453699787802",
		10:             "user2408371864701034737",
		255:            "user8064062821143829734",
		256:            "user2056600594528442646",
		1_000_000:      "user1011632231655643464",
		10_000_000_000: "user1201321332300452516",
		1<<40 + 7:      "user6089181255519459853",
	} {
		require.Equal(t, want, string(YCSBKey(nil, i)))
		require.Equal(t, want, string(YCSBKey([]byte("something that was there before"), i)))
	}
}

func TestFNVIsTheLibrarysButForTheSign(t *testing.T) {
	rng, negated := newRand(31), 0
	for range 10_000 {
		v := rng.Uint64()
		h := fnv.New64a()
		require.NoError(t, binary.Write(h, binary.LittleEndian, v))
		want := int64(h.Sum64())
		if want < 0 {
			want, negated = -want, negated+1
		}
		require.Equal(t, uint64(want), fnv64(v))
	}
	require.InDelta(t, 5000, negated, 500)
}

func TestKeysDoNotAllocate(t *testing.T) {
	s, i := newKeys(t, 1_000_000, "uniform:16-100"), uint64(0)
	dst := make([]byte, 0, 100)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		s.Present(dst, i)
		s.Missing(dst, i)
		YCSBKey(dst, i)
		i++
	}))
}
