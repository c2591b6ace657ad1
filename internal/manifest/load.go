package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Loaded is what Load found: the newest state and version, and where the log goes on.
type Loaded struct {
	// State and Version are the newest ones. State.NextFileNum is above every table and
	// blob file in the directory, those that the manifest does not know included.
	State   *State
	Version *Version
	// Name is the manifest's file name.
	Name string
	// Torn reports that the file ended in a record that was never acknowledged, whose
	// LostBytes were cut.
	Torn      bool
	LostBytes int64

	num        uint64
	uid        fileid.UID
	length     int64  // of the file
	end        int64  // where the next record goes
	nextRecord uint64 // its number
	maxNum     uint64 // greatest number of a manifest file in the directory

	// What forbids to go on in this file (M8).
	created  bool // by this process's Create, which made it durable
	sealed   bool // another process has sealed it (M9)
	siblings bool // the directory has other manifests
	marked   bool // the mark of a store under construction is still there
	unproven bool // nothing says that the last record was synced
}

// relied reports whether all that the file says is known to be durable, its name in
// CURRENT included. It is not when
//
//   - the file ended in a torn record: nothing may be written over the rest of that;
//   - nothing says that the last record was synced: an earlier process may have seen its
//     sync fail, or was killed before;
//   - another manifest is there: it goes only when the change of CURRENT is durable, so
//     that change may not be;
//   - the mark of a store under construction is there: whoever made the store removes it
//     when CURRENT is durable, and may have been killed before;
//   - no opening is recorded: the process that made the store may have been killed before
//     its first manifest was durable;
//   - it is encrypted: nobody knows what its maker has sealed under the next number and lost.
//
// To repeat the sync that may be missing would not do: when it has failed before, a later
// one may succeed and mean nothing.
func (l *Loaded) relied() bool {
	if l.sealed {
		return false
	}
	// Both killed by TestPowerCutAfterAKillAndAReopening of package fuzz.
	if mutant.Enabled && mutant.Is(mutant.TrustCurrent) {
		return !l.Torn && !l.unproven
	}
	if mutant.Enabled && mutant.Is(mutant.TrustRecord) {
		l.unproven = false
	}
	return !l.Torn && !l.unproven && !l.siblings && !l.marked && (l.created || len(l.State.Lineage) > 0)
}

// Load reads the store's manifest. It writes nothing. open gives the cipher of an encrypted
// one, and means that one in clear is refused, as not authentic: whoever encrypts a store
// that is in clear loads it without. Errors of open keep their chain.
//
// ErrNoStore: the directory is missing or holds no store. ErrUnfinished: it holds one that
// was never finished. ErrSealed: it is encrypted, and open is nil. Damage is a *CorruptionError,
// which matches seal.ErrAuth where whole bytes are not those that were sealed;
// a store of a later format ErrTooNew; errors of the file system keep their chain.
func Load(fs vfs.FS, dir string, open seal.OpenCipher) (*Loaded, error) {
	names, err := fs.List(dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil, ErrNoStore
	}
	if err != nil {
		return nil, fmt.Errorf("manifest: list directory: %w", err)
	}
	cur, err := loadCurrent(fs, dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil, checkNoStore(fs, dir, open, names)
	}
	if err != nil {
		return nil, err
	}
	l, err := loadFile(fs, dir, open, cur)
	if err != nil {
		return nil, err
	}
	if v := l.State.FormatVersion; v > FormatVersion {
		return nil, fmt.Errorf("%w: store has format version %d", ErrTooNew, v)
	}
	state := *l.State
	for _, name := range names {
		if num, ok := parseFileName(name); ok {
			state.NextFileNum = max(state.NextFileNum, num+1)
		}
		l.marked = l.marked || name == UnfinishedName
		if num, ok := parseManifestName(name); ok {
			l.maxNum = max(l.maxNum, num)
			l.siblings = l.siblings || num != l.num
		}
	}
	l.State = &state
	return l, nil
}

// checkNoStore decides what a directory without CURRENT is. One with the mark of a store
// under construction holds what CreateCopy was to finish. An interrupted Create may
// leave the first manifest with one record; everything else that looks like a part of a
// store means that CURRENT was lost.
func checkNoStore(fs vfs.FS, dir string, open seal.OpenCipher, names []string) error {
	if slices.Contains(names, UnfinishedName) {
		return ErrUnfinished
	}
	lost := &CorruptionError{File: CurrentName, Offset: -1, Err: errMissing}
	for _, name := range names {
		num, isManifest := parseManifestName(name)
		switch {
		case isManifest && num == 1:
			l, err := loadNamed(fs, dir, open, num)
			if err == nil && l.nextRecord > 2 {
				return lost
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return err
			}
		case isEvidence(name):
			return lost
		}
	}
	return ErrNoStore
}

// loadFile reads the manifest that CURRENT names.
func loadFile(fs vfs.FS, dir string, open seal.OpenCipher, cur current) (*Loaded, error) {
	l, err := loadNamed(fs, dir, open, cur.num)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil, &CorruptionError{File: manifestName(cur.num), Offset: -1, Err: errMissing}
	}
	if err == nil && l.uid != cur.uid {
		return nil, &CorruptionError{File: l.Name, Offset: -1, Err: errIdentity}
	}
	return l, err
}

func loadNamed(fs vfs.FS, dir string, open seal.OpenCipher, num uint64) (*Loaded, error) {
	l := &Loaded{Name: manifestName(num), num: num}
	f, err := fs.Open(path.Join(dir, l.Name), vfs.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("manifest: open %s: %w", l.Name, err)
	}
	defer f.Close()
	p, err := readWhole(f, maxFileLen)
	if err == nil {
		err = l.replay(p, open)
	}
	var damage *CorruptionError
	switch {
	case err == nil:
		return l, nil
	case errors.As(err, &damage):
		damage.File = l.Name
		return nil, damage
	case errors.Is(err, errLength) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &CorruptionError{File: l.Name, Offset: -1, Err: err}
	}
	return nil, fmt.Errorf("manifest: read %s: %w", l.Name, err)
}

func damageAt(offset int64, err error) error { return &CorruptionError{Offset: offset, Err: err} }

// replay builds state and version from the bytes of the whole file.
func (l *Loaded) replay(p []byte, open seal.OpenCipher) error {
	h, err := decodeFileHeader(p)
	if errors.Is(err, ErrTooNew) {
		return err
	}
	if err == nil && h.length != int64(len(p)) {
		return damageAt(-1, fmt.Errorf("%w: %d instead of %d bytes", errLength, len(p), h.length))
	}
	if err != nil {
		return damageAt(0, err)
	}
	if h.num != l.num {
		return damageAt(-1, errIdentity)
	}
	g, err := openGuard(open, &h, p)
	if err != nil {
		return err
	}
	l.uid, l.length, l.sealed = h.uid, h.length, g != nil
	l.State = &State{Store: h.store}
	seed := fileid.NewSeed(fileid.KindManifest, h.uid)
	l.end, l.nextRecord = fileHeaderLen, 1
	if l.length < fileHeaderLen+markLen {
		return damageAt(0, errLength)
	}
	markAt := l.length - markLen
	var tables builder
	for {
		r, ok := decodeRecord(p[l.end:markAt], seed, l.end)
		if !ok {
			break
		}
		if r.kind != typeEdit {
			return fmt.Errorf("%w: record of type %d", ErrTooNew, r.kind)
		}
		if r.number != l.nextRecord {
			return damageAt(l.end, fmt.Errorf("%w: %d instead of %d", errNumber, r.number, l.nextRecord))
		}
		size := paddedLen(len(r.body))
		if err := g.open(&r, p[l.end:], l.end); err != nil {
			return damageAt(l.end, err)
		}
		if err := l.apply(&r, &tables); err != nil {
			return err
		}
		l.end, l.nextRecord = l.end+size, l.nextRecord+1
	}
	if l.Version, err = tables.version(); err != nil {
		return damageAt(-1, err) // no single edit is at fault
	}
	return l.judge(p[l.end:markAt], seed, decodeMark(p[markAt:], seed, markAt))
}

func (l *Loaded) apply(r *record, tables *builder) error {
	e, err := DecodeEdit(r.body)
	if errors.Is(err, ErrTooNew) {
		return err
	}
	if err != nil {
		return damageAt(l.end, err)
	}
	state, err := l.State.Apply(e)
	if err != nil {
		return damageAt(l.end, err)
	}
	if err := tables.apply(e); err != nil {
		return damageAt(l.end, err)
	}
	l.State = state
	return nil
}

// judge says what the end of the records means: the end of the log, a torn record that
// was never acknowledged, or damage. rest is what stands behind the records, and synced
// the number in the mark, 0 if there is none.
func (l *Loaded) judge(rest []byte, seed fileid.Seed, synced uint64) error {
	if synced >= l.nextRecord {
		return damageAt(l.end, errHole)
	}
	// A header behind the end proves as much: nothing is written behind a record that
	// was not synced (M6).
	written := writtenLen(rest)
	for off := recordAlign; off+recordLen <= len(rest) && off+recordLen-8 < written; off += recordAlign {
		if binary.LittleEndian.Uint64(rest[off+recordLen-8:]) == 0 {
			continue // a record's number is never 0: most of a file is never looked at twice
		}
		if _, _, _, found := decodeRecordHeader(rest[off:], seed, l.end+int64(off)); found {
			return damageAt(l.end, errHole)
		}
	}
	if l.nextRecord == 1 {
		return damageAt(fileHeaderLen, errNoRecord) // CURRENT came after the first record
	}
	// The first record was synced before CURRENT named the file.
	last := l.nextRecord - 1
	l.unproven = last != 1 && last != synced
	if written > 0 {
		l.Torn, l.LostBytes = true, int64(written)
	}
	return nil
}

var zeros [4096]byte

// writtenLen returns the length of p without the zeros at its end: most of a file.
func writtenLen(p []byte) int {
	n := len(p)
	for n >= len(zeros) && bytes.Equal(p[n-len(zeros):n], zeros[:]) {
		n -= len(zeros)
	}
	for n > 0 && p[n-1] == 0 {
		n--
	}
	return n
}
