package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// syncTree waits until every file under dir, and every directory, is on the device: for
// copies that engines make without.
func syncTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		return syncPath(path, d.IsDir())
	})
	if err != nil {
		return err
	}
	return syncPath(filepath.Dir(dir), true)
}

func syncPath(path string, dir bool) (err error) {
	flags := os.O_RDWR
	switch {
	case dir && runtime.GOOS == "windows":
		return nil // which has no such call
	case dir:
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
