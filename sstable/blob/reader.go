package blob

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/block"
)

// ReaderOptions say which file is expected, and how it is read.
type ReaderOptions struct {
	// UID and Size are the file's. A file with others is refused.
	UID  fileid.UID
	Size int64
	// Digest is the file's XXH64, which Verify compares; 0 when it is not known.
	Digest uint64
	// OpenCipher makes the cipher of an encrypted file; nil: such files are refused.
	OpenCipher seal.OpenCipher
	// KeyID is the data key that the manifest names for the file, which must be the one that
	// the file names; 0: whatever that names, and a plain file too.
	KeyID seal.KeyID
	// Cache holds short values; nil: none.
	Cache *cache.Cache
	// Name is the file's name in errors.
	Name string
	// Mapped reads through a mapping of the file where the system has one, and closes the
	// file once it is mapped.
	Mapped bool
}

// Reader reads one blob file. Its methods may be called from any number of goroutines, Close
// only once nothing else runs.
type Reader struct {
	f      vfs.File   // nil once mapped
	mapped vfs.Mapped // nil: by ReadAt
	guard  block.Guard
	o      ReaderOptions
	footer footer
	end    int64       // where the values end
	cached *cache.File // nil: no cache
}

// maxCached is the length of values that the cache may hold: one of longer ones would push out
// many blocks of entries, to save little beside the time that copying it takes.
const maxCached = 32 << 10

// cachedHead precedes a value in the cache: its offset, so that an ordinal that is wrong finds
// no other value.
const cachedHead = 8

// Open opens the blob file in f, which was opened for reading and is the reader's from here
// on when the error is nil. Damage is a *CorruptionError, around seal.ErrAuth where the file is
// encrypted, a file of a later version ErrTooNew, an encrypted one without OpenCipher ErrSealed,
// and errors of OpenCipher and of the file keep their chain.
func Open(f vfs.File, o ReaderOptions) (*Reader, error) {
	r := &Reader{f: f, o: o}
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("blob: size of %s: %w", o.Name, err)
	}
	if size != o.Size || size < headerLen+footerLen {
		return nil, r.doubt(-1, fmt.Errorf("%d bytes instead of %d: %w", size, o.Size, errLength))
	}
	if o.Mapped {
		m, err := f.Map(size, vfs.ReadOnly)
		if err != nil && !errors.Is(err, vfs.ErrNotSupported) {
			return nil, fmt.Errorf("blob: map %s: %w", o.Name, err)
		}
		r.mapped = m
	}
	if err := r.readFrame(); err != nil {
		if r.mapped != nil {
			_ = r.mapped.Close() // the first error is the one that matters
		}
		return nil, err
	}
	if r.mapped != nil {
		r.f = nil
		_ = f.Close() // read only: nothing can be lost
	}
	return r, nil
}

func (r *Reader) readFrame() error {
	var buf [max(headerLen, footerLen+seal.Overhead)]byte
	b := buf[:headerLen]
	if err := r.readAt(b, 0); err != nil {
		return err
	}
	h, err := decodeHeader(b)
	if err == nil {
		err = h.agrees(r.o.UID, r.o.KeyID)
	}
	if err != nil {
		return r.doubt(0, err)
	}
	if r.guard, err = h.guard(r.o.OpenCipher); err != nil {
		return fmt.Errorf("blob: %s: %w", r.o.Name, err)
	}
	off := r.o.Size - h.footerSpace()
	if off < headerLen {
		return r.doubt(-1, fmt.Errorf("%d bytes: %w", r.o.Size, errLength))
	}
	b = buf[:h.footerSpace()]
	if err := r.readAt(b, off); err != nil {
		return err
	}
	if r.footer, err = h.openFooter(b, &r.guard, r.o.Size); err != nil {
		return r.refuse(off, err)
	}
	r.end = r.footer.dirOff
	if r.o.Cache != nil {
		r.cached = r.o.Cache.NewFile(int(r.footer.values))
	}
	return nil
}

// Size is the file's length.
func (r *Reader) Size() int64 { return r.o.Size }

// Data is how many bytes of the file are values: the sum of their Ref.Stored.
func (r *Reader) Data() int64 { return r.end - headerLen }

// Values is how many values the file holds, and Bytes their length.
func (r *Reader) Values() (n, bytes uint64) { return r.footer.values, r.footer.bytes }

// Encrypted reports whether the file is.
func (r *Reader) Encrypted() bool { return r.guard.Encrypted() }

// Codec is what the values were offered to.
func (r *Reader) Codec() block.Codec { return r.footer.codec }

// Has reports whether a reference lies within the values of the file.
func (r *Reader) Has(ref *Ref) bool {
	return ref.Within(r.end - headerLen)
}

// scratch holds a block as it is stored, and decompressed. Blocks are copied out of it: a read
// straight into the caller's memory would make that escape to the heap, an allocation for
// everyone who reads into an array of his own.
type scratch struct{ stored, plain []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Append appends the value of a reference that DecodeRef has accepted to dst: its head, then
// its body. It comes as a whole or, with an error, not at all; dst then is as it was. With
// room in dst nothing is allocated.
func (r *Reader) Append(dst []byte, ref *Ref) ([]byte, error) {
	if !r.Has(ref) {
		return dst, r.corrupt(ref.Offset, errBounds)
	}
	caches := r.cached != nil && ref.Length <= maxCached && uint64(ref.Ordinal) < r.footer.values
	if caches {
		if out, ok := r.appendCached(dst, ref); ok {
			return out, nil
		}
	}
	out := append(grow(dst, ref.ValueLen()), ref.Head...)
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	c := r.chain(ref)
	for c.rest > 0 {
		p, err := c.next(buf)
		if err != nil {
			return dst, err
		}
		out = append(out, p...)
	}
	if err := c.end(); err != nil {
		return dst, err
	}
	if caches {
		r.enter(ref, out[len(out)-int(ref.Length):])
	}
	return out, nil
}

// appendCached appends a value that the cache holds.
func (r *Reader) appendCached(dst []byte, ref *Ref) (out []byte, ok bool) {
	h, ok := r.cached.Get(int(ref.Ordinal))
	if !ok {
		return dst, false
	}
	defer h.Release()
	p := h.Bytes()
	if int64(len(p)) != cachedHead+ref.Length || int64(le.Uint64(p)) != ref.Offset {
		return dst, false
	}
	return append(append(grow(dst, ref.ValueLen()), ref.Head...), p[cachedHead:]...), true
}

// enter gives a body to the cache.
func (r *Reader) enter(ref *Ref, body []byte) {
	buf, kept := r.o.Cache.Alloc(cachedHead + len(body))
	if !kept {
		buf.Discard()
		return
	}
	le.PutUint64(buf.Bytes(), uint64(ref.Offset))
	copy(buf.Bytes()[cachedHead:], body)
	h := r.cached.Insert(int(ref.Ordinal), buf)
	h.Release()
}

// grow makes room for a value of n bytes. A long one gets no more: a gibibyte must not become
// one and a quarter.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n || n < ChunkBytes {
		return slices.Grow(dst, n)
	}
	out := make([]byte, len(dst), len(dst)+n)
	copy(out, dst)
	return out
}

// chunks calls f with each block of a body, valid until f returns.
func (r *Reader) chunks(ref *Ref, f func(chunk []byte) error) error {
	if !r.Has(ref) {
		return r.corrupt(ref.Offset, errBounds)
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	c := r.chain(ref)
	for c.rest > 0 {
		p, err := c.next(buf)
		if err == nil {
			err = f(p)
		}
		if err != nil {
			return err
		}
	}
	return c.end()
}

// chain walks the blocks of a body.
type chain struct {
	r         *Reader
	off, left int64 // what of it is stored behind the last block
	rest      int64 // bytes of the body that are still to come
	linked    bool
}

func (r *Reader) chain(ref *Ref) chain {
	return chain{r: r, off: ref.Offset, left: ref.Stored, rest: ref.Length, linked: ref.Length > ChunkBytes}
}

// next returns the content of the next block, valid until the next call.
func (c *chain) next(buf *scratch) ([]byte, error) {
	n := int(min(c.rest, ChunkBytes))
	size := c.left
	if c.linked {
		if c.left < chainHead {
			return nil, c.r.doubt(c.off, errMalformed)
		}
		buf.stored = slices.Grow(buf.stored[:0], chainHead)[:chainHead]
		if err := c.r.readAt(buf.stored, c.off); err != nil {
			return nil, err
		}
		c.off, c.left, size = c.off+chainHead, c.left-chainHead, int64(le.Uint32(buf.stored))
	}
	if size > c.left || size < minBlock || size > int64(n+c.r.guard.TrailerLen()) {
		return nil, c.r.doubt(c.off, errMalformed)
	}
	buf.stored = slices.Grow(buf.stored[:0], int(size))[:size]
	if err := c.r.readAt(buf.stored, c.off); err != nil {
		return nil, err
	}
	p, err := block.Open(buf.stored, &c.r.guard, c.off, func(m int) []byte {
		if m != n {
			return nil
		}
		buf.plain = slices.Grow(buf.plain[:0], n)[:n]
		return buf.plain
	})
	if err == nil && len(p) != n {
		err = errMalformed
	}
	if err != nil {
		return nil, c.r.refuse(c.off, err)
	}
	c.off, c.left, c.rest = c.off+size, c.left-size, c.rest-int64(n)
	return p, nil
}

// end checks that nothing is left behind the last block.
func (c *chain) end() error {
	if c.left != 0 {
		return c.r.doubt(c.off, fmt.Errorf("%d bytes behind a value: %w", c.left, errMalformed))
	}
	return nil
}

// refuse is the alloc of a block that cannot be compressed.
func refuse(int) []byte { return nil }

// Close gives up the mapping and the file. Nothing else may run or follow.
func (r *Reader) Close() error {
	if r.cached != nil {
		r.cached.Close()
	}
	var err error
	if r.mapped != nil {
		if err = r.mapped.Close(); err != nil {
			err = fmt.Errorf("blob: unmap %s: %w", r.o.Name, err)
		}
		r.mapped = nil
	}
	if r.f == nil {
		return err
	}
	if cerr := r.f.Close(); cerr != nil && err == nil {
		err = fmt.Errorf("blob: close %s: %w", r.o.Name, cerr)
	}
	return err
}

// readAt fills b from off. A file that ends early is damage: its length was checked.
func (r *Reader) readAt(b []byte, off int64) error {
	n, err := len(b), error(nil)
	if r.mapped != nil {
		err = r.mapped.Load(b, off)
	} else {
		n, err = r.f.ReadAt(b, off)
	}
	switch {
	case err == nil, n == len(b) && errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return r.doubt(off, fmt.Errorf("file ends: %w", errLength))
	}
	return fmt.Errorf("blob: read %s at %d: %w", r.o.Name, off, err)
}

// refuse makes a *CorruptionError of err, unless it says that the file is too new.
func (r *Reader) refuse(off int64, err error) error {
	if errors.Is(err, block.ErrCodec) { // the checksum was right: a later version wrote it
		err = fmt.Errorf("%w: %w", ErrTooNew, err)
	}
	if errors.Is(err, ErrTooNew) {
		return fmt.Errorf("blob: %s: %w", r.o.Name, err)
	}
	return r.corrupt(off, err)
}

// doubt is refuse for what lies in clear, or is missing: a file that is encrypted is not
// authentic then.
func (r *Reader) doubt(off int64, err error) error {
	encrypted := r.o.KeyID != 0 || r.guard.Encrypted()
	if encrypted && !errors.Is(err, ErrTooNew) && !errors.Is(err, seal.ErrAuth) {
		err = fmt.Errorf("%w: %w", seal.ErrAuth, err)
	}
	return r.refuse(off, err)
}

func (r *Reader) corrupt(off int64, err error) error {
	return &CorruptionError{File: r.o.Name, Offset: off, Err: err}
}
