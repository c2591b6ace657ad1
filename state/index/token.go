package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
)

// Token says where a page ends, so that another can begin there; the empty one is the beginning.
// It is text for URLs and JSON, and opaque: it is for the query that it came from. It holds the
// values by which the last document was found.
type Token string

// The bytes, docs/formats/index.md:
//
//	version 1 · flags 1 · index id (8), zero for the documents · sum (8) · position
//
// sum is the front of the SHA-256 of the query, of the plan and of the position.
const (
	tokenVersion = 1
	tokenSorted  = 1 // the position is in an order made in memory
	sumLen       = 8
	tokenHead    = 2 + len(ID{}) + sumLen
	maxTokenLen  = 8 << 10
)

// place is what a token holds.
type place struct {
	id       ID
	sorted   bool
	position []byte
}

// fits reports whether a use walks by the position's place.
func (pl *place) fits(u *use) bool {
	var id ID
	if u.index != nil {
		id = u.index.id
	}
	return pl.id == id && pl.sorted == !u.ordered
}

// token makes the token of a position.
func (p *Plan) token(position []byte) Token {
	pl := place{sorted: p.sorted, position: position}
	if p.index != nil {
		pl.id = p.index.id
	}
	b := append(append([]byte{tokenVersion, boolByte(pl.sorted) * tokenSorted}, pl.id[:]...), pl.sum(p.set, p.req)...)
	return Token(base64.RawURLEncoding.EncodeToString(append(b, position...)))
}

func (pl *place) sum(s *Set, r *request) []byte {
	text := append([]byte(s.collection), tokenVersion, boolByte(pl.sorted))
	text = append(text, pl.id[:]...)
	query := sha256.Sum256(r.digest(nil))
	text = append(append(text, query[:]...), pl.position...)
	sum := sha256.Sum256(text)
	return sum[:sumLen]
}

// open reads a token, which must be of the request. Errors are *TokenError.
func (t Token) open(s *Set, r *request) (*place, error) {
	if len(t) > maxTokenLen {
		return nil, &TokenError{"it is too long"}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(t))
	switch {
	case err != nil || len(b) == 0:
		return nil, &TokenError{"it is damaged"}
	case b[0] > tokenVersion:
		return nil, &TokenError{"it is of a later version"}
	case b[0] < tokenVersion || len(b) <= tokenHead || b[1] > tokenSorted:
		return nil, &TokenError{"it is damaged"}
	}
	pl := &place{id: ID(b[2 : 2+len(ID{})]), sorted: b[1] == tokenSorted, position: b[tokenHead:]}
	if !bytes.Equal(pl.sum(s, r), b[tokenHead-sumLen:tokenHead]) {
		return nil, &TokenError{"it is of another query, or damaged"}
	}
	return pl, nil
}
