package dist

import "math/bits"

// fnv64 is YCSB's hash of a number (site.ycsb.Utils.fnvhash64): FNV-1a over its eight
// bytes, the lowest first, and of the result, taken as a signed number, the magnitude.
func fnv64(v uint64) uint64 {
	const basis, prime = 0xcbf29ce484222325, 1099511628211
	h := uint64(basis)
	for range 8 {
		h = (h ^ v&0xff) * prime
		v >>= 8
	}
	if h>>63 != 0 {
		h = -h
	}
	return h
}

// golden is the golden section of 2^64.
const golden = 0x9e3779b97f4a7c15

// mix is the output function of SplitMix64 (Steele, Lea and Flood, "Fast Splittable
// Pseudorandom Number Generators", OOPSLA 2014): neighbouring numbers come out
// unrelated, and all bits are good.
func mix(v uint64) uint64 {
	v += golden
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// scale maps the even distribution of all 64-bit numbers to that of [0, n).
func scale(x, n uint64) uint64 {
	hi, _ := bits.Mul64(x, n)
	return hi
}

// apart returns place k of a sequence in [0, n) whose first few members lie far apart,
// however many they are: multiples of the golden section.
func apart(k, n uint64) uint64 { return scale(k*golden, n) }
