package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// shape is a family of keys.
type shape struct {
	name string
	make func(r *rand.Rand) []byte
}

// The first three are those of the gate. The last one is hard on codes: decimal digits
// carry 3.3 bits per byte, so that keys differ late.
var shapes = []shape{
	{"random", func(r *rand.Rand) []byte { return randomBytes(r, nil, 24) }},
	{"prefix40", func(r *rand.Rand) []byte {
		return randomBytes(r, []byte("a/prefix/that/all/the/keys/do/share/0123"), 24)
	}},
	{"scopes1000", func(r *rand.Rand) []byte {
		return randomBytes(r, fmt.Appendf(nil, "scope/%04d/", r.IntN(1000)), 13)
	}},
	{"decimal", func(r *rand.Rand) []byte {
		return fmt.Appendf(nil, "user%020d", r.Uint64N(1e12))
	}},
}

func randomBytes(r *rand.Rand, prefix []byte, n int) []byte {
	key := prefix
	for range n / 8 {
		key = binary.LittleEndian.AppendUint64(key, r.Uint64())
	}
	for range n % 8 {
		key = append(key, byte(r.Uint32()))
	}
	return key
}

// keySets returns n distinct keys in random order, the same in another order, and n
// others.
func keySets(s shape, n int) (insert, present, absent [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	taken := make(map[string]bool, 2*n)
	var all [][]byte
	for len(all) < 2*n {
		k := s.make(r)
		if !taken[string(k)] {
			taken[string(k)] = true
			all = append(all, k)
		}
	}
	insert, absent = all[:n], all[n:]
	present = make([][]byte, n)
	for i, j := range r.Perm(n) {
		present[i] = insert[j]
	}
	return insert, present, absent
}
