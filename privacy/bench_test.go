package privacy_test

import (
	"strings"
	"testing"

	"github.com/loamdb/loam/privacy"
)

// benchmarkText finds everything in a text, again and again.
func benchmarkText(b *testing.B, text any, size int) {
	p := protector(b, privacy.Redact)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Find(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClean looks through prose, JSON and code without any finding.
func BenchmarkClean(b *testing.B) {
	for name, text := range map[string]string{
		"prose": "An embedded engine keeps the state of agents, workflows and services across restarts, and says whose it is. ",
		"json":  `{"id": 12345, "name": "step 7", "at": "2024-11-26T20:42:56Z", "items": [{"sku": "A-1001", "qty": 3, "price": 12.50}], "ok": true}, `,
		"code":  "func (s *Store) Get(key string) (v any, err error) {\n\tif x := s.m[key]; x != nil {\n\t\treturn x.v[0], nil\n\t}\n\treturn nil, ErrNotFound // no key = nothing\n}\n",
	} {
		b.Run(name, func(b *testing.B) {
			text = strings.Repeat(text, 1<<16/len(text))
			benchmarkText(b, text, len(text))
		})
	}
}

// BenchmarkMixed looks through the labelled corpus: a finding in 21 lines, and a near miss in
// each of the others. It is looked through a second time with marks in it.
func BenchmarkMixed(b *testing.B) {
	var out strings.Builder
	for _, l := range corpus(2100, 3) {
		out.WriteString(l.text + "\n")
	}
	benchmarkText(b, out.String(), out.Len())
}

// BenchmarkDocument protects a small document with one finding.
func BenchmarkDocument(b *testing.B) {
	p := protector(b, privacy.Hash)
	doc := map[string]any{"role": "user", "content": "write to john@example.com when it is done", "tokens": int64(12), "tags": []any{"a", "b"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.Protect(doc); err != nil {
			b.Fatal(err)
		}
	}
}
