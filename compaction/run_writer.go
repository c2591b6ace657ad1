package compaction

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
)

// ErrWrite: a table could not be written, and what its file holds is not known. Other
// errors of a job, but for ErrCreate, come from reading its inputs.
var ErrWrite = errors.New("compaction: write table")

// ErrCreate: a table could not be begun. Nothing was written to its file, and the job
// may be tried again once the cause, which the chain names, is gone.
var ErrCreate = errors.New("compaction: create table")

// ErrNotConserved: the entries that were read are not those that were expected, or those
// written not those that were kept. Nothing must be installed.
var ErrNotConserved = errors.New("compaction: entries were lost or made up")

// Env is what merging needs of its owner.
type Env struct {
	FS  vfs.FS
	Dir string
	// Open returns the reader of a table. It stays the owner's, and open for as long as
	// the job runs.
	Open func(*manifest.Table) (*sstable.Reader, error)
	// NextFileNum gives out a file number.
	NextFileNum func() fileid.Num
	// Yield, if set, is called every few thousand entries of a merge. It may block for as
	// long as something more urgent needs the machine, and returns when ctx ends.
	Yield func(ctx context.Context)
	// Random is the source of identities and salts.
	Random io.Reader
	// Writer says how tables are written; identity and salt are filled in.
	Writer sstable.WriterOptions
	// Snapshots are the numbers at which the store may still be read, in any order,
	// besides now. They must have been taken after every entry involved was published.
	Snapshots []keys.SeqNum
	// ElideBelow is the greatest number at which a tombstone may be left out; the
	// snapshots count besides. keys.MaxSeqNum is no bound, 0 keeps all tombstones.
	ElideBelow keys.SeqNum
	// Expiry says what has expired.
	Expiry Expiry
	// Operators fold merge operands. Without them all versions of a key that has operands
	// are carried along.
	Operators *fold.Operators
	// FoldFences are numbers, in any order, across which operands are not folded although
	// nobody reads there: positions from which differences may be asked for. Chains of more
	// than fold.MaxChain operands are folded all the same.
	FoldFences []keys.SeqNum
	// ExpiresWithin reports whether the store may hold a value that expires within
	// (after, upTo], in milliseconds since 1970: operands from before and after are not
	// combined then, whatever lies below them. nil: none expires.
	ExpiresWithin func(after, upTo int64) bool
	// ValueAt returns what the key was at a number, which is lower than that of an entry of it
	// that is merged. nil: operands whose base no input has stay.
	ValueAt func(key []byte, seq keys.SeqNum) (fold.Base, error)
	// BlobThreshold is the length from which values go into blob files, which end at BlobBytes;
	// 0: none does, and those that are moved out of blob files come back into tables.
	BlobThreshold int
	BlobBytes     int64
	// BlobCodec compresses what goes into blob files.
	BlobCodec block.Codec
	// Dead, if set, reports keys that nobody can reach, now or at any of Snapshots: those of
	// dropped scopes. All their versions are left out, and range tombstones that begin at such
	// a key. Keys are mostly given in order.
	Dead func(key []byte) bool
}

// Stats count what a merge did.
type Stats struct {
	// In counts the points read: those Kept, those Shadowed by a newer version in the
	// same stripe, the tombstones Elided because nothing lies below them, and those that are
	// Dead with their scope. Folded ones are part of another that was kept.
	In, Kept, Shadowed, Elided, Dead, Folded uint64
	// Unfolded counts chains that an operator refused to fold or that has no operator here.
	Unfolded uint64
	// Expired counts the values that were left out because they had expired. Where a marker
	// took their place they are among the Kept.
	Expired uint64
	// BytesRead and BytesWritten are lengths of tables.
	BytesRead, BytesWritten int64
	// BlobBytes is the length of the blob files written.
	BlobBytes int64
	// HistoryFloor is the greatest number of a tombstone elided.
	HistoryFloor keys.SeqNum
}

// Result is what a merge made: one sorted run.
type Result struct {
	Tables []*manifest.Table
	// Blobs are the blob files that were written for them.
	Blobs []*manifest.Blob
	Stats Stats
}

// RunWriter writes one sorted run of tables: it leaves out what nobody can see, cuts,
// syncs and counts. It is for one goroutine. Its first error sticks. It ends with Finish
// or Abort.
type RunWriter struct {
	env    *Env
	split  splitter
	drop   *dropper
	fold   *folder         // nil: without operators
	ranges []rangedel.Span // those not yet written
	passed int             // how many of them begin below the last key
	heavy  int             // the bytes of these
	blobs  blobPlacer

	table *sstable.Writer // nil between tables
	file  vfs.File
	num   fileid.Num
	uid   fileid.UID
	fresh bool // the next entry kept is the first of its user key
	// unsized counts bytes of entries since the table's size was last estimated.
	unsized int64
	held    uint64 // of the table's entries
	expiry  TableExpiry
	result  Result
	made    []fileid.Num // every file created
	err     error
}

// NewFlushWriter returns a writer for a memtable with the given range tombstones, whose
// entries are added in internal-key order. Tombstones stay.
func NewFlushWriter(env *Env, splits Splits, ranges []rangedel.Tombstone) *RunWriter {
	drop := newDropper(env.Snapshots, 0, nil)
	drop.expire(env.Expiry, 0)
	w := newRunWriter(env, splits, drop)
	w.setRanges(ranges, nil)
	return w
}

// setRanges gives the writer the range tombstones of everything that will be added. used is
// where older data may be; nil says anywhere.
func (w *RunWriter) setRanges(all []rangedel.Tombstone, used *inUse) {
	if len(all) == 0 {
		return
	}
	spans := rangedel.Fragment(all, rangedel.Latest(w.drop.snapshots))
	if dead := w.drop.dead; dead != nil && !(mutant.Enabled && mutant.Is(mutant.KeepDeadRanges)) {
		// A tombstone lies within one scope. Where that is dropped there is nothing to hide.
		spans = slices.DeleteFunc(spans, func(s rangedel.Span) bool { return dead(s.Lower) })
	}
	w.drop.ranges = spans
	var floor keys.SeqNum
	w.ranges, floor = w.drop.survivors(spans, used)
	w.drop.stats.floor = max(w.drop.stats.floor, floor)
}

func newRunWriter(env *Env, splits Splits, drop *dropper) *RunWriter {
	drop.dead = env.Dead
	if splits.RangeBytes == 0 {
		splits.RangeBytes = defaultRangeBytes
	}
	return &RunWriter{env: env, split: splitter{Splits: splits}, drop: drop, fold: newFolder(env, drop), blobs: newBlobPlacer(env)}
}

// Add adds the next entry. It copies what it keeps. Errors are those of the file system
// and of sstable.Writer.
func (w *RunWriter) Add(key []byte, t keys.Trailer, value []byte) error {
	if w.err != nil {
		return w.err
	}
	if err := w.settleBefore(key); err != nil {
		return err
	}
	if w.drop.enter(key) {
		w.fresh = true
	}
	if t.Kind() > keys.KindSet && t.Kind().MinValueLen() > 0 {
		t, value = w.drop.look(t, value)
	}
	kept, held := w.drop.keep(t)
	if !kept {
		return nil
	}
	if w.fold.takes(t.Kind()) {
		if t.Kind().IsBlob() {
			var err error
			if t, value, err = w.blobs.fetch(t, value); err != nil {
				return w.failPlace(err)
			}
		}
		w.fold.add(t, value, held)
		return nil
	}
	return w.write(key, t, value, held)
}

// write writes a version that stays. held says that only a snapshot keeps it.
func (w *RunWriter) write(key []byte, t keys.Trailer, value []byte, held bool) error {
	if w.fresh {
		w.fresh = false
		if w.ends(key) {
			if w.table == nil { // the range tombstones below key are many
				if err := w.begin(); err != nil {
					return err
				}
			}
			if err := w.finishTable(w.drop.key); err != nil {
				return err
			}
		}
	}
	if w.table == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if len(value) >= w.blobs.least || t.Kind().IsBlob() {
		var err error
		if t, value, err = w.blobs.place(t, value); err != nil {
			return w.failPlace(err)
		}
	}
	if err := w.table.Add(key, t, value); err != nil {
		return w.fail(err)
	}
	w.unsized += int64(len(key) + len(value))
	if held {
		w.held++
	}
	if t.Kind() > keys.KindSet {
		w.expiry.Count(key, t.Kind(), value, w.drop.expiry.Now)
	}
	return nil
}

// sizeParts is how often a table's size is estimated on its way to the target, besides
// at boundaries. Estimating at every key took 7% of the time of a merge. A table
// outgrows its target by such a part at most.
const sizeParts = 64

// ends reports whether the current table ends before key, the first version of a key
// greater than its last one.
func (w *RunWriter) ends(key []byte) bool {
	crossed := w.split.pass(key)
	if w.passRanges(key) {
		w.unsized = 0
		return true
	}
	if w.table == nil || !crossed && w.unsized < w.split.Target/sizeParts {
		return false
	}
	w.unsized = 0
	return w.split.cuts(w.table.EstimatedBytes(), crossed)
}

// passRanges reports whether the range tombstones that begin below key are enough for a table.
// The rest of what it can hold is for those up to the next key: what is left then begins above
// all of its points.
func (w *RunWriter) passRanges(key []byte) bool {
	for ; w.passed < len(w.ranges) && bytes.Compare(w.ranges[w.passed].Lower, key) < 0; w.passed++ {
		w.heavy += rangeBytes(&w.ranges[w.passed])
	}
	return w.heavy > w.split.RangeBytes/2
}

// begin creates the next table's file.
func (w *RunWriter) begin() error {
	o := w.env.Writer
	var err error
	if o.UID, err = fileid.NewUID(w.env.Random); err != nil {
		return w.failAs(ErrCreate, err)
	}
	if _, err = io.ReadFull(w.env.Random, o.Salt[:]); err != nil {
		return w.failAs(ErrCreate, err)
	}
	w.num, w.uid = w.env.NextFileNum(), o.UID
	if w.file, err = w.env.FS.Create(w.path(w.num)); err != nil {
		return w.failAs(ErrCreate, err)
	}
	w.made = append(w.made, w.num)
	if w.table, err = sstable.NewWriter(w.file, o); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *RunWriter) path(num fileid.Num) string {
	return path.Join(w.env.Dir, manifest.TableName(num))
}

// finishTable ends the current table; end is the first user key of the next one with points, nil
// if there is none. What one table cannot hold of the range tombstones below it is in tables of
// their own.
func (w *RunWriter) finishTable(end []byte) error {
	end = bytes.Clone(end) // the rest of a range tombstone keeps it
	err := w.finishOne(end)
	for err == nil && len(w.ranges) > 0 && (end == nil || bytes.Compare(w.ranges[0].Lower, end) < 0) {
		if err = w.begin(); err == nil {
			err = w.finishOne(end)
		}
	}
	w.passed, w.heavy = 0, 0
	return err
}

// finishOne ends the current table, synced.
func (w *RunWriter) finishOne(end []byte) error {
	if len(w.ranges) > 0 {
		var err error
		if w.ranges, err = takeBelow(w.table, w.ranges, end, w.split.RangeBytes); err != nil {
			return w.fail(err)
		}
	}
	w.blobs.annotate(w.table)
	meta, err := w.table.Finish()
	if err != nil {
		return w.fail(err)
	}
	err = w.file.Close()
	w.table, w.file = nil, nil
	if err != nil {
		return w.fail(err)
	}
	t := &manifest.Table{
		Num: w.num, UID: w.uid, Bytes: meta.Size, Digest: meta.Digest,
		Smallest: meta.Smallest, Largest: meta.Largest, LargestExclusive: meta.LargestExclusive,
		MinSeqNum: meta.MinSeqNum, MaxSeqNum: meta.MaxSeqNum,
		Entries: meta.Entries, Deletes: meta.Deletes, RangeDeletes: meta.RangeDeletes,
		Held: w.held, Blobs: w.blobs.taken(&meta.Props), Key: meta.Props.KeyID,
	}
	w.expiry.Fill(t, &meta.Props)
	w.result.Tables = append(w.result.Tables, t)
	w.held, w.expiry = 0, TableExpiry{}
	return nil
}

// Finish ends the run and makes the directory entries of its tables durable. After an
// error nothing of it is left but what could not be removed. A run of which nothing was
// kept has no tables.
func (w *RunWriter) Finish() (Result, error) {
	if w.err == nil {
		_ = w.settleBefore(nil) // its error sticks
	}
	if w.err == nil && w.table == nil && len(w.ranges) > 0 {
		_ = w.begin() // its error sticks
	}
	if w.err == nil && w.table != nil {
		_ = w.finishTable(nil)
	}
	if w.err == nil {
		_ = w.fail(w.blobs.finish())
		w.result.Blobs = w.blobs.finished
	}
	if w.err == nil {
		_ = w.fail(w.count())
	}
	if w.err == nil && len(w.made) > 0 && !(mutant.Enabled && mutant.Is(mutant.SkipDirSync)) {
		_ = w.fail(w.env.FS.SyncDir(w.env.Dir))
	}
	if w.err != nil {
		err := w.err
		w.Abort()
		return Result{}, err
	}
	w.err = errFinished
	return w.result, nil
}

var errFinished = errors.New("compaction: run is finished")

// count fills in the statistics and checks that nothing was lost (C5).
func (w *RunWriter) count() error {
	d, s := &w.drop.stats, &w.result.Stats
	*s = Stats{In: d.in, Kept: d.kept, Shadowed: d.shadowed, Elided: d.elided, Dead: d.dead, Folded: d.folded, HistoryFloor: d.floor,
		Expired: w.drop.expiry.expired}
	if w.fold != nil {
		s.Unfolded = w.fold.failed
	}
	written := uint64(0)
	for _, t := range w.result.Tables {
		written += t.Entries
		s.BytesWritten += t.Bytes
	}
	for _, b := range w.result.Blobs {
		s.BlobBytes += b.Bytes
	}
	if s.In != s.Kept+s.Shadowed+s.Elided+s.Dead+s.Folded || written != s.Kept {
		return fmt.Errorf("%w: %d read, %d kept, %d shadowed, %d elided, %d dead, %d folded, %d written",
			ErrNotConserved, s.In, s.Kept, s.Shadowed, s.Elided, s.Dead, s.Folded, written)
	}
	return nil
}

// Abort ends the run without a result and removes its files. It may be called after
// Finish, where it does nothing.
func (w *RunWriter) Abort() {
	if w.err == errFinished {
		return
	}
	if w.table != nil {
		w.table.Abort()
	}
	if w.file != nil {
		_ = w.file.Close() // it is removed
	}
	for _, num := range w.made {
		_ = w.env.FS.Remove(w.path(num)) // what stays is an orphan, removed at the next opening
	}
	w.blobs.abort()
	w.table, w.file, w.made, w.err = nil, nil, nil, errFinished
}

func (w *RunWriter) fail(err error) error { return w.failAs(ErrWrite, err) }

// failAs makes err, of the given class, the writer's unless it has failed before.
func (w *RunWriter) failAs(class, err error) error {
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("%w: %w", class, err)
	}
	return w.err
}
