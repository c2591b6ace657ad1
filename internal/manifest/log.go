package manifest

import (
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// LogOptions say where the log is and how large its files are.
type LogOptions struct {
	FS     vfs.FS
	Dir    string
	Random io.Reader
	// RollBytes is the least length of a manifest file, which is written in full when
	// the file is made. 0 means 64 KiB. A file also has room for ten snapshots.
	RollBytes int64
	// NewCipher gives each file that is written its cipher; nil: it is written in clear.
	// OpenCipher is that of Load.
	NewCipher  seal.NewCipher
	OpenCipher seal.OpenCipher
}

const (
	defaultRollBytes = 64 << 10
	minRollBytes     = 512
	snapshotsPerFile = 10
)

// Log is the manifest of an open store: State and Version, and the file that keeps
// them. It is not safe for concurrent use, but State and Version, once returned, are.
type Log struct {
	o       LogOptions
	state   *State
	version *Version

	file vfs.File
	num  uint64
	uid  fileid.UID
	seed fileid.Seed
	// guard seals what is appended; a file that has one was made by this process (M9).
	guard *guard
	// length is the file's, end where the next record goes, nextRecord its number.
	length, end int64
	nextRecord  uint64
	maxNum      uint64 // greatest number a manifest file of this directory has had
	mustRoll    bool   // M8: nothing may be appended to file
	superseded  []uint64
	err         error // sticky
}

// Create makes the manifest of a new store in o.Dir and makes it durable, its entry
// there included (the directory's own entry is the caller's). It is called after Load said
// ErrNoStore. Before it returned without error, Load still says so, or finds the new
// store.
func Create(store fileid.UID, o LogOptions) (*Loaded, error) {
	// What an interrupted Create left.
	if err := o.FS.Remove(path.Join(o.Dir, manifestName(1))); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return nil, fmt.Errorf("manifest: remove %s: %w", manifestName(1), err)
	}
	empty := &State{Store: store, FormatVersion: FormatVersion, NextFileNum: 1, NextRunID: 1}
	if err := CreateCopy(empty, &Version{}, o); err != nil {
		return nil, err
	}
	loaded, err := Load(o.FS, o.Dir, o.OpenCipher)
	if err != nil {
		return nil, err
	}
	loaded.created = true
	return loaded, nil
}

// OpenLog opens the log that loaded describes, for writing. loaded must be fresh: the
// directory must not have changed since Load.
//
// When OpenLog returns, all that loaded says is durable. Until then the directory must
// not change either: after a power cut it may be an earlier manifest that counts, with
// tables and segments that loaded does not list. Where an earlier process was killed, or
// failed, so that this is not known, OpenLog writes a new manifest with the same contents,
// and may fail for lack of space (vfs.ErrNoSpace). It always does where the old file or the
// new one is encrypted (M9): the store is encrypted from then on if o has NewCipher, and in
// clear if it has not.
func OpenLog(loaded *Loaded, o LogOptions) (*Log, error) {
	f, err := o.FS.Open(path.Join(o.Dir, loaded.Name), vfs.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("manifest: open %s: %w", loaded.Name, err)
	}
	l := &Log{
		o: o, state: loaded.State, version: loaded.Version,
		file: f, num: loaded.num, uid: loaded.uid, seed: fileid.NewSeed(fileid.KindManifest, loaded.uid),
		length: loaded.length, end: loaded.end, nextRecord: loaded.nextRecord,
		maxNum: max(loaded.maxNum, loaded.num),
	}
	if !loaded.relied() || o.NewCipher != nil {
		if err := l.renew(); err != nil {
			_ = f.Close() // nothing was written through it
			return nil, err
		}
	}
	return l, nil
}

// renew goes on in a new file. The directory is synced first, for what little that says:
// a power cut in between shall find CURRENT, whose entry may be as new as the store is,
// before it finds a second manifest that speaks of a lost one.
func (l *Log) renew() error {
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return fmt.Errorf("manifest: sync directory: %w", err)
	}
	return l.roll(l.state, l.version)
}

// State returns the newest state. It is immutable.
func (l *Log) State() *State { return l.state }

// Version returns the newest version. It is immutable.
func (l *Log) Version() *Version { return l.version }

// Name returns the name of the file that the log is in.
func (l *Log) Name() string { return manifestName(l.num) }

// Key returns the data key that the log's file is under; 0: it is in clear.
func (l *Log) Key() seal.KeyID { return l.guard.dataKey() }

// Bytes returns the length of the log's file.
func (l *Log) Bytes() int64 { return l.length }

// Append makes e durable and applies it: when it returns nil, a Load after any crash
// finds e.
//
// ErrInvalidEdit: e does not fit; nothing happened. An error that matches vfs.ErrNoSpace:
// Append may be tried again, with this edit or another. Every other error sticks: it
// comes back, wrapped in ErrFailed, from every later call. If the error matches
// ErrUncertain, a Load may find e all the same.
func (l *Log) Append(e *Edit) error {
	if l.err != nil {
		return l.err
	}
	state, err := l.state.Apply(e)
	if err != nil {
		return err
	}
	version, err := l.version.Apply(e)
	if err != nil {
		return err
	}
	r := record{kind: typeEdit, number: l.nextRecord, body: AppendEdit(nil, e)}
	if _, err := DecodeEdit(r.body); err != nil {
		return invalid("%v", err) // what could not be read must not be written
	}
	if l.mustRoll || l.end+paddedLen(len(r.body)+l.guard.overhead()) > l.length-markLen {
		err = l.roll(state, version)
	} else {
		err = l.write(&r)
	}
	if err != nil {
		return l.fail(err)
	}
	l.state, l.version = state, version
	return nil
}

// Roll goes on in a new file with the same contents, under the data key that new files take.
// When it returns nil, no Load after any crash reads the old one. Errors: as Append.
func (l *Log) Roll() error {
	if l.err != nil {
		return l.err
	}
	if err := l.roll(l.state, l.version); err != nil {
		return l.fail(err)
	}
	return nil
}

// fail keeps err unless it is lack of space, which another try may not meet.
func (l *Log) fail(err error) error {
	if !errors.Is(err, vfs.ErrNoSpace) {
		l.err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return err
}

// write appends the record, syncs it and marks the end.
func (l *Log) write(r *record) error {
	buf, err := r.append(nil, l.seed, l.end, l.guard)
	if err != nil {
		return fmt.Errorf("manifest: seal: %w", err)
	}
	_, err = l.file.WriteAt(buf, l.end)
	if err == nil && !(mutant.Enabled && mutant.Is(mutant.SkipManifestSync)) {
		err = l.file.Sync()
	}
	if err != nil {
		l.mustRoll = true
		return fmt.Errorf("manifest: write %s: %w: %w", l.Name(), ErrUncertain, err)
	}
	l.end, l.nextRecord = l.end+int64(len(buf)), r.number+1
	l.mark()
	return nil
}

// mark says that the last record is synced. That it is does not depend on an error
// here; but the file is not used further.
func (l *Log) mark() {
	at := l.length - markLen
	if _, err := l.file.WriteAt(appendMark(nil, l.nextRecord-1, l.seed, at), at); err != nil {
		l.mustRoll = true
		_ = l.fail(fmt.Errorf("manifest: mark %s: %w", l.Name(), err)) // the next call's error
	}
}

// Close closes the file. The log cannot be used afterwards; a second Close returns nil.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file, l.err = nil, ErrClosed
	if err != nil {
		return fmt.Errorf("manifest: close %s: %w", l.Name(), err)
	}
	return nil
}
