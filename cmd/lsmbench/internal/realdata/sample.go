package realdata

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// sampleKeys is how many keys are asked for at random.
const sampleKeys = 100_000

// sample is keys of a source in random order, and what their values must be.
type sample struct {
	seed    maphash.Seed
	entries []sampled
}

type sampled struct {
	key  []byte
	hash uint64 // of the value
}

// takeSample takes n keys, or as many as there are, each of them as likely as any other.
func takeSample(ctx context.Context, src *Source, e *expected, n int) (*sample, error) {
	s := &sample{seed: maphash.MakeSeed()}
	rnd := rand.New(rand.NewPCG(1, 1))
	seen := 0
	err := src.each(ctx, 0, func(i uint64, r engine.Pair) error {
		if last, ok := e.duplicates[string(r.Key)]; ok && last != i {
			return nil
		}
		seen++
		at := len(s.entries)
		if at == n {
			if at = rnd.IntN(seen); at >= n {
				return nil
			}
		} else {
			s.entries = append(s.entries, sampled{})
		}
		s.entries[at] = sampled{bytes.Clone(r.Key), maphash.Bytes(s.seed, r.Value)}
		return nil
	})
	rnd.Shuffle(len(s.entries), func(i, j int) { s.entries[i], s.entries[j] = s.entries[j], s.entries[i] })
	return s, err
}

// get asks for each key, timing the Gets alone.
func (s *sample) get(ctx context.Context, session engine.Session) (*timing, error) {
	t := &timing{}
	var dst []byte
	for i, e := range s.entries {
		if i%1024 == 0 && ctx.Err() != nil {
			return t, ctx.Err()
		}
		start := clock()
		v, found, err := session.Get(dst[:0], e.key)
		t.add(clock()-start, len(e.key)+len(v))
		dst = v
		switch {
		case err != nil:
			return t, err
		case !found:
			return t, fmt.Errorf("%w: key %q is missing", ErrDiffers, clip(e.key))
		case maphash.Bytes(s.seed, v) != e.hash:
			return t, fmt.Errorf("%w: key %q has another value", ErrDiffers, clip(e.key))
		}
	}
	return t, nil
}
