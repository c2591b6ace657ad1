package block_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

func kv(key string, seq keys.SeqNum, kind keys.Kind, value string) row {
	return row{[]byte(key), keys.MakeTrailer(seq, kind), []byte(value)}
}

// goldenBlocks are blocks that use every column and width. They change only with the
// format's version.
func goldenBlocks() []struct {
	name string
	rows []row
} {
	many := make([]row, 0, 300)
	for i := range 300 {
		many = append(many, kv(fmt.Sprintf("k%04d", i), keys.SeqNum(i), keys.KindSet, string(bytes.Repeat([]byte{'v'}, 250))))
	}
	return []struct {
		name string
		rows []row
	}{
		{"uniform", []row{
			kv("user:0001", 7, keys.KindSet, "Ada"), kv("user:0002", 7, keys.KindSet, "Bob"), kv("user:0010", 7, keys.KindSet, "Cyd")}},
		{"several", []row{
			kv("", 5, keys.KindSet, "the empty key"), kv("a", 1000, keys.KindDelete, ""), kv("a", 70, keys.KindSet, "old"),
			kv("a\x00", 3, keys.KindSet, ""), kv("abcd", 3, keys.KindMerge, "timetimeop__stmpx"), kv("abcdef", 2, keys.KindSet, "value")}},
		{"single", []row{kv("alone", 1<<40, keys.KindSet, "value")}},
		{"wide", many},
	}
}

func TestDataBlocksGolden(t *testing.T) {
	var builder block.Builder
	var out bytes.Buffer
	for _, g := range goldenBlocks() {
		p := build(&builder, g.rows)
		fmt.Fprintf(&out, "%s, %d bytes\n%s\n", g.name, len(p), hex.Dump(p[:min(len(p), 512)]))
	}
	golden.Assert(t, "testdata/data.hex", out.Bytes())
}

// Compressed forms are not compared: another version of a compressor may write others.
// What was written must stay readable.
func TestSealedBlocksGolden(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 4096, []byte("payload of a block")))
	golden.Assert(t, "testdata/sealed.hex", []byte(hex.Dump(raw)))
}

// The place of a dictionary's number in the trailer is kept: what a later version writes there
// is refused by this one, and not taken for damage.
func TestBlockWithADictionaryGolden(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 4096, []byte("payload of a block")))
	raw[len(raw)-block.TrailerLen] = byte(block.CodecZstd)
	raw[len(raw)-block.TrailerLen+1] = 1
	raw = reseal(raw, 4096)
	golden.Assert(t, "testdata/dictionary.hex", []byte(hex.Dump(raw)))
	_, err := block.Open(raw, summed, 4096, refuse)
	require.ErrorIs(t, err, block.ErrCodec)
}

func TestCompressedBlocksStayReadable(t *testing.T) {
	want := bytes.Repeat([]byte("some words that come again "), 10)
	for text, c := range map[string]block.Codec{sealedS2: block.CodecS2, sealedZstd: block.CodecZstd} {
		raw, err := hex.DecodeString(text)
		require.NoError(t, err)
		require.Equal(t, byte(c), raw[len(raw)-block.TrailerLen])
		got, err := block.Open(raw, summed, 4096, heap)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestDecodeRefusesMalformedBlocks(t *testing.T) {
	var builder block.Builder
	cases := map[string]struct {
		block string
		at    int
		to    byte
	}{
		"unknown flag":                {"uniform", 9, 0x80},
		"wide flag on a short block":  {"uniform", 8, flags("uniform") | 1},
		"narrow flag on a long block": {"wide", 8, flags("wide") &^ 1},
		"zero of the wide header":     {"wide", 10, 1},
		"no entries":                  {"uniform", 10, 0},
		"more entries":                {"uniform", 10, 4},
		"fewer entries":               {"uniform", 10, 2},
		"longer prefix":               {"uniform", 12, 8},
		"prefix beyond the block":     {"uniform", 13, 0xff},
		"longer suffix":               {"uniform", 14, 100},
		"kind 0":                      {"uniform", 0, 0},
		"kind 200":                    {"uniform", 0, 200},
		"kind beside the column":      {"several", 0, 2},
		"kind in the column":          {"several", len16("several", 4, 1, 2, 2) + 2, 99},
		"suffix beside the column":    {"several", 14, 1},
		"suffix beyond the row":       {"several", len16("several", 4), 200},
		"first offset":                {"several", len16("several", 4, 1), 1},
		"offset that falls":           {"several", len16("several", 4, 1) + 4, 1},
		"offset beyond the block":     {"several", len16("several", 4, 1) + 5, 1},
		"last offset":                 {"several", len16("several", 4, 1) + 12, 1},
		"negative number":             {"several", len16("several", 4, 1, 2) + 3, 0xff},
		"length of rows":              {"uniform", len16("uniform", 4) + 7, 9},
		"no room for an expiry":       {"uniform", 0, byte(keys.KindSetWithExpiry)},
		"no room for a merge":         {"several", len16("several", 4, 1, 2, 2) + 5, byte(keys.KindMerge)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, g := range goldenBlocks() {
				if g.name != c.block {
					continue
				}
				p := bytes.Clone(build(&builder, g.rows))
				require.NotEqual(t, c.to, p[c.at], "the case changes nothing")
				p[c.at] = c.to
				_, err := block.Decode(p)
				require.ErrorIs(t, err, block.ErrMalformed)
			}
		})
	}
	for n := range 200 {
		_, err := block.Decode(make([]byte, n))
		require.ErrorIs(t, err, block.ErrMalformed)
	}
}

// flags returns the low byte of a golden block's flags.
func flags(name string) byte {
	var builder block.Builder
	for _, g := range goldenBlocks() {
		if g.name == name {
			return build(&builder, g.rows)[8]
		}
	}
	return 0
}

// len16 returns where in a narrow golden block without a prefix the column begins that
// follows columns of the given widths. Offsets, the column of width 2 after the
// lengths, have one more than there are entries.
func len16(name string, widths ...int) int {
	at := 16
	for i, w := range widths {
		n := 6
		if name == "uniform" {
			n = 3
		}
		if i == 2 {
			n++
		}
		at += n * w
	}
	return at
}

// What the compressors wrote when the format was new.
const (
	sealedS2   = "0e0100008e0268736f6d6520776f726473207468617420636f6d6520616761696e20111b1500e301000000b325c172"
	sealedZstd = "0e01000028b52ffd40000e00250100b401736f6d6520776f726473207468617420636f6d6520616761696e20015414042bc33d02000000ab1a722e"
)
