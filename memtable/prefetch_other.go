//go:build !amd64 && !arm64

package memtable

import "unsafe"

func prefetch(unsafe.Pointer) {}
