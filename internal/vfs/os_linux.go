package vfs

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// openFlags are added to every open. Not to follow a link in the last element keeps a
// planted link from redirecting a write; not to block keeps a planted pipe from
// hanging the open (regular files ignore it).
const openFlags = unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK

// dsyncFlag opens a file whose writes return once their bytes are durable.
const dsyncFlag = unix.O_DSYNC

// directFlag opens a file whose reads pass the page cache; errNoDirect is what file
// systems without the means answer.
const (
	directFlag  = unix.O_DIRECT
	errNoDirect = unix.EINVAL
)

// readAligned fills p, of whole pages and at one in the file, as far as the file goes.
func readAligned(h *osHandle, p []byte, off int64) (n int, err error) {
	for n < len(p) && n%directAlign == 0 {
		var m int
		err = retry(func() (err error) {
			m, err = unix.Pread(int(h.fd), p[n:], off+int64(n))
			return err
		})
		if err != nil || m == 0 {
			break
		}
		n += m
	}
	runtime.KeepAlive(h)
	return n, err
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncFile makes content and length durable. fdatasync leaves out the times, which
// spares a journal commit when the length has not changed. It is never tried again
// after an error other than an interruption: the system has marked the pages clean.
func syncFile(h *osHandle) error {
	err := retry(func() error { return unix.Fdatasync(int(h.fd)) })
	runtime.KeepAlive(h)
	return err
}

// syncDir makes the entries of dir durable.
func syncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// preallocate asks for blocks and leaves the length alone.
func preallocate(h *osHandle, off, n int64) error {
	err := retry(func() error { return unix.Fallocate(int(h.fd), unix.FALLOC_FL_KEEP_SIZE, off, n) })
	runtime.KeepAlive(h)
	return err
}

// firstHole asks for the first hole. An extent that was allocated and never written
// counts as one. The file's own position, which this moves, is never used.
func firstHole(h *osHandle, size int64) (int64, error) {
	if size == 0 {
		return 0, nil // there is nothing to seek in
	}
	var at int64
	err := retry(func() (err error) {
		at, err = unix.Seek(int(h.fd), 0, unix.SEEK_HOLE)
		return err
	})
	runtime.KeepAlive(h)
	if errors.Is(err, unix.EINVAL) {
		return size, nil
	}
	return at, err
}

// traits asks which file system holds dir.
func traits(dir string) (Traits, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return Traits{}, err
	}
	kind := uint32(st.Type)
	return Traits{
		MappedStores: kind == unix.EXT4_SUPER_MAGIC,
		MappedLoads:  kind == unix.EXT4_SUPER_MAGIC || kind == unix.XFS_SUPER_MAGIC,
	}, nil
}
