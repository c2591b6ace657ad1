package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
)

// Errors of sealing and opening.
var (
	// ErrAuth: the bytes are not what was sealed at this place of this file.
	ErrAuth = errors.New("seal: not authentic")
	// ErrOrdinal: the ordinal was used, or lies below one that was, or is the last of all.
	ErrOrdinal = errors.New("seal: ordinal was used before")
	// ErrTooLong: the block is longer than MaxLen.
	ErrTooLong = errors.New("seal: block is too long")
)

// Overhead is how many bytes longer than the block its sealed form is.
const Overhead = 16

// MaxLen is the greatest length of a block, in bytes: the length of its sealed form fits an
// int everywhere.
const MaxLen = math.MaxInt32 - Overhead

const (
	nonceLen = 12
	// fixedLen is the length of the associated data without the header.
	fixedLen = 40
	// layout is the version of the associated data's layout.
	layout = 1
)

// Place is where a block belongs. To open it, the same place must be given.
type Place struct {
	// Ordinal is the block's number in the file, unique and rising in the order of sealing:
	// a record's index, or the offset.
	Ordinal uint64
	// Offset is where the block stands in the file, in bytes.
	Offset int64
	// Codec says how what was sealed is compressed.
	Codec uint8
	// Header is what stands in clear beside the block and must not change either.
	Header []byte
}

// file is what all blocks of a file have in common.
type file struct {
	aead cipher.AEAD
	kind fileid.Kind
	uid  fileid.UID
}

// scratch holds what a cipher takes by slice. The compiler cannot see what an interface does
// with a slice, so that arrays on the stack would be allocated for each call.
type scratch struct {
	nonce [nonceLen]byte
	data  []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{data: make([]byte, 0, fixedLen+88)} }}

// fill makes the nonce and the associated data of a block of n bytes.
//
//	nonce: 0 ordinal 8 · 8 zero 4
//	data:  0 layout 1 · 1 kind 1 · 2 codec 1 · 3 zero 1 · 4 length 4 · 8 ordinal 8 · 16 offset 8
//	       24 UID 16 · 40 header
func (s *scratch) fill(f *file, at *Place, n int) {
	binary.LittleEndian.PutUint64(s.nonce[:], at.Ordinal)
	d := append(s.data[:0], layout, byte(f.kind), at.Codec, 0)
	d = binary.LittleEndian.AppendUint32(d, uint32(n))
	d = binary.LittleEndian.AppendUint64(d, at.Ordinal)
	d = binary.LittleEndian.AppendUint64(d, uint64(at.Offset))
	d = append(d, f.uid[:]...)
	s.data = append(d, at.Header...)
	if mutant.Enabled && mutant.Is(mutant.DropAssociatedData) {
		s.data = s.data[:0]
	}
}

// Sealer seals the blocks of one file that is being written. Its methods may be called from
// any number of goroutines.
type Sealer struct {
	file
	next atomic.Uint64 // the least ordinal that was not used
}

// NewSealer returns the Sealer of a new file, whose cipher must belong to this file alone:
// 12 bytes of nonce, 16 of tag.
func NewSealer(c cipher.AEAD, kind fileid.Kind, uid fileid.UID) *Sealer {
	return &Sealer{file: file{c, kind, uid}}
}

// Seal appends the sealed form of block to dst: Overhead bytes longer, tag at the end. The
// ordinal counts as used also where what Seal returned is never written. dst may be block[:0]
// and must not overlap it otherwise. Nothing is allocated where dst has room.
//
// Errors: ErrOrdinal, ErrTooLong; nothing was sealed then.
func (s *Sealer) Seal(dst, block []byte, at Place) ([]byte, error) {
	if len(block) > MaxLen {
		return dst, fmt.Errorf("%w: %d bytes", ErrTooLong, len(block))
	}
	if !s.use(at.Ordinal) {
		return dst, fmt.Errorf("%w: %d", ErrOrdinal, at.Ordinal)
	}
	tmp := scratches.Get().(*scratch)
	tmp.fill(&s.file, &at, len(block))
	dst = s.aead.Seal(dst, tmp.nonce[:], block, tmp.data)
	scratches.Put(tmp)
	return dst, nil
}

// use takes an ordinal and reports whether it was free.
func (s *Sealer) use(ordinal uint64) bool {
	if mutant.Enabled && mutant.Is(mutant.ReuseNonce) {
		return true
	}
	for {
		next := s.next.Load()
		if ordinal < next || ordinal == math.MaxUint64 {
			return false
		}
		if s.next.CompareAndSwap(next, ordinal+1) {
			return true
		}
	}
}

// Opener opens the blocks of one file. Its methods may be called from any number of
// goroutines.
type Opener struct{ file }

// NewOpener returns the Opener of a file with the cipher that its blocks were sealed with.
func NewOpener(c cipher.AEAD, kind fileid.Kind, uid fileid.UID) *Opener {
	return &Opener{file{c, kind, uid}}
}

// Open appends the block that was sealed at the place to dst. dst may be sealed[:0] and must
// not overlap it otherwise. Nothing is allocated where dst has room.
//
// Error: ErrAuth. dst is returned as it was; the room behind it may have been overwritten.
func (o *Opener) Open(dst, sealed []byte, at Place) ([]byte, error) {
	n := len(sealed) - Overhead
	if n < 0 || n > MaxLen {
		return dst, ErrAuth
	}
	tmp := scratches.Get().(*scratch)
	tmp.fill(&o.file, &at, n)
	out, err := o.aead.Open(dst, tmp.nonce[:], sealed, tmp.data)
	scratches.Put(tmp)
	if mutant.Enabled && mutant.Is(mutant.SkipTag) && err != nil {
		return append(dst, sealed[:n]...), nil
	}
	if err != nil {
		return dst, ErrAuth
	}
	return out, nil
}
