// Package dump prints a store's files readably. It reads the files themselves, not through
// the engine, and writes nothing. Values are printed only when asked for.
package dump

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/wal"
)

type dumper struct {
	ctx    context.Context
	out    *bufio.Writer // its error sticks until Flush
	fs     vfs.FS
	dir    string
	values bool
	limit  int // operations of the log, and entries of each table; 0 is all
}

// Options say what is printed.
type Options struct {
	// Values prints values too, not only their lengths.
	Values bool
	// Limit is how many operations of the log and entries of each table are printed; 0
	// is all.
	Limit int
}

// Store prints the manifest, the log and the tables of the store in dir, which nobody
// may have open.
func Store(ctx context.Context, out io.Writer, dir string, o Options) error {
	d := &dumper{ctx: ctx, out: bufio.NewWriter(out), fs: vfs.NewOS(), dir: dir, values: o.Values, limit: o.Limit}
	return errors.Join(d.all(), d.out.Flush())
}

func (d *dumper) all() (err error) {
	// Looking first says of a directory without a store that it has none, not that its lock
	// is missing.
	if _, err := manifest.Load(d.fs, d.dir, nil); err != nil {
		return err
	}
	lock, err := d.fs.Lock(path.Join(d.dir, manifest.LockName), false, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	loaded, err := manifest.Load(d.fs, d.dir, nil)
	if err != nil {
		return err
	}
	d.state(loaded)
	d.version(loaded.Version)
	if err := d.log(loaded.State); err != nil {
		return err
	}
	if err := d.tables(loaded.Version); err != nil {
		return err
	}
	return d.blobs(loaded.Version)
}

func (d *dumper) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

func (d *dumper) state(l *manifest.Loaded) {
	s := l.State
	d.printf("%s\n", l.Name)
	if l.Torn {
		d.printf("  ends in a torn record of %d bytes, never acknowledged\n", l.LostBytes)
	}
	d.printf("  store %s, format %d, newest time %s\n", s.Store, s.FormatVersion, timeText(s.LastTime))
	d.printf("  next file %d, next run %d, flushed through %d, reserved through %d, history floor %d\n",
		s.NextFileNum, s.NextRunID, s.FlushedSeqNum, s.ReservedSeqNum, s.HistoryFloor)
	for _, o := range s.Lineage {
		d.printf("  opened %s from %d\n", o.ID, o.First)
	}
	for _, g := range s.Segments {
		d.printf("  segment %d in %s, %d bytes, %s\n", g.Num, wal.SlotName(wal.Slot(g.Slot)), g.Bytes, g.UID)
	}
	if c := s.Cut; c != nil {
		d.printf("  log last cut in segment %d at byte %d, after %d\n", c.Segment, c.Bytes, c.LastSeqNum)
	}
	for _, name := range s.Operators {
		d.printf("  merge operator %q\n", name)
	}
}

func (d *dumper) version(v *manifest.Version) {
	d.printf("  %d tables, %s\n", v.NumTables(), units.Bytes(v.Bytes()))
	for level, runs := range v.Levels {
		for _, r := range runs {
			d.printf("  level %d, run %d: %d tables, %s\n", level, r.ID, len(r.Tables), units.Bytes(r.Bytes()))
			for _, t := range r.Tables {
				upper := "]"
				if t.LargestExclusive {
					upper = ")"
				}
				d.printf("    %s, %d bytes, %d entries, %d deletes, %d range deletes, numbers %d to %d, [%s, %s%s\n",
					manifest.TableName(t.Num), t.Bytes, t.Entries, t.Deletes, t.RangeDeletes, t.MinSeqNum, t.MaxSeqNum,
					keyText(t.Smallest), keyText(t.Largest), upper)
				for _, r := range t.Blobs {
					d.printf("      refers to %d bytes of %s\n", r.Bytes, manifest.BlobName(r.Num))
				}
			}
		}
	}
}

// log prints the batches of the live segments, but for those that are in tables too.
func (d *dumper) log(s *manifest.State) error {
	var live []wal.Segment
	for _, g := range s.Segments {
		live = append(live, wal.Segment{Num: wal.SegmentNum(g.Num), Slot: wal.Slot(g.Slot), UID: g.UID, Bytes: g.Bytes})
	}
	d.printf("log\n")
	ops, flushed := 0, 0
	rec, err := wal.Replay(wal.Options{FS: d.fs, Dir: d.dir, Store: s.Store, Random: rand.Reader}, live, func(r wal.Record) error {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if r.FirstSeqNum+keys.SeqNum(r.Count)-1 <= s.FlushedSeqNum {
			flushed += int(r.Count)
			return nil
		}
		if d.shows(ops) {
			d.printf("  segment %d, %s, %d operations from %d, %d bytes\n", r.Segment, timeText(int64(r.CommitTime)), r.Count, r.FirstSeqNum, len(r.Payload))
		}
		seq := r.FirstSeqNum
		return eachOp(r.Payload, func(kind keys.Kind, key, value []byte) {
			if d.shows(ops) {
				d.entry(key, keys.MakeTrailer(seq, kind), value)
			}
			seq++
			ops++
		})
	})
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	d.rest(ops)
	d.printf("  ends %s after %d: %d operations, and %d that are in tables; %d bytes lost\n", rec.Verdict, rec.LastSeqNum, ops, flushed, rec.LostBytes)
	return nil
}

// dumpCache is room for the blocks that are being looked at.
const dumpCache = 16 << 20

func (d *dumper) tables(v *manifest.Version) (err error) {
	blocks, err := cache.New(dumpCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		err = d.table(t, blocks)
		return err == nil
	})
	return err
}

func (d *dumper) table(t *manifest.Table, blocks *cache.Cache) (err error) {
	name := manifest.TableName(t.Num)
	f, err := d.fs.Open(path.Join(d.dir, name), vfs.ReadOnly)
	if err != nil {
		return err
	}
	r, err := sstable.Open(f, sstable.ReaderOptions{UID: t.UID, Size: t.Bytes, Digest: t.Digest, Number: t.Number(), Cache: blocks, Name: name})
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	p := r.Properties()
	d.printf("%s\n  uid %s, digest %016x, codec %d, filter of %d bits a key\n", name, t.UID, t.Digest, p.Codec, p.Filter.BitsPerKey)
	d.printf("  %d entries in %d blocks: keys %s, values %s, raw %s, stored %s\n", p.Entries, p.Blocks,
		units.Bytes(int64(p.KeyBytes)), units.Bytes(int64(p.ValueBytes)), units.Bytes(int64(p.RawBytes)), units.Bytes(int64(p.StoredBytes)))
	for kind, c := range p.Kinds {
		if c.Entries > 0 {
			d.printf("  %s: %d entries, %s\n", keys.Kind(kind), c.Entries, units.Bytes(int64(c.Bytes)))
		}
	}
	for _, s := range p.Scopes {
		d.printf("  scope %s: %d entries, %s\n", keyText(s.Prefix), s.Entries, units.Bytes(int64(s.Bytes)))
	}
	for _, g := range r.RangeTombstones() {
		d.printf("  %s to %s %s\n", keyText(g.Lower), keyText(g.Upper), g.Trailer)
	}
	var it sstable.Iter
	it.Init(r, sstable.IterOptions{NoFill: true})
	n := 0
	for ok := it.First(); ok && d.shows(n) && d.ctx.Err() == nil; ok = it.Next() {
		d.entry(it.Key(), it.Trailer(), it.Value())
		n++
	}
	d.rest(max(n, int(p.Entries)))
	return errors.Join(it.Close(), d.ctx.Err())
}

// shows reports whether line n of a list is within the limit.
func (d *dumper) shows(n int) bool { return d.limit == 0 || n < d.limit }

// rest says how many of total the limit has kept back.
func (d *dumper) rest(total int) {
	if d.limit != 0 && total > d.limit {
		d.printf("    … and %d more\n", total-d.limit)
	}
}

func (d *dumper) entry(key []byte, t keys.Trailer, value []byte) {
	d.printf("    %s %s", keyText(key), t)
	switch {
	case t.Kind() == keys.KindDelete:
	case t.Kind().IsBlob():
		d.printf(" %s", refText(t.Kind(), value))
	case d.values:
		d.printf(" %q", value)
	default:
		d.printf(" %d bytes", len(value))
	}
	d.printf("\n")
}

// keyText gives an internal key as scope/"key".
func keyText(key []byte) string {
	id, n, err := scope.DecodeID(key)
	if err != nil {
		return fmt.Sprintf("%q", key)
	}
	return fmt.Sprintf("%d/%q", id, key[n:])
}

func timeText(millis int64) string {
	if millis == 0 {
		return "never"
	}
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}
