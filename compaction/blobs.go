package compaction

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
)

// Values in blob files. A run writer puts values of at least Env.BlobThreshold bytes into a
// blob file of the run, and references into its tables. References of the inputs pass
// through: only the number of the file in the table's list changes. Values of the files that
// the job is to move (Job.MoveBlobs) are copied, chunk by chunk, or come back into the table
// where the threshold says so. Sequence numbers never change.

// blobPlacer is the part of a run writer that knows blob files.
type blobPlacer struct {
	env   *Env
	least int // the length from which values may go into blob files
	moves map[fileid.Num]bool
	from  *source // of the entry that is added; nil: a memtable

	table []blobName         // of the table under construction, in the order of its references
	index map[fileid.Num]int // of table
	last  int                // index of the entry found last

	w        *blob.Writer // nil between files
	file     vfs.File
	name     blobName
	finished []*manifest.Blob
	made     []fileid.Num // every file created
	ref      []byte       // scratch
	value    []byte       // scratch: a value on its way back into a table
}

// blobName is what a table calls a blob file.
type blobName struct {
	num fileid.Num
	uid fileid.UID
}

func newBlobPlacer(env *Env) blobPlacer {
	b := blobPlacer{env: env, least: math.MaxInt}
	if env.BlobThreshold > 0 {
		b.least = env.BlobThreshold
	}
	return b
}

// place returns the entry as the table is to hold it. The value is valid until the next call.
func (b *blobPlacer) place(t keys.Trailer, value []byte) (keys.Trailer, []byte, error) {
	kind := t.Kind()
	if kind.IsBlob() {
		return b.pass(t, value)
	}
	n := kind.MinValueLen()
	to := kind.Blob()
	if to == keys.KindInvalid || kind == keys.KindMerge || len(value)-n < b.least {
		return t, value, nil // operands are seldom long, nor do they stay for long
	}
	if err := b.begin(); err != nil {
		return t, nil, err
	}
	ref, err := b.w.Add(value[n:])
	if err != nil {
		return t, nil, err
	}
	return b.refer(keys.MakeTrailer(t.SeqNum(), to), value[:n], ref)
}

// refer returns an entry with a reference into the run's blob file, which ends if it is full.
func (b *blobPlacer) refer(t keys.Trailer, head []byte, ref blob.Ref) (keys.Trailer, []byte, error) {
	ref.File = b.ordinal(b.name)
	b.ref = ref.Append(append(b.ref[:0], head...))
	if b.w.Size() >= b.env.BlobBytes {
		if err := b.finish(); err != nil {
			return t, nil, err
		}
	}
	return t, b.ref, nil
}

// pass takes over an entry of an input whose value is in a blob file.
func (b *blobPlacer) pass(t keys.Trailer, value []byte) (keys.Trailer, []byte, error) {
	n := t.Kind().MinValueLen()
	in := b.from.run.table
	r := b.from.it.Reader()
	ref, err := blob.DecodeRef(value[min(n, len(value)):])
	listed := r.Properties().Blobs
	if err == nil && (ref.File >= len(listed) || ref.File >= len(in.Blobs)) {
		err = blob.ErrMalformedRef
	}
	if err != nil {
		return t, nil, &ReadError{Table: in.Num, Err: &sstable.CorruptionError{File: manifest.TableName(in.Num), Offset: -1, Err: err}}
	}
	num := in.Blobs[ref.File].Num
	if !b.moves[num] {
		if mutant.Enabled && mutant.Is(mutant.MoveWrongBlob) {
			b.ordinal(blobName{num, listed[ref.File].UID})
		} else {
			ref.File = b.ordinal(blobName{num, listed[ref.File].UID})
		}
		b.ref = ref.Append(append(b.ref[:0], value[:n]...))
		return t, b.ref, nil
	}
	if ref.ValueLen() >= b.least {
		return b.move(t, num, value[:n], r, &ref)
	}
	if b.value, err = r.AppendBlob(b.value[:0], t.Kind(), value); err != nil {
		return t, nil, &ReadError{Table: num, Blob: true, Err: err}
	}
	return keys.MakeTrailer(t.SeqNum(), t.Kind().Inline()), b.value, nil
}

// fetch returns an entry of an input with its value, which operands are to be folded into. The
// value is valid until the next call.
func (b *blobPlacer) fetch(t keys.Trailer, value []byte) (keys.Trailer, []byte, error) {
	var err error
	if b.value, err = b.from.it.Reader().AppendBlob(b.value[:0], t.Kind(), value); err != nil {
		return t, nil, &ReadError{Table: b.from.run.at, Err: err}
	}
	return keys.MakeTrailer(t.SeqNum(), t.Kind().Inline()), b.value, nil
}

// move copies a value into the run's blob file.
func (b *blobPlacer) move(t keys.Trailer, num fileid.Num, head []byte, r *sstable.Reader, ref *blob.Ref) (keys.Trailer, []byte, error) {
	from, err := r.BlobFile(ref.File)
	if err != nil {
		return t, nil, &ReadError{Table: num, Blob: true, Err: err}
	}
	if err := b.begin(); err != nil {
		return t, nil, err
	}
	to, err := b.w.Copy(from, ref)
	if err != nil {
		var read *blob.CopyError
		if errors.As(err, &read) {
			return t, nil, &ReadError{Table: num, Blob: true, Err: read.Err}
		}
		return t, nil, err
	}
	return b.refer(t, head, to)
}

// ordinal returns the number of a file in the list of the table under construction.
func (b *blobPlacer) ordinal(name blobName) int {
	if b.last < len(b.table) && b.table[b.last].num == name.num {
		return b.last
	}
	i, found := b.index[name.num]
	if !found {
		if b.index == nil {
			b.index = map[fileid.Num]int{}
		}
		i = len(b.table)
		b.table = append(b.table, name)
		b.index[name.num] = i
	}
	b.last = i
	return i
}

// begin creates the next blob file unless there is one.
func (b *blobPlacer) begin() error {
	if b.w != nil {
		return nil
	}
	o := blob.WriterOptions{Codec: b.env.BlobCodec, NewCipher: b.env.Writer.NewCipher}
	var err error
	if o.UID, err = fileid.NewUID(b.env.Random); err == nil {
		_, err = io.ReadFull(b.env.Random, o.Salt[:])
	}
	if err != nil {
		return &createError{err}
	}
	b.name = blobName{b.env.NextFileNum(), o.UID}
	if b.file, err = b.env.FS.Create(b.path(b.name.num)); err != nil {
		return &createError{err}
	}
	b.made = append(b.made, b.name.num)
	b.w = blob.NewWriter(b.file, o)
	return nil
}

// createError is that of a file of which nothing was written.
type createError struct{ err error }

// Error implements error.
func (e *createError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *createError) Unwrap() error { return e.err }

func (b *blobPlacer) path(num fileid.Num) string { return path.Join(b.env.Dir, manifest.BlobName(num)) }

// finish ends the current blob file, synced, if there is one.
func (b *blobPlacer) finish() error {
	if b.w == nil {
		return nil
	}
	m, err := b.w.Finish()
	if err != nil {
		return err
	}
	err = b.file.Close()
	b.w, b.file = nil, nil
	if err != nil {
		return err
	}
	b.finished = append(b.finished, &manifest.Blob{
		Num: b.name.num, UID: b.name.uid, Bytes: m.Size, Digest: m.Digest, Data: m.Data, Values: m.Values, Key: m.KeyID,
	})
	return nil
}

// annotate gives the table its list of blob files.
func (b *blobPlacer) annotate(w *sstable.Writer) {
	if len(b.table) == 0 {
		return
	}
	var a sstable.Annotations
	for _, n := range b.table {
		a.Blobs = append(a.Blobs, sstable.BlobUsage{UID: n.uid})
	}
	w.Annotate(a)
}

// taken returns what a finished table refers to, and begins the list of the next one.
func (b *blobPlacer) taken(p *sstable.Properties) []manifest.BlobRef {
	var out []manifest.BlobRef
	for i, n := range b.table {
		out = append(out, manifest.BlobRef{Num: n.num, Bytes: int64(p.Blobs[i].Bytes)})
	}
	b.table, b.last = b.table[:0], 0
	clear(b.index)
	return out
}

// abort removes what was written.
func (b *blobPlacer) abort() {
	if b.w != nil {
		b.w.Abort()
	}
	if b.file != nil {
		_ = b.file.Close() // it is removed
	}
	for _, num := range b.made {
		_ = b.env.FS.Remove(b.path(num)) // what stays is an orphan, removed at the next opening
	}
	b.w, b.file, b.made = nil, nil, nil
}

// failPlace makes an error of placing a value the run writer's: one of reading stays what it
// is, all others are of writing.
func (w *RunWriter) failPlace(err error) error {
	var read *ReadError
	var create *createError
	switch {
	case errors.As(err, &read):
		if w.err == nil {
			w.err = fmt.Errorf("compaction: %w", err)
		}
		return w.err
	case errors.As(err, &create):
		return w.failAs(ErrCreate, create.err)
	}
	return w.fail(err)
}
