package sealtest

import (
	"bytes"
	"crypto/cipher"
	"sync"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// Plaintexts keeps what is sealed with ciphers of files: what whoever has the data keys finds in the
// files. The zero value is ready.
type Plaintexts struct {
	mu  sync.Mutex
	all [][]byte
}

// Wrap is a seams.WrapCipher: it keeps all that is sealed with the ciphers.
func (p *Plaintexts) Wrap(inner seal.NewCipher) seal.NewCipher {
	return func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		c, id, err := inner(kind, uid, salt)
		return &kept{c, p}, id, err
	}
}

// Has reports in how many of the blocks and records text stands.
func (p *Plaintexts) Has(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, b := range p.all {
		if bytes.Contains(b, []byte(text)) {
			n++
		}
	}
	return n
}

// kept is the cipher of a file.
type kept struct {
	cipher.AEAD
	p *Plaintexts
}

func (c *kept) Seal(dst, nonce, plaintext, data []byte) []byte {
	c.p.mu.Lock()
	c.p.all = append(c.p.all, bytes.Clone(plaintext))
	c.p.mu.Unlock()
	return c.AEAD.Seal(dst, nonce, plaintext, data)
}
