package sealtest

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// Nonces notes what is sealed under which nonce of which file's key. The zero value is ready.
type Nonces struct {
	mu    sync.Mutex
	seen  map[[16]byte]struct{}
	twice int
}

// Wrap is a seams.WrapCipher: it notes all that is sealed with the ciphers.
func (n *Nonces) Wrap(inner seal.NewCipher) seal.NewCipher {
	return func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		c, id, err := inner(kind, uid, salt)
		file := binary.LittleEndian.AppendUint64([]byte{byte(kind)}, uint64(id))
		return &noted{c, n, append(append(file, uid[:]...), salt[:]...)}, id, err
	}
}

// Count returns how many blocks were sealed, and how many of them under a nonce that its key
// had seen before.
func (n *Nonces) Count() (sealed, twice int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen) + n.twice, n.twice
}

// noted is the cipher of a file; of equal keys file is equal.
type noted struct {
	cipher.AEAD
	n    *Nonces
	file []byte
}

func (c *noted) Seal(dst, nonce, plaintext, data []byte) []byte {
	h := sha256.New()
	_, _ = h.Write(c.file) // never fails
	_, _ = h.Write(nonce)
	id := [16]byte(h.Sum(nil))
	c.n.mu.Lock()
	if _, ok := c.n.seen[id]; ok {
		c.n.twice++
	} else {
		if c.n.seen == nil {
			c.n.seen = map[[16]byte]struct{}{}
		}
		c.n.seen[id] = struct{}{}
	}
	c.n.mu.Unlock()
	return c.AEAD.Seal(dst, nonce, plaintext, data)
}
