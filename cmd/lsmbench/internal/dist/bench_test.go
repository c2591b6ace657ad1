package dist

import "testing"

func BenchmarkNext(b *testing.B) {
	const n = 1_000_000
	for _, text := range everyChooser {
		b.Run(text, func(b *testing.B) {
			c, rng := newChooser(b, text, n), newRand(1)
			b.ReportAllocs()
			for b.Loop() {
				c.Next(rng, n)
			}
		})
	}
}

// BenchmarkNextGrowing inserts a record before each twentieth choice, as YCSB's workload
// D does.
func BenchmarkNextGrowing(b *testing.B) {
	for _, text := range everyChooser {
		b.Run(text, func(b *testing.B) {
			c, rng := newChooser(b, text, 1_000_000), newRand(1)
			for i := uint64(20_000_000); b.Loop(); i++ {
				c.Next(rng, i/20)
			}
		})
	}
}

func BenchmarkSize(b *testing.B) {
	for _, s := range everySize(b) {
		b.Run(s.String(), func(b *testing.B) {
			rng := newRand(1)
			for b.Loop() {
				s.Draw(rng)
			}
		})
	}
}

func BenchmarkKeys(b *testing.B) {
	for _, size := range []string{"16", "uniform:16-100"} {
		b.Run(size, func(b *testing.B) {
			s, dst := newKeys(b, 1_000_000, size), make([]byte, 0, 100)
			for i := uint64(0); b.Loop(); i++ {
				s.Present(dst, i)
			}
		})
	}
	b.Run("ycsb", func(b *testing.B) {
		dst := make([]byte, 0, 100)
		for i := uint64(0); b.Loop(); i++ {
			YCSBKey(dst, i)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	v := newValuesOf(b, "uniform:50-150", 0.5)
	for b.Loop() {
		v.Take()
	}
}

func BenchmarkPermutation(b *testing.B) {
	const n = 1_000_003
	p := NewPermutation(n, 1)
	for i := uint64(0); b.Loop(); i = (i + 1) % n {
		p.At(i)
	}
}
