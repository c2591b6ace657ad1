package manifest

import (
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// Records of an encrypted manifest; docs/formats/manifest.md is canonical. What is stored of a
// body is
//
//	ciphertext · tag 16
//
// and the body's checksum covers these: torn records are told without a key. The nonce's
// ordinal is the record's number. Associated data are the file's kind and UID, ordinal, offset
// and length, the record's header from byte 8 on, and for the first record the file's header
// too.

// guard binds what is sealed to its place in one file. Nil is that of a file in clear.
type guard struct {
	key    seal.KeyID
	sealer *seal.Sealer // of a file that this process has made
	opener *seal.Opener
	head   []byte // the file's header
}

// newGuard gives a new file its cipher, and its header salt and key id.
func newGuard(o *LogOptions, h *fileHeader) (*guard, error) {
	if o.NewCipher == nil {
		return nil, nil
	}
	var err error
	if h.salt, err = seal.NewSalt(o.Random); err != nil {
		return nil, err
	}
	c, id, err := o.NewCipher(fileid.KindManifest, h.uid, h.salt)
	if err == nil && id == 0 {
		err = invalid("a cipher without a data key")
	}
	if err != nil {
		return nil, fmt.Errorf("cipher: %w", err)
	}
	h.key = id
	return &guard{key: id, sealer: seal.NewSealer(c, fileid.KindManifest, h.uid), head: h.append(nil)}, nil
}

// openGuard is newGuard for a file that is read; head is its header as it stands there.
func openGuard(open seal.OpenCipher, h *fileHeader, head []byte) (*guard, error) {
	switch {
	case h.key == 0 && open == nil, mutant.Enabled && mutant.Is(mutant.AcceptPlainManifest) && h.key == 0:
		return nil, nil
	case h.key == 0: // killed by TestAManifestInClearIsRefused
		return nil, damageAt(0, fmt.Errorf("%w: manifest in clear", seal.ErrAuth))
	case open == nil:
		return nil, ErrSealed
	}
	c, err := open(h.key, fileid.KindManifest, h.uid, h.salt)
	if err != nil {
		return nil, fmt.Errorf("manifest: cipher: %w", err)
	}
	return &guard{key: h.key, opener: seal.NewOpener(c, fileid.KindManifest, h.uid), head: head[:fileHeaderLen]}, nil
}

// dataKey is the data key that the file is under.
func (g *guard) dataKey() seal.KeyID {
	if g == nil {
		return 0
	}
	return g.key
}

// overhead is how many bytes longer what is stored of a body is.
func (g *guard) overhead() int {
	if g == nil {
		return 0
	}
	return seal.Overhead
}

// place is where the record with the header p belongs.
func (g *guard) place(number uint64, offset int64, p []byte) seal.Place {
	header := p[8:recordLen]
	if offset == fileHeaderLen {
		header = append(slices.Clone(header), g.head...)
	}
	return seal.Place{Ordinal: number, Offset: offset, Header: header}
}

// seal appends to dst, which ends with the record's header, what is stored of its body.
func (g *guard) seal(dst []byte, r *record, offset int64) ([]byte, error) {
	if g == nil {
		return append(dst, r.body...), nil
	}
	return g.sealer.Seal(dst, r.body, g.place(r.number, offset, dst[len(dst)-recordLen:]))
}

// open replaces the stored body of the record p, which stands at offset, by what was sealed.
func (g *guard) open(r *record, p []byte, offset int64) error {
	if g == nil {
		return nil
	}
	body, err := g.opener.Open(nil, r.body, g.place(r.number, offset, p[:recordLen]))
	if err != nil {
		return fmt.Errorf("record %d: %w", r.number, err)
	}
	r.body = body
	return nil
}
