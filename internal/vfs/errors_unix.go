//go:build !windows

package vfs

import (
	"errors"
	"syscall"
)

// isNoSpace reports whether the system said that space or quota ran out.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isNoLink reports whether the system said of a link that it cannot be made: EPERM is
// what a file system without links says, and one that protects the links of others' files.
func isNoLink(err error) bool {
	return errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) ||
		errors.Is(err, ErrNotSupported)
}
