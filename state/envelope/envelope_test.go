package envelope_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/state/envelope"
	"github.com/stretchr/testify/require"
)

var key42 = envelope.KeyID([]byte("0123456789abcdef"))

func minimal() envelope.Header {
	return envelope.Header{Class: envelope.Standard, Codec: envelope.MessagePack}
}

// headers are those with each field at its ends, alone and together.
func headers() []envelope.Header {
	out := []envelope.Header{minimal()}
	with := func(f func(h *envelope.Header)) {
		h := minimal()
		f(&h)
		out = append(out, h)
	}
	for c := envelope.Ephemeral; c <= envelope.External; c++ {
		with(func(h *envelope.Header) { h.Class = c })
	}
	with(func(h *envelope.Header) { h.Schema, h.SchemaVersion = 7, 2 })
	with(func(h *envelope.Header) { h.Key = key42 })
	with(func(h *envelope.Header) { h.Flags = envelope.Protected })
	with(func(h *envelope.Header) { h.Created = 1 })
	with(func(h *envelope.Header) { h.Updated = envelope.MaxMillis })
	with(func(h *envelope.Header) { h.Created, h.Updated = envelope.MaxMillis, 1 })
	with(func(h *envelope.Header) { h.Created, h.Updated = 1772368205123, 1772368205123 })
	with(func(h *envelope.Header) { h.Correlation = []byte("0195b1f2-7c1e-7b60-9a53-3f5be2a1c0d4") })
	return append(out, longest(), envelope.Header{
		Class: envelope.Sensitive, Codec: envelope.MessagePack, Schema: 7, SchemaVersion: 2, Key: key42, Created: 1772368205123, Correlation: []byte("c1"),
	})
}

func longest() envelope.Header {
	return envelope.Header{
		Class: envelope.External, Codec: envelope.MessagePack, Schema: math.MaxUint64, SchemaVersion: math.MaxUint32, Key: envelope.KeyID(bytes.Repeat([]byte{0xff}, 16)),
		Flags: envelope.Protected, Created: envelope.MaxMillis, Updated: 1, Correlation: bytes.Repeat([]byte("c"), envelope.MaxCorrelationLen),
	}
}

func TestHeadersComeBack(t *testing.T) {
	for _, h := range headers() {
		p, err := envelope.Append([]byte("front"), &h)
		require.NoError(t, err)
		require.Equal(t, "front", string(p[:5]))
		require.LessOrEqual(t, len(p)-5, envelope.MaxHeaderLen)
		p = append(p, "payload"...)
		got, payload, err := envelope.Decode(p[5:])
		require.NoError(t, err)
		require.Equal(t, h, got)
		require.Equal(t, "payload", string(payload))
	}
}

func TestAbsentFieldsCostABit(t *testing.T) {
	h := minimal()
	p, err := envelope.Append(nil, &h)
	require.NoError(t, err)
	require.Len(t, p, 3)
	h = longest()
	p, err = envelope.Append(nil, &h)
	require.NoError(t, err)
	require.Len(t, p, envelope.MaxHeaderLen)
}

func TestNothingIsAllocated(t *testing.T) {
	h := longest()
	buf := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		p, err := envelope.Append(buf, &h)
		if err != nil {
			t.Error(err)
		}
		if _, _, err = envelope.Decode(p); err != nil {
			t.Error(err)
		}
	}))
}

// The decoded slices are the input's own, and cannot be appended into it.
func TestDecodedSlicesAreOfTheInput(t *testing.T) {
	h := headers()[len(headers())-1]
	p, err := envelope.Append(nil, &h)
	require.NoError(t, err)
	p = append(p, 0xc0)
	got, payload, err := envelope.Decode(p)
	require.NoError(t, err)
	require.Same(t, &p[len(p)-1], &payload[0])
	_ = append(got.Correlation, 'x')
	require.Equal(t, byte(0xc0), payload[0])
}

// E3: each with an error of its own.
func TestWhatIsUnknownIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		p    []byte
		want error
	}{
		"nothing":         {nil, envelope.ErrTruncated},
		"version 0":       {[]byte{0, 0x0b, 0}, envelope.ErrMalformed},
		"version 2":       {[]byte{2}, envelope.ErrTooNew},
		"cut":             {[]byte{1, 0x0b}, envelope.ErrTruncated},
		"class 0":         {[]byte{1, 0x08, 0}, envelope.ErrClass},
		"class 6":         {[]byte{1, 0x0e, 0}, envelope.ErrClass},
		"codec 0":         {[]byte{1, 0x03, 0}, envelope.ErrCodec},
		"codec 2":         {[]byte{1, 0x13, 0}, envelope.ErrCodec},
		"bit of the kind": {[]byte{1, 0x4b, 0}, envelope.ErrFlags},
		"field":           {[]byte{1, 0x0b, 0x40}, envelope.ErrFlags},
		"flag":            {[]byte{1, 0x0b, 4, 2}, envelope.ErrFlags},
		"no flag":         {[]byte{1, 0x0b, 4, 0}, envelope.ErrMalformed},
		"schema 0":        {[]byte{1, 0x0b, 1, 0, 1}, envelope.ErrMalformed},
		"no version":      {[]byte{1, 0x0b, 1, 1}, envelope.ErrTruncated},
		"schema version":  {[]byte{1, 0x0b, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x10}, envelope.ErrMalformed},
		"long varint":     {[]byte{1, 0x0b, 1, 0x80, 0, 1}, envelope.ErrMalformed},
		"key cut":         {append([]byte{1, 0x0b, 2}, make([]byte, 15)...), envelope.ErrTruncated},
		"key 0":           {append([]byte{1, 0x0b, 2}, make([]byte, 16)...), envelope.ErrMalformed},
		"varint of 1":     {[]byte{1, 0x0b, 1, 0x81, 0, 1}, envelope.ErrMalformed},
		"updated late":    {[]byte{1, 0x0b, 24, 0xff, 0xb7, 0xff, 0x90, 0xfd, 0xce, 0x39, 2}, envelope.ErrMalformed},
		"endless varint":  {append([]byte{1, 0x0b, 1}, bytes.Repeat([]byte{0xff}, 11)...), envelope.ErrMalformed},
		"created 0":       {[]byte{1, 0x0b, 8, 0}, envelope.ErrMalformed},
		"created late":    {[]byte{1, 0x0b, 8, 0x80, 0xd0, 0xf7, 0xff, 0xff, 0xff, 0x7f}, envelope.ErrMalformed},
		"updated 0":       {[]byte{1, 0x0b, 24, 1, 1}, envelope.ErrMalformed},
		"no correlation":  {[]byte{1, 0x0b, 32, 0}, envelope.ErrMalformed},
		"correlation cut": {[]byte{1, 0x0b, 32, 2, 'a'}, envelope.ErrTruncated},
		"long":            {append([]byte{1, 0x0b, 32, 0x81, 1}, bytes.Repeat([]byte{'a'}, 129)...), envelope.ErrMalformed},
		"UTF-8":           {[]byte{1, 0x0b, 32, 1, 0xff}, envelope.ErrMalformed},
	} {
		_, _, err := envelope.Decode(c.p)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestHeadersOutOfRangeAreRefused(t *testing.T) {
	for name, f := range map[string]func(h *envelope.Header){
		"class":       func(h *envelope.Header) { h.Class = 0 },
		"codec":       func(h *envelope.Header) { h.Codec = 2 },
		"schema":      func(h *envelope.Header) { h.Schema = 1 },
		"version":     func(h *envelope.Header) { h.SchemaVersion = 1 },
		"flags":       func(h *envelope.Header) { h.Flags = 2 },
		"created":     func(h *envelope.Header) { h.Created = -1 },
		"updated":     func(h *envelope.Header) { h.Updated = envelope.MaxMillis + 1 },
		"correlation": func(h *envelope.Header) { h.Correlation = make([]byte, 129) },
		"UTF-8":       func(h *envelope.Header) { h.Correlation = []byte{0xff} },
	} {
		h := minimal()
		f(&h)
		p, err := envelope.Append([]byte("kept"), &h)
		require.ErrorIs(t, err, envelope.ErrHeader, name)
		require.Equal(t, "kept", string(p))
	}
}

func TestClassesHaveNames(t *testing.T) {
	for c := envelope.Ephemeral; c <= envelope.External; c++ {
		got, err := envelope.ParseClass(c.String())
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	_, err := envelope.ParseClass("Standard")
	require.ErrorIs(t, err, envelope.ErrClassName)
	require.Equal(t, "class 9", envelope.Class(9).String())
}

func TestMillis(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 30, 5, 123999999, time.UTC)
	require.Equal(t, at.Truncate(time.Millisecond), envelope.MillisOf(at).Time())
	require.Zero(t, envelope.MillisOf(time.Time{}))
	require.True(t, envelope.Millis(0).Time().IsZero())
	require.Equal(t, envelope.Millis(1), envelope.MillisOf(time.Unix(0, 0)))
	require.Equal(t, envelope.MaxMillis, envelope.MillisOf(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)))
}

func TestEnvelopesMatchTheirPage(t *testing.T) {
	var out strings.Builder
	for _, h := range headers() {
		p, err := envelope.Append(nil, &h)
		require.NoError(t, err)
		fmt.Fprintf(&out, "%-9v codec=%d schema=%d/%d key=%x flags=%d created=%d updated=%d correlation=%q\n% x\n\n",
			h.Class, h.Codec, uint64(h.Schema), h.SchemaVersion, h.Key[:], h.Flags, h.Created, h.Updated, h.Correlation, p)
	}
	golden.Assert(t, "testdata/envelopes.txt", []byte(out.String()))
}

// E2.
func FuzzDecode(f *testing.F) {
	for _, h := range headers() {
		p, err := envelope.Append(nil, &h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(p, 0xc0))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, payload, err := envelope.Decode(p)
		if err != nil {
			return
		}
		again, err := envelope.Append(nil, &h)
		if err != nil {
			t.Fatalf("% x: decodes as %+v, which is refused: %v", p, h, err)
		}
		if !bytes.Equal(append(again, payload...), p) {
			t.Fatalf("% x: decodes as %+v, which encodes as % x", p, h, again)
		}
	})
}

func BenchmarkEnvelope(b *testing.B) {
	h := headers()[len(headers())-1]
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		p, err := envelope.Append(buf, &h)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := envelope.Decode(p); err != nil {
			b.Fatal(err)
		}
	}
}
