package block_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

var encryptedUID = fileid.UID{1, 2, 3}

// aesGCM is a cipher with a fixed key.
func aesGCM(key byte) cipher.AEAD {
	b, err := aes.NewCipher(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		panic(err)
	}
	c, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	return c
}

func chacha(key byte) cipher.AEAD {
	c, err := chacha20poly1305.New(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		panic(err)
	}
	return c
}

// writing and reading are the guards of one encrypted file.
func writing(c cipher.AEAD, uid fileid.UID) *block.Guard {
	return &block.Guard{Seed: fileid.NewSeed(fileid.KindTable, uid), Sealer: seal.NewSealer(c, fileid.KindTable, uid)}
}

func reading(c cipher.AEAD, uid fileid.UID) *block.Guard {
	return &block.Guard{Seed: fileid.NewSeed(fileid.KindTable, uid), Opener: seal.NewOpener(c, fileid.KindTable, uid)}
}

func TestEncryptedBlocksComeBack(t *testing.T) {
	for name, p := range payloads() {
		for _, c := range codecs {
			for _, aead := range []cipher.AEAD{aesGCM(1), chacha(1)} {
				w, r := writing(aead, encryptedUID), reading(aead, encryptedUID)
				dst := append(make([]byte, 0, 10), "before"...)
				raw := must(block.Seal(dst, c, w, 4096, p))
				require.Equal(t, "before", string(raw[:6]))
				raw = raw[6:]
				clear := must(block.Seal(nil, c, summed, 4096, p))
				require.Len(t, raw, len(clear)-block.TrailerLen+block.TagTrailerLen)
				require.Equal(t, clear[len(clear)-8:len(clear)-4], raw[len(raw)-20:len(raw)-16], "codec")
				if len(p) > 100 {
					require.NotContains(t, string(raw), string(p[:20]), "in clear")
				}
				got, err := block.Open(raw, r, 4096, heap)
				require.NoError(t, err, "%s, %v", name, c)
				require.True(t, bytes.Equal(p, got))
			}
		}
	}
}

// B4, R34: whatever bit is changed, whatever is cut off, nothing opens, and no memory is asked for.
func TestOpenRefusesEveryFlippedBitOfAnEncryptedBlock(t *testing.T) {
	never := func(n int) []byte {
		t.Errorf("asked for %d bytes", n)
		return nil
	}
	for _, c := range codecs {
		raw := must(block.Seal(nil, c, writing(aesGCM(1), encryptedUID), 99, bytes.Repeat([]byte("abc"), 40)))
		r := reading(aesGCM(1), encryptedUID)
		for i := range len(raw) * 8 {
			p := bytes.Clone(raw)
			p[i/8] ^= 1 << (i % 8)
			got, err := block.Open(p, r, 99, never)
			require.ErrorIs(t, err, seal.ErrAuth, "%v, bit %d", c, i)
			require.Empty(t, got)
		}
		for n := range raw {
			_, err := block.Open(bytes.Clone(raw[:n]), r, 99, never)
			require.ErrorIs(t, err, seal.ErrAuth, "%v, %d bytes", c, n)
		}
		_, err := block.Open(append(bytes.Clone(raw), 0), r, 99, never)
		require.ErrorIs(t, err, seal.ErrAuth)
		_, err = block.Open(raw, r, 99, heap)
		require.NoError(t, err)
	}
}

// B4: an encrypted block opens in its place of its file under its key only.
func TestOpenRefusesAnEncryptedBlockOfAnotherPlaceFileOrKey(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, writing(aesGCM(1), encryptedUID), 100, []byte("payload")))
	blobs := &block.Guard{Opener: seal.NewOpener(aesGCM(1), fileid.KindBlob, encryptedUID)}
	for name, r := range map[string]*block.Guard{
		"another file": reading(aesGCM(1), fileid.UID{9}), "another key": reading(aesGCM(2), encryptedUID), "another kind": blobs,
	} {
		_, err := block.Open(bytes.Clone(raw), r, 100, heap)
		require.ErrorIs(t, err, seal.ErrAuth, name)
	}
	for _, off := range []int64{0, 99, 101, -100} {
		_, err := block.Open(bytes.Clone(raw), reading(aesGCM(1), encryptedUID), off, heap)
		require.ErrorIs(t, err, seal.ErrAuth, "at %d", off)
	}
	_, err := block.Open(bytes.Clone(raw), summed, 100, heap)
	require.ErrorIs(t, err, block.ErrChecksum, "as a block with a checksum")
}

// A block with the right checksum, which anybody can compute, is none of an encrypted file.
func TestOpenRefusesAPlainBlockOfAnEncryptedFile(t *testing.T) {
	for _, c := range codecs {
		raw := must(block.Seal(nil, c, summed, 100, bytes.Repeat([]byte("forged "), 40)))
		_, err := block.Open(bytes.Clone(raw), summed, 100, heap)
		require.NoError(t, err)
		_, err = block.Open(raw, reading(aesGCM(1), encryptedUID), 100, refuse)
		require.ErrorIs(t, err, seal.ErrAuth)
	}
}

// What is authentic is still not trusted: a writer's bug must not become a reader's.
func TestOpenRefusesAuthenticBlocksThatAreMalformed(t *testing.T) {
	forge := func(head [4]byte, stored []byte) []byte {
		at := seal.Place{Ordinal: 7, Offset: 7, Codec: head[0], Header: head[:]}
		p := must(seal.NewSealer(aesGCM(1), fileid.KindTable, encryptedUID).Seal(nil, stored, at))
		n := len(p) - seal.Overhead
		return append(append(bytes.Clone(p[:n]), head[:]...), p[n:]...)
	}
	for name, c := range map[string]struct {
		head   [4]byte
		stored []byte
		want   error
	}{
		"codec":       {[4]byte{3}, []byte("x"), block.ErrCodec},
		"dictionary":  {[4]byte{0, 1}, []byte("x"), block.ErrCodec},
		"flags":       {[4]byte{0, 0, 0, 1}, []byte("x"), block.ErrCodec},
		"no length":   {[4]byte{1}, []byte("x"), block.ErrMalformed},
		"long length": {[4]byte{1}, []byte{255, 255, 255, 255, 1}, block.ErrTooLong},
		"bomb":        {[4]byte{1}, []byte{0, 0, 0, 16, 0x80, 0x80, 0x80, 0x80, 1}, block.ErrMalformed},
	} {
		_, err := block.Open(forge(c.head, c.stored), reading(aesGCM(1), encryptedUID), 7, refuse)
		require.ErrorIs(t, err, c.want, name)
		require.NotErrorIs(t, err, seal.ErrAuth, name)
	}
}

func TestBlocksOfAnEncryptedFileComeInOrder(t *testing.T) {
	w := writing(aesGCM(1), encryptedUID)
	must(block.Seal(nil, block.CodecNone, w, 100, []byte("payload")))
	got, err := block.Seal([]byte("before"), block.CodecNone, w, 100, []byte("another"))
	require.ErrorIs(t, err, seal.ErrOrdinal)
	require.Equal(t, "before", string(got))
}

func TestEncryptedBlocksGolden(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, writing(aesGCM(1), encryptedUID), 4096, []byte("payload of a block")))
	golden.Assert(t, "testdata/encrypted.hex", []byte(hex.Dump(raw)))
}

// The bytes are those of the format: nonce and associated data are made by hand here.
func TestEncryptedBlocksAreThoseOfTheFormat(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, writing(aesGCM(1), encryptedUID), 0x0102, []byte("payload")))
	nonce, err := hex.DecodeString("020100000000000000000000")
	require.NoError(t, err)
	data, err := hex.DecodeString("01020000" + "07000000" + "0201000000000000" + "0201000000000000" + encryptedUID.String() + "00000000")
	require.NoError(t, err)
	want := aesGCM(1).Seal(nil, nonce, []byte("payload"), data)
	require.Equal(t, append(append(bytes.Clone(want[:7]), 0, 0, 0, 0), want[7:]...), raw)
}

func TestOpenAndSealOfEncryptedBlocksDoNotAllocate(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the race detector empties pools")
	}
	payload := bytes.Repeat([]byte("some words that come again "), 150)
	for _, aead := range []cipher.AEAD{aesGCM(1), chacha(1)} {
		for _, c := range codecs[:2] {
			w, r := writing(aead, encryptedUID), reading(aead, encryptedUID)
			dst, out := make([]byte, 0, 8<<10), make([]byte, 8<<10)
			off := int64(0)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				off++
				raw, err := block.Seal(dst, c, w, off, payload)
				if err != nil {
					panic(err)
				}
				if _, err := block.Open(raw, r, off, func(n int) []byte { return out[:n] }); err != nil {
					panic(err)
				}
			}), c)
		}
	}
}

func TestManyLengthsOfEncryptedBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	w, r := writing(chacha(3), encryptedUID), reading(chacha(3), encryptedUID)
	off := int64(0)
	var dst []byte
	for n := range 300 {
		p := randomBytes(rng, n)
		dst = must(block.Seal(dst[:0], block.CodecNone, w, off, p))
		got, err := block.Open(dst, r, off, refuse)
		require.NoError(t, err)
		require.True(t, bytes.Equal(p, got), n)
		require.Equal(t, len(got), cap(got))
		off += int64(len(dst))
	}
}
