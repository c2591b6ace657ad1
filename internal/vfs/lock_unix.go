//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the advisory lock of an open file, or reports that it is taken. The
// lock belongs to this opening of the file, so that a second one in the same process
// conflicts too, and ends when the descriptor is closed, by a kill as well.
func lockFile(f *os.File, exclusive bool) (bool, error) {
	how := unix.LOCK_NB | unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_NB | unix.LOCK_EX
	}
	for {
		switch err := unix.Flock(int(f.Fd()), how); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}
