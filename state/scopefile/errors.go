package scopefile

import (
	"errors"
	"fmt"
)

// What a file is refused for, for errors.Is; also codec.ErrTooLarge, codec.ErrTooDeep and the other
// errors of package typedjson.
var (
	// ErrFormat: the file, or a line of it, is not what a Writer has written.
	ErrFormat = errors.New("scopefile: not an exported scope")
	// ErrTooNew: a newer version of the code has written the file.
	ErrTooNew = errors.New("scopefile: version too new")
	// ErrTruncated: the file ends before its trailer.
	ErrTruncated = errors.New("scopefile: the file is cut short")
	// ErrChecksum: all is there, and some of it is not what was written.
	ErrChecksum = errors.New("scopefile: the file has been changed")
	// ErrOrder: an entry was to be written that is not behind the one before.
	ErrOrder = errors.New("scopefile: entries are not in order")
)

// LineError says on which line a file is refused. It does not hold any of it.
type LineError struct {
	// Line is the number of the line, from 1 on.
	Line int64
	// Err is what is wrong with it.
	Err error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns Err.
func (e *LineError) Unwrap() error { return e.Err }
