package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"runtime"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
)

// Cipher is how blocks are encrypted. The values are on disk.
type Cipher uint8

// Ciphers.
const (
	// CipherAuto is AES256GCM on machines with instructions for it, ChaCha20Poly1305 on others,
	// where AES would be slow and its time would depend on the key.
	CipherAuto Cipher = 0
	// AES256GCM is AES-256 in Galois/counter mode.
	AES256GCM Cipher = 1
	// ChaCha20Poly1305 is the cipher of RFC 8439.
	ChaCha20Poly1305 Cipher = 2
)

// String returns the cipher's name.
func (c Cipher) String() string {
	switch c {
	case CipherAuto:
		return "auto"
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return fmt.Sprintf("cipher(%d)", uint8(c))
}

// valid reports whether c is a cipher that a file can have.
func (c Cipher) valid() bool { return c == AES256GCM || c == ChaCha20Poly1305 }

// choose returns the cipher to use.
func (c Cipher) choose(fastAES bool) Cipher {
	switch {
	case c != CipherAuto:
		return c
	case fastAES:
		return AES256GCM
	}
	return ChaCha20Poly1305
}

// hasFastAES reports whether package crypto/aes uses instructions of the machine for GCM.
func hasFastAES() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 && cpu.X86.HasSSSE3
	case "arm64":
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	case "s390x":
		return cpu.S390X.HasAES && cpu.S390X.HasAESCTR && cpu.S390X.HasGHASH
	case "ppc64", "ppc64le":
		return true
	}
	return false
}

// newAEAD returns the cipher under a key, which it does not keep.
func newAEAD(c Cipher, key []byte) (cipher.AEAD, error) {
	switch c {
	case AES256GCM:
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("crypto: %s: %w", c, err)
		}
		return hidden(cipher.NewGCM(b))
	case ChaCha20Poly1305:
		return hidden(chacha20poly1305.New(key))
	}
	return nil, fmt.Errorf("crypto: unknown %s", c)
}

// hiddenAEAD is a cipher whose key nothing that prints can reach, as that of Key.
type hiddenAEAD struct {
	nonceSize, overhead int
	seal                func(dst, nonce, plaintext, data []byte) []byte
	open                func(dst, nonce, sealed, data []byte) ([]byte, error)
}

func hidden(c cipher.AEAD, err error) (cipher.AEAD, error) {
	if err != nil {
		return nil, fmt.Errorf("crypto: cipher: %w", err)
	}
	return &hiddenAEAD{c.NonceSize(), c.Overhead(), c.Seal, c.Open}, nil
}

func (h *hiddenAEAD) NonceSize() int { return h.nonceSize }
func (h *hiddenAEAD) Overhead() int  { return h.overhead }
func (h *hiddenAEAD) Seal(dst, nonce, plaintext, data []byte) []byte {
	return h.seal(dst, nonce, plaintext, data)
}
func (h *hiddenAEAD) Open(dst, nonce, sealed, data []byte) ([]byte, error) {
	return h.open(dst, nonce, sealed, data)
}
