package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/seal"
)

var uid = fileid.UID{0x10, 0xa3, 3}

func aesGCM(t testing.TB, b byte) cipher.AEAD {
	block, err := aes.NewCipher(bytes.Repeat([]byte{b}, 32))
	require.NoError(t, err)
	c, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return c
}

func ciphers(t testing.TB) map[string]cipher.AEAD {
	chacha, err := chacha20poly1305.New(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	return map[string]cipher.AEAD{"AES-256-GCM": aesGCM(t, 7), "ChaCha20-Poly1305": chacha}
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// recorder is a cipher that notes its nonces.
type recorder struct {
	cipher.AEAD
	mu     sync.Mutex
	nonces map[string]int
}

func (r *recorder) Seal(dst, nonce, plaintext, data []byte) []byte {
	r.mu.Lock()
	r.nonces[string(nonce)]++
	r.mu.Unlock()
	return r.AEAD.Seal(dst, nonce, plaintext, data)
}

// S1, R35, trap 81: whatever ordinals the callers ask for, from several goroutines at once, no
// nonce is used twice.
func TestNoOrdinalIsSealedTwice(t *testing.T) {
	rec := &recorder{AEAD: aesGCM(t, 1), nonces: map[string]int{}}
	s := seal.NewSealer(rec, fileid.KindWAL, uid)
	var done sync.WaitGroup
	var mu sync.Mutex
	sealed := 0
	for g := range 4 {
		done.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range uint64(2000) {
				_, err := s.Seal(nil, []byte{1}, seal.Place{Ordinal: i + r.Uint64N(3)})
				if err == nil {
					mu.Lock()
					sealed++
					mu.Unlock()
				}
			}
		})
	}
	done.Wait()
	require.Equal(t, sealed, len(rec.nonces), "a nonce repeats")
	require.Greater(t, sealed, 1000)

	next := uint64(1 << 40)
	_, err := s.Seal(nil, nil, seal.Place{Ordinal: next})
	require.NoError(t, err)
	for _, ordinal := range []uint64{next, next - 1, 0, math.MaxUint64} {
		dst := []byte("before")
		got, err := s.Seal(dst, []byte("x"), seal.Place{Ordinal: ordinal})
		require.ErrorIs(t, err, seal.ErrOrdinal, "%d", ordinal)
		require.Equal(t, "before", string(got))
	}
	_, err = s.Seal(nil, nil, seal.Place{Ordinal: math.MaxUint64 - 1})
	require.NoError(t, err)
	for _, ordinal := range []uint64{0, 1, math.MaxUint64} {
		_, err := s.Seal(nil, nil, seal.Place{Ordinal: ordinal})
		require.ErrorIs(t, err, seal.ErrOrdinal, "it wraps around")
	}
}

// The bytes are those of the format: nonce and associated data are made by hand here.
func TestSealedBlocksAreThoseOfTheFormat(t *testing.T) {
	for name, c := range ciphers(t) {
		s := seal.NewSealer(c, fileid.KindTable, uid)
		got, err := s.Seal(nil, []byte("block"), seal.Place{Ordinal: 0x0102, Offset: 0x0304, Codec: 2, Header: []byte("head")})
		require.NoError(t, err)
		nonce, err := hex.DecodeString("020100000000000000000000")
		require.NoError(t, err)
		data, err := hex.DecodeString("01020200" + "05000000" + "0201000000000000" + "0403000000000000" + uid.String() + hex.EncodeToString([]byte("head")))
		require.NoError(t, err)
		require.Equal(t, c.Seal(nil, nonce, []byte("block"), data), got, name)
		require.Len(t, got, len("block")+seal.Overhead)
	}
}

// S2, trap 82: a block opens at its own place of its own file only.
func TestABlockOpensAtItsPlaceOnly(t *testing.T) {
	for name, c := range ciphers(t) {
		at := seal.Place{Ordinal: 4, Offset: 4096, Codec: 1, Header: []byte("head")}
		sealed, err := seal.NewSealer(c, fileid.KindTable, uid).Seal(nil, []byte("the block"), at)
		require.NoError(t, err)
		got, err := seal.NewOpener(c, fileid.KindTable, uid).Open([]byte("dst "), sealed, at)
		require.NoError(t, err)
		require.Equal(t, "dst the block", string(got))

		other := uid
		other[15]++
		elsewhere := map[string]struct {
			c    cipher.AEAD
			kind fileid.Kind
			uid  fileid.UID
			at   seal.Place
		}{
			"ordinal":   {c, fileid.KindTable, uid, seal.Place{Ordinal: 5, Offset: 4096, Codec: 1, Header: []byte("head")}},
			"offset":    {c, fileid.KindTable, uid, seal.Place{Ordinal: 4, Offset: 4097, Codec: 1, Header: []byte("head")}},
			"codec":     {c, fileid.KindTable, uid, seal.Place{Ordinal: 4, Offset: 4096, Codec: 0, Header: []byte("head")}},
			"header":    {c, fileid.KindTable, uid, seal.Place{Ordinal: 4, Offset: 4096, Codec: 1, Header: []byte("heaD")}},
			"no header": {c, fileid.KindTable, uid, seal.Place{Ordinal: 4, Offset: 4096, Codec: 1}},
			"kind":      {c, fileid.KindBlob, uid, at},
			"file":      {c, fileid.KindTable, other, at},
			"key":       {aesGCM(t, 8), fileid.KindTable, uid, at},
		}
		for what, e := range elsewhere {
			got, err := seal.NewOpener(e.c, e.kind, e.uid).Open([]byte("dst "), sealed, e.at)
			require.ErrorIs(t, err, seal.ErrAuth, "%s: another %s", name, what)
			require.Equal(t, "dst ", string(got))
		}
	}
}

// S2, S3, R34: every flipped bit and every other length is refused, and nothing is handed out.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	for name, c := range ciphers(t) {
		at := seal.Place{Ordinal: 1}
		s, o := seal.NewSealer(c, fileid.KindBlob, uid), seal.NewOpener(c, fileid.KindBlob, uid)
		sealed, err := s.Seal(nil, []byte("a block of some bytes"), at)
		require.NoError(t, err)
		for bit := range len(sealed) * 8 {
			p := bytes.Clone(sealed)
			p[bit/8] ^= 1 << (bit % 8)
			got, err := o.Open(nil, p, at)
			require.ErrorIs(t, err, seal.ErrAuth, "%s, bit %d", name, bit)
			require.Empty(t, got)
		}
		for n := range len(sealed) {
			_, err := o.Open(nil, sealed[:n], at)
			require.ErrorIs(t, err, seal.ErrAuth, "%d bytes", n)
		}
		_, err = o.Open(nil, append(bytes.Clone(sealed), 0), at)
		require.ErrorIs(t, err, seal.ErrAuth)
	}
}

func TestBlocksOfManyLengthsInPlaceAndAppended(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, c := range ciphers(t) {
		s, o := seal.NewSealer(c, fileid.KindTable, uid), seal.NewOpener(c, fileid.KindTable, uid)
		for i, n := range []int{0, 1, 15, 16, 17, 1000, 4096, 70_000} {
			block, at := randomBytes(r, n), seal.Place{Ordinal: uint64(i), Header: randomBytes(r, i*40)}
			buf := append(make([]byte, 0, n+seal.Overhead), block...)
			sealed, err := s.Seal(buf[:0], buf, at)
			require.NoError(t, err)
			got, err := o.Open(nil, sealed, at)
			require.NoError(t, err, "%s, %d bytes", name, n)
			require.Equal(t, append([]byte{}, block...), append([]byte{}, got...))
			got, err = o.Open(sealed[:0], sealed, at)
			require.NoError(t, err)
			require.Equal(t, append([]byte{}, block...), append([]byte{}, got...))
		}
	}
}

func TestNothingIsAllocatedWhereThereIsRoom(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the race detector empties pools")
	}
	for name, c := range ciphers(t) {
		s, o := seal.NewSealer(c, fileid.KindTable, uid), seal.NewOpener(c, fileid.KindTable, uid)
		block, header := make([]byte, 4096), make([]byte, 24)
		sealed, out := make([]byte, 0, 4096+seal.Overhead), make([]byte, 0, 4096)
		n := uint64(0)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			at := seal.Place{Ordinal: n, Offset: int64(n), Codec: 1, Header: header}
			n++
			p, err := s.Seal(sealed, block, at)
			if err != nil {
				panic(err)
			}
			if _, err := o.Open(out, p, at); err != nil {
				panic(err)
			}
		}), name)
	}
}

func TestAFileIsReadFromManyGoroutines(t *testing.T) {
	c := aesGCM(t, 3)
	s, o := seal.NewSealer(c, fileid.KindTable, uid), seal.NewOpener(c, fileid.KindTable, uid)
	var blocks [16][]byte
	for i := range blocks {
		p, err := s.Seal(nil, fmt.Appendf(nil, "block %d", i), seal.Place{Ordinal: uint64(i)})
		require.NoError(t, err)
		blocks[i] = p
	}
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for i := range 1000 {
				i %= len(blocks)
				got, err := o.Open(nil, blocks[i], seal.Place{Ordinal: uint64(i)})
				if err != nil || string(got) != fmt.Sprintf("block %d", i) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	done.Wait()
}

func TestSaltsAreRead(t *testing.T) {
	s, err := seal.NewSalt(bytes.NewReader(bytes.Repeat([]byte{9}, 32)))
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{9}, 32), s[:])
	_, err = seal.NewSalt(bytes.NewReader(make([]byte, 31)))
	require.Error(t, err)
}

func BenchmarkSeal(b *testing.B) {
	for name, c := range ciphers(b) {
		for _, n := range []int{128, 4096, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				s := seal.NewSealer(c, fileid.KindTable, uid)
				block, dst := make([]byte, n), make([]byte, 0, n+seal.Overhead)
				i := uint64(0)
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					if _, err := s.Seal(dst, block, seal.Place{Ordinal: i}); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, c := range ciphers(b) {
		for _, n := range []int{128, 4096, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				sealed, err := seal.NewSealer(c, fileid.KindTable, uid).Seal(nil, make([]byte, n), seal.Place{})
				require.NoError(b, err)
				o, dst := seal.NewOpener(c, fileid.KindTable, uid), make([]byte, 0, n)
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					if _, err := o.Open(dst, sealed, seal.Place{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
