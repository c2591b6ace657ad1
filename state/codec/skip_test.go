package codec

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// skip passes over each kind of value, however it is written, as Validate does.
func TestSkipPassesOverAllOfAValue(t *testing.T) {
	values := []any{
		nil, true, false, int64(7), int64(-3), int64(-100), int64(300), int64(1 << 20), int64(1 << 40), uint64(200), uint64(1 << 15),
		uint64(1 << 30), uint64(1 << 62), 0.5, "", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("x", 255),
		strings.Repeat("x", 256), strings.Repeat("x", 70_000), []byte{}, make([]byte, 300), time.Unix(5, 0), time.Unix(5, 6), time.Unix(-5, 6),
		[]any{"a", []any{int64(1000), 0.25}, strings.Repeat("y", 40)}, map[string]any{"k": map[string]any{"l": strings.Repeat("z", 50)}},
	}
	encodings := [][]byte{{float32c, 0x3f, 0, 0, 0}, {int8c, 5}, {str16, 0, 1, 'a'}}
	for _, v := range values {
		p, err := Append(nil, v, nil)
		require.NoError(t, err)
		encodings = append(encodings, p)
	}
	for _, p := range encodings {
		require.NoError(t, Validate(p, nil), "%x", p[:1])
		require.Equal(t, len(p), skip(append(p, 0xff, 0xff)), "%x", p[:1])
	}
}

func BenchmarkField(b *testing.B) {
	p, err := Append(nil, map[string]any{
		"role": "assistant", "tokens": int64(412), "model": "large-2026-03", "score": 0.93, "tags": []any{"report", "draft"},
		"text": "The report has three parts, of which the second one is still to be written.", "user": "user000017",
	}, nil)
	require.NoError(b, err)
	for b.Loop() {
		if NodeOf(p).Field("user").Kind() != String {
			b.Fatal("not found")
		}
	}
}
