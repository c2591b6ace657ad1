package codec_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/interleave"
	"github.com/loamdb/loam/state/codec"
	"github.com/vmihailenco/msgpack/v5"
)

// turn is a turn of an agent's conversation.
func turn() map[string]any {
	return map[string]any{
		"role": "assistant",
		"content": "The build fails because the generated file is older than its source. " +
			"I shall regenerate it, run the tests of the package, and report what changes.",
		"at":          time.Date(2026, 3, 1, 12, 30, 5, 123456789, time.UTC),
		"turn":        int64(1729),
		"tokens":      map[string]any{"prompt": int64(10_512), "completion": int64(311), "total": int64(10_823)},
		"temperature": 0.2,
		"tools":       []any{"read_file", "run", "search"},
		"final":       false,
		"parent":      nil,
		"correlation": "0195b1f2-7c1e-7b60-9a53-3f5be2a1c0d4",
	}
}

// config is an agent's configuration.
func config() map[string]any {
	return map[string]any{
		"model": "sonnet-large", "temperature": 0.7, "max_tokens": int64(4096), "stream": true, "retries": int64(3),
		"timeout_ms": int64(30_000), "stop": []any{"END", "STOP"}, "system": "You are careful and brief.", "seed": uint64(1 << 63),
	}
}

// toolResult is what a search tool returns.
func toolResult() map[string]any {
	hits := []any{}
	for i := range 20 {
		hits = append(hits, map[string]any{
			"path": "internal/manifest/edit_decode.go", "line": int64(100 + 37*i), "score": 1.0 / float64(i+1),
			"text":  "if err := d.Err(); err != nil { return fmt.Errorf(\"edit %d: %w\", n, err) }",
			"range": map[string]any{"from": int64(i * 1000), "to": int64(i*1000 + 80)}, "exact": i%2 == 0,
		})
	}
	return map[string]any{"tool": "search", "ok": true, "took_ms": int64(84), "hits": hits, "raw": []byte("0123456789abcdef")}
}

func documents() map[string]map[string]any {
	return map[string]map[string]any{"turn": turn(), "config": config(), "tool": toolResult()}
}

func BenchmarkAppend(b *testing.B) {
	for name, doc := range documents() {
		b.Run(name+"/codec", func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = codec.Append(buf[:0], doc, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
		b.Run(name+"/library", func(b *testing.B) {
			b.ReportAllocs()
			var buf bytes.Buffer
			enc := msgpack.NewEncoder(&buf)
			enc.SetSortMapKeys(true)
			for b.Loop() {
				buf.Reset()
				if err := enc.Encode(doc); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(buf.Len()))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, doc := range documents() {
		p, err := codec.Append(nil, doc, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/codec", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := codec.Decode(p, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/validate", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if err := codec.Validate(p, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/library", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				var v map[string]any
				if err := msgpack.Unmarshal(p, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchTurn is turn as a struct.
type benchTurn struct {
	Role        string           `msgpack:"role"`
	Content     string           `msgpack:"content"`
	At          time.Time        `msgpack:"at"`
	Turn        int              `msgpack:"turn"`
	Tokens      map[string]int64 `msgpack:"tokens"`
	Temperature float64          `msgpack:"temperature"`
	Tools       []string         `msgpack:"tools"`
	Final       bool             `msgpack:"final"`
	Parent      *string          `msgpack:"parent"`
	Correlation string           `msgpack:"correlation"`
}

func BenchmarkStruct(b *testing.B) {
	p, err := codec.Append(nil, turn(), nil)
	if err != nil {
		b.Fatal(err)
	}
	v, err := codec.Unmarshal[benchTurn](p, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("append/codec", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			if buf, err = codec.Append(buf[:0], &v, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append/library", func(b *testing.B) {
		b.ReportAllocs()
		var buf bytes.Buffer
		enc := msgpack.NewEncoder(&buf)
		for b.Loop() {
			buf.Reset()
			if err := enc.Encode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read/codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.Unmarshal[benchTurn](p, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read/library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var t benchTurn
			if err := msgpack.Unmarshal(p, &t); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What a single pass is worth: beside two, and beside the library, which validates nothing.
func BenchmarkDecodeBeside(b *testing.B) {
	for name, doc := range documents() {
		p, err := codec.Append(nil, doc, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			interleave.Run(b, 50,
				interleave.Side{Name: "once", Call: func() error { _, err := codec.Decode(p, nil); return err }},
				interleave.Side{Name: "twice", Call: func() error { _, err := codec.DecodeTwice(p, nil); return err }},
				interleave.Side{Name: "library", Call: func() error { var v any; return msgpack.Unmarshal(p, &v) }})
		})
	}
}
