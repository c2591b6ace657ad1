package scopefile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/typedjson"
)

// Writer writes a file: its header, then entries, then by Close its trailer, without which it is none.
// It is for one goroutine. It keeps one line, and calls its io.Writer once for each.
type Writer struct {
	w       io.Writer
	sum     hash.Hash
	line    []byte
	entries int64
	last    Entry // without its value
	err     error // sticks
}

// widest are the limits within which lines are written: whatever a store holds goes into one, but
// for values of the greatest depth that there can be, which is one more within a line.
var widest = codec.Limits{MaxBytes: 1 << 30, MaxDepth: 10_000, MaxNodes: 1 << 30}

// NewWriter returns a Writer to w, for the file of a scope, whose header it has written. Errors are
// those of w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	f := &Writer{w: w, sum: sha256.New()}
	m := map[string]any{fieldFormat: format, fieldVersion: int64(Version), fieldScope: h.Scope.String()}
	if h.Retention != (Retention{}) {
		m[fieldRetention] = h.Retention.fields()
	}
	f.write(m)
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

// fields returns the limits that there are.
func (r *Retention) fields() map[string]any {
	m := map[string]any{}
	for name, n := range map[string]int64{fieldAge: r.MaxAge, fieldMost: r.MaxEntries, fieldMostBytes: r.MaxBytes, fieldIdling: r.DropIdle} {
		if n != 0 {
			m[name] = n
		}
	}
	return m
}

// Write writes an entry, which must be behind the one before, and is not kept. Errors: ErrOrder, those of
// package codec for what is no value or too deep, and those of the io.Writer. After one the file cannot be
// completed.
func (f *Writer) Write(e *Entry) error {
	if f.err != nil {
		return f.err
	}
	if f.entries > 0 && !e.behind(&f.last) {
		f.err = ErrOrder
		return f.err
	}
	m := map[string]any{fieldKey: e.Key, fieldValue: e.Value}
	if e.Class != 0 {
		m[fieldClass] = e.Class.String()
	}
	text := func(name, s string) {
		if s != "" {
			m[name] = s
		}
	}
	text(fieldCollection, e.Collection)
	text(fieldCorrelated, e.Correlation)
	instant := func(name string, at envelope.Millis) {
		if at != 0 {
			m[name] = at.Time()
		}
	}
	instant(fieldCreated, e.Created)
	instant(fieldUpdated, e.Updated)
	instant(fieldExpires, e.Expires)
	f.write(m)
	f.last.Collection, f.last.Key = e.Collection, e.Key
	f.entries++
	return f.err
}

// Close writes the trailer. It does not close the io.Writer. Errors are its.
func (f *Writer) Close() error {
	if f.err != nil {
		return f.err
	}
	f.write(map[string]any{fieldEntries: f.entries, fieldSum: hex.EncodeToString(f.sum.Sum(nil))})
	if f.err != nil {
		return f.err
	}
	f.err = fmt.Errorf("%w: the file is closed", ErrOrder)
	return nil
}

// write writes a line.
func (f *Writer) write(m map[string]any) {
	if f.line, f.err = typedjson.Append(f.line[:0], m, &widest); f.err != nil {
		return
	}
	f.line = append(f.line, '\n')
	f.sum.Write(f.line) // never fails
	_, f.err = f.w.Write(f.line)
	if cap(f.line) > keptBytes {
		f.line = nil
	}
}

// keptBytes keeps one giant line from staying in memory until the end of the file.
const keptBytes = 1 << 20
