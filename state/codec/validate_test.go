package codec_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/loamdb/loam/state/codec"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

func TestMalformedBytesAreRefusedByRule(t *testing.T) {
	float := func(bits uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0xcb}, bits) }
	for name, c := range map[string]struct {
		p      []byte
		want   error
		offset int
	}{
		"nothing":             {nil, codec.ErrTruncated, 0},
		"c1":                  {[]byte{0xc1}, codec.ErrMalformed, 0},
		"c1 within":           {[]byte{0x92, 0xc0, 0xc1}, codec.ErrMalformed, 2},
		"int":                 {[]byte{0xd3, 0, 0, 0, 0, 0, 0, 0}, codec.ErrTruncated, 0},
		"uint":                {[]byte{0xcd, 1}, codec.ErrTruncated, 0},
		"float":               {[]byte{0xca, 0, 0, 0}, codec.ErrTruncated, 0},
		"string":              {[]byte{0xa3, 'a', 'b'}, codec.ErrTruncated, 0},
		"long string":         {[]byte{0xdb, 0xff, 0xff, 0xff, 0xff}, codec.ErrTruncated, 0},
		"bytes":               {[]byte{0xc6, 0x7f, 0xff, 0xff, 0xff}, codec.ErrTruncated, 0},
		"list":                {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, codec.ErrTruncated, 0},
		"list of one too few": {[]byte{0x92, 0xc0}, codec.ErrTruncated, 0},
		"map":                 {[]byte{0xdf, 0x80, 0, 0, 0}, codec.ErrTruncated, 0},
		"map without value":   {[]byte{0x82, 0xa1, 'a', 0xa1, 'b'}, codec.ErrTruncated, 5},
		"length cut":          {[]byte{0xdc, 0}, codec.ErrTruncated, 0},
		"trailing":            {[]byte{0xc0, 0xc0}, codec.ErrTrailing, 1},
		"integer key":         {[]byte{0x81, 1, 1}, codec.ErrMapKey, 1},
		"bytes as key":        {[]byte{0x81, 0xc4, 0, 1}, codec.ErrMapKey, 1},
		"key twice":           {[]byte{0x82, 0xa1, 'a', 1, 0xa1, 'a', 1}, codec.ErrDuplicateKey, 4},
		"key twice, apart":    {[]byte{0x83, 0xa1, 'b', 1, 0xa1, 'a', 1, 0xa1, 'b', 1}, codec.ErrDuplicateKey, 8},
		"UTF-8":               {[]byte{0xa2, 'a', 0xff}, codec.ErrNotUTF8, 0},
		"UTF-8 at the end":    {append([]byte{0xd9, 100}, strings.Repeat("x", 99)+"\xc3"...), codec.ErrNotUTF8, 0},
		"UTF-8 later":         {append([]byte{0xd9, 100}, strings.Repeat("x", 50)+"\xc3"+strings.Repeat("x", 49)...), codec.ErrNotUTF8, 0},
		"UTF-8 of a key":      {[]byte{0x81, 0xa1, 0x80, 1}, codec.ErrNotUTF8, 1},
		"NaN":                 {float(math.Float64bits(math.NaN())), codec.ErrNotFinite, 0},
		"infinity":            {float(math.Float64bits(math.Inf(-1))), codec.ErrNotFinite, 0},
		"small NaN":           {[]byte{0xca, 0x7f, 0xc0, 0, 0}, codec.ErrNotFinite, 0},
		"extension":           {[]byte{0xd6, 5, 0, 0, 0, 0}, codec.ErrExtension, 0},
		"extension of 1":      {[]byte{0xd4, 0xff, 0}, codec.ErrExtension, 0},
		"interned string":     {[]byte{0xd4, 0x80, 0}, codec.ErrExtension, 0},
		"huge extension":      {[]byte{0xc9, 0xff, 0xff, 0xff, 0xff}, codec.ErrExtension, 0},
		"time cut":            {[]byte{0xd7, 0xff, 0, 0}, codec.ErrTruncated, 0},
		"time without type":   {[]byte{0xd7}, codec.ErrTruncated, 0},
		"time of 11":          {[]byte{0xc7, 11, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, codec.ErrExtension, 0},
		"nanoseconds":         {[]byte{0xd7, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, codec.ErrTimeRange, 0},
		"late":                {[]byte{0xc7, 12, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x3a, 0xff, 0xf4, 0x41, 0x80}, codec.ErrTimeRange, 0},
		"early":               {[]byte{0xc7, 12, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xf1, 0x88, 0x6e, 0x08, 0xff}, codec.ErrTimeRange, 0},
	} {
		err := codec.Validate(c.p, nil)
		require.ErrorIs(t, err, c.want, name)
		var fe *codec.FormatError
		require.ErrorAs(t, err, &fe, name)
		require.Equal(t, c.offset, fe.Offset, name)
		_, err = codec.Decode(c.p, nil)
		require.ErrorIs(t, err, c.want, name)
		_, err = codec.Unmarshal[map[string]string](c.p, nil)
		require.ErrorIs(t, err, c.want, name)
	}
}

// What other writers make: long forms, floats of 32 bits, maps in any order.
func TestFormsOfOtherWritersAreAccepted(t *testing.T) {
	for _, c := range []struct {
		p    []byte
		want any
	}{
		{[]byte{0xd3, 0, 0, 0, 0, 0, 0, 0, 5}, int64(5)},
		{[]byte{0xd1, 0xff, 0xff}, int64(-1)},
		{[]byte{0xcf, 0, 0, 0, 0, 0, 0, 0, 5}, uint64(5)},
		{[]byte{0xca, 0x3f, 0xc0, 0, 0}, 1.5},
		{[]byte{0xdb, 0, 0, 0, 1, 'x'}, "x"},
		{[]byte{0xc6, 0, 0, 0, 1, 'x'}, []byte("x")},
		{[]byte{0xdd, 0, 0, 0, 1, 7}, []any{int64(7)}},
		{[]byte{0xdf, 0, 0, 0, 2, 0xa1, 'b', 1, 0xa1, 'a', 2}, map[string]any{"a": int64(2), "b": int64(1)}},
	} {
		got, err := codec.Decode(c.p, nil)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}

// hostile are few bytes that claim to be many.
func hostile() [][]byte {
	var out [][]byte
	for _, c := range []byte{0xc6, 0xc9, 0xdb, 0xdd, 0xdf} {
		for _, n := range []uint32{1 << 16, 1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			out = append(out, binary.BigEndian.AppendUint32([]byte{c}, n))
		}
	}
	return append(out, []byte{0xdc, 0xff, 0xff, 0xc0, 0xc0}, []byte{0xde, 0xff, 0xff, 0xa0, 0xc0})
}

// B21: five bytes of hostile MessagePack cost no more memory than five bytes of anything.
func TestFiveHostileBytesCostNoMemory(t *testing.T) {
	const calls = 100
	for _, p := range hostile() {
		within := append([]byte{0x81, 0xa1, 'a'}, p...) // as a part, too
		for _, p := range [][]byte{p, within} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range calls {
				_, err := codec.Decode(p, nil)
				require.Error(t, err)
				_, err = codec.Unmarshal[map[string][]string](p, nil)
				require.Error(t, err)
				_, err = codec.Unmarshal[struct{ A []byte }](p, nil)
				require.Error(t, err)
			}
			runtime.ReadMemStats(&after)
			require.Less(t, (after.TotalAlloc-before.TotalAlloc)/calls, uint64(8<<10), "% x", p)
		}
	}
}

// Nodes are held against their limit before memory is made for them: a list of 65,536 once took a mebibyte to be
// refused.
func TestTooManyNodesCostNoMemory(t *testing.T) {
	p := append([]byte{0xdd, 0, 1, 0, 0}, bytes.Repeat([]byte{0xc0}, 1<<16)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := codec.Decode(p, &codec.Limits{MaxNodes: 1 << 16})
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, codec.ErrTooLarge)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
	_, err = codec.Decode(p, &codec.Limits{MaxNodes: 1<<16 + 1})
	require.NoError(t, err)
}

// What is accepted takes memory in proportion to its bytes and nodes.
func TestAcceptedBytesCostMemoryInProportion(t *testing.T) {
	const n = 16384
	for name, c := range map[string]struct {
		element []byte
		nodes   uint64
	}{
		"nils": {[]byte{0xc0}, 1}, "lists": {[]byte{0x90}, 1}, "maps": {[]byte{0x81, 0xa0, 0xc0}, 3}, "ints": {[]byte{0xd1, 1, 0}, 1},
		"strings": {[]byte{0xa1, 'x'}, 1},
	} {
		p := append([]byte{0xdc, n >> 8, 0}, bytes.Repeat(c.element, n)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := codec.Decode(p, nil)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Len(t, v, n)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/(n*c.nodes), uint64(128), name)
	}
}

func TestValidatingAllocatesNothing(t *testing.T) {
	for _, v := range []any{turn(), wide(1000)} {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		// The list of keys is made anew once it was collected, and now and then under the race
		// detector.
		least := math.Inf(1)
		for range 20 {
			least = min(least, testing.AllocsPerRun(1, func() {
				if codec.Validate(p, nil) != nil {
					t.Error("refused")
				}
			}))
		}
		require.Zero(t, least)
	}
}

// Sorting the keys of maps in disorder is not quadratic: a million keys in seconds would be.
func TestManyKeysInDisorderAreChecked(t *testing.T) {
	const n = 50_000
	p := binary.BigEndian.AppendUint32([]byte{0xdf}, n)
	for i := range n {
		p = append(p, 0xa3, byte(i)&0x7f, byte(i>>7)&0x7f, byte(i>>14)&0x7f, 0xc0)
	}
	require.NoError(t, codec.Validate(p, nil))
	copy(p[len(p)-4:], p[6:9]) // the last key becomes the first
	require.ErrorIs(t, codec.Validate(p, nil), codec.ErrDuplicateKey)
}

// What the validator stands in front of: without it the test of hostile bytes must fail. Half a
// million entries are asked for here; five bytes can ask for four billion.
func TestTheLibraryBelievesLengths(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var v map[string]any
	require.Error(t, msgpack.Unmarshal([]byte{0xdf, 0, 8, 0, 0}, &v))
	runtime.ReadMemStats(&after)
	require.Greater(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}

// Why the library does not read unchecked bytes, nor write what may be no value.
func TestTheLibraryAcceptsWhatIsRefusedHere(t *testing.T) {
	for name, p := range map[string][]byte{
		"trailing": {0xc0, 0xc0}, "twice": {0x82, 0xa1, 'a', 1, 0xa1, 'a', 2}, "NaN": {0xca, 0x7f, 0xc0, 0, 0}, "UTF-8": {0xa1, 0xff},
	} {
		var v any
		require.NoError(t, msgpack.Unmarshal(p, &v), name)
		require.Error(t, codec.Validate(p, nil), name)
	}
	signed, err := msgpack.Marshal(struct{ N int }{200})
	require.NoError(t, err)
	unsigned, err := msgpack.Marshal(struct{ N uint }{200})
	require.NoError(t, err)
	require.Equal(t, signed, unsigned)
}
