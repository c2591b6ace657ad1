package block

import "github.com/loamdb/loam/internal/keys"

// How a block is found where nothing says where it lies: the index that knew is damaged.
// A data block tells its own length, a compressed one the most that it can be. What these
// functions answer is a guess that any bytes may provoke; Open and Decode decide.

// ExtentHead is how many bytes Extent and CompressedBound look at.
const ExtentHead = wideHeaderLen

// Extent guesses the length of the uncompressed data block that begins with p, of which
// ExtentHead bytes are enough. A block says its length in its last column entry, which may
// lie beyond p: then at is where in the block the entry is, width how long, and n what to
// add to its value; width is 0 where n is the length already. ok is false where no block
// can begin.
func Extent(p []byte) (n, at uint64, width int, ok bool) {
	if len(p) < ExtentHead {
		return 0, 0, 0, false
	}
	flags := le.Uint16(p[8:])
	header, w := uint64(narrowHeaderLen), uint64(2)
	count, prefix, suffix := uint64(le.Uint16(p[10:])), uint64(le.Uint16(p[12:])), uint64(le.Uint16(p[14:]))
	if flags&flagWide != 0 {
		header, w = wideHeaderLen, 4
		count, prefix, suffix = uint64(le.Uint32(p[12:])), uint64(le.Uint32(p[16:])), uint64(le.Uint32(p[20:]))
		if le.Uint16(p[10:]) != 0 {
			return 0, 0, 0, false
		}
	}
	lenWidth, seqWidth := uint64(lenWidths[flags>>lenWidthShift&3]), uint64(flags>>seqWidthShift&7)
	if flags&^knownFlags != 0 || count == 0 || prefix+suffix > keys.MaxKeyLen || lenWidth != 0 && suffix != 0 {
		return 0, 0, 0, false
	}
	offs := header + prefix + count*(headLen+lenWidth)
	rows := offs + count*seqWidth
	if flags&flagKinds != 0 {
		rows += count
	}
	if flags&flagFixedRows == 0 {
		rows += (count + 1) * w
		return rows, offs + count*w, int(w), rows <= maxWide
	}
	if lenWidth != 0 {
		return 0, 0, 0, false
	}
	rows += w
	return rows, offs, int(w), rows <= maxWide
}

// ExtentWith returns the length that Extent has begun to guess, given the column entry that
// it asked for. p is what Extent was given.
func ExtentWith(p []byte, n uint64, entry []byte) (length int, ok bool) {
	v := uint64(0)
	for i := len(entry) - 1; i >= 0; i-- {
		v = v<<8 | uint64(entry[i])
	}
	flags := le.Uint16(p[8:])
	if flags&flagFixedRows != 0 {
		count := uint64(le.Uint16(p[10:]))
		if flags&flagWide != 0 {
			count = uint64(le.Uint32(p[12:]))
		}
		v *= count
	}
	n += v
	wide := flags&flagWide != 0
	return int(n), n <= maxWide && wide == (n > maxNarrow)
}

// CompressedBound guesses whether a compressed payload begins with p, ExtentHead bytes, and
// how long it is at most when it is sealed.
func CompressedBound(p []byte) (limit int, ok bool) {
	if len(p) < ExtentHead {
		return 0, false
	}
	n := le.Uint32(p)
	if n == 0 || n > MaxPayloadLen {
		return 0, false
	}
	if frame := p[lengthPrefix:ExtentHead]; !CodecS2.begins(frame, int(n)) && !CodecZstd.begins(frame, int(n)) {
		return 0, false
	}
	return int(n) - int(n)/8 + TrailerLen, true // else it would not have been compressed
}

// EndsSealed reports whether p, the TrailerLen bytes at its end, may end a sealed block.
func EndsSealed(p []byte) bool {
	return len(p) >= TrailerLen && p[0] <= byte(CodecZstd) && p[1] == 0 && p[2] == 0 && p[3] == 0
}
