package codec_test

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/stretchr/testify/require"
)

// requireRead requires that reading p into a T in one pass gives what validating and then reading it does.
func requireRead[T any](t testing.TB, p []byte, l *codec.Limits) {
	t.Helper()
	got, err := codec.Unmarshal[T](p, l)
	plain, errPlain := codec.UnmarshalByReflect[T](p, l)
	if fmt.Sprint(err) != fmt.Sprint(errPlain) || !reflect.DeepEqual(got, plain) {
		t.Fatalf("% x under %+v: %+v, %v, and by reflect %+v, %v", p, l, got, err, plain, errPlain)
	}
	if unsound := codec.Validate(p, l); unsound != nil {
		if fmt.Sprint(err) != fmt.Sprint(unsound) || !reflect.ValueOf(&got).Elem().IsZero() {
			t.Fatalf("% x under %+v: %+v, %v, and not %v", p, l, got, err, unsound)
		}
		return
	}
	twice, errTwice := codec.FromNode[T](codec.NodeOf(p))
	if fmt.Sprint(err) != fmt.Sprint(errTwice) {
		t.Fatalf("% x: %v in one pass, %v in two", p, err, errTwice)
	}
	a, err := codec.Append(nil, got, l)
	b, errTwice := codec.Append(nil, twice, l)
	if fmt.Sprint(err) != fmt.Sprint(errTwice) || !bytes.Equal(a, b) {
		t.Fatalf("% x: %+v in one pass, %+v in two", p, got, twice)
	}
}

func requireReads(t testing.TB, p []byte, l *codec.Limits) {
	t.Helper()
	requireRead[any](t, p, l)
	requireRead[record](t, p, l)
	requireRead[self](t, p, l)
	requireRead[map[string]string](t, p, l)
	requireRead[struct {
		A []string `msgpack:"a"`
		B []record `msgpack:"b"`
		S Upper    `msgpack:"s"`
	}](t, p, l)
	requireRead[placed](t, p, l)
}

// placed has a field of each form that is set in its place, and such fields in embedded structs.
type placed struct {
	inPlace
	*InPlace
	On    bool     `msgpack:"on"`
	Count int      `msgpack:"count"`
	Nanos took     `msgpack:"nanos"`
	Ratio ratio    `msgpack:"ratio"`
	Name  name     `msgpack:"name"`
	Tags  []string `msgpack:"tags"`
	Small int32    `msgpack:"small"`

	At   time.Time `msgpack:"at"`
	When time.Time `msgpack:"when,omitempty"`
}

type (
	took    int64
	ratio   float64
	name    string
	inPlace struct {
		Label string `msgpack:"label"`
	}
	InPlace struct {
		Long string `msgpack:"long"`
	}
)

func somePlaced() placed {
	return placed{inPlace{"é"}, &InPlace{strings.Repeat("x", 300)}, true, -77, 1 << 40, 0.5, name(strings.Repeat("y", 99)), []string{"a", "", "ü"}, 9,
		time.Date(1969, 3, 1, 12, 30, 5, 123456789, time.UTC), time.Unix(1<<33, 0).UTC()}
}

// Every byte of some encodings changed, and every end of them: the rules are those of Validate, and the errors too.
func TestOnePassIntoStructsHasTheRulesOfTwo(t *testing.T) {
	for _, v := range []any{
		full(),
		somePlaced(),
		map[string]any{"a": []any{"x", nil, "é"}, "b": []any{map[string]any{"s": "t", "unknown": map[string]any{"c": 1.5, "d": nil}}}, "s": "up", "zz": []any{}},
		self{Next: &self{Kids: []self{{}}}, Map: map[string]self{"a": {}, "b": {}}},
	} {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		step := 13
		if testing.Short() {
			step = 61
		}
		for i := range p {
			requireReads(t, p[:i], nil)
			for c := i % step; c < 256; c += step { // others for each
				was := p[i]
				p[i] = byte(c)
				requireReads(t, p, nil)
				p[i] = was
			}
		}
		for n := range 40 {
			requireReads(t, p, &codec.Limits{MaxNodes: n})
			requireReads(t, p, &codec.Limits{MaxDepth: n})
			requireReads(t, p, &codec.Limits{MaxBytes: n * len(p) / 30})
		}
	}
	for _, p := range append(hostile(),
		[]byte{0x82, 0xa1, 'a', 0x90, 0xa1, 'a', 0x90},                         // a key twice
		[]byte{0x83, 0xa1, 'b', 0x90, 0xa1, 'a', 0x90, 0xa1, 'b', 0x90},        // in no order
		[]byte{0x83, 0xa1, 'c', 1, 0xa1, 'a', 0x90, 0xa1, 'c', 1},              // that no field has
		[]byte{0x82, 0xa1, 'b', 0x90, 0xa1, 'a', 0x90},                         // in no order, each once
		[]byte{0x82, 0xd9, 1, 'a', 0x90, 0xa1, 'a', 0x90},                      // in two forms
		[]byte{0x81, 0xa1, 'c', 0x82, 0xa1, 'x', 1, 0xa1, 'x', 1},              // within what is passed over
		[]byte{0x82, 0xa5, 'o', 'l', 'd', '1', '6', 1, 0xa3, 'u', '1', '6', 2}, // by two names
	) {
		requireReads(t, p, nil)
	}
}

// What announces more values than there may be costs no memory, whether or not there are as many bytes.
func TestAnnouncingTooManyValuesCostsNoMemory(t *testing.T) {
	p := append([]byte{0xdd, 0, 0xff, 0, 0}, make([]byte, 0xff0000)...)
	for _, read := range []func() error{
		func() error { _, err := codec.Unmarshal[[]string](p, nil); return err },
		func() error { _, err := codec.Unmarshal[[]record](p, nil); return err },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.ErrorIs(t, read(), codec.ErrTooLarge)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	}
}

// Watched notes that it was read.
type Watched struct{ Read bool }

// MarshalText implements encoding.TextMarshaler.
func (Watched) MarshalText() ([]byte, error) { return []byte("w"), nil }

var watched int

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Watched) UnmarshalText([]byte) error { watched++; return nil }

// Methods of types are called once all of the bytes are known to be an encoding.
func TestMethodsReadNothingThatIsNotSound(t *testing.T) {
	p, err := codec.Append(nil, map[string]any{"A": "w", "B": int64(1)}, nil)
	require.NoError(t, err)
	_, err = codec.Unmarshal[struct{ A Watched }](p[:len(p)-1], nil)
	require.ErrorIs(t, err, codec.ErrTruncated)
	require.Zero(t, watched)
	_, err = codec.Unmarshal[struct{ A Watched }](p, nil)
	require.NoError(t, err)
	require.Equal(t, 1, watched)
}

func TestWhatAReaderReadsSharesMemoryAndNothingElse(t *testing.T) {
	type doc struct {
		Text, More string
		List       []string
	}
	of := func(i int) doc {
		d := doc{strings.Repeat("x", i*i%5000), fmt.Sprint(i), []string{}}
		for n := range i % 20 {
			d.List = append(d.List, fmt.Sprint(i, n))
		}
		return d
	}
	r := codec.NewReader[doc](nil)
	var got []doc
	for i := range 100 {
		p, err := codec.Append(nil, of(i), nil)
		require.NoError(t, err)
		var d doc
		require.ErrorIs(t, r.Read(p[:len(p)-1], &d), codec.ErrTruncated)
		require.Zero(t, d)
		require.NoError(t, r.Read(p, &d))
		clear(p)
		got = append(got, d)
		_ = append(d.List, "is not the next one's")
	}
	for i, d := range got {
		require.Equal(t, of(i), d)
	}
	p, err := codec.Append(nil, doc{List: []string{"a", "b"}}, nil)
	require.NoError(t, err)
	var d doc
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		r := codec.NewReader[doc](nil)
		for range 20 {
			d = doc{}
			_ = r.Read(p, &d)
		}
	}), 12.0)
	text := make([]byte, 100)
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		r := codec.NewReader[doc](nil)
		for range 20 {
			r.Text(text)
		}
	}), 5.0)
}

// Lists of a hundred documents used to be cut from one piece of memory: who kept one kept all of their texts.
func TestAListThatIsKeptKeepsFewTexts(t *testing.T) {
	type doc struct {
		Text string
		Tags []string
	}
	p, err := codec.Append(nil, doc{strings.Repeat("x", 3900), []string{"tag"}}, nil)
	require.NoError(t, err)
	const kept = 100
	lists := make([][]string, kept)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := codec.NewReader[doc](nil)
	for i := range 50 * kept {
		var d doc
		require.NoError(t, r.Read(p, &d))
		lists[i/50] = d.Tags
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int(after.HeapAlloc)-int(before.HeapAlloc), kept*3*4096)
	runtime.KeepAlive(lists)
}

// requireProbed requires that Probe finds in p what Field does in an encoding.
func requireProbed(t testing.TB, p []byte, path ...string) {
	n, ok := codec.Probe(p, path)
	_, _, _, _, _, _ = n.Int64(), n.Uint64(), n.Float64(), n.Time(), n.Raw(), n.Bool()
	if codec.Validate(p, nil) != nil {
		return
	}
	want := codec.NodeOf(p)
	for _, key := range path {
		want = want.Field(key)
	}
	plain := want.Kind() != codec.List && want.Kind() != codec.Map
	if ok != plain || ok && !bytes.Equal(n.Encoding(), want.Encoding()) {
		t.Fatalf("% x at %q: % x, %t, and not % x", p, path, n.Encoding(), ok, want.Encoding())
	}
}

func TestProbeFindsWhatFieldDoes(t *testing.T) {
	for name, v := range documents() {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		for key, part := range v {
			requireProbed(t, p, key)
			if m, ok := part.(map[string]any); ok {
				for inner := range m {
					requireProbed(t, p, key, inner)
				}
			}
			requireProbed(t, p, key, "none")
			for i := range len(p) {
				if n, ok := codec.Probe(p[:i], []string{key}); ok { // it lies in front of the cut
					require.Equal(t, codec.NodeOf(p).Field(key).Encoding(), n.Encoding(), name)
				}
			}
		}
		requireProbed(t, p, "none")
	}
}

// What Changes leaves out has the same bytes in both, and what it names is there, and differs.
func requireChanges(t testing.TB, old, doc []byte) (all []codec.Changed, ok bool) {
	all, ok = codec.Changes(nil, old, doc)
	for _, c := range all {
		_, _ = codec.Probe(c.Old, nil)
	}
	if !ok || codec.Validate(old, nil) != nil {
		return all, ok
	}
	v, err := codec.Decode(doc, nil)
	require.NoError(t, err)
	was, is := codec.NodeOf(old), codec.NodeOf(doc)
	differ := 0
	for key := range v.(map[string]any) {
		before, after := was.Field(key).Encoding(), is.Field(key).Encoding()
		i := slices.IndexFunc(all, func(c codec.Changed) bool { return string(c.Key) == key })
		if same := bytes.Equal(before, after); same != (i < 0) || !same && !(bytes.Equal(all[i].Old, before) && bytes.Equal(all[i].New, after)) {
			t.Fatalf("% x and % x: of %q % x becomes % x, and not %v", old, doc, key, before, after, all)
		} else if !same {
			differ++
		}
	}
	require.Len(t, all, differ)
	return all, ok
}

func TestChangesAreOfTheFieldsThatDiffer(t *testing.T) {
	other := []any{nil, true, -7, int64(1) << 40, "", strings.Repeat("long", 100), []any{"a", 1}, map[string]any{"in": []any{1}}, 0.5}
	for _, v := range documents() {
		before, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		all, ok := requireChanges(t, before, before)
		require.True(t, ok)
		require.Empty(t, all)
		keys := slices.Sorted(maps.Keys(v))
		for i, key := range keys {
			for j, value := range other {
				changed := maps.Clone(v)
				changed[key], changed[keys[0]] = value, other[(i+j)%len(other)]
				after, err := codec.Append(nil, changed, nil)
				require.NoError(t, err)
				_, ok := requireChanges(t, before, after)
				require.True(t, ok)
				for cut := range before {
					requireChanges(t, before[:cut], after)
				}
			}
		}
		more := maps.Clone(v)
		more["one more"] = 1
		after, err := codec.Append(nil, more, nil)
		require.NoError(t, err)
		_, ok = codec.Changes(nil, before, after)
		require.False(t, ok)
	}
}

func TestAReaderTellsWhetherAValueIsAsExpected(t *testing.T) {
	p, err := codec.Append(nil, somePlaced(), nil)
	require.NoError(t, err)
	r := codec.NewReader[placed](nil)
	var v placed
	require.NoError(t, r.Read(p, &v))
	for key, text := range map[string]string{"label": "é", "name": string(v.Name)} {
		require.True(t, r.Expect(key, text))
		require.True(t, r.Met(&v))
		require.True(t, r.Expect(key, text+"x"))
		require.False(t, r.Met(&v))
	}
	for key, text := range map[string]string{"long": v.Long, "count": "-77", "tags": "a", "none": "x", "label": ""} {
		require.False(t, r.Expect(key, text), key)
	}
	require.False(t, codec.NewReader[any](nil).Expect("label", "é"))
	require.False(t, codec.NewReader[Upper](nil).Expect("label", "é"))
	type aliased struct {
		A string `msgpack:"a,alias:b"`
	}
	require.False(t, codec.NewReader[aliased](nil).Expect("a", "x"), "it may have come under the other key")
	require.False(t, codec.NewReader[aliased](nil).Expect("b", "x"))
}
