package scopefile_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/scopefile"
	"github.com/stretchr/testify/require"
)

var made = envelope.MillisOf(time.Date(2026, 3, 1, 12, 30, 5, 250_000_000, time.UTC))

// samples are entries in their order, with everything that an entry can have.
func samples() []scopefile.Entry {
	return []scopefile.Entry{
		{Collection: "notes", Key: "1", Value: map[string]any{"text": "one", "$uint": int64(1)}, Class: envelope.Standard, Created: made},
		{Collection: "notes", Key: "10", Value: map[string]any{}, Class: envelope.Trusted, Created: made},
		{Collection: "people", Key: "1", Value: []any{int64(1), uint64(1), 1.0}, Class: envelope.External, Created: made},
		{Key: "a", Value: nil},
		{Key: "b", Value: uint64(math.MaxUint64), Class: envelope.Standard, Created: made, Updated: made + 1, Expires: envelope.MaxMillis, Correlation: "run 7"},
		{Key: "key \"of\" é", Value: []byte{0, 1, 255}, Class: envelope.Sensitive, Created: 1, Updated: 1},
		{Key: "z", Value: map[string]any{"at": made.Time(), "f": 5.0, "list": []any{nil, true, int64(math.MinInt64)}}, Class: envelope.Standard, Created: made},
	}
}

var header = scopefile.Header{
	Scope:     scope.Step("report", "draft:1"),
	Retention: scopefile.Retention{MaxAge: scopefile.MaxTime, MaxEntries: math.MaxInt64, MaxBytes: 1, DropIdle: 5},
}

func written(t testing.TB, entries []scopefile.Entry) []byte {
	var out bytes.Buffer
	w, err := scopefile.NewWriter(&out, header)
	require.NoError(t, err)
	for i := range entries {
		require.NoError(t, w.Write(&entries[i]))
	}
	require.NoError(t, w.Close())
	require.ErrorIs(t, w.Write(&scopefile.Entry{Key: "zz"}), scopefile.ErrOrder)
	require.Error(t, w.Close())
	return out.Bytes()
}

func read(r io.Reader, l *codec.Limits) (entries []scopefile.Entry, head scopefile.Header, err error) {
	f, err := scopefile.NewReader(r, l)
	if err != nil {
		return nil, scopefile.Header{}, err
	}
	for {
		e, err := f.Next()
		if err == io.EOF {
			return entries, f.Header(), nil
		}
		if err != nil {
			if _, again := f.Next(); again != err {
				return nil, scopefile.Header{}, fmt.Errorf("%w, and then %w", err, again)
			}
			return entries, f.Header(), err
		}
		entries = append(entries, *e)
	}
}

// B13, F1.
func TestAFileGivesBackWhatWasWritten(t *testing.T) {
	file := written(t, samples())
	golden.Assert(t, "testdata/scope.jsonl", file)
	for _, r := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file)), iotest.DataErrReader(bytes.NewReader(file)),
		bytes.NewReader(bytes.TrimSuffix(file, []byte("\n")))} {
		got, head, err := read(r, nil)
		require.NoError(t, err)
		require.Equal(t, header, head)
		require.Equal(t, samples(), got)
	}
	got, _, err := read(bytes.NewReader(written(t, nil)), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

// F2: wherever a file is cut, and whatever byte of it is changed, that is noticed.
func TestEveryCutAndChangeIsNoticed(t *testing.T) {
	file := written(t, samples())
	for n := range len(file) - 1 {
		_, _, err := read(bytes.NewReader(file[:n]), nil)
		require.ErrorIs(t, err, scopefile.ErrTruncated, "after %d bytes", n)
	}
	for n := range len(file) - 1 {
		changed := bytes.Clone(file)
		changed[n] ^= 1
		got, head, err := read(bytes.NewReader(changed), nil)
		if err == nil { // another spelling of the same, of the trailer alone
			require.Greater(t, n, bytes.LastIndex(file[:len(file)-1], []byte("\n")))
			require.Equal(t, samples(), got)
			require.Equal(t, header, head)
		}
	}
	lines := bytes.SplitAfter(file, []byte("\n"))
	lines[2], lines[3] = lines[3], lines[2]
	_, _, err := read(bytes.NewReader(bytes.Join(lines, nil)), nil)
	require.ErrorIs(t, err, scopefile.ErrFormat)
	lines[2], lines[3] = lines[3], nil
	_, _, err = read(bytes.NewReader(bytes.Join(lines, nil)), nil)
	require.ErrorIs(t, err, scopefile.ErrChecksum)
}

// Each with the line that it is on.
func TestWhatIsNoFileIsRefused(t *testing.T) {
	const head, key = `{"format":"loam scope","scope":"global","version":1}` + "\n", `{"key":"k","value":1`
	for text, want := range map[string]struct {
		line int64
		err  error
	}{
		"":                                   {1, scopefile.ErrTruncated},
		"x":                                  {1, scopefile.ErrFormat},
		"\x00\n":                             {1, scopefile.ErrFormat},
		"[]\n":                               {1, scopefile.ErrFormat},
		"{}\n":                               {1, scopefile.ErrFormat},
		key + "}\n":                          {1, scopefile.ErrFormat},
		strings.Replace(head, "1", "2", 1):   {1, scopefile.ErrTooNew},
		strings.Replace(head, "1", "0", 1):   {1, scopefile.ErrFormat},
		strings.Replace(head, "1", "1.0", 1): {1, scopefile.ErrFormat},
		strings.Replace(head, "global", "nothing", 1):                                  {1, scopefile.ErrFormat},
		strings.Replace(head, "loam scope", "text", 1):                                 {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"more":1,`, 1):                                    {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":{},`, 1):                              {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":1,`, 1):                               {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":{"max_entries":0},`, 1):               {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":{"max_bytes":-1},`, 1):                {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":{"max_entries":5,"more":1},`, 1):      {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":{"max_age_ms":9300000000000000},`, 1): {1, scopefile.ErrFormat},
		strings.Replace(head, "{", `{"retention":{"max_age_ms":1},`, 1) + key + ",\n":  {2, scopefile.ErrFormat},
		head:                                   {2, scopefile.ErrTruncated},
		head + "\n":                            {2, scopefile.ErrFormat},
		head + key + "}\n":                     {3, scopefile.ErrTruncated},
		head + key + ",\n":                     {2, scopefile.ErrFormat},
		head + key + `,"more":1}` + "\n":       {2, scopefile.ErrFormat},
		head + key + `,"key":"l"}` + "\n":      {2, scopefile.ErrFormat},
		head + key + `,"class":"open"}` + "\n": {2, scopefile.ErrFormat},
		head + key + `,"class":3}` + "\n":      {2, scopefile.ErrFormat},
		head + key + `,"created":1}` + "\n":    {2, scopefile.ErrFormat},
		head + key + `,"created":{"$time":"1960-01-01T00:00:00Z"}}` + "\n":       {2, scopefile.ErrFormat},
		head + key + `,"expires":{"$time":"2026-01-01T00:00:00.0001Z"}}` + "\n":  {2, scopefile.ErrFormat},
		head + key + `,"correlation":"` + strings.Repeat("x", 129) + `"}` + "\n": {2, scopefile.ErrFormat},
		head + `{"key":"k"}` + "\n":                                         {2, scopefile.ErrFormat},
		head + `{"value":1}` + "\n":                                         {2, scopefile.ErrFormat},
		head + key + "}\n" + key + "}\n":                                    {3, scopefile.ErrFormat},
		head + `{"entries":0,"sha256":"00"}` + "\n":                         {2, scopefile.ErrChecksum},
		head + `{"entries":0}` + "\n":                                       {2, scopefile.ErrFormat},
		string(written(t, nil)) + "\n":                                      {3, scopefile.ErrFormat},
		head + strings.Repeat("[", 200) + "\n":                              {2, codec.ErrTooDeep},
		head + `{"key":"k","value":` + strings.Repeat(" ", 9*(1<<10+8<<10)): {2, codec.ErrTooLarge},
	} {
		_, _, err := read(strings.NewReader(text), &codec.Limits{MaxBytes: 1 << 10})
		var where *scopefile.LineError
		require.ErrorAs(t, err, &where, "%q", text)
		require.ErrorIs(t, err, want.err, "%q", text)
		require.Equal(t, want.line, where.Line, "%q", text)
	}
	broken := errors.New("broken")
	_, _, err := read(iotest.ErrReader(broken), nil)
	require.Equal(t, broken, err)
	_, _, err = read(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)), nil)
	require.Equal(t, broken, err)
}

func TestWhatCannotBeWrittenIsNotWritten(t *testing.T) {
	for _, c := range []struct {
		entry scopefile.Entry
		want  error
	}{
		{scopefile.Entry{Key: "b", Value: 1}, scopefile.ErrOrder},
		{scopefile.Entry{Key: "a", Value: 1}, scopefile.ErrOrder},
		{scopefile.Entry{Collection: "c", Key: "z", Value: 1}, scopefile.ErrOrder},
		{scopefile.Entry{Key: "c", Value: struct{}{}}, codec.ErrType},
		{scopefile.Entry{Key: "c", Value: math.NaN()}, codec.ErrNotFinite},
	} {
		var out bytes.Buffer
		w, err := scopefile.NewWriter(&out, scopefile.Header{Scope: scope.Global()})
		require.NoError(t, err)
		require.NoError(t, w.Write(&scopefile.Entry{Key: "b", Value: nil}))
		require.ErrorIs(t, w.Write(&c.entry), c.want)
		require.ErrorIs(t, w.Close(), c.want, "it is none any more")
		_, _, err = read(&out, nil)
		require.ErrorIs(t, err, scopefile.ErrTruncated)
	}
	_, err := scopefile.NewWriter(failing{}, scopefile.Header{Scope: scope.Global()})
	require.ErrorIs(t, err, io.ErrShortWrite)
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// Any bytes, as a file and as the entries of one: no panic, and what is accepted is written again and read
// as the same.
func FuzzReader(f *testing.F) {
	file := written(f, samples())
	f.Add(file)
	lines := bytes.SplitAfter(file, []byte("\n"))
	for _, line := range lines[1 : len(lines)-2] {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.Add([]byte(`{"format":"loam scope","retention":{"max_age_ms":5,"max_bytes":7},"scope":"global","version":1}` + "\n"))
	f.Add([]byte(`{"format":"loam scope","scope":"global","version":1}` + "\n" + `{"key":"k","value":1}` + "\n" + `{"entries":1,"sha256":"00"}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		readTwice(t, p)
		body := append([]byte(`{"format":"loam scope","scope":"global","version":1}`+"\n"), p...)
		body = append(body, '\n')
		readTwice(t, fmt.Appendf(body, `{"entries":%d,"sha256":"%x"}`, bytes.Count(p, []byte("\n"))+1, sha256.Sum256(body)))
	})
}

// readTwice reads a file, writes what it has, and reads that.
func readTwice(t *testing.T, p []byte) {
	t.Helper()
	entries, head, err := read(bytes.NewReader(p), &codec.Limits{MaxBytes: 1 << 16})
	var where *scopefile.LineError
	if err != nil && !errors.As(err, &where) {
		t.Fatalf("%q: %v", p, err)
	}
	if head.Scope == (scope.Scope{}) {
		return
	}
	var out bytes.Buffer
	w, err := scopefile.NewWriter(&out, head)
	for i := range entries {
		if err == nil {
			err = w.Write(&entries[i])
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatalf("%q: %v", p, err)
	}
	again, same, err := read(bytes.NewReader(out.Bytes()), nil)
	if err != nil || len(again) != len(entries) || same != head {
		t.Fatalf("%q becomes %q: %v", p, out.Bytes(), err)
	}
	for i := range again {
		a, b := again[i], entries[i]
		if !codec.Equal(a.Value, b.Value) {
			t.Fatalf("%v becomes %v", b.Value, a.Value)
		}
		a.Value, b.Value = nil, nil
		if a != b {
			t.Fatalf("%v becomes %v", b, a)
		}
	}
}
