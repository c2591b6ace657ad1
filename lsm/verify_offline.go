package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// VerifyReport is what Verify found.
type VerifyReport struct {
	// Findings lists what is wrong, the manifest's first, then the tables' by name, then the
	// log's. It is empty for a sound store. A part that could not be read for an error of the
	// file system is among them, with that error.
	Findings []*CorruptionError
	// Recovery is what opening the store would find in the log, if the log is sound.
	Recovery Recovery
	// Tables, Entries and Bytes count what was read of tables, LogBytes the length of the
	// log's segments.
	Tables                   int
	Entries, Bytes, LogBytes int64
	// BlobFiles counts the blob files that were read, BlobBytes their length.
	BlobFiles int
	BlobBytes int64
	// Unlisted are table and blob files that no manifest lists, as a crash leaves them. They are no
	// finding: the next Open removes them. Where the manifest is damaged they are all
	// tables, and are verified.
	Unlisted []string
}

// Err returns nil for a sound store, else an error that holds every finding and matches
// ErrCorrupt.
func (r *VerifyReport) Err() error { return joinFindings(r.Findings) }

// joinFindings makes one error of findings.
func joinFindings(findings []*CorruptionError) error {
	switch len(findings) {
	case 0:
		return nil
	case 1:
		return findings[0]
	}
	errs := make([]error, len(findings))
	for i, f := range findings {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// Verify reads the store in dir, which nobody may have open for writing, and checks all that
// its files can tell: the manifest, every block of every table, the order of entries, their
// counts and bounds against the manifest, filters, indexes and digests, and the log. It
// opens nothing for writing, works on a store that Open refuses, and reports everything that
// it finds. To verify a store that is open there is DB.Verify.
//
// Of the options it uses Encryption, MemoryBudget and Logger. Errors: ErrNotExist, ErrLocked, ErrTooNew,
// ErrInvalidOptions, those of Encryption, ctx's, and those that say nothing of the store's files. Damage is
// none, but for that of the keyring, without which nothing can be read: ErrCorrupt.
func Verify(ctx context.Context, dir string, o *Options) (*VerifyReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	opts := o.withDefaults()
	v := verification{ctx: ctx, fs: opts.seams.FS, dir: dir, db: newDB(dir, opts)}
	if err := v.run(); err != nil {
		return nil, fmt.Errorf("lsm: verify %s: %w", dir, err)
	}
	r := &v.report
	v.db.event("verified", "tables", r.Tables, "bytes", r.Bytes, "findings", len(r.Findings))
	return r, nil
}

// verification is the state of one Verify.
type verification struct {
	ctx     context.Context
	fs      vfs.FS
	dir     string
	db      *DB // not open: it translates errors and logs
	cache   *cache.Cache
	found   map[string]bool   // places of findings
	version *manifest.Version // nil where it is lost
	report  VerifyReport
}

// verifyCache is room for index partitions and filters of one table at a time.
const verifyCache = 8 << 20

func (v *verification) run() (err error) {
	lock, err := lockToRead(v.fs, v.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if v.db.keyring, err = openKeyring(v.fs, v.dir, &v.db.opts); err != nil {
		return err
	}
	defer v.db.keyring.close()
	remains, err := readRemains(v.fs, v.dir, v.db.keyring, &v.db.opts)
	if err != nil {
		return err
	}
	for _, damage := range remains.Damage {
		v.find(manifest.CurrentName, v.db.manifestError(damage))
	}
	if v.cache, err = cache.New(verifyCache); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.cache.Close()) }()
	if err := v.tables(remains.Version); err != nil {
		return err
	}
	if err := v.log(remains); err != nil {
		return err
	}
	if len(v.report.Findings) > 0 || remains.State.ReservedScopeID == 0 {
		return nil // damage says enough, and what never had scopes has no directory
	}
	return v.directory()
}

// directory opens a store in which nothing is damaged, to read, and verifies its directory of
// scopes.
func (v *verification) directory() (err error) {
	o := v.db.opts
	o.ReadOnly, o.AcceptClock, o.Logger = true, true, nil
	d := newDB(v.dir, o)
	d.lock = io.NopCloser(nil) // it is held
	if err := d.openLocked(); err != nil {
		d.abandon()
		var c *CorruptionError
		if errors.As(err, &c) {
			v.find(c.File, err)
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	findings, err := d.verifyDirectory(v.ctx)
	for _, f := range findings {
		v.find(f.File, f)
	}
	return err
}

// lockToRead takes the shared lock of a directory. Where the lock file is missing, which a
// damaged store may lack, there is nobody to exclude.
func lockToRead(fs vfs.FS, dir string) (io.Closer, error) {
	lock, err := fs.Lock(dir+"/"+manifest.LockName, false, "")
	var held *vfs.LockedError
	switch {
	case errors.As(err, &held):
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	case errors.Is(err, vfs.ErrNotExist):
		return io.NopCloser(nil), nil
	}
	return lock, err
}

// find enters a finding, unless the same place was found wrong before.
func (v *verification) find(file string, err error) {
	var c *CorruptionError
	if !errors.As(err, &c) {
		c = &CorruptionError{File: file, Offset: -1, Err: err}
	}
	at := fmt.Sprint(c.File, " ", c.Offset)
	if v.found[at] {
		return
	}
	if v.found == nil {
		v.found = map[string]bool{}
	}
	v.found[at] = true
	v.report.Findings = append(v.report.Findings, c)
}

// tables verifies the tables of the version; every table in the directory where there is
// none.
func (v *verification) tables(version *manifest.Version) error {
	names, err := v.fs.List(v.dir)
	if err != nil {
		return err
	}
	listed := map[string]*manifest.Table{}
	if version != nil {
		if err := version.CheckInvariants(); err != nil {
			v.find(manifest.CurrentName, &CorruptionError{File: manifest.CurrentName, Offset: -1, Err: err})
		}
		version.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
			listed[manifest.TableName(t.Num)] = t
			return true
		})
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") || !manifest.IsStoreFile(name) || listed[name] != nil {
			continue
		}
		v.report.Unlisted = append(v.report.Unlisted, name)
		if version == nil {
			listed[name] = nil
		}
	}
	var all []string
	for name := range listed {
		all = append(all, name)
	}
	slices.Sort(all)
	v.version = version
	if err := v.tablesAtOnce(all, listed); err != nil {
		return err
	}
	return v.blobs(version, names)
}

// log verifies the log.
func (v *verification) log(remains *manifest.Remains) error {
	s := remains.State
	o := wal.SalvageOptions{FS: v.fs, Dir: v.dir, Store: s.Store, Listed: fromManifestSegments(s.Segments), OpenCipher: v.db.keyring.openCipher()}
	o.Unlisted, o.Min = remains.Version == nil, wal.SegmentNum(s.MinSegment)
	for _, seg := range s.Segments {
		v.report.LogBytes += seg.Bytes
	}
	check := func(r wal.Record) error {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		stats, err := checkPayload(r.Payload)
		if err == nil && stats.ops != int(r.Count) {
			err = errOpCount
		}
		if err != nil {
			v.find(wal.SlotName(r.Slot), &CorruptionError{File: wal.SlotName(r.Slot), Offset: r.Offset, Err: err})
		}
		if r.FirstSeqNum+keys.SeqNum(r.Count)-1 > s.FlushedSeqNum {
			v.report.Recovery.ReplayedOps += int64(stats.ops)
		}
		return nil
	}
	if remains.Version != nil {
		wo := wal.Options{FS: v.fs, Dir: v.dir, Store: s.Store, Random: v.db.opts.seams.Random, OpenCipher: o.OpenCipher}
		rec, err := wal.Replay(wo, o.Listed, check)
		if cerr := v.ctx.Err(); cerr != nil {
			return cerr
		}
		if err == nil {
			v.report.Recovery.Clean, v.report.Recovery.LostBytes = rec.Verdict == wal.Clean, rec.LostBytes
			if s.Cut != nil && max(s.FlushedSeqNum, rec.LastSeqNum) < s.Cut.LastSeqNum {
				v.find("log", &CorruptionError{File: "log", Offset: -1, Err: errShortLog})
			}
			return nil
		}
		v.find("log", v.db.walError(err))
	}
	v.report.Recovery = Recovery{}
	remnants, err := wal.Salvage(v.ctx, o, check)
	if err != nil {
		return err
	}
	v.report.Recovery = Recovery{}
	for _, r := range remnants {
		for _, g := range r.Gaps {
			name := wal.SlotName(r.Slot)
			v.find(name, &CorruptionError{File: name, Offset: g.Offset, Err: g.Err})
		}
	}
	return nil
}
