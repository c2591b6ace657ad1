package dist

import (
	"math/bits"
	"math/rand/v2"
)

// Permutation is a pseudo-random bijection of [0, n): a four-round Feistel network over
// the next even number of bits, walked until it falls inside. It visits every record
// once in random order and needs no memory. It is safe for many goroutines.
type Permutation struct {
	n     uint64
	half  uint
	mask  uint64
	round [4]uint64
}

// NewPermutation returns the bijection of [0, n) that belongs to the seed.
func NewPermutation(n, seed uint64) *Permutation {
	half := uint(max(bits.Len64(max(n, 2)-1)+1, 2)) / 2
	p := &Permutation{n: n, half: half, mask: 1<<half - 1}
	rng := rand.New(rand.NewPCG(seed, 0x9e37))
	for i := range p.round {
		p.round[i] = rng.Uint64() | 1
	}
	return p
}

// At returns the image of i, which must be below n.
func (p *Permutation) At(i uint64) uint64 {
	for {
		l, r := i>>p.half, i&p.mask
		for _, k := range p.round {
			x := (r + k) * k
			x ^= x >> 29
			l, r = r, l^(x*0xbf58476d1ce4e5b9>>32)&p.mask
		}
		if i = l<<p.half | r; i < p.n {
			return i
		}
	}
}
