package codec

import (
	"reflect"
	"strings"
	"unsafe"
)

// Reader reads values into Ts, one after the other, as Unmarshal does. Their strings share pieces of memory of at
// most 2 KiB, each of which stays as long as one of them, but for those of values of more than 4 KiB; short lists of strings in
// one piece share memory too, which stays with all its strings as long as one of the lists. That makes fewer allocations than
// Unmarshal. It is for one goroutine, and must not be copied.
type Reader[T any] struct {
	shape *shape
	value typed // that is read
	piece strings.Builder
	size  int // of the piece
	lists lists

	expected     *field // which Expect was told of
	expectedText string
}

// NewReader returns a Reader under limits.
func NewReader[T any](l *Limits) *Reader[T] {
	r := &Reader[T]{shape: shapeOf(reflect.TypeFor[T]())}
	r.value.limits, r.value.lists = l.WithDefaults(), &r.lists
	return r
}

// Read reads the value whose encoding p is into a T that is zero. An error leaves the zero T.
func (r *Reader[T]) Read(p []byte, to *T) error {
	d := &r.value
	d.p, d.pos, d.nodes, d.room = p, 0, d.limits.MaxNodes, len(p)
	if d.text, d.sound = "", false; len(p) <= sharedText && len(p) <= d.limits.MaxBytes {
		d.text = r.Text(p)
	}
	err := d.read(r.shape, reflect.ValueOf(to).Elem())
	if d.p = nil; err != nil {
		var zero T
		*to = zero
	}
	return err
}

// Expect makes Met tell whether a value's own value under key is text, which is not empty. It reports whether Met can:
// whether T is a struct with a string for that key, and for no other.
func (r *Reader[T]) Expect(key, text string) bool {
	r.expected = nil
	if r.shape.op != opStruct || r.shape.read != methodNone || text == "" {
		return false
	}
	i, found := r.shape.fields.byName[key]
	if !found {
		return false
	}
	f := &r.shape.fields.list[i]
	if f.form != formString || f.aliased {
		return false
	}
	r.expected, r.expectedText = f, text
	return true
}

// Met reports whether a value that Read has read is as Expect was told, which has returned true.
func (r *Reader[T]) Met(v *T) bool {
	return *(*string)(unsafe.Add(unsafe.Pointer(v), r.expected.offset)) == r.expectedText
}

// Text returns a copy of p, which shares memory with strings of values.
func (r *Reader[T]) Text(p []byte) string {
	if len(p) > r.piece.Cap()-r.piece.Len() {
		const more = 64 // a short one besides: if no other one follows, little is left over
		r.size = max(min(4*r.size, sharedText/2), len(p)+more)
		r.piece.Reset()
		r.lists.next()
		r.piece.Grow(r.size)
	}
	from := r.piece.Len()
	r.piece.Write(p)
	return r.piece.String()[from:]
}
