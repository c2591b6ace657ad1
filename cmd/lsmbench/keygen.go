package main

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// keyspace makes the keys of the workloads: n keys of a fixed length, decimal numbers
// padded with zeros, so that byte order is numeric order. Key i stands for the number
// 2i; the odd numbers between are the keys that are missing.
type keyspace struct {
	n      uint64
	length int
}

func newKeyspace(n, length int) (keyspace, error) {
	s := keyspace{n: uint64(n), length: length}
	if need := len(fmt.Sprint(2 * uint64(n))); length < need {
		return s, fmt.Errorf("keys of %d bytes cannot number %d entries: at least %d are needed", length, n, need)
	}
	return s, nil
}

// present writes key i into dst, which must be of the key's length, and returns it.
func (s keyspace) present(dst []byte, i uint64) []byte { return putDecimal(dst, 2*i) }

// missing writes the absent key that follows key i.
func (s keyspace) missing(dst []byte, i uint64) []byte { return putDecimal(dst, 2*i+1) }

func putDecimal(dst []byte, v uint64) []byte {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// permutation is a pseudo-random bijection of [0, n): a four-round Feistel network
// over the next even number of bits, walked until it falls inside. It visits every key
// once in random order and needs no memory.
type permutation struct {
	n     uint64
	half  uint
	mask  uint64
	round [4]uint64
}

func newPermutation(n, seed uint64) *permutation {
	half := uint(max(bits.Len64(max(n, 2)-1)+1, 2)) / 2
	p := &permutation{n: n, half: half, mask: 1<<half - 1}
	rng := rand.New(rand.NewPCG(seed, 0x9e37))
	for i := range p.round {
		p.round[i] = rng.Uint64() | 1
	}
	return p
}

// at returns the image of i, which must be below n.
func (p *permutation) at(i uint64) uint64 {
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

// values makes values that compress to about half: runs of random bytes, each written
// twice. They are cut from a pool that is larger than what a compressor looks back on.
type values struct {
	pool   []byte
	length int
	next   int // value, counted from the pool's start
	count  int // of values in the pool
}

const (
	valuePool = 1 << 20
	maxRun    = 512 // bytes, so that a value is compressible within itself
)

func newValues(length int, seed uint64) *values {
	rng := rand.New(rand.NewPCG(seed, 0x7a1))
	v := &values{length: length, count: valuePool/max(length, 1) + 4}
	for range v.count {
		for left := length; left > 0; {
			run := min((left+1)/2, maxRun)
			start := len(v.pool)
			for range run {
				v.pool = append(v.pool, byte(rng.Uint32()))
			}
			v.pool = append(v.pool, v.pool[start:start+min(run, left-run)]...)
			left -= min(2*run, left)
		}
	}
	return v
}

// fork returns a generator for another goroutine, beginning elsewhere in the pool.
func (v *values) fork(worker int) *values {
	return &values{pool: v.pool, length: v.length, count: v.count, next: worker * 7919 % v.count}
}

// take returns the next value. It must not be written to.
func (v *values) take() []byte {
	from, to := v.next*v.length, (v.next+1)*v.length
	if v.next++; v.next == v.count {
		v.next = 0
	}
	return v.pool[from:to:to]
}
