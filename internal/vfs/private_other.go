//go:build !unix

package vfs

import "io/fs"

// ownedPrivately cannot tell: the mode that this system shows says nothing of other users.
func ownedPrivately(fs.FileInfo) error { return nil }

// linked cannot tell either.
func linked(fs.FileInfo) bool { return false }

// writers cannot tell either.
func writers(fs.FileInfo) Writers { return 0 }
