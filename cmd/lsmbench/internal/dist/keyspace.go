package dist

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Keyspace makes the keys of numbered records. Key i begins with the number 2i in
// decimal, padded with zeros to the length of the shortest key, so that byte order is
// numeric order; the odd numbers between are the keys that are missing. Letters fill
// the key up to its own length, which Size.At gives. Where all keys are equally long
// there is nothing to fill, and keys are digits. It is safe for many goroutines.
type Keyspace struct {
	size   Size
	digits int
	last   uint64
}

// NewKeyspace returns the keys of n records and more, as far as the digits go.
func NewKeyspace(n uint64, size Size) (*Keyspace, error) {
	if n > math.MaxInt64 {
		return nil, fmt.Errorf("%d records cannot be numbered", n)
	}
	if need := len(strconv.FormatUint(2*n, 10)); size.Min() < need {
		return nil, fmt.Errorf("keys of %d bytes cannot number %d records: at least %d are needed", size.Min(), n, need)
	}
	last := uint64(math.MaxInt64 - 1)
	if size.Min() < len(strconv.FormatUint(math.MaxUint64, 10)) {
		last = min(last, uint64(math.Pow10(size.Min()))/2-1) // whose missing neighbour is all nines
	}
	return &Keyspace{size: size, digits: size.Min(), last: last}, nil
}

// Last returns the last record whose key, and the missing one that follows it, fit.
func (s *Keyspace) Last() uint64 { return s.last }

// Present writes key i over dst, and returns it. It allocates if dst has no room.
func (s *Keyspace) Present(dst []byte, i uint64) []byte { return s.write(dst, 2*i, i) }

// Missing writes the absent key that follows key i, and is as long, over dst, and
// returns it. It allocates if dst has no room.
func (s *Keyspace) Missing(dst []byte, i uint64) []byte { return s.write(dst, 2*i+1, i) }

// MaxLen returns the length of the longest key.
func (s *Keyspace) MaxLen() int { return s.size.Max() }

// MeanLen returns the mean length of keys.
func (s *Keyspace) MeanLen() float64 { return s.size.Mean() }

func (s *Keyspace) write(dst []byte, number, i uint64) []byte {
	length := s.size.At(i)
	dst = slices.Grow(dst[:0], length)[:length]
	rest, at := number, s.digits
	for ; at > 0 && rest != 0; rest /= 10 {
		at--
		dst[at] = byte('0' + rest%10)
	}
	for ; at > 0; at-- {
		dst[at-1] = '0'
	}
	if rest != 0 {
		// Going on would write over another record.
		panic(fmt.Sprintf("dist: record %d does not fit into %d digits", i, s.digits))
	}
	fill(dst[s.digits:], number)
	return dst
}

// fill writes letters from a to p that differ from key to key, so that keys do not
// share more of their bytes than their numbers do.
func fill(dst []byte, number uint64) {
	for ; len(dst) >= 8; dst = dst[8:] {
		number = mix(number)
		binary.LittleEndian.PutUint64(dst, eightLetters(number))
	}
	letters := eightLetters(mix(number))
	for at := range dst {
		dst[at] = byte(letters)
		letters >>= 8
	}
}

// eightLetters makes a letter of each half byte of the lower half of x.
func eightLetters(x uint64) uint64 {
	x &= 0xffffffff
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	return x + 0x6161616161616161
}

// YCSBKey writes YCSB's key of record i over dst, and returns it: "user" and the hash
// of the number in decimal (CoreWorkload.buildKeyName with insertorder=hashed and
// zeropadding=1, the defaults), 5 to 23 bytes, most often 23. It allocates if dst has no
// room.
func YCSBKey(dst []byte, i uint64) []byte {
	dst = append(dst[:0], "user"...)
	return strconv.AppendUint(dst, fnv64(i), 10)
}
