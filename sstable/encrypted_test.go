package sstable_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
)

// smallEncrypted is small, encrypted.
func smallEncrypted(t testing.TB, codec block.Codec) *table {
	o := encrypted(options())
	o.Codec = codec
	return smallWith(t, o)
}

// requireForged: the error says that an encrypted table was changed, and where.
func requireForged(t testing.TB, err error, what string, args ...any) {
	t.Helper()
	what = fmt.Sprintf(what, args...)
	require.ErrorIs(t, err, sstable.ErrCorrupt, what)
	require.ErrorIs(t, err, seal.ErrAuth, what)
	var c *sstable.CorruptionError
	require.ErrorAs(t, err, &c, what)
	require.Equal(t, "t", c.File, what)
}

// Every shape of table answers as the model does when it is encrypted, too.
func TestEncryptedTablesAnswerAsTheModelDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(27, 27))
	fs := vfs.NewMem()
	for i, s := range shapes(rng) {
		if testing.Short() && i%2 == 1 {
			continue
		}
		o := encrypted(options())
		o.Codec, o.FilterBitsPerKey, o.BlockBytes = s.codec, s.bits, s.block
		tb := write(t, fs, fmt.Sprint(i), o, s.entries)
		require.EqualValues(t, ring, tb.meta.Props.KeyID)
		ro := readerOptions(&tb.meta, newCache(t, 1<<20))
		ro.Mapped = i%4 == 0
		r := tb.open(t, ro)
		require.NoError(t, r.Verify(context.Background()))
		described, err := r.Describe(context.Background())
		require.NoError(t, err)
		require.Equal(t, tb.meta.Digest, described.Digest)
		require.Equal(t, tb.meta.Size, described.Size)
		targets := near(s.entries, rng)
		for _, k := range targets {
			checkGet(t, r, s.entries, k, keys.SeqNum(rng.Uint64N(2100)))
		}
		for _, noFill := range []bool{false, true} {
			var it sstable.Iter
			it.Init(r, sstable.IterOptions{NoFill: noFill})
			checkWalk(t, &it, s.entries, targets, 500, rng)
			require.NoError(t, it.Close())
		}
		w, err := wreckWith(t, tb.content(t), sstable.WreckOptions{OpenCipher: ring.Open})
		require.NoError(t, err)
		requireEntries(t, s.entries, rest(t, w), s.name)
		require.Empty(t, w.Damage(), s.name)
	}
}

func TestEncryptedTableGolden(t *testing.T) {
	golden.Assert(t, "testdata/encrypted.hex", []byte(hex.Dump(smallEncrypted(t, block.CodecNone).content(t))))
}

// B60, R34: whatever bit is changed, it is an error that says so, and until it shows answers are right.
func TestEveryDamagedBitOfAnEncryptedTableIsFound(t *testing.T) {
	step, headStep := 97, 5 // of the bits, and of those that are in clear
	switch {
	case os.Getenv("LOAM_LONG") != "":
		step, headStep = 1, 1
	case invariants.Enabled:
		step, headStep = 1999, 41
	}
	for _, codec := range codecs {
		tb := smallEncrypted(t, codec)
		content := tb.content(t)
		c := newCache(t, 256<<10)
		require.NoError(t, identical(t, tb, content, c))
		heads := map[int]bool{} // bytes before tags, which are in clear and have their own turn
		r := tb.open(t, readerOptions(&tb.meta, c))
		for _, at := range append(sstable.DataBlocks(t, r), sstable.MetaBlocks(r)...) {
			for i := range 4 {
				heads[int(at[1])-block.TagTrailerLen+i] = true
			}
		}
		n := 8 * len(content)
		for bit := range n {
			clear := bit < 8*80 || heads[bit/8]
			if bit%step != int(codec) && !(clear && bit%headStep == int(codec)) {
				continue
			}
			content[bit/8] ^= 1 << (bit % 8)
			err := identical(t, tb, content, c)
			requireForged(t, err, "%v, bit %d", codec, bit)
			content[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestTruncationOfAnEncryptedTableIsFound(t *testing.T) {
	tb := smallEncrypted(t, block.CodecNone)
	content := tb.content(t)
	c := newCache(t, 256<<10)
	step := 23
	if invariants.Enabled {
		step = 199
	}
	for n := 0; n <= len(content)+40; n += 1 + n%step {
		cut := *tb
		p := append(bytes.Clone(content), make([]byte, 40)...)[:n]
		if cut.meta.Size = int64(n); n == len(content) {
			continue
		}
		requireForged(t, identical(t, &cut, p, c), "%d bytes", n) // the length that is expected agrees
		requireForged(t, identical(t, tb, p, c), "%d bytes", n)
	}
}

// B60, S2, trap 82, R34: blocks exchanged within an encrypted table, or with another one of the same
// content and key, do not pass.
func TestExchangedBlocksOfEncryptedTablesAreFound(t *testing.T) {
	var es []entry
	for i := range 100 {
		es = append(es, set(fmt.Sprintf("key/%03d", i), 7, "twenty bytes of text"))
	}
	o := encrypted(options())
	tb := write(t, vfs.NewMem(), "t", o, es)
	o.UID = fileid.UID{42}
	otherUID := write(t, vfs.NewMem(), "t", o, es).content(t)
	o.UID, o.Salt = sampleUID, seal.Salt{42}
	otherSalt := write(t, vfs.NewMem(), "t", o, es).content(t)
	content := tb.content(t)
	c := newCache(t, 256<<10)
	r := tb.open(t, readerOptions(&tb.meta, c))
	spans := append(sstable.DataBlocks(t, r), sstable.MetaBlocks(r)...)
	spans = append(spans, sstable.TopBlock(r), [2]int64{int64(len(content)) - 144, int64(len(content))})
	pairs, step := 0, 1
	if invariants.Enabled {
		step = 2
	}
	for i, a := range spans {
		for j, b := range spans {
			for _, from := range [][]byte{content, otherUID, otherSalt} {
				if a[1]-a[0] != b[1]-b[0] || &from[0] == &content[0] && i == j || (i+j)%step != 0 {
					continue
				}
				changed := bytes.Clone(content)
				copy(changed[a[0]:a[1]], from[b[0]:b[1]])
				pairs++
				requireForged(t, identical(t, tb, changed, c), "blocks %d and %d", i, j)
			}
		}
	}
	require.Greater(t, pairs, 10)
	err := identical(t, tb, otherUID, c)
	require.ErrorIs(t, err, sstable.ErrForeign)
	requireForged(t, err, "another table")
	// The header of another table with this UID, whose checksum fits.
	changed := append(bytes.Clone(otherSalt[:80]), content[80:]...)
	requireForged(t, identical(t, tb, changed, c), "another header")
}

func TestDamageOfEncryptedTablesSaysWhere(t *testing.T) {
	tb := smallEncrypted(t, block.CodecNone)
	c := newCache(t, 256<<10)
	blocks := sstable.DataBlocks(t, tb.open(t, readerOptions(&tb.meta, c)))
	size := int64(len(tb.content(t)))
	for off, at := range map[int64]int64{100: 80, blocks[2][0]: blocks[2][0], size - 1: size - 144, 40: 0} {
		content := tb.content(t)
		content[off] ^= 1
		err := identical(t, tb, content, c)
		requireForged(t, err, "byte %d", off)
		var d *sstable.CorruptionError
		require.ErrorAs(t, err, &d)
		require.Equal(t, at, d.Offset)
	}
}

// What anybody can write, checksums and all, takes no encrypted table's place.
func TestAPlainTableInPlaceOfAnEncryptedOneIsRefused(t *testing.T) {
	tb := smallEncrypted(t, block.CodecNone)
	plain := small(t, block.CodecNone)
	content := plain.content(t)
	require.NoError(t, identical(t, plain, content, newCache(t, 256<<10)))
	tb.meta.Size = plain.meta.Size
	requireForged(t, identical(t, tb, content, newCache(t, 256<<10)), "plain")
	_, err := wreckWith(t, content, sstable.WreckOptions{UID: sampleUID, KeyID: tb.meta.Props.KeyID, OpenCipher: ring.Open})
	requireForged(t, err, "plain, as a wreck")
	// An encrypted table whose header says that it is plain.
	tb = smallEncrypted(t, block.CodecNone)
	content = tb.content(t)
	copy(content, sstable.EncodeHeader(sampleUID, sampleSalt(), 0))
	requireForged(t, identical(t, tb, content, newCache(t, 256<<10)), "header")
	o := readerOptions(&tb.meta, newCache(t, 256<<10))
	o.KeyID = 0 // not even where nothing says that it is encrypted
	_, err = openWith(t, content, o)
	require.ErrorIs(t, err, sstable.ErrCorrupt)
}

// openWith opens the bytes of a file.
func openWith(t testing.TB, content []byte, o sstable.ReaderOptions) (*sstable.Reader, error) {
	t.Helper()
	fs := vfs.NewMem()
	writeFile(t, fs, "t", content)
	f, err := fs.Open("t", vfs.ReadOnly)
	require.NoError(t, err)
	r, err := sstable.Open(f, o)
	if err != nil {
		require.NoError(t, f.Close())
	}
	return r, err
}

func TestKeysOfEncryptedTables(t *testing.T) {
	tb := smallEncrypted(t, block.CodecNone)
	content := tb.content(t)
	o := readerOptions(&tb.meta, newCache(t, 256<<10))
	o.OpenCipher = nil
	_, err := openWith(t, content, o)
	require.ErrorIs(t, err, sstable.ErrSealed)
	require.NotErrorIs(t, err, sstable.ErrCorrupt)
	_, err = wreckWith(t, content, sstable.WreckOptions{UID: sampleUID})
	require.ErrorIs(t, err, sstable.ErrSealed)

	o.OpenCipher, o.KeyID = sealtest.Ring(8).Open, 0
	_, err = openWith(t, content, o)
	require.ErrorIs(t, err, sealtest.ErrNoKey, "the keyring's error")
	_, err = wreckWith(t, content, sstable.WreckOptions{OpenCipher: o.OpenCipher})
	require.ErrorIs(t, err, sealtest.ErrNoKey)
	o.OpenCipher, o.KeyID = ring.Open, 8
	_, err = openWith(t, content, o)
	requireForged(t, err, "another key than the manifest names")
	_, err = wreckWith(t, content, sstable.WreckOptions{KeyID: 8, OpenCipher: ring.Open})
	requireForged(t, err, "another key, as a wreck")
	o.OpenCipher = func(id seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
		return sealtest.Ring(8).Open(8, kind, uid, salt)
	}
	o.KeyID = 0
	_, err = openWith(t, content, o)
	requireForged(t, err, "another key under the id")

	f, err := vfs.NewMem().Create("t")
	require.NoError(t, err)
	wo := options()
	wo.NewCipher = func(fileid.Kind, fileid.UID, seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		return nil, 9, sealtest.ErrNoKey
	}
	_, err = sstable.NewWriter(f, wo)
	require.ErrorIs(t, err, sealtest.ErrNoKey)
	wo.NewCipher = sealtest.Ring(0).New
	_, err = sstable.NewWriter(f, wo)
	require.ErrorContains(t, err, "no key id")
	require.NoError(t, f.Close())
}

// Of an encrypted table nothing can be told but magic, version, UID, salt and key: no key,
// value, separator, bound or name is in clear, nor anything that two tables have in common.
func TestNothingOfAnEncryptedTableIsInClear(t *testing.T) {
	tb := smallEncrypted(t, block.CodecNone)
	content := tb.content(t)
	for i, e := range tb.entries {
		require.False(t, bytes.Contains(content, e.key), "key %d", i)
		require.False(t, len(e.value) > 0 && bytes.Contains(content, e.value), "value %d", i)
	}
	for _, p := range []string{"key", "loam", "LOAM", "TABL", string(sampleUID[:])} {
		require.NotContains(t, string(content[80:]), p)
	}
	require.Equal(t, sstable.EncodeHeader(sampleUID, sampleSalt(), seal.KeyID(ring)), content[:80])
	o := encrypted(options())
	o.Salt = seal.Salt{1}
	other := smallWith(t, o).content(t)
	require.Len(t, other, len(content))
	same := 0
	for i := 80; i < len(content); i++ {
		if content[i] == other[i] {
			same++
		}
	}
	require.Less(t, same, len(content)/20, "heads of trailers, and chance")
}

// Whichever byte of an encrypted table is changed, every entry of the blocks that it is not in
// comes back, but for the salt and, where they are not known, identity and key.
func TestEveryChangedByteOfAnEncryptedTableCostsItsBlockAtMost(t *testing.T) {
	step := 7
	switch {
	case invariants.Enabled:
		step = 199
	case testing.Short():
		step = 37
	}
	for _, codec := range codecs {
		o := encrypted(options())
		o.Codec = codec
		tb := wreckTableWith(t, o, 60)
		content := tb.content(t)
		blocks := starts(t, tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))))
		for off := 0; off < len(content); off++ {
			if off >= 80 && off%step != 0 || off < 80 && off%3 != 0 {
				continue
			}
			for _, o := range []sstable.WreckOptions{{UID: sampleUID, KeyID: seal.KeyID(ring)}, {}} {
				o.OpenCipher = ring.Open
				known := o.KeyID != 0
				what := fmt.Sprintf("%v, byte %d, known: %v", codec, off, known)
				changed := bytes.Clone(content)
				changed[off] ^= 0xff
				w, err := wreckWith(t, changed, o)
				if lost := off >= 32 && off < 64 || !known && (off >= 11 && off < 12 || off >= 16 && off < 72); lost {
					require.Error(t, err, what)
					continue
				}
				require.NoError(t, err, what)
				got := rest(t, w)
				requireSubset(t, tb.entries, got, what)
				hit := false
				for _, d := range w.Damage() {
					require.ErrorIs(t, d.Err, sstable.ErrCorrupt, what)
					hit = hit || d.Offset <= int64(off) && int64(off) < d.Offset+d.Len && errors.Is(d.Err, seal.ErrAuth)
				}
				require.True(t, hit, "%s: %+v", what, w.Damage())
				if blockAt(blocks, int64(off)) < 0 {
					requireEntries(t, tb.entries, got, what)
				}
				requireLostWithin(t, tb.entries, got, w.Damage(), what)
			}
		}
	}
}

// Without footer and indexes the blocks of an encrypted table are found by their trailers.
func TestEncryptedBlocksAreFoundWithoutIndexAndFooter(t *testing.T) {
	for _, codec := range codecs {
		o := encrypted(options())
		o.Codec = codec
		tb := wreckTableWith(t, o, 1500)
		content := tb.content(t)
		blocks := starts(t, tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))))
		end := blocks[len(blocks)-1]
		for i := end; i < int64(len(content)); i++ {
			content[i] ^= byte(i)
		}
		hole := len(blocks) / 2
		content[blocks[hole]+5] ^= 1
		head := len(blocks) / 4
		content[blocks[head+1]-block.TagTrailerLen] ^= 0xff // two blocks seem to be one
		w, err := wreckWith(t, content, sstable.WreckOptions{OpenCipher: ring.Open})
		require.NoError(t, err)
		got := rest(t, w)
		requireSubset(t, tb.entries, got, codec.String())
		requireLostWithin(t, tb.entries, got, w.Damage(), codec.String())
		require.Greater(t, len(got), len(tb.entries)*9/10)
		found := 0
		for _, d := range w.Damage() {
			if d.Offset == blocks[hole] && d.Offset+d.Len == blocks[hole+1] ||
				d.Offset == blocks[head] && d.Offset+d.Len == blocks[head+2] {
				found++
			}
		}
		require.Equal(t, 2, found, "%+v", w.Damage())
	}
}

func TestRangeTombstonesOfAnEncryptedTableComeBack(t *testing.T) {
	tb := wreckTableWith(t, encrypted(options()), 60)
	want := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))).RangeTombstones()
	require.Len(t, want, 2)
	content := tb.content(t)
	for _, cut := range []int{0, 144, 300} { // footer, and parts before it
		w, err := wreckWith(t, content[:len(content)-cut], sstable.WreckOptions{OpenCipher: ring.Open})
		require.NoError(t, err)
		requireEntries(t, tb.entries, rest(t, w), "entries")
		require.Equal(t, want, w.RangeTombstones())
	}
}

// retag makes a table for a cipher that takes every tag of bytes: header and footer are right
// as far as they can be.
func retag(p []byte) {
	const footerLen = 144
	if len(p) < 80+footerLen {
		return
	}
	copy(p, sstable.EncodeHeader(sampleUID, sampleSalt(), seal.KeyID(ring)))
	at := len(p) - footerLen
	footer := p[at : at+128]
	copy(footer, sampleUID[:])
	binary.LittleEndian.PutUint64(footer[16:], uint64(len(p)))
	binary.LittleEndian.PutUint64(footer[24:], uint64(ring))
	sum := fileid.NewSeed(fileid.KindTable, sampleUID).Checksum(int64(at), footer[:116])
	binary.LittleEndian.PutUint32(footer[116:], sum)
}

// Whatever an encrypted table holds, opening and reading it ends with answers or errors; with
// a cipher that takes any tag the fuzzer gets behind it.
func FuzzOpenEncryptedTable(f *testing.F) {
	for _, codec := range codecs {
		f.Add(smallEncrypted(f, codec).content(f), false)
		o := options()
		o.Codec, o.NewCipher = codec, sealtest.Clear(ring).New
		f.Add(smallWith(f, o).content(f), true)
	}
	f.Fuzz(func(t *testing.T, p []byte, clear bool) {
		o := sstable.ReaderOptions{UID: sampleUID, Size: int64(len(p)), Cache: newCache(t, 200_000), Name: "t", OpenCipher: ring.Open}
		if clear {
			retag(p)
			o.OpenCipher = sealtest.Clear(ring).Open
		}
		r, err := openWith(t, p, o)
		if err != nil {
			return
		}
		readAll(r)
		require.NoError(t, r.Close())
	})
}
