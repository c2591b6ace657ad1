//go:build !amd64 && !arm64

package prefetch

import "unsafe"

// Line does nothing: this processor's instruction is not known here.
func Line(unsafe.Pointer) {}
