package lsm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// Open opens the store in dir, or makes one there. It takes the directory's lock (one
// writer, or several readers), reads the manifest, and replays the log; what a crash
// left is cut or reported, and Metrics().Recovery says what was found: that the store had
// been closed, or was not and lost so many bytes that nobody was promised. Anything else is
// damage, which Open refuses by a *CorruptionError with file and offset. A nil o means
// the defaults. A directory is not made in one that may be written and not read: its entry
// could not be made durable.
//
// Errors: ErrLocked, ErrCorrupt, ErrTooNew, ErrNotExist, ErrInvalidOptions, ErrNotPrivate, those of
// Encryption, and those of the file system. An Open that fails has changed nothing that a later one needs.
func Open(dir string, o *Options) (*DB, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	d := newDB(dir, o.withDefaults())
	if err := d.open(); err != nil {
		d.event("not opened", "cause", err)
		d.abandon()
		return nil, fmt.Errorf("lsm: open %s: %w", dir, err)
	}
	return d, nil
}

func newDB(dir string, opts Options) *DB {
	d := &DB{dir: dir, opts: opts, logger: opts.Logger, tables: map[fileid.Num]*table{}, blobs: map[fileid.Num]*blobFile{}, closing: make(chan struct{}), ended: make(chan struct{})}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	d.arenas.fullBytes = opts.MemtableBytes
	d.publisher.init()
	d.feed.init(d.opts.MemoryBudget, d.opts.seams.Sizing.WatchBytes)
	d.ring.capacity = max(opts.seams.Sizing.RingKeys/2, 1)
	d.room.init()
	d.flusher = flusher{db: d, alarm: newAlarm()}
	d.syncer = syncer{db: d, alarm: newAlarm()}
	d.settler = settler{db: d, alarm: newAlarm()}
	d.deleter = deleter{db: d, alarm: newAlarm()}
	d.scrubber.db, d.vault.db = d, d
	d.vault.visiting = make(chan struct{}, 1)
	d.expirer.db, d.expirer.alarm = d, newAlarm()
	d.expirer.sweep.active.Store(opts.ExpiryEvents)
	d.expirer.due.Store(math.MaxInt64)
	d.committing.Store(math.MaxInt64)
	_ = d.clock.begin(opts.clock(), 0, true) // until replay knows how late it is; no error without a past
	d.compactor.init(d)
	d.reaper = reaper{db: d, alarm: newAlarm()}
	d.horizons.init(d)
	d.rotator = rotator{db: d, alarm: newAlarm()}
	d.directory.init(d.opts.MemoryBudget)
	return d
}

func (d *DB) open() error {
	if err := d.takeLock(); err != nil {
		return err
	}
	return d.openLocked()
}

// openLocked opens the store whose lock is held.
func (d *DB) openLocked() error {
	var seed [8]byte
	if _, err := io.ReadFull(d.opts.seams.Random, seed[:]); err != nil {
		return err
	}
	d.heightSeed = binary.LittleEndian.Uint64(seed[:])
	var err error
	if d.cache, err = cache.NewElastic(d.opts.cacheFloor(), d.opts.MemoryBudget); err != nil {
		return err
	}
	d.arenas.resized = d.shareBudget
	traits, err := d.opts.seams.FS.Traits(d.dir)
	if err != nil {
		return err
	}
	d.mapTables = traits.MappedLoads
	loaded, err := d.loadManifest()
	if err != nil {
		return err
	}
	if err := d.operators.init(&d.opts, loaded.State.Operators); err != nil {
		return err
	}
	if err := d.checkTables(loaded.Version); err != nil {
		return err
	}
	rec, err := d.replay(loaded.State)
	if err != nil {
		return err
	}
	d.found = rec.found
	if !d.opts.ReadOnly {
		if err := d.startWriting(loaded, rec); err != nil {
			return err
		}
	}
	d.state.Store(d.newReadState(d.mutable, rec.frozen, d.newVersion(loaded.Version)))
	d.visible.store(d.lastSeqNum)
	d.findExpiring()
	d.foldReplayed()
	d.openDirectory(loaded.State)
	d.openHistory(loaded.State)
	if err := d.openVault(); err != nil {
		return err
	}
	d.event("opened", "store", d.store, "clean", d.found.Clean, "lost bytes", d.found.LostBytes)
	if !d.opts.ReadOnly {
		if !(mutant.Enabled && mutant.Is(mutant.KeepOrphans)) {
			d.removeOrphans()
		}
		d.startBackground()
		d.flusher.wake()
		d.compactor.wake()
		d.rotator.alarm.wake()
		if len(rec.log.Live) >= maxReplayedSegments {
			// Waited for, lest a store that is closed again at once never gets there. A
			// failure is met, and reported, by whoever writes next.
			_ = d.room.wait(context.Background(), d, flushing, func() bool { return len(d.state.Load().frozen) == 0 })
		}
	}
	return nil
}

// takeLock locks the directory: exclusively, or shared for reading. It makes the
// directory if it may and must.
func (d *DB) takeLock() error {
	fs := d.opts.seams.FS
	if !d.mayCreate() {
		if err := d.findStore(); err != nil {
			return err
		}
	}
	if err := d.opts.checkDir(fs, d.dir); err != nil {
		return err
	}
	name := d.path(manifest.LockName)
	lock, err := fs.Lock(name, !d.opts.ReadOnly, vfs.ProcessName())
	if errors.Is(err, vfs.ErrNotExist) && d.mayCreate() {
		if d.madeDirs, err = makeDir(fs, d.dir); err != nil {
			return err
		}
		if err := d.opts.checkDir(fs, d.dir); err != nil {
			return err // somebody else has made it meanwhile
		}
		lock, err = fs.Lock(name, true, vfs.ProcessName())
	}
	var held *vfs.LockedError
	switch {
	case errors.As(err, &held):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case err != nil && d.opts.ReadOnly:
		return fmt.Errorf("to read, the lock file must be there: %w", err)
	case err != nil:
		return err
	}
	d.lock = lock
	return nil
}

// mayCreate reports whether the options allow a new store.
func (d *DB) mayCreate() bool { return !d.opts.ReadOnly && !d.opts.MustExist }

// findStore returns ErrNotExist for a directory in which nothing is a store's: not even a
// lock file may be made there.
func (d *DB) findStore() error {
	names, err := d.opts.seams.FS.List(d.dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	if err == nil && !slices.ContainsFunc(names, func(name string) bool {
		return name == manifest.LockName || name == manifest.CurrentName || manifest.IsStoreFile(name)
	}) {
		return ErrNotExist
	}
	return err
}

// cacheFloor is what the budget leaves for blocks, indexes and filters when there are as
// many memtables as there can be.
func (o *Options) cacheFloor() int64 {
	return max(o.MemoryBudget-maxMemtables*o.MemtableBytes, o.MemoryBudget/8)
}

// abandon gives back what a failed open has taken.
func (d *DB) abandon() {
	d.closed.Store(true)
	if d.background.cancel != nil {
		d.background.stop()
	}
	if d.wal != nil {
		_ = d.wal.Close() // the error of the open is the one that matters
	}
	if d.manifestLog != nil {
		_ = d.manifestLog.Close()
	}
	if s := d.state.Load(); s != nil {
		s.unref()
	} else {
		d.freeReplayed()
	}
	d.arenas.close()
	d.vault.close()
	d.keyring.close()
	if d.cache != nil {
		_ = d.cache.Close()
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
}
