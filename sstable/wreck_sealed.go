package sstable

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

// identifySealed finds out which encrypted table it is, and reports whether it is one. The
// header is made anew from the salt it has, and identity and key where they are known:
// whatever opens under that shows that it is the one which was written.
func (w *Wreck) identifySealed(head []byte) (sealed bool, err error) {
	h, err := decodeHeader(head)
	whole := err == nil
	switch {
	case len(head) < headerLen && w.o.KeyID != 0:
		return true, w.refuse(-1, fmt.Errorf("%w: header: %w", seal.ErrAuth, errLength))
	case whole && h.keyID == 0 && w.o.KeyID == 0, len(head) < headerLen:
		return false, nil
	case whole && w.o.UID == (fileid.UID{}):
		err = h.agrees(h.uid, w.o.KeyID)
	case whole:
		err = h.agrees(w.o.UID, w.o.KeyID)
	case errors.Is(err, ErrTooNew):
		return true, fmt.Errorf("sstable: %s: %w", w.o.Name, err)
	case w.o.KeyID != 0, w.o.OpenCipher != nil && head[11] == trailerTag:
		h, err = w.guessHeader(head), nil
	default:
		return false, nil
	}
	if err != nil {
		return true, w.refuse(0, err)
	}
	w.guard, err = h.guard(w.o.OpenCipher)
	w.uid, w.head = h.uid, h
	switch {
	case err == nil && (whole || w.opensAnything()):
		return true, nil
	case !whole && w.o.KeyID == 0: // it may be a plain one, damaged there
		return false, nil
	case err != nil:
		return true, fmt.Errorf("sstable: %s: %w", w.o.Name, err)
	}
	return true, w.refuse(0, fmt.Errorf("%w: header: %w", seal.ErrAuth, errChecksum))
}

// guessHeader makes a header of one that is damaged.
func (w *Wreck) guessHeader(head []byte) header {
	h := header{uid: w.o.UID, keyID: w.o.KeyID, salt: seal.Salt(head[32:64])}
	if h.uid == (fileid.UID{}) {
		h.uid = fileid.UID(head[16:32])
	}
	if h.keyID == 0 {
		h.keyID = seal.KeyID(binary.LittleEndian.Uint64(head[64:]))
	}
	return h
}

// opensAnything reports whether footer or data open under the header.
func (w *Wreck) opensAnything() bool {
	if w.size-w.head.footerSpace() >= headerLen {
		if _, err := w.readFooter(); err == nil {
			return true
		}
	}
	s := w.finderOver(headerLen, w.size)
	if _, payload := s.data(headerLen); payload != nil {
		return true
	}
	_, found := s.search(headerLen)
	return found
}

// Blocks of an encrypted table look like nothing from their beginning, but the head of a
// trailer stands in clear before each tag. Other bytes look like one once in a gibibyte, and
// those around a true one, up to headRun before it, more often.
const headRun = 3

// trailer returns where the first head of a trailer may be at or behind a place, -1 if nowhere.
func (s *finder) trailer(from int64) int64 {
	for at := from; s.to-at >= block.TagTrailerLen && s.budget > 0; {
		p, err := s.w.win.read(at, min(s.to-at, windowBytes))
		if err != nil {
			return -1
		}
		n := len(p) - block.TagTrailerLen
		for i := range n + 1 {
			if block.EndsSealed(p[i:]) {
				s.budget -= int64(i) + 1
				return at + int64(i)
			}
		}
		s.budget -= int64(n) + 1
		at += int64(n) + 1
	}
	return -1
}

// sealedEnds tries the places where the block may end that begins at a place.
func (s *finder) sealedEnds(at int64, open func(at, length int64) (int64, []byte)) (int64, []byte) {
	first := s.trailer(at)
	for t := first; t >= 0 && t <= first+headRun; t = s.trailer(t + 1) {
		if end, payload := open(at, t+block.TagTrailerLen-at); payload != nil {
			return end, payload
		}
	}
	return 0, nil
}

// searchSealed is search in an encrypted table: a block begins where another ends.
func (s *finder) searchSealed(from int64) (at int64, found bool) {
	for t := s.trailer(from); t >= 0; t = s.trailer(t + 1) {
		at = t + block.TagTrailerLen
		if _, payload := s.data(at); payload != nil {
			return at, true
		}
	}
	return 0, false
}
