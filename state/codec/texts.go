package codec

import "strings"

// Texts makes strings of bytes, several in one piece of memory, which stays as long as one of them: at most 4 KiB, but
// for longer ones. The zero Texts is empty. It is for one goroutine, and must not be copied.
type Texts struct {
	piece strings.Builder
	size  int // of the piece
}

// Copy returns a copy of p.
func (t *Texts) Copy(p []byte) string {
	if len(p) > t.piece.Cap()-t.piece.Len() {
		const more = 64 // a short one besides: if no other one follows, little is left over
		t.size = max(min(4*t.size, sharedText), len(p)+more)
		t.piece.Reset()
		t.piece.Grow(t.size)
	}
	from := t.piece.Len()
	t.piece.Write(p)
	return t.piece.String()[from:]
}
