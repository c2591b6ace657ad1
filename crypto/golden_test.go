package crypto_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/seal"
)

// dump shows a file of keys and what is sealed in it, 16 bytes a line.
func dump(t *testing.T, file []byte, secret crypto.Key) []byte {
	body, err := crypto.Body(file, secret)
	require.NoError(t, err)
	var out bytes.Buffer
	for _, part := range []struct {
		name string
		p    []byte
	}{{"file", file}, {"body", body}} {
		fmt.Fprintf(&out, "%s, %d bytes\n", part.name, len(part.p))
		for at := 0; at < len(part.p); at += 16 {
			fmt.Fprintf(&out, "%4d  % x\n", at, part.p[at:min(at+16, len(part.p))])
		}
	}
	return out.Bytes()
}

// The files of a small store. They change only with the format's version.
func TestGoldenFiles(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	r.Count(1, 1<<33)
	_, err := r.Rotate()
	require.NoError(t, err)
	require.NoError(t, r.Retire(1, nobody))
	_, err = r.Rotate()
	require.NoError(t, err)
	golden.Assert(t, "testdata/keyring.txt", dump(t, readBytes(t, fs, crypto.KeyringName), key(t, 1)))
	require.NoError(t, r.Rewrap(ctx, crypto.Passphrase([]byte("correct horse"), cheap)))
	file := readBytes(t, fs, crypto.KeyringName)
	k, err := crypto.Passphrase([]byte("correct horse"), cheap).Key(ctx, file[104:104+28])
	require.NoError(t, err)
	golden.Assert(t, "testdata/keyring-passphrase.txt", dump(t, file, k))

	v := createVault(t, fs)
	ids, err := v.NewKeys(2)
	require.NoError(t, err)
	require.NoError(t, v.Destroy(ids[0]))
	golden.Assert(t, "testdata/vault.txt", dump(t, readBytes(t, fs, crypto.VaultName), key(t, 5)))
	value, err := v.SealValue(nil, ids[1], []byte("user key"), []byte("value"))
	require.NoError(t, err)
	golden.Assert(t, "testdata/value.txt", []byte(hex.EncodeToString(value)+"\n"))
}

// hkdf32 is HKDF-SHA256 (RFC 5869) with an output of 32 bytes: one block.
func hkdf32(secret, salt, info []byte) []byte {
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	return mac(mac(salt, secret), info, []byte{1})
}

// What is derived for files and checks is HKDF of exactly what the format says.
func TestDerivationsAreThoseOfTheFormat(t *testing.T) {
	// RFC 5869, test case 1.
	okm := hkdf32(bytes.Repeat([]byte{0x0b}, 22), unhex(t, "000102030405060708090a0b0c"), unhex(t, "f0f1f2f3f4f5f6f7f8f9"))
	require.Equal(t, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", hex.EncodeToString(okm))

	var out bytes.Buffer
	salt := seal.Salt(bytes.Repeat([]byte{0x5a}, 32))
	secret := bytes.Repeat([]byte{1}, 32)
	info := func(label string, more ...byte) []byte { return append(append([]byte(label), more...), fileUID[:]...) }
	for _, c := range []crypto.Cipher{crypto.AES256GCM, crypto.ChaCha20Poly1305} {
		for _, kind := range []fileid.Kind{fileid.KindWAL, fileid.KindTable, fileid.KindBlob, fileid.KindManifest} {
			got := crypto.FileKey(key(t, 1), c, kind, fileUID, salt)
			require.Equal(t, hkdf32(secret, salt[:], info("loam file key 1", byte(c), byte(kind))), got)
			fmt.Fprintf(&out, "file key %d %d  %x\n", c, kind, got)
		}
	}
	for _, kind := range []fileid.Kind{fileid.KindKeyring, fileid.KindVault} {
		got := crypto.CheckValue(key(t, 1), kind, fileUID, salt)
		require.Equal(t, hkdf32(secret, salt[:], info("loam key check 1", byte(kind))), got)
		fmt.Fprintf(&out, "check %d       %x\n", kind, got)
		body := crypto.Encode(kind, crypto.AES256GCM, fileUID, salt, nil, key(t, 1), []byte("body"))
		c, err := crypto.NewAEAD(crypto.AES256GCM, hkdf32(secret, salt[:], info("loam file of keys 1", 1, byte(kind))))
		require.NoError(t, err)
		clear, err := c.Open(nil, make([]byte, 12), body[108:], body[:108])
		require.NoError(t, err)
		require.Equal(t, "body", string(clear))
	}
	golden.Assert(t, "testdata/derivations.txt", out.Bytes())

	// A ring's cipher is that of the derived key.
	fs := newFS(t)
	r := create(t, fs)
	body, err := crypto.Body(readBytes(t, fs, crypto.KeyringName), key(t, 1))
	require.NoError(t, err)
	fromRing, _, err := r.NewFile(fileid.KindBlob, fileUID, salt)
	require.NoError(t, err)
	byHand, err := crypto.NewAEAD(crypto.AES256GCM, hkdf32(body[len(body)-32:], salt[:], info("loam file key 1", 1, 3)))
	require.NoError(t, err)
	require.Equal(t, byHand.Seal(nil, make([]byte, 12), []byte("x"), nil), fromRing.Seal(nil, make([]byte, 12), []byte("x"), nil))
}

// Ciphers and Argon2id are those of their papers.
func TestKnownAnswers(t *testing.T) {
	for _, v := range []struct {
		cipher                             crypto.Cipher
		key, nonce, data, plain, encrypted string
	}{
		{ // McGrew and Viega, test case 16
			crypto.AES256GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
			"feedfacedeadbeeffeedfacedeadbeefabaddad2",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
				"76fc6ece0f4e1768cddf8853bb2d551b"},
		{ // RFC 8439, 2.8.2
			crypto.ChaCha20Poly1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
			"50515253c0c1c2c3c4c5c6c7",
			hex.EncodeToString([]byte("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.")),
			"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
				"92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116" +
				"1ae10b594f09e26a7e902ecbd0600691"},
	} {
		c, err := crypto.NewAEAD(v.cipher, unhex(t, v.key))
		require.NoError(t, err)
		require.Equal(t, v.encrypted, hex.EncodeToString(c.Seal(nil, unhex(t, v.nonce), unhex(t, v.plain), unhex(t, v.data))))
		plain, err := c.Open(nil, unhex(t, v.nonce), unhex(t, v.encrypted), unhex(t, v.data))
		require.NoError(t, err)
		require.Equal(t, v.plain, hex.EncodeToString(plain))
		require.Equal(t, []int{12, seal.Overhead}, []int{c.NonceSize(), c.Overhead()})
	}
	// The reference implementation of Argon2, test.c: 2 passes, 256 KiB, 1 lane.
	require.Equal(t, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe",
		hex.EncodeToString(argon2.IDKey([]byte("password"), []byte("somesalt"), 2, 256, 1, 32)))
	k, params, err := crypto.Passphrase([]byte("password"), crypto.Cost{Passes: 2, MemoryKiB: 9 << 10, Lanes: 3}).NewKey(ctx, newRandom(1))
	require.NoError(t, err)
	require.Equal(t, argon2.IDKey([]byte("password"), params[8:], 2, 9<<10, 3, 32), crypto.Bytes(k))
	require.Equal(t, []byte{1, 3, 2, 0, 0, 36, 0, 0}, params[:8])
}

// A sealed value is what the format says: made by hand here.
func TestSealedValuesAreThoseOfTheFormat(t *testing.T) {
	fs := newFS(t)
	v := createVault(t, fs)
	id := newKey(t, v)
	body, err := crypto.Body(readBytes(t, fs, crypto.VaultName), key(t, 5))
	require.NoError(t, err)
	c, err := chacha20poly1305.NewX(body[len(body)-32:])
	require.NoError(t, err)
	p, err := v.SealValue(nil, id, []byte("user key"), []byte("value"))
	require.NoError(t, err)
	require.Equal(t, append([]byte{1}, id[:]...), p[:17])
	plain, err := c.Open(nil, p[17:41], p[41:], append(bytes.Clone(p[:17]), "user key"...))
	require.NoError(t, err)
	require.Equal(t, "value", string(plain))
}

func TestCiphersAreChosenByTheMachineUnlessSet(t *testing.T) {
	require.Equal(t, crypto.AES256GCM, crypto.Choose(crypto.CipherAuto, true))
	require.Equal(t, crypto.ChaCha20Poly1305, crypto.Choose(crypto.CipherAuto, false))
	require.Equal(t, crypto.AES256GCM, crypto.Choose(crypto.AES256GCM, false))
	require.Equal(t, crypto.ChaCha20Poly1305, crypto.Choose(crypto.ChaCha20Poly1305, true))
	for _, set := range []crypto.Cipher{crypto.CipherAuto, crypto.AES256GCM, crypto.ChaCha20Poly1305} {
		o := options(newFS(t))
		o.Cipher = set
		r, err := crypto.Create(ctx, storeUID, master(1), o)
		require.NoError(t, err)
		require.Equal(t, crypto.Choose(set, crypto.HasFastAES()), status(t, r).Keys[0].Cipher)
		f := writeFile(t, r, 1)
		o.Cipher = crypto.AES256GCM + crypto.ChaCha20Poly1305 - crypto.Choose(set, crypto.HasFastAES())
		r, err = crypto.Open(ctx, master(1), crypto.Expected{}, o) // as on another machine
		require.NoError(t, err)
		require.NoError(t, f.read(r))
	}
	o := options(newFS(t))
	o.Cipher = 9
	_, err := crypto.Create(ctx, storeUID, master(1), o)
	require.ErrorContains(t, err, "cipher(9)")
	require.Equal(t, []string{"auto", "AES-256-GCM", "ChaCha20-Poly1305"},
		[]string{crypto.CipherAuto.String(), crypto.AES256GCM.String(), crypto.ChaCha20Poly1305.String()})
}

func unhex(t *testing.T, s string) []byte {
	p, err := hex.DecodeString(s)
	require.NoError(t, err)
	return p
}

func BenchmarkNewFile(b *testing.B) {
	r := create(b, newFS(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.NewFile(fileid.KindTable, fileUID, seal.Salt{}); err != nil {
			b.Fatal(err)
		}
	}
}
