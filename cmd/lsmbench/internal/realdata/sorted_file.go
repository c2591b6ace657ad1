package realdata

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// A sorted file holds records that can be read from either end:
//
//	record = number u64 · key length u32 · value length u32 · key · value · size u32
//	         size counts the record without itself; little-endian

const (
	sortedHeader  = 16
	sortedTrailer = 4
)

// sortedRecord is a record and its number in the source.
type sortedRecord struct {
	n uint64
	engine.Pair
}

var errSortedFile = errors.New("temporary file is not what was written")

// sortedWriter writes a sorted file. The caller adds records in order.
type sortedWriter struct {
	path string
	f    *os.File
	w    *bufio.Writer
	buf  []byte
}

func createSorted(path string) (*sortedWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return newSortedWriter(f), nil
}

func newSortedWriter(f *os.File) *sortedWriter {
	return &sortedWriter{path: f.Name(), f: f, w: bufio.NewWriterSize(f, 256<<10)}
}

func (w *sortedWriter) add(r sortedRecord) error {
	b := binary.LittleEndian.AppendUint64(w.buf[:0], r.n)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Value)))
	b = append(append(b, r.Key...), r.Value...)
	w.buf = binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	_, err := w.w.Write(w.buf)
	return err
}

func (w *sortedWriter) close() error { return errors.Join(w.w.Flush(), w.f.Close()) }

// abandon closes and removes the file and returns err.
func (w *sortedWriter) abandon(err error) error {
	w.f.Close()
	os.Remove(w.path)
	return err
}

// sortedReader reads a sorted file in one direction. rec lives until the next call.
type sortedReader struct {
	rec     sortedRecord
	f       *os.File
	reverse bool
	size    int64  // of the file
	at      int64  // forward: where the next record begins; reverse: where it ends
	window  []byte // a part of the file
	from    int64  // where the window begins
}

const sortedWindow = 256 << 10

func openSorted(path string) (*sortedReader, error) { return openSortedAt(path, false) }

// openSortedAt opens for reading forward from the start, or in reverse from the end.
func openSortedAt(path string, reverse bool) (*sortedReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &sortedReader{f: f, reverse: reverse, size: info.Size()}
	if reverse {
		r.at = r.size
	}
	return r, nil
}

func (r *sortedReader) close() error { return r.f.Close() }

// next reads the next record, or returns false at the end.
func (r *sortedReader) next() (bool, error) {
	if r.reverse {
		return r.previous()
	}
	if r.at == r.size {
		return false, nil
	}
	head, err := r.bytes(r.at, sortedHeader)
	if err != nil {
		return false, err
	}
	size := sortedHeader + int64(binary.LittleEndian.Uint32(head[8:])) + int64(binary.LittleEndian.Uint32(head[12:]))
	if err := r.load(r.at, size); err != nil {
		return false, err
	}
	r.at += size + sortedTrailer
	return true, nil
}

func (r *sortedReader) previous() (bool, error) {
	if r.at == 0 {
		return false, nil
	}
	tail, err := r.bytes(r.at-sortedTrailer, sortedTrailer)
	if err != nil {
		return false, err
	}
	size := int64(binary.LittleEndian.Uint32(tail))
	if err := r.load(r.at-sortedTrailer-size, size); err != nil {
		return false, err
	}
	r.at -= size + sortedTrailer
	return true, nil
}

func (r *sortedReader) load(off, size int64) error {
	b, err := r.bytes(off, size)
	if err != nil {
		return err
	}
	if size < sortedHeader {
		return fmt.Errorf("%w: %s at %d", errSortedFile, r.f.Name(), off)
	}
	keyLen := int64(binary.LittleEndian.Uint32(b[8:]))
	if sortedHeader+keyLen > size {
		return fmt.Errorf("%w: %s at %d", errSortedFile, r.f.Name(), off)
	}
	r.rec.n = binary.LittleEndian.Uint64(b)
	r.rec.Key, r.rec.Value = b[sortedHeader:sortedHeader+keyLen], b[sortedHeader+keyLen:]
	return nil
}

// bytes returns [off, off+n) of the file, moving the window there if need be: to begin
// at the range when reading forward, to end with it in reverse.
func (r *sortedReader) bytes(off, n int64) ([]byte, error) {
	if off < 0 || off+n > r.size {
		return nil, fmt.Errorf("%w: %s at %d", errSortedFile, r.f.Name(), off)
	}
	if off < r.from || off+n > r.from+int64(len(r.window)) {
		length := min(max(n, sortedWindow), r.size)
		from := min(off, r.size-length)
		if r.reverse {
			from = max(off+n-length, 0)
		}
		if int64(cap(r.window)) < length {
			r.window = make([]byte, length)
		}
		r.window, r.from = r.window[:length], from
		if _, err := r.f.ReadAt(r.window, from); err != nil && err != io.EOF {
			r.window = r.window[:0]
			return nil, err
		}
	}
	return r.window[off-r.from : off-r.from+n], nil
}
