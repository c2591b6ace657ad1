//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package vfs

import "os"

// lockFile: this system has no lock that ends with its holder, so nothing is promised.
func lockFile(*os.File, bool) (bool, error) { return false, ErrNotSupported }
