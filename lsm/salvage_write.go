package lsm

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// salvageWriter writes one sorted run and drops nothing: every version, every tombstone.
// Tables end where the user key changes.
type salvageWriter struct {
	d     *DB // for numbers, paths and sizes
	env   *compaction.Env
	whole bool // one table, of whatever size

	ranges    []salvageRange     // collected
	todo      []sstable.Fragment // cut and sorted, those not yet written
	table     *sstable.Writer    // nil between tables
	file      vfs.File           // of table
	meta      manifest.Table     // of table: number and identity
	expiry    compaction.TableExpiry
	size      int64             // bytes of entries since the table's size was estimated
	tables    []*manifest.Table // finished
	made      []string          // every file created
	temporary []string          // of them, what is removed in the end

	lastKey         []byte
	lastTrailer     keys.Trailer
	entries         int64
	rangeTombstones int64
	lastSeqNum      keys.SeqNum
	lastScope       uint64
}

// salvageRange is a range tombstone as it was found.
type salvageRange struct {
	sstable.Fragment
	fromLog bool
}

// addRanges collects range tombstones, before any entry is added.
func (w *salvageWriter) addRanges(found []sstable.Fragment, fromLog bool) {
	for _, f := range found {
		w.ranges = append(w.ranges, salvageRange{sstable.Fragment{
			Lower: bytes.Clone(f.Lower), Upper: bytes.Clone(f.Upper), Trailer: f.Trailer,
		}, fromLog})
	}
}

// joinLogRanges makes of the log's range tombstones what Open would: each key is under the
// newest of them alone. Nobody can read between them any more, and all others of many that
// lie in each other would be a fragment for each pair.
func (w *salvageWriter) joinLogRanges() {
	slices.SortFunc(w.ranges, func(a, b salvageRange) int { return cmp.Compare(a.Trailer, b.Trailer) })
	var log *rangedel.Set
	rest := w.ranges[:0]
	for _, r := range w.ranges {
		if !r.fromLog {
			rest = append(rest, r)
		} else if bytes.Compare(r.Lower, r.Upper) < 0 {
			log = log.With(r.Lower, r.Upper, r.Trailer.SeqNum(), rangedel.Latest(nil))
		}
	}
	for _, t := range tombstonesOf(log) {
		rest = append(rest, salvageRange{sstable.Fragment{
			Lower: t.Lower, Upper: t.Upper, Trailer: keys.MakeTrailer(t.Seq, keys.KindRangeDelete),
		}, true})
	}
	w.ranges = rest
}

// cutRanges cuts the collected range tombstones at each other's bounds, as tables want
// them: any two cover the same range or disjoint ones. Tables hold them cut already, so
// that few meet here.
func (w *salvageWriter) cutRanges() {
	w.joinLogRanges()
	byLower := func(a, b salvageRange) int {
		return cmp.Or(bytes.Compare(a.Lower, b.Lower), bytes.Compare(a.Upper, b.Upper), cmp.Compare(b.Trailer, a.Trailer))
	}
	slices.SortFunc(w.ranges, byLower)
	w.ranges = slices.CompactFunc(w.ranges, func(a, b salvageRange) bool { return byLower(a, b) == 0 })
	var bounds [][]byte
	for i := range w.ranges {
		bounds = append(bounds, w.ranges[i].Lower, w.ranges[i].Upper)
	}
	slices.SortFunc(bounds, bytes.Compare)
	bounds = slices.CompactFunc(bounds, bytes.Equal)
	for i := range w.ranges {
		r := &w.ranges[i]
		if bytes.Compare(r.Lower, r.Upper) >= 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(bounds, r.Lower, bytes.Compare)
		for ; bytes.Compare(bounds[at], r.Upper) < 0; at++ {
			w.todo = append(w.todo, sstable.Fragment{Lower: bounds[at], Upper: bounds[at+1], Trailer: r.Trailer})
		}
	}
	slices.SortFunc(w.todo, func(a, b sstable.Fragment) int {
		return keys.Compare(a.Lower, a.Trailer, b.Lower, b.Trailer)
	})
	w.todo = slices.CompactFunc(w.todo, func(a, b sstable.Fragment) bool {
		return a.Trailer == b.Trailer && bytes.Equal(a.Lower, b.Lower)
	})
	w.ranges = nil
}

// add adds the next entry.
func (w *salvageWriter) add(key []byte, t keys.Trailer, value []byte) error {
	if w.table != nil && !w.whole && !bytes.Equal(key, w.lastKey) && w.size >= w.d.opts.TableBytes/64 {
		w.size = 0
		if w.table.EstimatedBytes() >= w.d.opts.TableBytes {
			if err := w.finishTable(bytes.Clone(key)); err != nil {
				return err
			}
		}
	}
	if w.table == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if err := w.table.Add(key, t, value); err != nil {
		return err
	}
	if t.Kind() > keys.KindSet {
		w.expiry.Count(key, t.Kind(), value, w.d.opts.seams.Now().UnixMilli())
	}
	w.lastScope = max(w.lastScope, uint64(greatestID(key, value)))
	w.lastKey, w.lastTrailer = append(w.lastKey[:0], key...), t
	w.lastSeqNum = max(w.lastSeqNum, t.SeqNum())
	w.entries++
	w.size += int64(len(key) + len(value))
	return nil
}

// begin creates the next table's file.
func (w *salvageWriter) begin() error {
	o := w.env.Writer
	var err error
	if o.UID, err = fileid.NewUID(w.env.Random); err != nil {
		return err
	}
	if _, err = io.ReadFull(w.env.Random, o.Salt[:]); err != nil {
		return err
	}
	w.meta = manifest.Table{Num: w.env.NextFileNum(), UID: o.UID}
	name := manifest.TableName(w.meta.Num)
	if w.file, err = w.env.FS.Create(w.d.path(name)); err != nil {
		return err
	}
	w.made = append(w.made, name)
	w.table, err = sstable.NewWriter(w.file, o)
	return err
}

// finishTable ends the table, synced; end is the first key of the next one, nil if there is
// none.
func (w *salvageWriter) finishTable(end []byte) error {
	if err := w.writeRanges(end); err != nil {
		return err
	}
	meta, err := w.table.Finish()
	if err == nil {
		err = w.file.Close()
		w.file = nil
	}
	if err != nil {
		return err
	}
	t := w.meta
	t.Bytes, t.Digest, t.Key = meta.Size, meta.Digest, meta.Props.KeyID
	t.Smallest, t.Largest, t.LargestExclusive = meta.Smallest, meta.Largest, meta.LargestExclusive
	t.MinSeqNum, t.MaxSeqNum = meta.MinSeqNum, meta.MaxSeqNum
	t.Entries, t.Deletes, t.RangeDeletes = meta.Entries, meta.Deletes, meta.RangeDeletes
	w.expiry.Fill(&t, &meta.Props)
	w.expiry = compaction.TableExpiry{}
	w.tables = append(w.tables, &t)
	w.table = nil
	return nil
}

// writeRanges adds what of the range tombstones lies below end to the table.
func (w *salvageWriter) writeRanges(end []byte) error {
	var rest []sstable.Fragment
	for i, f := range w.todo {
		if end != nil && bytes.Compare(f.Lower, end) >= 0 {
			rest = append(rest, w.todo[i:]...)
			break
		}
		if end != nil && bytes.Compare(f.Upper, end) > 0 {
			rest = append(rest, sstable.Fragment{Lower: end, Upper: f.Upper, Trailer: f.Trailer})
			f.Upper = end
		}
		if err := w.table.AddRangeTombstone(f.Lower, f.Upper, f.Trailer); err != nil {
			return err
		}
		w.lastSeqNum = max(w.lastSeqNum, f.Trailer.SeqNum())
		w.rangeTombstones++
	}
	w.todo = rest
	return nil
}

// finish ends the run.
func (w *salvageWriter) finish() error {
	if w.table == nil && len(w.todo) > 0 {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if w.table != nil {
		return w.finishTable(nil)
	}
	return nil
}

// removeTemporary removes the tables that the log was spilled to.
func (w *salvageWriter) removeTemporary() error {
	var errs []error
	for _, name := range w.temporary {
		errs = append(errs, w.env.FS.Remove(w.d.path(name)))
	}
	w.temporary = nil
	return errors.Join(errs...)
}

// abort removes what was written.
func (w *salvageWriter) abort() {
	if w.table != nil {
		w.table.Abort()
	}
	if w.file != nil {
		_ = w.file.Close() // it is removed
	}
	w.table, w.file = nil, nil
	for _, name := range append(w.made, w.temporary...) {
		_ = w.env.FS.Remove(w.d.path(name)) // what stays does not open as a store
	}
}
