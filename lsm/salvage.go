package lsm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/wal"
)

// Salvage reads whatever can be read of the store in dir, damaged or not, and makes a new
// store of it in newDir, which must be missing or empty. It reads the manifest, each block
// of each table, each value of the blob files and each record of the log by itself, goes on behind damage, and takes over
// exactly what a checksum covers. Where the manifest is lost it takes over every table and
// log segment that it finds, and sequence numbers decide. Entries keep their sequence
// numbers; tombstones, older versions and range tombstones come along, but for what of a range
// tombstone in the log lies under a newer one there, as after Open. The new store has an
// identity of its own, so that no position in the old one's history is taken for one in its.
//
// The original is read and never changed. It must not be open for writing. The report says,
// file by file, what was read and what was lost, which keys may show an older value, and
// whether deleted ones may have come back. newDir holds no store that opens until Salvage
// has returned without error.
//
// That of an encrypted store is encrypted, with data keys of its own, under the key that
// Encryption gives for both. Nothing is read without the keyring.
//
// Of the options it uses those of new tables, Encryption, AllowSharedDir for newDir, MemoryBudget
// and Logger. It writes as much as
// it reads, and takes memory for a few blocks of each table that overlaps at a key, and for
// a quarter of the budget of the log.
//
// Errors: ErrNotExist, ErrLocked, ErrTooNew, ErrInvalidOptions, ErrNotPrivate for newDir, those of
// Encryption, those of writing, and ctx's. Damage is none, but for that of the keyring: ErrCorrupt.
func Salvage(ctx context.Context, dir, newDir string, o *Options) (*SalvageReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	opts := o.withDefaults()
	opts.ReadOnly, opts.MustExist = false, false
	s := &salvage{ctx: ctx, fs: opts.seams.FS, dir: dir, target: newDB(newDir, opts)}
	report, err := s.run()
	if err != nil {
		return nil, fmt.Errorf("lsm: salvage %s: %w", dir, err)
	}
	return report, nil
}

// salvage is the state of one Salvage. Its parts: the sources, which are tables
// (salvage_table.go) and the log (salvage_log.go); their merge (salvage_merge.go); the new
// store's tables (salvage_write.go).
type salvage struct {
	ctx    context.Context
	fs     vfs.FS
	dir    string
	target *DB // not open: what writes tables asks it for options, numbers and paths

	keyring  *keyring // of the damaged store
	remains  *manifest.Remains
	levels   bool // the levels of tables are known and hold
	tables   []*salvageTable
	log      salvageLog
	blobs    salvageBlobs
	lostBlob *salvageBlob // stands for those that nobody knows
	value    []byte       // of a blob file
	out      salvageWriter
	report   SalvageReport
}

func (s *salvage) run() (_ *SalvageReport, err error) {
	lock, err := lockToRead(s.fs, s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if s.keyring, err = openKeyring(s.fs, s.dir, &s.target.opts); err != nil {
		return nil, err
	}
	defer s.keyring.close()
	if s.remains, err = readRemains(s.fs, s.dir, s.keyring, &s.target.opts); err != nil {
		return nil, err
	}
	for _, damage := range s.remains.Damage {
		s.target.event("manifest damaged", "cause", damage)
	}
	if err := s.prepareTarget(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.out.abort()
		}
		s.target.keyring.close()
		err = errors.Join(err, s.target.lock.Close())
	}()
	s.out = salvageWriter{d: s.target, env: s.target.tableEnv(nil)}
	s.out.env.Writer.Codec = s.target.opts.Compression.codec(true)
	s.target.nextFile.Store(1)
	if err := s.findTables(); err != nil {
		return nil, err
	}
	if err := s.readLog(); err != nil {
		return nil, err
	}
	if err := s.merge(); err != nil {
		return nil, err
	}
	s.conclude()
	if err := s.copyVault(); err != nil {
		return nil, err
	}
	if err := s.createStore(); err != nil {
		return nil, err
	}
	if err := s.mendDirectory(); err != nil {
		return nil, err
	}
	r := &s.report
	s.target.event("salvaged", "entries", r.Entries, "range tombstones", r.RangeTombstones, "complete", r.Complete(),
		"manifest read", r.ManifestRead, "deleted may return", r.DeletedMayReturn)
	return r, nil
}

// copyVault gives the new store the scope keys of the damaged one. Without them what is sealed stays
// so.
func (s *salvage) copyVault() error {
	if s.keyring == nil {
		return nil
	}
	t := s.target
	old, err := openVaultIn(s.fs, s.dir, s.keyring, &t.opts, true)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.event("vault not salvaged", "cause", err)
		return nil
	}
	defer old.Close() // always nil
	secret, _, err := t.keyring.ring.VaultKeys()
	if err != nil {
		return keyError(err)
	}
	defer secret.Wipe()
	uid, err := fileid.NewUID(t.opts.seams.Random)
	if err != nil {
		return err
	}
	made, err := old.CopyTo(uid, secret, t.opts.keyFiles(t.opts.seams.FS, t.dir))
	if err != nil {
		return vaultError(err)
	}
	return made.Close()
}

// readRemains is manifest.ReadRemains in this package's errors.
func readRemains(fs vfs.FS, dir string, k *keyring, o *Options) (*manifest.Remains, error) {
	r, err := manifest.ReadRemains(fs, dir, k.openCipher())
	switch {
	case errors.Is(err, manifest.ErrNoStore):
		return nil, ErrNotExist
	case errors.Is(err, manifest.ErrTooNew):
		return nil, errors.Join(ErrTooNew, err)
	case errors.Is(err, manifest.ErrSealed):
		return nil, errNoKeyring(err)
	case err != nil:
		return nil, err
	case k == nil && o.Encryption != nil:
		return nil, ErrNotEncrypted
	case k == nil:
		return r, nil
	}
	if (r.State.Store != fileid.UID{}) {
		if err := k.checkState(r.State); err != nil {
			r.Damage = append(r.Damage, err)
		}
	}
	if (r.Anchor != manifest.Anchor{}) {
		if err := o.Encryption.MinAnchor.manifest.Check(r.Anchor); err != nil {
			r.Damage = append(r.Damage, &CorruptionError{File: r.Name, Offset: -1, Err: err})
		}
	}
	return r, nil
}

// prepareTarget makes the new directory and locks it.
func (s *salvage) prepareTarget() error {
	d := s.target
	if in := filepath.Clean(s.dir) + string(filepath.Separator); strings.HasPrefix(filepath.Clean(d.dir)+string(filepath.Separator), in) {
		return fmt.Errorf("%s is, or lies in, the store to be salvaged: %w", d.dir, vfs.ErrExist)
	}
	names, err := s.fs.List(d.dir)
	if err == nil && len(names) > 0 {
		return fmt.Errorf("%s is not empty: %w", d.dir, vfs.ErrExist)
	}
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	if err := d.takeLock(); err != nil {
		return err
	}
	err = syncParents(d.opts.seams.FS, d.dir, d.madeDirs)
	if err == nil {
		d.store, err = fileid.NewUID(d.opts.seams.Random)
	}
	if err == nil && d.opts.Encryption != nil {
		d.keyring, err = createKeyring(d.store, d.opts.keyFiles(d.opts.seams.FS, d.dir), &d.opts)
	}
	if err != nil {
		return errors.Join(err, d.lock.Close())
	}
	return nil
}

// findTables lists the tables to read: those of the version where it is known and all of
// its files are there, else every table in the directory but those that a record of the
// manifest deletes.
func (s *salvage) findTables() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	if err := s.findBlobs(names); err != nil {
		return err
	}
	here := map[string]bool{}
	for _, name := range names {
		here[name] = strings.HasSuffix(name, ".sst") && manifest.IsStoreFile(name)
	}
	listed := map[string]bool{}
	s.levels = s.remains.Version != nil
	if s.levels {
		depth := 0
		for level := range s.remains.Version.Levels {
			for _, run := range s.remains.Version.Levels[level] {
				depth++
				for _, t := range run.Tables {
					name := manifest.TableName(t.Num)
					listed[name] = true
					s.tables = append(s.tables, &salvageTable{s: s, name: name, meta: t, depth: depth})
				}
			}
		}
	}
	missing, unlisted := false, []string(nil)
	for name := range listed {
		missing = missing || !here[name]
	}
	for name, isTable := range here {
		if isTable && !listed[name] && !s.remains.Deleted[manifest.TableNum(name)] {
			unlisted = append(unlisted, name)
		}
	}
	if missing && len(unlisted) > 0 {
		s.levels = false // the manifest may be an older one than the tables
	}
	if !s.levels {
		for _, name := range unlisted {
			s.tables = append(s.tables, &salvageTable{s: s, name: name})
		}
	}
	s.report.ManifestRead = s.levels
	slices.SortFunc(s.tables, func(a, b *salvageTable) int { return cmp.Compare(a.name, b.name) })
	for _, t := range s.tables {
		if err := t.survey(); err != nil {
			return err
		}
	}
	return nil
}

// conclude completes the report: what is in doubt, and the files by name.
func (s *salvage) conclude() {
	r := &s.report
	add := func(lower, upper []byte) {
		keys, others := rootRange(lower, upper)
		r.Doubtful = append(r.Doubtful, keys)
		r.OtherScopes = r.OtherScopes || others
	}
	for _, t := range s.tables {
		if t.spill {
			continue
		}
		for _, l := range t.unplaced {
			add(l.lower, l.upper)
		}
		for _, l := range t.lost {
			if !s.levels || s.hides(t, l) {
				add(l.lower, l.upper)
				r.DeletedMayReturn = r.DeletedMayReturn || t.meta == nil || t.meta.HasTombstones()
			}
		}
		for _, l := range t.lostValues {
			if !s.levels || s.hides(t, l) {
				add(l.lower, l.upper)
				r.DeletedMayReturn = r.DeletedMayReturn || t.meta == nil || t.meta.HasTombstones()
			}
		}
		r.Files = append(r.Files, t.file())
	}
	s.concludeBlobs()
	for _, f := range s.log.files {
		if len(f.Lost) > 0 {
			add(nil, nil)
			r.DeletedMayReturn = true
		}
		r.Files = append(r.Files, f)
	}
	if !s.levels && r.Entries > 0 {
		r.DeletedMayReturn = true
	}
	r.Doubtful = joinKeyRanges(r.Doubtful)
	slices.SortFunc(r.Files, func(a, b SalvagedFile) int { return cmp.Compare(a.Name, b.Name) })
}

// hides reports whether something older than what t has lost lies below it.
func (s *salvage) hides(t *salvageTable, l lostKeys) bool {
	return slices.ContainsFunc(s.tables, func(o *salvageTable) bool {
		return o.depth > t.depth && !o.meta.EndsBefore(l.lower) &&
			(l.upper == nil || bytes.Compare(o.meta.Smallest, l.upper) < 0)
	})
}

// createStore makes the manifest of the new store. It begins where no number has been given
// out, and knows no difference from any position of the old one.
func (s *salvage) createStore() error {
	d := s.target
	old := s.remains.State
	last := max(old.ReservedSeqNum, old.FlushedSeqNum, s.out.lastSeqNum, s.log.lastSeqNum)
	if n := len(old.Lineage); n > 0 {
		last = max(last, old.Lineage[n-1].First-1)
	}
	last = min(last, keys.MaxSeqNum-1)
	state := &manifest.State{
		Store: d.store, FormatVersion: manifest.FormatVersion,
		NextFileNum: fileid.Num(d.nextFile.Load()), NextRunID: 2,
		ReservedSeqNum: last, FlushedSeqNum: last, HistoryFloor: last,
		ReservedScopeID: max(old.ReservedScopeID, s.out.lastScope),
		LastTime:        max(old.LastTime, s.log.lastTime),
		Operators:       old.Operators, Extra: old.Extra,
	}
	if a := d.keyring.anchor(); a != nil {
		state.Keyring = *a
	}
	version := &manifest.Version{}
	if tables := s.out.tables; len(tables) > 0 {
		version.Levels[manifest.LastLevel] = []manifest.Run{{ID: 1, Tables: tables}}
	}
	if err := s.fs.SyncDir(d.dir); err != nil {
		return err
	}
	return manifest.CreateWith(state, version, d.manifestOptions())
}

// mendDirectory opens the new store, if anything is lost or in doubt, and makes its directory of
// scopes whole: of an entry and the name of its id one may be lost and the other not.
func (s *salvage) mendDirectory() (err error) {
	if s.report.Complete() || s.out.lastScope <= uint64(scope.System) {
		return nil
	}
	o := s.target.opts
	o.MustExist, o.ExpiryEvents, o.Logger = true, false, nil
	if last := max(s.remains.State.LastTime, s.log.lastTime); last > 0 {
		o.Clock = standingClock(last) // how far the machine's is ahead is for whoever opens the store
	}
	d := newDB(s.target.dir, o)
	d.lock = io.NopCloser(nil) // it is held
	if err := d.openLocked(); err != nil {
		d.abandon()
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var differ *CorruptionError
	if err := d.checkDirectory(s.ctx); err == nil || !errors.As(err, &differ) {
		return err
	}
	return d.mendDirectory(s.ctx)
}

// segments returns the log segments that the manifest lists.
func (s *salvage) segments() []wal.Segment { return fromManifestSegments(s.remains.State.Segments) }
