package block_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// benchKeys make the keys of a block: as they lie in a table of two million random
// ones, that is with three bytes in common; in one scope with a long prefix; and where
// two such scopes meet, so that heads tell only the scope.
var benchKeys = map[string]func(r *rand.Rand) []byte{
	"random": func(r *rand.Rand) []byte {
		return append(binary.BigEndian.AppendUint64([]byte("abc"), r.Uint64()), "12345"...)
	},
	"prefix of 40": func(r *rand.Rand) []byte {
		return append(bytes.Clone(prefix40), randomBytes(r, 16)...)
	},
	"two scopes": func(r *rand.Rand) []byte {
		return fmt.Appendf(nil, "scope/%04d/session/%016x", 41+r.IntN(2), r.Uint64())
	},
}

// benchRows fill a block of 4 KiB with values of 100 bytes.
func benchRows(shape string, numbers bool) []row {
	r := rand.New(rand.NewPCG(1, 2))
	var builder block.Builder
	var rows []row
	for {
		t := keys.MakeTrailer(1000, keys.KindSet)
		if numbers {
			t = keys.MakeTrailer(keys.SeqNum(1000+r.IntN(1<<20)), keys.KindSet)
		}
		next := sorted(append(slices.Clone(rows), row{benchKeys[shape](r), t, randomBytes(r, 100)}))
		if build(&builder, next); builder.Size() > 4096 {
			return rows
		}
		rows = next
	}
}

func benchBlock(shape string, numbers bool) ([]row, block.Block) {
	rows := benchRows(shape, numbers)
	var builder block.Builder
	b, err := block.Decode(bytes.Clone(build(&builder, rows)))
	if err != nil {
		panic(err)
	}
	return rows, b
}

// order is a random order of the rows, too long for a branch predictor to learn.
func order(n int) []int {
	r := rand.New(rand.NewPCG(5, 6))
	out := make([]int, 1<<15)
	for i := range out {
		out[i] = r.IntN(n)
	}
	return out
}

var sink int

// best runs f, which does n operations, and reports beside the mean the time of one in
// the best run: on a machine that others use it is what repeats.
func best(b *testing.B, n int, f func()) {
	least := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "mean-ns")
	b.ReportMetric(float64(least.Nanoseconds())/float64(n), "best-ns")
}

// BenchmarkSearch stands beside the search over a sorted slice of whole keys.
func BenchmarkSearch(b *testing.B) {
	for _, shape := range []string{"random", "prefix of 40", "two scopes"} {
		rows, blk := benchBlock(shape, false)
		at := order(len(rows))
		t := keys.SeekTrailer(keys.MaxSeqNum)
		b.Run(shape+"/block", func(b *testing.B) {
			best(b, len(at), func() {
				for _, i := range at {
					sink += blk.Search(rows[i].key, t)
				}
			})
		})
		b.Run(shape+"/plain", func(b *testing.B) {
			best(b, len(at), func() {
				for _, i := range at {
					sink += plainSearch(rows, rows[i].key, t)
				}
			})
		})
	}
}

// BenchmarkGet is a lookup as a table does it: from bytes to a value.
func BenchmarkGet(b *testing.B) {
	for _, numbers := range []bool{false, true} {
		rows, blk := benchBlock("random", numbers)
		p := block.Bytes(&blk)
		at := order(len(rows))
		for _, seq := range []keys.SeqNum{keys.MaxSeqNum, 1 << 19} {
			b.Run(fmt.Sprintf("numbers=%v/latest=%v", numbers, seq == keys.MaxSeqNum), func(b *testing.B) {
				best(b, len(at), func() {
					for _, i := range at {
						v := block.View(p)
						value, _, _ := v.Get(rows[i].key, seq)
						sink += len(value)
					}
				})
			})
		}
	}
}

func BenchmarkScan(b *testing.B) {
	for _, numbers := range []bool{false, true} {
		rows, blk := benchBlock("random", numbers)
		b.Run(fmt.Sprintf("numbers=%v", numbers), func(b *testing.B) {
			var it block.Iter
			best(b, len(rows), func() {
				it.Init(&blk)
				for ok := it.First(); ok; ok = it.Next() {
					sink += len(it.Key()) + len(it.Value()) + int(it.Trailer())
				}
			})
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, numbers := range []bool{false, true} {
		rows, _ := benchBlock("random", numbers)
		b.Run(fmt.Sprintf("numbers=%v", numbers), func(b *testing.B) {
			var builder block.Builder
			best(b, len(rows), func() {
				builder.Reset()
				for j := range rows {
					builder.Add(rows[j].key, rows[j].trailer, rows[j].value)
					sink += builder.Size()
				}
				sink += len(builder.Finish())
			})
			b.SetBytes(int64(len(builder.Finish())))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	rows, blk := benchBlock("random", true)
	p := block.Bytes(&blk)
	best(b, len(rows), func() {
		d, _ := block.Decode(p)
		sink += d.Count()
	})
	b.SetBytes(int64(len(p)))
}

// halfText is a block of 4 KiB of which half compresses.
func halfText() []byte {
	_, blk := benchBlock("random", false)
	return append(bytes.Clone(block.Bytes(&blk)[:2000]), bytes.Repeat([]byte("some words that come again "), 78)...)
}

func BenchmarkSeal(b *testing.B) {
	p := halfText()
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			var dst []byte
			best(b, 1, func() { dst = must(block.Seal(dst[:0], c, summed, 4096, p)) })
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	p := halfText()
	buf := make([]byte, len(p))
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			raw := must(block.Seal(nil, c, summed, 4096, p))
			best(b, 1, func() {
				p, err := block.Open(raw, summed, 4096, func(n int) []byte { return buf[:n] })
				if err != nil {
					b.Fatal(err)
				}
				sink += len(p)
			})
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
		})
	}
}

// BenchmarkEncrypted seals and opens a block of an encrypted file.
func BenchmarkEncrypted(b *testing.B) {
	p := halfText()
	for _, c := range []block.Codec{block.CodecNone, block.CodecS2} {
		b.Run("seal/"+c.String(), func(b *testing.B) {
			var dst []byte
			g, off := writing(aesGCM(1), encryptedUID), int64(0)
			best(b, 1, func() {
				off++
				dst = must(block.Seal(dst[:0], c, g, off, p))
			})
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
		})
		b.Run("open/"+c.String(), func(b *testing.B) {
			raw := must(block.Seal(nil, c, writing(aesGCM(1), encryptedUID), 4096, p))
			stored, buf, g := bytes.Clone(raw), make([]byte, len(p)), reading(aesGCM(1), encryptedUID)
			best(b, 1, func() {
				copy(raw, stored)
				p, err := block.Open(raw, g, 4096, func(n int) []byte { return buf[:n] })
				if err != nil {
					b.Fatal(err)
				}
				sink += len(p)
			})
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
		})
	}
}
