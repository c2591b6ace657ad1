package sstable

import (
	"errors"

	"github.com/loamdb/loam/sstable/block"
)

// finder looks for sealed blocks in [from, to) of a file where no index says where they
// lie. Blocks lie back to back, so that the end of one is normally the beginning of the
// next. What it takes for a block has the checksum of one at that place of that file, or the tag:
// wreck_sealed.go has how those of encrypted tables are found.
type finder struct {
	w        *Wreck
	from, to int64
	// budget is how many bytes may still be looked at in vain: hostile bytes could make a
	// block seem to begin everywhere and end everywhere.
	budget int64
}

const (
	// maxMetaBytes bounds the filter chunks, partitions and the like that are passed over
	// where the footer is lost.
	maxMetaBytes = 1 << 20
	budgetBase   = 64 << 20
	budgetFactor = 64
)

func (w *Wreck) finderOver(from, to int64) finder {
	return finder{w: w, from: from, to: to, budget: budgetBase + budgetFactor*(to-from)}
}

// scanned moves to the next data block of the region under w.scan.
func (w *Wreck) scanned() bool {
	s := &w.scan
	for s.from < s.to {
		if w.footer == nil && s.to == w.size && s.to-s.from == w.head.footerSpace() {
			s.from = s.to // the footer, whose damage is listed
			break
		}
		if w.err = w.ctx.Err(); w.err != nil {
			return false
		}
		at := s.from
		end, payload := s.data(at)
		if payload == nil && w.footer == nil {
			if end = s.meta(at); end > 0 {
				s.from = end
				w.tailSeen = true
				continue
			}
		}
		if payload == nil {
			start, found := s.search(at + 1)
			if !found {
				start = s.to
			}
			w.lose(Damage{Offset: at, Len: start - at, Entries: true, Err: w.refuse(at, errUnreadable)})
			s.from = start
			continue
		}
		s.from = end
		if err := w.enter(payload); err != nil {
			w.lose(Damage{Offset: at, Len: end - at, Entries: true, Err: w.refuse(at, err)})
			continue
		}
		if w.left > 0 {
			return true
		}
	}
	return false
}

var errUnreadable = errors.New("no block can be read here")

// search returns where the first data block at or after from begins.
func (s *finder) search(from int64) (at int64, found bool) {
	if s.w.guard.Encrypted() {
		return s.searchSealed(from)
	}
	for at = from; at+minSealed <= s.to && s.budget > 0; at++ {
		s.budget--
		if _, payload := s.data(at); payload != nil {
			return at, true
		}
	}
	return 0, false
}

// data returns the payload of the data block that begins at a place, and where it ends; nil
// if none does.
func (s *finder) data(at int64) (end int64, payload []byte) {
	if s.w.guard.Encrypted() {
		return s.sealedEnds(at, s.open)
	}
	var head [block.ExtentHead]byte // zeros behind the region
	n := min(int64(len(head)), s.to-at)
	p, err := s.w.win.read(at, n)
	if err != nil {
		return 0, nil
	}
	copy(head[:], p)
	if length, from, width, ok := block.Extent(head[:]); ok && int64(length)+block.TrailerLen <= s.to-at {
		if entry, err := s.w.win.read(at+int64(from), int64(width)); err == nil {
			if total, ok := block.ExtentWith(head[:], length, entry); ok {
				if end, payload = s.open(at, int64(total)+block.TrailerLen); payload != nil {
					return end, payload
				}
			}
		}
	}
	if limit, ok := block.CompressedBound(head[:]); ok {
		return s.compressed(at, min(int64(limit), s.to-at))
	}
	return 0, nil
}

// open opens the sealed block of a length if there is one, with a data block in it.
func (s *finder) open(at, length int64) (end int64, payload []byte) {
	n := int64(s.w.guard.TrailerLen())
	if length < n || length > s.to-at {
		return 0, nil
	}
	tail, err := s.w.win.read(at+length-n, n)
	if err != nil || !block.EndsSealed(tail) {
		return 0, nil
	}
	s.budget -= length
	if s.budget < 0 {
		return 0, nil
	}
	payload, err = s.w.sealed(span{at, length}, s.w.rawLimit())
	if err != nil {
		return 0, nil
	}
	if _, err := block.Decode(payload); err != nil {
		return 0, nil
	}
	return at + length, payload
}

// compressed looks for the end of a compressed block of at most limit bytes.
func (s *finder) compressed(at, limit int64) (end int64, payload []byte) {
	return s.ends(at, limit, func(codec byte) bool { return codec != byte(block.CodecNone) }, s.open)
}

// meta returns where the sealed block ends that begins at a place, whatever it holds; 0 if
// there is none.
func (s *finder) meta(at int64) int64 {
	end, _ := s.ends(at, min(maxMetaBytes, s.to-at), func(codec byte) bool { return codec == byte(block.CodecNone) },
		func(at, length int64) (int64, []byte) {
			if s.budget -= length; s.budget < 0 {
				return 0, nil
			}
			if _, err := s.w.sealed(span{at, length}, 0); err != nil {
				return 0, nil
			}
			return at + length, []byte{}
		})
	return end
}

// ends tries every place within limit where a sealed block that begins at a place may end.
// It reads pieces that grow, so that a length that is only claimed takes no memory.
func (s *finder) ends(at, limit int64, codec func(byte) bool, open func(at, length int64) (int64, []byte)) (int64, []byte) {
	if s.w.guard.Encrypted() {
		return s.sealedEnds(at, open)
	}
	seen := int64(0) // ends below it have been tried
	for piece := int64(32 << 10); ; piece *= 2 {
		n := min(piece, limit)
		p, err := s.w.win.read(at, n)
		if err != nil {
			return 0, nil
		}
		if s.budget -= n; s.budget < 0 {
			return 0, nil
		}
		for i := max(seen, 0); i+block.TrailerLen <= n; i++ {
			if !block.EndsSealed(p[i:n]) || !codec(p[i]) {
				continue
			}
			if end, payload := open(at, i+block.TrailerLen); payload != nil {
				return end, payload
			}
			if p, err = s.w.win.read(at, n); err != nil { // it may have moved the window
				return 0, nil
			}
		}
		if n == limit {
			return 0, nil
		}
		seen = max(n-block.TrailerLen+1, 0)
	}
}
