package tuple_test

import (
	"bytes"
	"testing"

	"github.com/loamdb/loam/internal/tuple"
)

// What Decode accepts is what Append makes (I3), on any input.
func FuzzDecode(f *testing.F) {
	for _, v := range adversarial() {
		f.Add(appendAny(nil, v))
	}
	f.Add([]byte{0x50, 0x40, 'a', 0x00, 0xff, 0x00, 0x01, 0x00, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		v, n, err := tuple.Decode(p)
		if err != nil {
			if n != 0 {
				t.Fatalf("length %d beside %v", n, err)
			}
			return
		}
		if again := appendAny(nil, toAny(t, v)); !bytes.Equal(again, p[:n]) {
			t.Fatalf("% x decodes as %#v, which encodes as % x", p[:n], toAny(t, v), again)
		}
	})
}

// Any two values keep their order (I1), neither is a prefix of the other (I2), and both
// come back.
func FuzzOrder(f *testing.F) {
	f.Add([]byte{3, 1, 5}, []byte{3, 17, 5})
	f.Add([]byte{7, 2, 'a', 0}, []byte{7, 3, 'a', 0, 1})
	f.Add([]byte{9, 2, 7, 1, 'a', 4, 3, 1, 2, 3}, []byte{9, 1, 9, 3, 5, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{6, 24, 1, 0}, []byte{8, 1, 255})
	f.Fuzz(func(t *testing.T, p, q []byte) {
		a, b := (&source{p}).value(1), (&source{q}).value(1)
		ea, eb := appendAny(nil, a), appendAny(nil, b)
		want := compareAny(a, b)
		if got := bytes.Compare(ea, eb); got != want {
			t.Fatalf("%#v is % x, %#v is % x: %d, want %d", a, ea, b, eb, got, want)
		}
		if want != 0 && bytes.HasPrefix(eb, ea) {
			t.Fatalf("%#v is % x, a prefix of %#v, % x", a, ea, b, eb)
		}
		v, n, err := tuple.Decode(append(ea, eb...))
		if err != nil || n != len(appendAny(nil, a)) || compareAny(a, toAny(t, v)) != 0 {
			t.Fatalf("%#v: %d, %v", a, n, err)
		}
	})
}
