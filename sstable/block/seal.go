package block

// A sealed block (docs/formats/block.md), with a checksum and encrypted:
//
//	payload, or length u32 and compressed payload | codec u8 | dictionary u8 | flags u16 | checksum u32
//	ciphertext of these                           | codec u8 | dictionary u8 | flags u16 | tag 16
//
// The checksum covers everything before it and is seeded with the file and the place; the
// tag covers them too. Which it is the file's header says, not the block.

// Seal appends payload, sealed for the given offset in the guard's file, to dst.
// The payload is compressed with c unless that saves less than an eighth; it must not
// overlap dst and be at most MaxPayloadLen long. Codecs other than the named ones are
// taken for CodecNone. The error is seal.ErrOrdinal, of an encrypted file whose blocks do not
// come in the order of their offsets; dst then is as it was. It may be called concurrently.
func Seal(dst []byte, c Codec, g *Guard, offset int64, payload []byte) ([]byte, error) {
	start := len(dst)
	if c == CodecS2 || c == CodecZstd {
		dst = appendCompressed(dst, c, payload)
		if n := len(dst) - start; n > len(payload)-len(payload)/8 || n > len(payload) {
			dst, c = dst[:start], CodecNone
		}
	} else {
		c = CodecNone
	}
	if c == CodecNone {
		dst = append(dst, payload...)
	}
	if g.Encrypted() {
		return g.encrypt(dst, start, c, offset)
	}
	dst = append(dst, byte(c), 0, 0, 0)
	return le.AppendUint32(dst, checksum(g.Seed, offset, dst[start:])), nil
}
