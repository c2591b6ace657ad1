package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/internal/vfs"
)

// copyBytes is how much of a file is copied at a time.
const copyBytes = 1 << 20

var errWrongDigest = errors.New("wrong digest of the file")

// copyTarget is the file that a copy makes.
type copyTarget struct {
	fs   vfs.FS
	name string
	sync bool
}

// copyFile copies a file of the given length, syncs the copy, and returns the XXH64 of what
// it has read. The copy's entry is not durable yet; after an error it may be there in part.
func copyFile(ctx context.Context, fs vfs.FS, name string, to copyTarget, size int64) (digest uint64, err error) {
	from, err := fs.Open(name, vfs.ReadOnly)
	if err != nil {
		return 0, err
	}
	defer from.Close() // read only: nothing can be lost
	f, err := to.fs.Create(to.name)
	if err != nil {
		return 0, err
	}
	digest, err = copyContent(ctx, from, f, size)
	if err == nil && to.sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return digest, err
}

func copyContent(ctx context.Context, from, to vfs.File, size int64) (uint64, error) {
	have, err := from.Size()
	if err == nil && have != size {
		err = fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, have, size)
	}
	if err != nil {
		return 0, err
	}
	var d xxhash.Digest
	d.Reset()
	buf := make([]byte, min(size, copyBytes))
	for off := int64(0); off < size; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		buf = buf[:min(int64(len(buf)), size-off)]
		if n, err := from.ReadAt(buf, off); err != nil && !(n == len(buf) && errors.Is(err, io.EOF)) {
			return 0, err
		}
		_, _ = d.Write(buf) // never fails
		if _, err := to.WriteAt(buf, off); err != nil {
			return 0, err
		}
	}
	return d.Sum64(), nil
}
