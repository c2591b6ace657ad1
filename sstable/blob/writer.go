package blob

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/block"
)

// WriterOptions say how a blob file is written.
type WriterOptions struct {
	// UID is the file's identity, fresh from fileid.NewUID. Salt is random too.
	UID  fileid.UID
	Salt seal.Salt
	// NewCipher makes the cipher of an encrypted file; nil: it is not encrypted. UID and Salt
	// must then be new.
	NewCipher seal.NewCipher
	// Codec compresses values; blocks that gain less than an eighth are stored as they are.
	Codec block.Codec
}

// Meta describes a finished file: what the manifest keeps of it.
type Meta struct {
	// Size is the file's length in bytes, Digest its XXH64 with seed 0.
	Size   int64
	Digest uint64
	// Data is how many bytes the values take in the file: the sum of Ref.Stored.
	Data int64
	// Values counts them, Bytes is their length before compression.
	Values, Bytes uint64
	// KeyID names the data key of an encrypted file; 0: it is in clear.
	KeyID seal.KeyID
}

// Writer writes one blob file, front to back. It is not safe for concurrent use. Its first
// error sticks. The file stays the caller's: the writer neither closes it nor makes its
// directory entry durable.
type Writer struct {
	f       vfs.File
	o       WriterOptions
	head    header
	guard   block.Guard
	buf     []byte // what follows the first written bytes of the file
	written int64
	digest  xxhash.Digest
	dir     []byte
	meta    Meta
	err     error
}

const (
	// outputBytes is how much is gathered for one write.
	outputBytes = 512 << 10
	// keptBytes is how large a buffer may be that is kept for other files.
	keptBytes = outputBytes + 3*ChunkBytes
)

// buffers are shared by all files that are written.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// NewWriter begins a blob file in f, an empty file opened for writing. An error of NewCipher is
// that of the first call of Add.
func NewWriter(f vfs.File, o WriterOptions) *Writer {
	w := &Writer{f: f, o: o}
	w.digest.Reset()
	w.head, w.guard, w.err = newHeader(&o)
	w.buf = w.head.append((*buffers.Get().(*[]byte))[:0])
	return w
}

// Add writes a value, of at least one byte, and returns where it is; the file's ordinal is
// the caller's to fill in. The value is not copied but for a chunk at a time.
func (w *Writer) Add(value []byte) (Ref, error) {
	if w.err != nil {
		return Ref{}, w.err
	}
	if len(value) == 0 || len(value) > keys.MaxValueLen {
		return Ref{}, w.fail(fmt.Errorf("%w: %d bytes", ErrInvalidValue, len(value)))
	}
	ref := Ref{Ordinal: int64(w.meta.Values), Offset: w.offset(), Length: int64(len(value))}
	if len(value) <= ChunkBytes {
		w.seal(value)
	} else {
		for rest := value; len(rest) > 0; {
			n := min(len(rest), ChunkBytes)
			w.sealLinked(rest[:n])
			rest = rest[n:]
		}
	}
	if w.err != nil {
		return Ref{}, w.err
	}
	w.enter(&ref)
	return ref, nil
}

// CopyError is a failure to read what Copy was to copy.
type CopyError struct {
	// Err is what went wrong.
	Err error
}

// Error implements error.
func (e *CopyError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *CopyError) Unwrap() error { return e.Err }

// Copy writes the body that from, another reference, names in the file of r, a chunk at a
// time, and returns where it is. An error of reading is a *CopyError; it ends the writer too.
func (w *Writer) Copy(r *Reader, from *Ref) (Ref, error) {
	if w.err != nil {
		return Ref{}, w.err
	}
	ref := Ref{Head: from.Head, Ordinal: int64(w.meta.Values), Offset: w.offset(), Length: from.Length}
	err := r.chunks(from, func(chunk []byte) error {
		if from.Length > ChunkBytes {
			w.sealLinked(chunk)
		} else {
			w.seal(chunk)
		}
		return w.err
	})
	switch {
	case w.err != nil:
		return Ref{}, w.err
	case err != nil:
		return Ref{}, w.fail(&CopyError{err})
	}
	w.enter(&ref)
	return ref, nil
}

// enter makes what was written since ref.Offset a value.
func (w *Writer) enter(ref *Ref) {
	ref.Stored = w.offset() - ref.Offset
	w.dir = binary.AppendUvarint(binary.AppendUvarint(w.dir, uint64(ref.Stored)), uint64(ref.Length))
	w.meta.Values++
	w.meta.Bytes += uint64(ref.Length)
	w.meta.Data += ref.Stored
}

// seal appends one sealed block.
func (w *Writer) seal(payload []byte) {
	w.sealWith(w.o.Codec, payload)
	if len(w.buf) >= outputBytes {
		w.flush()
	}
}

// sealWith appends a payload, sealed.
func (w *Writer) sealWith(c block.Codec, payload []byte) {
	var err error
	if w.buf, err = block.Seal(w.buf, c, &w.guard, w.offset(), payload); err != nil {
		_ = w.fail(err)
	}
}

// sealLinked appends one block of a chain, with its length before it.
func (w *Writer) sealLinked(payload []byte) {
	at := len(w.buf)
	w.buf = append(w.buf, make([]byte, chainHead)...)
	w.sealWith(w.o.Codec, payload)
	le.PutUint32(w.buf[at:], uint32(len(w.buf)-at-chainHead))
	if len(w.buf) >= outputBytes {
		w.flush()
	}
}

// Size is how long the file is so far.
func (w *Writer) Size() int64 { return w.offset() }

// Values is how many values were added.
func (w *Writer) Values() uint64 { return w.meta.Values }

func (w *Writer) offset() int64 { return w.written + int64(len(w.buf)) }

// Finish writes what remains, syncs the file and returns what it is. Nothing may be done
// with the writer afterwards. A file without values is an error. After an error the file is
// worthless.
func (w *Writer) Finish() (Meta, error) {
	if w.err != nil {
		return Meta{}, w.err
	}
	if w.meta.Values == 0 {
		return Meta{}, w.fail(fmt.Errorf("%w: none", ErrInvalidValue))
	}
	f := footer{uid: w.o.UID, keyID: w.head.keyID, dirOff: w.offset(), values: w.meta.Values, bytes: w.meta.Bytes, codec: w.o.Codec}
	w.sealWith(block.CodecNone, w.dir)
	f.dirLen = w.offset() - f.dirOff
	f.fileLen = w.offset() + w.head.footerSpace()
	var err error
	if w.buf, err = w.head.appendFooter(w.buf, &w.guard, &f); err != nil {
		_ = w.fail(err)
	}
	w.flush()
	if w.err == nil && !(mutant.Enabled && mutant.Is(mutant.SkipBlobSync)) {
		if err := w.f.Sync(); err != nil {
			_ = w.fail(fmt.Errorf("blob: sync: %w", err))
		}
	}
	w.release()
	if w.err != nil {
		return Meta{}, w.err
	}
	w.err = ErrFinished
	w.meta.Size, w.meta.Digest, w.meta.KeyID = w.written, w.digest.Sum64(), w.head.keyID
	return w.meta, nil
}

// Abort ends the writer without a file, which the caller removes. After Finish it does
// nothing.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = ErrFinished
	}
	w.buf = nil
}

func (w *Writer) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	_, _ = w.digest.Write(w.buf) // never fails
	if _, err := w.f.WriteAt(w.buf, w.written); err != nil {
		_ = w.fail(fmt.Errorf("blob: write: %w", err))
	}
	w.written += int64(len(w.buf))
	w.buf = w.buf[:0]
}

func (w *Writer) release() {
	if b := w.buf; cap(b) <= keptBytes {
		b = b[:0]
		buffers.Put(&b)
	}
	w.buf = nil
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}
