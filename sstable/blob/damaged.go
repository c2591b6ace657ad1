package blob

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// DamagedOptions say what is known of a blob file that may be damaged.
type DamagedOptions struct {
	// UID is the file's identity where it is known and the frame may be beyond reading; zero is
	// not known.
	UID fileid.UID
	// OpenCipher makes the cipher of an encrypted file; nil: such files are refused.
	OpenCipher seal.OpenCipher
	// KeyID is the file's data key where that is known. A file of another one, or of none, is
	// then not read.
	KeyID seal.KeyID
	// Name is the file's name in errors.
	Name string
}

// OpenDamaged returns a reader of what is left of a blob file, and the file's identity: of its
// frame only that is needed, from header or footer, and references are held to the length of
// the file. Of an encrypted file the header is needed, but for what the options tell: its salt
// is nowhere else. The reader reads values and is not verified. f is its own when the error is
// nil.
func OpenDamaged(f vfs.File, o DamagedOptions) (*Reader, fileid.UID, error) {
	r := &Reader{f: f, o: ReaderOptions{UID: o.UID, OpenCipher: o.OpenCipher, KeyID: o.KeyID, Name: o.Name}}
	var err error
	if r.o.Size, err = f.Size(); err != nil {
		return nil, fileid.UID{}, fmt.Errorf("blob: size of %s: %w", o.Name, err)
	}
	r.end = r.o.Size
	h, err := r.guessHeader()
	if err != nil {
		return nil, fileid.UID{}, err
	}
	if r.guard, err = h.guard(o.OpenCipher); err != nil {
		return nil, fileid.UID{}, fmt.Errorf("blob: %s: %w", o.Name, err)
	}
	r.o.UID = h.uid
	return r, h.uid, nil
}

// guessHeader returns the header as far as it matters: as it is, from the footer, or as it must
// have been.
func (r *Reader) guessHeader() (header, error) {
	if r.o.Size < headerLen {
		return r.assume(r.doubt(-1, errLength))
	}
	var b [headerLen]byte
	if err := r.readAt(b[:], 0); err != nil {
		return r.assume(err)
	}
	h, err := decodeHeader(b[:])
	if err == nil {
		if err = h.agrees(h.uid, r.o.KeyID); err != nil {
			return h, r.refuse(0, err)
		}
		return h, nil
	}
	if later := errors.Is(err, ErrTooNew); !later && (r.o.KeyID != 0 || r.o.OpenCipher != nil && b[11] == trailerTag) {
		return r.resalt(b[:]), nil
	}
	if r.o.Size >= headerLen+footerLen {
		var b [footerLen]byte
		if err := r.readAt(b[:], r.o.Size-footerLen); err == nil {
			f, err := decodeFooter(b[:], r.o.Size, &header{uid: fileid.UID(b[:16])})
			if err == nil {
				return header{uid: f.uid}, nil
			}
		}
	}
	return r.assume(r.doubt(0, err))
}

// assume returns the header of the identity that is known, unless there is none or the error
// is no damage.
func (r *Reader) assume(err error) (header, error) {
	if errors.Is(err, ErrCorrupt) && r.o.UID != (fileid.UID{}) && r.o.KeyID == 0 {
		return header{uid: r.o.UID}, nil
	}
	return header{}, err
}

// resalt makes a header of one of an encrypted file that is damaged.
func (r *Reader) resalt(b []byte) header {
	h := header{uid: r.o.UID, keyID: r.o.KeyID, salt: seal.Salt(b[32:64])}
	if h.uid == (fileid.UID{}) {
		h.uid = fileid.UID(b[16:32])
	}
	if h.keyID == 0 {
		h.keyID = seal.KeyID(le.Uint64(b[64:]))
	}
	return h
}
