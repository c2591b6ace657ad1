package vfs

import (
	"errors"
	"io/fs"
)

// marked is an error that also matches one of this package's; it keeps its chain.
type marked struct{ err, mark error }

func (e *marked) Error() string        { return e.err.Error() }
func (e *marked) Unwrap() error        { return e.err }
func (e *marked) Is(target error) bool { return target == e.mark }

// pathError says what was done to what.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := &fs.PathError{Op: op, Path: path, Err: err}
	switch {
	case isNoSpace(err):
		return &marked{wrapped, ErrNoSpace}
	case op == "link" && isNoLink(err):
		return &marked{wrapped, ErrNoLink}
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
