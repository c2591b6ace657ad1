package blob

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// maxDamages bounds the list of Examine: a file of small damaged pieces must not fill memory
// with it.
const maxDamages = 10_000

// Verify reads the whole file and checks all that it promises by itself: the checksum of
// every block, that the values and the directory agree, the counts, and the digest when
// ReaderOptions gave one. It holds up no reader. The first thing wrong is a
// *CorruptionError; ctx ends it early.
func (r *Reader) Verify(ctx context.Context) error {
	var first error
	err := r.walk(ctx, func(e error) bool {
		first = e
		return false
	})
	if err != nil {
		return err
	}
	return first
}

// Examine does what Verify does, and returns everything wrong, by offset. The error says what
// ended it early.
func (r *Reader) Examine(ctx context.Context) (damage []error, err error) {
	err = r.walk(ctx, func(e error) bool {
		damage = append(damage, e)
		return len(damage) < maxDamages
	})
	return damage, err
}

// walk reads the file and reports what is wrong until report returns false. The error is
// ctx's, or that of a read.
func (r *Reader) walk(ctx context.Context, report func(error) bool) error {
	w := walker{r: r, ctx: ctx}
	w.digest.Reset()
	dir, err := w.directory()
	if err != nil {
		return stopIsNil(reportOr(err, report))
	}
	off := int64(headerLen)
	values, total := uint64(0), uint64(0)
	d := codec.NewDecoder(dir)
	for d.Err() == nil && d.Len() > 0 {
		stored, length := d.Uvarint(), d.Uvarint()
		if d.Err() != nil || length == 0 || length > keys.MaxValueLen || stored < minStored(length) ||
			stored > maxStored(length, r.guard.TrailerLen()) || stored > uint64(r.end-off) {
			d.Fail(errMalformed)
			break
		}
		if err := w.value(off, int64(stored), int64(length)); err != nil {
			if err := reportOr(err, report); err != nil {
				return stopIsNil(err)
			}
			w.damaged = true
		}
		off += int64(stored)
		values, total = values+1, total+length
	}
	if d.Err() != nil || off != r.end || values != r.footer.values || total != r.footer.bytes {
		return stopIsNil(reportOr(r.corrupt(r.end, fmt.Errorf("directory: %w", errMalformed)), report))
	}
	if err := w.hashTo(r.o.Size); err != nil {
		return stopIsNil(reportOr(err, report))
	}
	// Last, and only alone: damage that has a place is in the digest too.
	if r.o.Digest != 0 && w.digest.Sum64() != r.o.Digest && !w.damaged {
		return stopIsNil(reportOr(r.corrupt(-1, errDigest), report))
	}
	return nil
}

// errStop: report wants no more.
var errStop = errors.New("blob: enough")

// reportOr reports damage, and returns any other error, or errStop.
func reportOr(err error, report func(error) bool) error {
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	if !report(err) {
		return errStop
	}
	return nil
}

func stopIsNil(err error) error {
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// walker reads a file in order.
type walker struct {
	r       *Reader
	ctx     context.Context
	buf     []byte // the piece of the file at off
	off     int64
	raw     []byte // payload of the last compressed block
	digest  xxhash.Digest
	hashed  int64
	damaged bool
}

const windowBytes = 512 << 10

// piece returns n bytes at off, valid until the next call, and takes what it reads into the
// digest. Offsets ascend: what was opened, in place where the file is encrypted, is not seen
// again.
func (w *walker) piece(off, n int64) ([]byte, error) {
	if off < w.off || off+n > w.off+int64(len(w.buf)) {
		if err := w.ctx.Err(); err != nil {
			return nil, fmt.Errorf("blob: verify %s: %w", w.r.o.Name, err)
		}
		size := min(max(n, windowBytes), w.r.o.Size-off)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.buf, w.off = w.buf[:size], off
		if err := w.r.readAt(w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
		if skip := w.hashed - off; skip >= 0 && skip < size {
			_, _ = w.digest.Write(w.buf[skip:]) // never fails
			w.hashed = off + size
		}
	}
	return w.buf[off-w.off:][:n], nil
}

// hashTo takes the rest of the file below end into the digest.
func (w *walker) hashTo(end int64) error {
	for w.hashed < end {
		if _, err := w.piece(w.hashed, min(windowBytes, end-w.hashed)); err != nil {
			return err
		}
	}
	return nil
}

// directory returns the directory's content.
func (w *walker) directory() ([]byte, error) {
	r := w.r
	if r.footer.dirLen-int64(r.guard.TrailerLen()) > 20*int64(r.footer.values) {
		return nil, r.corrupt(r.end, fmt.Errorf("directory of %d bytes: %w", r.footer.dirLen, errLength))
	}
	sealed := make([]byte, r.footer.dirLen)
	if err := r.readAt(sealed, r.end); err != nil {
		return nil, err
	}
	p, err := block.Open(sealed, &r.guard, r.end, refuse)
	if err != nil {
		return nil, r.refuse(r.end, err)
	}
	// The header is read again, for the digest.
	if _, err := w.piece(0, headerLen); err != nil {
		return nil, err
	}
	return p, nil
}

// value checks the blocks of one value.
func (w *walker) value(off, stored, length int64) error {
	end := off + stored
	for rest := length; rest > 0; {
		n := min(rest, ChunkBytes)
		size := stored
		if length > ChunkBytes {
			if end-off < chainHead {
				return w.r.doubt(off, errMalformed)
			}
			head, err := w.piece(off, chainHead)
			if err != nil {
				return err
			}
			off, size = off+chainHead, int64(le.Uint32(head))
		}
		if size < minBlock || size > n+int64(w.r.guard.TrailerLen()) || size > end-off {
			return w.r.doubt(off, errMalformed)
		}
		raw, err := w.piece(off, size)
		if err != nil {
			return err
		}
		p, err := block.Open(raw, &w.r.guard, off, func(m int) []byte {
			if int64(m) != n {
				return nil
			}
			if cap(w.raw) < m {
				w.raw = make([]byte, m)
			}
			return w.raw[:m]
		})
		if err == nil && int64(len(p)) != n {
			err = errMalformed
		}
		if err != nil {
			return w.r.refuse(off, err)
		}
		off, rest = off+size, rest-n
	}
	if off != end {
		return w.r.doubt(off, errMalformed)
	}
	return nil
}
