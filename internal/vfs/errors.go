package vfs

import (
	"errors"
	"io/fs"
)

// noSpace marks an error as lack of space and keeps its chain.
type noSpace struct{ err error }

func (e *noSpace) Error() string        { return e.err.Error() }
func (e *noSpace) Unwrap() error        { return e.err }
func (e *noSpace) Is(target error) bool { return target == ErrNoSpace }

// pathError says what was done to what.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := &fs.PathError{Op: op, Path: path, Err: err}
	if isNoSpace(err) {
		return &noSpace{wrapped}
	}
	return wrapped
}

// errReadOnly: a write through something opened for reading.
var errReadOnly = errors.New("opened for reading only")

// errIrregular: the name is not that of a regular file.
var errIrregular = errors.New("not a regular file")

// errNegative: a negative offset or length.
var errNegative = errors.New("negative offset or length")

// errBeyond: a mapping longer than its file.
var errBeyond = errors.New("mapping longer than the file")

// errOutside: a Load or Store outside the mapping.
var errOutside = errors.New("range outside the mapping")
