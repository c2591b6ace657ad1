package sstable_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// resum gives the file's header, blocks and footer checksums that pass, as far as the
// footer tells where they are: so the fuzzer gets behind the checksums.
func resum(p []byte) {
	if len(p) < 80+128 {
		return
	}
	le := binary.LittleEndian
	seed := fileid.NewSeed(fileid.KindTable, sampleUID)
	size := uint64(len(p))
	footer := p[size-128:]
	copy(p, sstable.EncodeHeader(sampleUID, sampleSalt(), 0))
	copy(footer, sampleUID[:])
	le.PutUint64(footer[16:], size)
	resumFooter(footer, int64(size))
	resumBlock := func(off, n uint64) {
		if n < 8 || off > size || n > size-off || off+n > size-128 {
			return
		}
		b := p[off : off+n]
		le.PutUint32(b[n-4:], seed.Checksum(int64(off), b[:n-4]))
	}
	resumBlock(le.Uint64(footer[32:]), le.Uint64(footer[40:]))
	resumBlock(le.Uint64(footer[64:]), le.Uint64(footer[72:]))
	resumBlock(le.Uint64(footer[80:]), le.Uint64(footer[88:]))
	if le.Uint32(footer[100:]) == 1 { // the one partition, and the one block of small fuzz tables
		from := le.Uint64(footer[56:])
		resumBlock(from, le.Uint64(footer[64:])-from)
	}
	if le.Uint32(footer[96:]) == 1 {
		resumBlock(80, le.Uint64(footer[32:])-80)
	}
	if le.Uint32(footer[104:]) == 1 {
		from := le.Uint64(footer[48:])
		resumBlock(from, le.Uint64(footer[56:])-from)
	}
}

// Whatever a file holds, opening and reading it ends with answers or errors.
func FuzzOpenTable(f *testing.F) {
	tb := small(f, block.CodecNone)
	f.Add(tb.content(f), false)
	f.Add(small(f, block.CodecS2).content(f), false)
	o := options()
	o.Codec = block.CodecZstd
	one := write(f, vfs.NewMem(), "t", o, []entry{set("a", 1, "value value value value value value value value value"), set("b", 3, "")})
	f.Add(one.content(f), true)
	o.Codec, o.FilterBitsPerKey = block.CodecNone, 0
	f.Add(write(f, vfs.NewMem(), "t", o, []entry{set("a", 1, "v"), set("a", 0, "w"), set("b", 3, "")}).content(f), true)
	hostile := write(f, vfs.NewMem(), "t", o, []entry{set("a", 1, "a plain block that will say it is compressed")}).content(f)
	claimCompressed(hostile, [2]int64{80, int64(binary.LittleEndian.Uint64(hostile[len(hostile)-128+32:]))}, block.CodecS2)
	f.Add(hostile, true)
	f.Fuzz(func(t *testing.T, p []byte, resummed bool) {
		if resummed {
			resum(p)
		}
		fs := vfs.NewMem()
		writeFile(t, fs, "t", p)
		file, err := fs.Open("t", vfs.ReadOnly)
		require.NoError(t, err)
		r, err := sstable.Open(file, sstable.ReaderOptions{UID: sampleUID, Size: int64(len(p)), Cache: newCache(t, 200_000), Name: "t"})
		if err != nil {
			return
		}
		readAll(r)
		require.NoError(t, r.Close())
	})
}

// readAll asks a table for everything.
func readAll(r *sstable.Reader) {
	for _, k := range []string{"", "a", "key/030", "zz"} {
		_, _, _, _ = r.Get(nil, []byte(k), filter.Hash([]byte(k)), keys.MaxSeqNum)
	}
	for _, noFill := range []bool{false, true} {
		var it sstable.Iter
		it.Init(r, sstable.IterOptions{NoFill: noFill, Lower: []byte("A")})
		n := 0
		for ok := it.First(); ok && n < 10_000; ok = it.Next() {
			_, _, _ = it.Key(), it.Value(), it.Trailer()
			n++
		}
		for ok := it.Last(); ok && n > 0; ok = it.Prev() {
			_, _ = it.Key(), it.Value()
			n--
		}
		_ = it.SeekGE([]byte("key/040"), seekAll)
		_ = it.SeekLT([]byte("key/040"))
		_ = it.Close()
	}
	_ = r.Verify(context.Background())
}
