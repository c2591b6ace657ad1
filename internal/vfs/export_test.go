package vfs

// PlainMap maps a file of the operating system by reads and writes.
func PlainMap(f File, size int64, write bool) Mapped {
	file := f.(*osFile)
	return newPlainMapped(file.handle, file.name, size, write)
}
