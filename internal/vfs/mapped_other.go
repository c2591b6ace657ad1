//go:build !linux

package vfs

// mapFile returns a mapping made of reads and writes.
func mapFile(h *osHandle, name string, size int64, write bool) (Mapped, error) {
	return newPlainMapped(h, name, size, write), nil
}
