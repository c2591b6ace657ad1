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
