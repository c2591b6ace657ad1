package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// Ingestion. Files are brought into the directory under numbers of the store and verified,
// while everything goes on. Then, under the lead, what is in memtables is flushed, and one
// edit adds the tables at the next sequence number. The number stands in the manifest, and
// every entry of the table has it (sstable.ReaderOptions.Number): nothing is rewritten.
//
//   - I1. When the edit is durable everything with a lower number is in tables, synced: after
//     any crash the store holds a prefix of its history that ends with or after the tables,
//     or one without them.
//   - I2. Whoever reads at the tables' number, or above, reaches them: commits after them go
//     into a memtable that no state without the tables has.
//   - I3. No compaction sees the tables before their number is visible: it would take what
//     they overwrite for invisible, while a snapshot could still be taken that needs it.

// Ingest makes the entries of tables, files that TableWriter has written, entries of the
// store: all of them or, with an error, none, at one sequence number, and on the device when
// it returns. They overwrite what the store has of their keys, which are those of the root:
// scopes are filled by batches. The files must not share
// keys; their order does not matter. They are linked, or copied where the file system cannot
// link, and may be removed afterwards but never changed. Each is read once, to verify it. Into
// an encrypted store they are written anew: TableWriter's are in clear.
//
// A file that was not synced yet, such as a copy of a table, is synced here; one of which a
// sync has failed, here or before, must not be ingested, but made again.
//
// Ingest flushes the memtables; writers wait for the last of that, and for the edit. It may
// be called from any goroutine.
//
// Errors: ErrInvalidTable for files that are damaged, share keys, or have been ingested
// already and are still in use; ErrReadOnly, ErrNoSpace, ErrTooNew, ErrPoisoned, ctx's, and
// those of the file system.
func (d *DB) Ingest(ctx context.Context, tables ...string) error {
	if err := d.writable(); err != nil {
		return err
	}
	if len(tables) == 0 {
		return nil
	}
	if err := d.hold(); err != nil {
		return err
	}
	defer d.release()
	in := ingestion{outputs: d.keyring.outputs("an ingestion")}
	defer in.outputs.end()
	err := in.bringAll(ctx, d, tables)
	if err == nil {
		err = d.enter(ctx, in.tables)
	}
	if err != nil {
		d.discard(compaction.Result{Tables: in.tables}, err)
		return fmt.Errorf("lsm: ingest: %w", err)
	}
	d.event("ingested", "tables", len(in.tables), "bytes", totalBytes(in.tables))
	return nil
}

// ingestion are files on their way into the store.
type ingestion struct {
	// tables are in the directory, or may be, and in no version.
	tables  []*manifest.Table
	outputs *outputs
}

// bringAll brings the files into the directory, their entries durable, and checks that
// they can be one run.
func (in *ingestion) bringAll(ctx context.Context, d *DB, files []string) error {
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := in.bring(ctx, d, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	slices.SortFunc(in.tables, func(a, b *manifest.Table) int { return bytes.Compare(a.Smallest, b.Smallest) })
	for i := 1; i < len(in.tables); i++ {
		if a, b := in.tables[i-1], in.tables[i]; !a.EndsBefore(b.Smallest) {
			return fmt.Errorf("%w: two of the tables share keys, or the space between", ErrInvalidTable)
		}
	}
	if err := d.opts.seams.FS.SyncDir(d.dir); err != nil {
		if errors.Is(err, ErrNoSpace) {
			return err
		}
		return d.fail(fmt.Errorf("ingest: %w", err)) // it was for others' files too
	}
	return nil
}

// bring links or copies one file into the directory, syncs it, and describes it.
func (in *ingestion) bring(ctx context.Context, d *DB, file string) error {
	if d.keyring != nil {
		return in.rewrite(ctx, d, file)
	}
	o := &d.opts
	size, err := o.outside().Size(file)
	if err != nil {
		return err
	}
	t := &manifest.Table{Num: fileid.Num(d.nextFile.Add(1) - 1), Bytes: size, Ingested: true}
	name := manifest.TableName(t.Num)
	in.tables = append(in.tables, t)
	linked := false
	if o.seams.Outside == nil {
		if err = o.seams.FS.Link(file, d.path(name)); err != nil && !errors.Is(err, vfs.ErrNoLink) {
			return err
		}
		linked = err == nil
	}
	if !linked {
		if _, err := copyFile(ctx, o.outside(), file, copyTarget{fs: o.seams.FS, name: d.path(name), sync: true}, size); err != nil {
			return err
		}
	} else if err := d.syncFile(name); err != nil { // whoever wrote the file may not have synced it
		return err
	}
	meta, err := d.describe(ctx, name, filepath.Base(file))
	if err != nil {
		return outsideError(err)
	}
	if err := canEnter(&meta.meta); err != nil {
		return err
	}
	t.UID, t.Bytes, t.Digest = meta.uid, meta.meta.Size, meta.meta.Digest
	t.Smallest, t.Largest, t.Entries = meta.meta.Smallest, meta.meta.Largest, meta.meta.Entries
	return nil
}

func (d *DB) syncFile(name string) error {
	f, err := d.opts.seams.FS.Open(d.path(name), vfs.ReadWrite)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// described is what a file says of itself.
type described struct {
	uid  fileid.UID
	meta sstable.Meta
}

// describe verifies a file that is no table of the store yet. Errors call it as.
func (d *DB) describe(ctx context.Context, name, as string) (described, error) {
	r, uid, err := d.openOutside(d.opts.seams.FS, d.path(name), as)
	if err != nil {
		return described{}, err
	}
	defer r.Close() // read only: nothing can be lost
	meta, err := r.Describe(ctx)
	return described{uid, meta}, err
}

// openOutside opens a table that no manifest names.
func (d *DB) openOutside(fs vfs.FS, file, as string) (*sstable.Reader, fileid.UID, error) {
	f, err := fs.Open(file, vfs.ReadOnly)
	if err != nil {
		return nil, fileid.UID{}, err
	}
	uid, size, err := sstable.Identify(f, as)
	var r *sstable.Reader
	if err == nil {
		r, err = sstable.Open(f, sstable.ReaderOptions{UID: uid, Size: size, Cache: d.cache, Name: as})
	}
	if err != nil {
		_ = f.Close() // read only: nothing can be lost
	}
	return r, uid, err
}

// outsideError makes damage of a file from outside what it is: no damage of the store.
func outsideError(err error) error {
	switch {
	case errors.Is(err, sstable.ErrCorrupt):
		return fmt.Errorf("%w: %v", ErrInvalidTable, err)
	case errors.Is(err, sstable.ErrSealed):
		return fmt.Errorf("%w: %w", ErrInvalidTable, err)
	case errors.Is(err, sstable.ErrTooNew):
		return errors.Join(ErrTooNew, err)
	}
	return err
}

// canEnter refuses tables that a TableWriter does not write: those with numbers of their
// own, with keys that are there twice, which one number cannot tell apart, and with keys
// outside of the root scope.
func canEnter(m *sstable.Meta) error {
	p := &m.Props
	switch {
	case !p.Unnumbered():
		return fmt.Errorf("%w: its entries have sequence numbers", ErrInvalidTable)
	case p.Kinds[keys.KindSet].Entries != p.Entries || len(p.Blobs)+len(p.Dictionaries) > 0:
		return fmt.Errorf("%w: it holds more than keys and values", ErrInvalidTable)
	case !bytes.HasPrefix(m.Smallest, rootPrefix) || !bytes.HasPrefix(m.Largest, rootPrefix):
		return fmt.Errorf("%w: its keys are outside of the root scope", ErrInvalidTable)
	}
	return nil
}

// enter gives the tables the next number and installs them.
func (d *DB) enter(ctx context.Context, tables []*manifest.Table) error {
	unflushed := mutant.Enabled && mutant.Is(mutant.IngestUnflushed)
	if !unflushed {
		if err := d.Flush(ctx); err != nil { // most of what is to be flushed, beside writers
			return err
		}
	}
	if err := d.queue.acquire(ctx); err != nil {
		return err
	}
	defer d.queue.passLead()
	if !unflushed {
		if err := d.emptyMemtables(ctx); err != nil {
			return err
		}
	}
	number := d.lastSeqNum + 1
	if uint64(number) > d.reserved.Load() {
		if err := d.reserveSeqNums(number); err != nil {
			return err
		}
	}
	fresh, err := d.newMutable(d.sameMutableBytes(), d.wal.Current())
	if err != nil {
		return fmt.Errorf("memory for a memtable: %w", err)
	}
	for _, t := range tables {
		t.MinSeqNum, t.MaxSeqNum = number, number
	}
	build := func(v *manifest.Version) (*manifest.Edit, error) { return d.ingestEdit(v, tables, number) }
	publish := func() { d.publishIngest(number, tables, fresh) }
	if mutant.Enabled && mutant.Is(mutant.IngestUnpublished) {
		err = d.installThen(build, nil, func() {})
		for range 1000 {
			runtime.Gosched() // let others look
		}
		publish()
		return err
	}
	if err := d.installThen(build, nil, publish); err != nil {
		d.arenas.give(fresh.region, fresh.capacity)
		if errors.Is(err, manifest.ErrUncertain) {
			// For lack of space too: were the edit there after all, and the number another's,
			// the next opening would take the other for flushed.
			return d.fail(err)
		}
		return err
	}
	return nil
}

// emptyMemtables waits until everything that was committed is in tables (I1), and visible,
// and until level 0 has room. Called by the leader.
func (d *DB) emptyMemtables(ctx context.Context) error {
	stop := d.opts.seams.Sizing.L0Stop
	hasRoom := func() bool { return len(d.state.Load().version.Levels[0]) < stop }
	if !hasRoom() {
		d.compactor.wake()
		if err := d.room.wait(ctx, d, compacting, hasRoom); err != nil {
			return err
		}
	}
	if !d.mutable.empty() {
		if err := d.freeze(ctx, d.sameMutableBytes()); err != nil {
			return err
		}
	}
	if err := d.room.wait(ctx, d, flushing, func() bool { return len(d.state.Load().frozen) == 0 }); err != nil {
		return err
	}
	return d.publisher.await(d, d.lastSeqNum) // what is in tables is visible
}

// ingestEdit puts the tables into the version, as deep as a flush could.
func (d *DB) ingestEdit(v *manifest.Version, tables []*manifest.Table, number keys.SeqNum) (*manifest.Edit, error) {
	uids := map[fileid.UID]bool{}
	for _, t := range tables {
		uids[t.UID] = true
	}
	twice := len(uids) < len(tables)
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		twice = twice || uids[t.UID]
		return !twice
	})
	if twice {
		return nil, fmt.Errorf("%w: it is in the store already", ErrInvalidTable)
	}
	level := d.compactor.place(v, tables)
	run := manifest.RunID(d.nextRun.Add(1) - 1)
	if runs := v.Levels[level]; level > 0 && len(runs) > 0 {
		run = runs[0].ID // beside the tables that are there
	}
	e := &manifest.Edit{FlushedSeqNum: number}
	for _, t := range tables {
		e.Added = append(e.Added, manifest.AddedTable{Level: level, Run: run, Table: t})
	}
	return e, nil
}

// publishIngest makes the number of ingested tables visible, in a state with an empty
// memtable of its own (I2). Called by the leader, with manifestMu held (I3).
func (d *DB) publishIngest(number keys.SeqNum, tables []*manifest.Table, fresh *mutableTable) {
	d.stateMu.Lock()
	s := d.state.Load()
	if mutant.Enabled && mutant.Is(mutant.IngestOldMemtable) {
		fresh = s.mutable
	}
	d.state.Store(d.newReadState(fresh, s.frozen, s.version))
	d.stateMu.Unlock()
	d.flusher.retire(s)
	if d.ring.inUse() {
		d.ring.admitRange(tables[0].Smallest, append(bytes.Clone(tables[len(tables)-1].Largest), 0), d.lastSeqNum)
	}
	d.mutable, d.lastSeqNum = fresh, number
	d.visible.store(number)
	if d.feed.watched() {
		d.feed.addIngest(span{tables[0].Smallest, append(bytes.Clone(tables[len(tables)-1].Largest), 0)}, number)
	}
	d.settler.arm()
}
