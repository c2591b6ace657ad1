package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// Checkpoints: docs/checkpoints.md says what they are and cost. The steps, each durable
// before the next, so that a crash leaves a store or what says that it is none:
//
//  1. the directory, if it is to be made; of an encrypted store its record (checkpoint_registry.go); then
//     the mark that it is unfinished
//  2. the tables and blob files, linked or copied
//  3. the keyring, if there is one; the manifest, the entries of all these, and CURRENT
//  4. the mark is removed

// Checkpoint makes a second store in dir, which must not exist or be empty, with what this
// one holds: everything that was committed before the call, and of what is committed
// meanwhile a first part, in the order of the commits and batches whole. Reads, writes,
// flushes and compactions go on beside it.
//
// The memtables are flushed; the tables are then linked, which costs no space as long as
// this store has them too, or copied where the file system cannot link, as across devices.
// The checkpoint is on the device when Checkpoint returns. It is an ordinary store, with an
// identity of its own, whose history parts from this one's. A store in memory is
// checkpointed into a directory of the system. That of an encrypted store is encrypted, and has a
// keyring of its own: the keys of this one, under the same master key.
//
// A directory of which Checkpoint has failed, or was killed, holds a whole checkpoint, is
// as good as empty, or is ErrNotExist to Open until Checkpoint is called for it again.
//
// Errors: ErrNotEmpty, ErrLocked, ErrReadOnly, ErrNotPrivate, ErrNoSpace, ErrPoisoned, ErrCorrupt for a
// table that is damaged and had to be copied, ctx's, and those of the file system. None
// but ErrPoisoned, of a flush, stops this store's writing.
func (d *DB) Checkpoint(ctx context.Context, dir string) error {
	if err := d.writable(); err != nil {
		return err
	}
	if err := d.hold(); err != nil {
		return err
	}
	defer d.release()
	c := checkpoint{db: d, fs: d.opts.seams.Outside, dir: dir}
	if c.fs == nil {
		c.fs, c.links = d.opts.seams.FS, true
	}
	err := c.run(ctx)
	d.vault.mayForget() // its snapshot has kept scopes from being buried
	if err != nil {
		return fmt.Errorf("lsm: checkpoint %s: %w", dir, err)
	}
	d.event("checkpoint made", "linked", c.linked, "copied", c.copied, "bytes", c.bytes)
	return nil
}

// checkpoint is one that is being made.
type checkpoint struct {
	db    *DB
	fs    vfs.FS
	dir   string
	links bool // fs is also the store's

	store  fileid.UID       // its identity
	record CheckpointRecord // as it is on record; zero if it is not

	linked, copied int
	bytes          int64
}

func (c *checkpoint) run(ctx context.Context) error {
	made, err := c.look() // before any work is done for nothing
	if err != nil {
		return err
	}
	if err := c.db.opts.checkDir(c.fs, c.dir); err != nil {
		return err
	}
	// While the snapshot is open no table is written without the entries of a scope that is
	// dropped from now on, whose drop the checkpoint may not have.
	snap, err := c.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	if mutant.Enabled && mutant.Is(mutant.DropInCheckpoint) {
		_ = snap.Close()
	}
	if err := c.db.Flush(ctx); err != nil {
		return err
	}
	if err := c.ended(ctx); err != nil {
		return err // before anything is made: a short flush does not notice
	}
	if made {
		if err := c.makeDir(); err != nil {
			return err
		}
	} else if err := syncParents(c.fs, c.dir, 0); err != nil {
		return err
	}
	lock, err := c.fs.Lock(c.path(manifest.LockName), true, vfs.ProcessName())
	if err != nil {
		return lockError(err)
	}
	defer lock.Close() // nothing is lost with an error: the directory is finished or given up
	if _, err := c.look(); err != nil {
		return err // somebody else was faster
	}
	if c.store, err = fileid.NewUID(c.db.opts.seams.Random); err != nil {
		return err
	}
	if err := c.register(); err != nil {
		return err
	}
	if err = c.mark(); err == nil {
		err = c.fill(ctx)
	}
	if err != nil {
		c.giveUp()
		return err
	}
	// A mark that stays costs the first opening a new manifest, which removes it.
	_ = c.fs.Remove(c.path(manifest.UnfinishedName))
	return nil
}

func (c *checkpoint) path(name string) string { return filepath.Join(c.dir, name) }

// look reports whether the directory is missing, or says what forbids to use it. What an
// earlier checkpoint has left there unfinished forbids nothing.
func (c *checkpoint) look() (missing bool, err error) {
	names, err := c.fs.List(c.dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	left := slices.Contains(names, manifest.UnfinishedName) && !slices.Contains(names, manifest.CurrentName)
	for _, name := range names {
		if name != manifest.LockName && !(left && isCopied(name)) {
			return false, fmt.Errorf("%w: it has %s", ErrNotEmpty, name)
		}
	}
	return false, nil
}

func (c *checkpoint) makeDir() error {
	made, err := makeDir(c.fs, c.dir)
	if err != nil {
		return err
	}
	return syncParents(c.fs, c.dir, made)
}

// mark removes what is left of an earlier checkpoint, and makes the mark that the directory
// is unfinished durable. From here on Open refuses it, whatever a crash takes, until CURRENT
// is durable, and with it all else.
func (c *checkpoint) mark() error {
	if err := c.clear(); err != nil {
		return err
	}
	f, err := c.fs.Create(c.path(manifest.UnfinishedName))
	switch {
	case errors.Is(err, vfs.ErrExist):
	case err != nil:
		return err
	default:
		if err := f.Close(); err != nil {
			return err
		}
	}
	return c.fs.SyncDir(c.dir)
}

// fill makes the checkpoint in the marked directory.
func (c *checkpoint) fill(ctx context.Context) error {
	d := c.db
	state, v := d.captureVersion()
	if !(mutant.Enabled && mutant.Is(mutant.UnheldCheckpoint)) {
		defer v.unref()
	} else {
		v.unref()
	}
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			if err := c.ended(ctx); err != nil {
				return err
			}
			if err := c.bring(ctx, manifest.TableName(t.meta.Num), t.meta.Bytes, t.meta.Digest); err != nil {
				return err
			}
		}
	}
	for i := range v.Blobs {
		if err := c.ended(ctx); err != nil {
			return err
		}
		if b := v.Blobs[i]; !(mutant.Enabled && mutant.Is(mutant.ForgetBlobLink)) {
			if err := c.bring(ctx, manifest.BlobName(b.Num), b.Bytes, b.Digest); err != nil {
				return err
			}
		}
	}
	opening, err := fileid.NewUID(d.opts.seams.Random)
	if err != nil {
		return err
	}
	o := manifest.LogOptions{FS: c.fs, Dir: c.dir, Random: d.opts.seams.Random, RollBytes: firstManifestBytes}
	copied := state.Copy(c.store, opening, d.clock.millis())
	if d.keyring != nil {
		k, err := d.keyring.copyTo(c.store, d.opts.keyFiles(c.fs, c.dir))
		if err != nil {
			return err
		}
		defer k.close()
		o.NewCipher, o.OpenCipher = k.manifestCipher(), k.openCipher()
		copied.Keyring = *k.anchor()
		needs, err := k.needs(v.Version)
		if err == nil {
			err = c.registerWhole(needs, state.FlushedSeqNum)
		}
		if err != nil {
			return err
		}
	}
	return manifest.CreateCopy(copied, v.Version, o)
}

// isCopied reports whether a checkpoint makes files of this name.
func isCopied(name string) bool { return manifest.IsStoreFile(name) || isKeyFile(name) }

// captureVersion returns the version, which the caller unreferences, with the state that
// belongs to it: the version's tables hold what was committed up to FlushedSeqNum, and
// nothing else. Until then none of them is deleted.
func (d *DB) captureVersion() (*manifest.State, *version) {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	v := d.state.Load().version // what manifestMu keeps from being replaced
	v.ref()
	return d.manifestLog.State(), v
}

// ended returns the error of a caller who has given up, or of a store that was closed: its
// directory may be another's by now.
func (c *checkpoint) ended(ctx context.Context) error {
	if c.db.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// bring links a table or a blob file into the directory, or copies it. They never change, and
// this one was synced before the manifest named it.
func (c *checkpoint) bring(ctx context.Context, name string, bytes int64, digest uint64) error {
	c.bytes += bytes
	if c.links {
		err := c.fs.Link(c.db.path(name), c.path(name))
		if err == nil {
			c.linked++
			return nil
		}
		if !errors.Is(err, vfs.ErrNoLink) {
			return err
		}
	}
	c.copied++
	to := copyTarget{fs: c.fs, name: c.path(name), sync: !(mutant.Enabled && mutant.Is(mutant.SkipCopySync))}
	copied, err := copyFile(ctx, c.db.opts.seams.FS, c.db.path(name), to, bytes)
	if errors.Is(err, errWrongSize) {
		return &CorruptionError{File: name, Offset: -1, Err: err}
	}
	if err == nil && copied != digest {
		return &CorruptionError{File: name, Offset: -1, Err: errWrongDigest}
	}
	return err
}

// clear removes what a checkpoint makes in the directory, but for the mark: first CURRENT,
// durably, so that no power cut brings it back without the rest; the mark may follow when
// the rest is gone as durably.
func (c *checkpoint) clear() error {
	names, err := c.fs.List(c.dir)
	if err != nil {
		return err
	}
	isLeft := func(name string) bool { return name != manifest.UnfinishedName && isCopied(name) }
	if !slices.ContainsFunc(names, isLeft) {
		return nil
	}
	if err := c.fs.Remove(c.path(manifest.CurrentName)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	if err := c.syncCleared(); err != nil {
		return err
	}
	for _, name := range names {
		if isLeft(name) {
			if err := c.fs.Remove(c.path(name)); err != nil {
				return err
			}
		}
	}
	return c.syncCleared()
}

func (c *checkpoint) syncCleared() error {
	if mutant.Enabled && mutant.Is(mutant.SkipClearSync) {
		return nil
	}
	return c.fs.SyncDir(c.dir)
}

// giveUp empties the directory again as far as it can, and takes the checkpoint off the record. What stays is marked,
// and on record: Open refuses it, and the next checkpoint clears it. The directory and its lock file stay too, since
// another process may wait for that one.
func (c *checkpoint) giveUp() {
	err := c.clear()
	if err == nil {
		err = c.fs.Remove(c.path(manifest.UnfinishedName))
	}
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		c.db.event("unfinished checkpoint not removed", "cause", err)
		return
	}
	c.unregister()
}

// lockError says of an error of taking a lock that it is somebody's.
func lockError(err error) error {
	var held *vfs.LockedError
	if errors.As(err, &held) {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return err
}
