package index_test

import (
	"testing"

	"github.com/loamdb/loam/state/index"
)

// What a write does to the entries of two indexes of a document of about 200 bytes.
func BenchmarkChange(b *testing.B) {
	m := newMemory(b, index.Def{Name: "user", Fields: []string{"user"}}, index.Def{Name: "tokens", Fields: []string{"tokens"}})
	doc := func(tokens int) []byte {
		return encode(b, map[string]any{
			"role": "assistant", "tokens": tokens, "model": "large-2026-03", "score": 0.93, "user": "user0001", "tags": []any{"report", "draft"},
			"text": "The report has three parts, of which the second one is still to be written.",
		})
	}
	var c index.Change
	for name, docs := range map[string][2][]byte{"new": {nil, doc(1)}, "same": {doc(1), doc(1)}, "changed": {doc(1), doc(2)}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.set.Change(&c, "turn-0000001", docs[0], docs[1], false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
