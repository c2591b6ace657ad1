//go:build !linux

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
)

// openFlags are added to every open.
const openFlags = 0

// dsyncFlag is absent: elsewhere such a flag either does not exist or does not flush
// the device's cache.
const dsyncFlag = 0

// directFlag is absent: elsewhere reads past the system's cache are another call, or none.
const directFlag = 0

var errNoDirect = ErrNotSupported

func readAligned(*osHandle, []byte, int64) (int, error) { return 0, ErrNotSupported }

// syncFile makes content and length durable. Package os asks macOS to flush the
// device's cache too.
func syncFile(h *osHandle) error { return h.Sync() }

// syncDir makes the entries of dir durable. Windows has no such call; NTFS journals
// its directories.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	info, err := d.Stat()
	switch {
	case err == nil && !info.IsDir():
		err = fs.ErrInvalid
	case err == nil && runtime.GOOS != "windows":
		err = d.Sync()
	}
	return errors.Join(err, d.Close())
}

func preallocate(*osHandle, int64, int64) error { return ErrNotSupported }

// firstHole cannot tell.
func firstHole(_ *osHandle, size int64) (int64, error) { return size, nil }

// traits knows nothing of the file system.
func traits(dir string) (Traits, error) {
	if _, err := os.Stat(dir); err != nil {
		return Traits{}, err
	}
	return Traits{}, nil
}
