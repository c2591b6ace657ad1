package block_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

// FuzzDecode: whatever Decode accepts can be read everywhere, and entries that are in
// order are found where they are.
func FuzzDecode(f *testing.F) {
	var builder block.Builder
	for _, g := range goldenBlocks() {
		f.Add(bytes.Clone(build(&builder, g.rows)), []byte("a"), uint64(5))
	}
	f.Fuzz(func(t *testing.T, p, key []byte, seq uint64) {
		p = p[:len(p):len(p)]
		b, err := block.Decode(p)
		if err != nil {
			require.ErrorIs(t, err, block.ErrMalformed)
			return
		}
		require.Equal(t, b, block.View(p))
		at := keys.SeekTrailer(keys.SeqNum(seq) & keys.MaxSeqNum)
		n := b.Count()
		if i := b.Search(key, at); i < 0 || i > n {
			t.Fatalf("found entry %d of %d", i, n)
		}
		b.Get(key, at.SeqNum())
		var it block.Iter
		it.Init(&b)
		it.SeekGE(key, at)
		it.SeekLT(key)
		ordered := true
		var last []byte
		it.First()
		for i := range n {
			k, trailer := it.Key(), it.Trailer()
			if !trailer.Kind().Valid() || len(k) > keys.MaxKeyLen || len(it.Value()) > len(p) {
				t.Fatalf("entry %d: %x %v", i, k, trailer)
			}
			if bytes.Compare(k, key) != b.CompareKey(i, key) {
				t.Fatalf("entry %d compares wrongly: %x with %x", i, k, key)
			}
			if i > 0 && keys.Compare(last, b.Trailer(i-1), k, trailer) >= 0 {
				ordered = false
			}
			last = append(last[:0], k...)
			it.Next()
		}
		for i := 0; ordered && i < n; i++ {
			last = b.AppendKey(last[:0], i)
			if got := b.Search(last, b.Trailer(i)); got != i {
				t.Fatalf("entry %d is found at %d", i, got)
			}
		}
	})
}

// FuzzBuild: any sorted entries come out as they went in.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("\x03abc\x01x\x03abd\x00"), uint8(1))
	f.Add([]byte("\x00\x00\x01a\x02xx\x01a\x02yy\x02a\x00\x00"), uint8(200))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var rows []row
		next := func() []byte {
			if len(data) == 0 {
				return nil
			}
			n := min(int(data[0]), len(data)-1)
			p := data[1 : 1+n]
			data = data[1+n:]
			return p
		}
		for i := uint64(0); len(data) > 0; i++ {
			seq := keys.SeqNum(i * i * uint64(step))
			kind := keys.Kind(1 + i*uint64(step)%10)
			rows = append(rows, row{next(), keys.MakeTrailer(seq, kind), append(make([]byte, kind.MinValueLen()), next()...)})
		}
		if rows = sorted(rows); len(rows) == 0 {
			return
		}
		var builder block.Builder
		p := build(&builder, rows)
		require.Equal(t, len(p), builder.Size())
		b := decode(t, p)
		require.Equal(t, len(rows), b.Count())
		for i, r := range rows {
			require.Equal(t, string(r.key), string(b.AppendKey(nil, i)))
			require.Equal(t, string(r.value), string(b.Value(i)))
			require.Equal(t, r.trailer, b.Trailer(i))
			require.Equal(t, i, b.Search(r.key, r.trailer))
		}
	})
}

// FuzzOpenSealed: hostile bytes, with a checksum that fits, are opened or refused with
// an error of the package, and take no more memory than they say.
func FuzzOpenSealed(f *testing.F) {
	for _, c := range codecs {
		f.Add(must(block.Seal(nil, c, summed, 0, bytes.Repeat([]byte("text "), 50))), false)
		f.Add(must(block.Seal(nil, c, summed, 0, make([]byte, 1000))), true)
	}
	for _, frame := range [][]byte{zstdFrame([]byte("text"), 0, 19<<3), zstdFrame([]byte("text"), 1, 10<<3, 7)} {
		f.Add(claim(4, block.CodecZstd, frame), true)
	}
	dictionary := must(block.Seal(nil, block.CodecS2, summed, 0, make([]byte, 1000)))
	dictionary[len(dictionary)-block.TrailerLen+1] = 1
	f.Add(dictionary, true)
	f.Fuzz(func(t *testing.T, raw []byte, fit bool) {
		if fit && len(raw) >= block.TrailerLen {
			raw = reseal(raw, 0)
		}
		got, err := block.Open(raw, summed, 0, func(n int) []byte {
			require.LessOrEqual(t, n, block.MaxPayloadLen)
			if n > 1<<20 {
				return nil
			}
			return make([]byte, n)
		})
		if err == nil {
			require.LessOrEqual(t, len(got), max(len(raw), 1<<20))
			return
		}
		for _, known := range []error{block.ErrTruncated, block.ErrChecksum, block.ErrCodec, block.ErrTooLong} {
			if bytes.Contains([]byte(err.Error()), []byte(known.Error())) {
				require.ErrorIs(t, err, known)
				return
			}
		}
		require.ErrorIs(t, err, block.ErrMalformed)
	})
}

// FuzzOpenEncrypted: hostile bytes of an encrypted file are refused, or, where their tag fits,
// opened or refused like any; nothing is decompressed that is not authentic.
func FuzzOpenEncrypted(f *testing.F) {
	for _, c := range codecs {
		f.Add(must(block.Seal(nil, c, writing(aesGCM(1), encryptedUID), 0, bytes.Repeat([]byte("text "), 50))), false)
		f.Add(must(block.Seal(nil, c, summed, 0, make([]byte, 1000))), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, fit bool) {
		if fit {
			raw = retag(raw)
		}
		stored := bytes.Clone(raw)
		got, err := block.Open(raw, reading(aesGCM(1), encryptedUID), 0, func(n int) []byte {
			require.True(t, fit || authentic(stored), "memory for what is not authentic")
			if n > 1<<20 {
				return nil
			}
			return make([]byte, n)
		})
		if err == nil {
			require.LessOrEqual(t, len(got), max(len(raw), 1<<20))
			require.True(t, fit || authentic(stored))
			return
		}
		for _, known := range []error{seal.ErrAuth, block.ErrCodec, block.ErrTooLong} {
			if errors.Is(err, known) {
				return
			}
		}
		require.ErrorIs(t, err, block.ErrMalformed)
	})
}

// retag makes a sealed block of bytes, of which the last four become the head of its trailer.
func retag(p []byte) []byte {
	if len(p) < 4 {
		return p
	}
	n := len(p) - 4
	head := p[n:]
	at := seal.Place{Codec: head[0], Header: head}
	tagged := must(seal.NewSealer(aesGCM(1), fileid.KindTable, encryptedUID).Seal(nil, p[:n], at))
	return append(append(bytes.Clone(tagged[:n]), head...), tagged[n:]...)
}

// authentic opens a sealed block at offset 0 by the format alone.
func authentic(p []byte) bool {
	n := len(p) - block.TagTrailerLen
	if n < 0 {
		return false
	}
	head := p[n : n+4]
	tagged := append(bytes.Clone(p[:n]), p[n+4:]...)
	_, err := seal.NewOpener(aesGCM(1), fileid.KindTable, encryptedUID).Open(nil, tagged, seal.Place{Codec: head[0], Header: head})
	return err == nil
}
