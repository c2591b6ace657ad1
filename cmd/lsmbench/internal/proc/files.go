package proc

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Sizes returns the bytes of the files under dir for which log reports true, by their
// path relative to dir, and of the others. What is removed meanwhile counts nothing.
func Sizes(dir string, log func(name string) bool) (logs, others int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if log(name) {
			logs += info.Size()
		} else {
			others += info.Size()
		}
		return nil
	})
	return logs, others, err
}
