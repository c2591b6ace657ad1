package scopefile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
)

// Reader reads a file, line by line. It is for one goroutine.
type Reader struct {
	// Constant.
	in      *bufio.Reader
	limits  codec.Limits // of a line
	longest int64        // of lines, in bytes
	head    Header

	sum     hash.Hash // of the lines before the present one
	buf     []byte    // the present line, if the buffer of in is too small
	line    int64
	entries int64
	last    Entry // without its value
	err     error // sticks
}

// Room that a line has besides its value.
const (
	extraBytes = 8 << 10
	extraNodes = 64
)

// NewReader returns a Reader from r, for values within the limits, which has read the header. Errors are
// *LineError, with ErrFormat, ErrTooNew or ErrTruncated, and those of r.
func NewReader(r io.Reader, l *codec.Limits) (*Reader, error) {
	lim := l.WithDefaults()
	lim.MaxBytes, lim.MaxDepth, lim.MaxNodes = lim.MaxBytes+extraBytes, lim.MaxDepth+1, lim.MaxNodes+extraNodes
	lim = lim.WithDefaults() // none beyond what there can be
	f := &Reader{in: bufio.NewReaderSize(r, 64<<10), limits: lim, longest: 8 * int64(lim.MaxBytes), sum: sha256.New()}
	if err := f.header(); err != nil {
		return nil, err
	}
	return f, nil
}

// Header returns what the file says of the scope that it is of.
func (f *Reader) Header() Header { return f.head }

// Line returns the number of the line that was read last.
func (f *Reader) Line() int64 { return f.line }

// Next returns the next entry, or io.EOF behind the trailer. Errors are *LineError, with ErrFormat,
// ErrTruncated or ErrChecksum, codec.ErrTooLarge for a line that is too long, and others that
// package typedjson gives; or those of the io.Reader. After one it returns the same.
func (f *Reader) Next() (*Entry, error) {
	if f.err != nil {
		return nil, f.err
	}
	e, err := f.next()
	f.err = err
	return e, err
}

func (f *Reader) next() (*Entry, error) {
	line, whole, err := f.read()
	if err != nil {
		return nil, err
	}
	fs := fieldsOf(line, &f.limits)
	if fs.has(fieldSum) {
		if err := f.trailer(fs); err != nil {
			return nil, f.fail(err)
		}
		if _, err := f.in.ReadByte(); err == nil {
			f.line++
			return nil, f.fail(fmt.Errorf("%w: something behind the trailer", ErrFormat))
		} else if err != io.EOF { // returned bare
			return nil, err
		}
		return nil, io.EOF
	}
	if !whole {
		return nil, f.fail(ErrTruncated)
	}
	e, err := f.entry(fs)
	if err != nil {
		return nil, f.fail(err)
	}
	f.entered(line)
	f.last.Collection, f.last.Key = e.Collection, e.Key
	f.entries++
	return e, nil
}

// magic is how a header begins that a Writer has written.
const magic = `{"format":"` + format + `"`

func (f *Reader) header() error {
	line, whole, err := f.read()
	if err != nil {
		return err
	}
	if !whole {
		if bytes.HasPrefix(line, []byte(magic)) || bytes.HasPrefix([]byte(magic), line) {
			return f.fail(ErrTruncated)
		}
		return f.fail(ErrFormat)
	}
	fs := fieldsOf(line, &f.limits)
	if take[string](fs, fieldFormat, true) != format && fs.err == nil {
		fs.fail("another format")
	}
	version := take[int64](fs, fieldVersion, true)
	switch {
	case fs.err != nil:
		return f.fail(fs.err)
	case version > Version:
		return f.fail(fmt.Errorf("%w: %d, and %d is known", ErrTooNew, version, Version))
	case version < 1:
		fs.fail("version %d", version)
	}
	name := take[string](fs, fieldScope, true)
	if fs.has(fieldRetention) {
		f.head.Retention = fs.retention()
	}
	if err := fs.end(); err != nil {
		return f.fail(err)
	}
	if f.head.Scope, err = scope.Parse(name); err != nil {
		return f.fail(fmt.Errorf("%w: %w", ErrFormat, err))
	}
	f.entered(line)
	return nil
}

// entry returns what a line says.
func (f *Reader) entry(fs *fields) (*Entry, error) {
	if fs.err == nil && !fs.has(fieldValue) { // which may be null
		fs.fail("no field %q", fieldValue)
	}
	e := &Entry{
		Collection: take[string](fs, fieldCollection, false), Key: take[string](fs, fieldKey, true), Value: fs.m[fieldValue],
		Created: fs.instant(fieldCreated), Updated: fs.instant(fieldUpdated), Expires: fs.instant(fieldExpires),
		Correlation: take[string](fs, fieldCorrelated, false),
	}
	delete(fs.m, fieldValue)
	if fs.has(fieldClass) {
		class, err := envelope.ParseClass(take[string](fs, fieldClass, true))
		if err != nil {
			fs.fail("field %q: %w", fieldClass, err)
		}
		e.Class = class
	}
	if len(e.Correlation) > envelope.MaxCorrelationLen {
		fs.fail("field %q has more than %d bytes", fieldCorrelated, envelope.MaxCorrelationLen)
	}
	if f.entries > 0 && !e.behind(&f.last) {
		fs.fail("not behind the line before")
	}
	return e, fs.end()
}

// trailer compares what the last line says with what was read.
func (f *Reader) trailer(fs *fields) error {
	entries, sum := take[int64](fs, fieldEntries, true), take[string](fs, fieldSum, true)
	if err := fs.end(); err != nil {
		return err
	}
	if entries != f.entries || sum != hex.EncodeToString(f.sum.Sum(nil)) {
		return ErrChecksum
	}
	return nil
}

// read returns the next line, without its end, and whether it has one. The line is valid until the next
// one.
func (f *Reader) read() (line []byte, whole bool, err error) {
	f.line++
	if cap(f.buf) > keptBytes {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	for {
		part, err := f.in.ReadSlice('\n')
		switch {
		case err == nil && len(f.buf) == 0:
			line, whole = part, true
		case err == nil || errors.Is(err, bufio.ErrBufferFull) || err == io.EOF: // returned bare
			f.buf = append(f.buf, part...)
			line, whole = f.buf, err == nil
		default:
			return nil, false, err
		}
		switch {
		case int64(len(line)) > f.longest:
			return nil, false, f.fail(fmt.Errorf("%w: the line has more than %d bytes", codec.ErrTooLarge, f.longest))
		case err == nil:
			return line[:len(line)-1], whole, nil
		case err == io.EOF && len(line) == 0: // returned bare
			return nil, false, f.fail(ErrTruncated)
		case err == io.EOF: // returned bare
			return line, false, nil
		}
	}
}

// entered adds a line to the checksum.
func (f *Reader) entered(line []byte) {
	f.sum.Write(line) // never fails
	f.sum.Write([]byte{'\n'})
}

func (f *Reader) fail(err error) error { return &LineError{f.line, err} }
