package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Remains is what can be said of a store whose manifest may be damaged or missing.
type Remains struct {
	// State is the newest state of a sound manifest, or the highest marks of the records
	// that are left: marks only rise, so that each of them holds. Its Store is zero where
	// nothing is left.
	State *State
	// Version is the set of live tables, nil where it is not known.
	Version *Version
	// Name is the file that State and Version come from, "" where there are several or none.
	Name string
	// Anchor is that of the manifest, zero where it is damaged.
	Anchor Anchor
	// Deleted are tables that a record which is left deletes, and none adds again.
	Deleted map[fileid.Num]bool
	// Damage is what is wrong, in the order in which it was met: a *CorruptionError, or an
	// error of the file system.
	Damage []error
}

// ReadRemains reads what can be read of the manifest in dir, with open as in Load. It writes
// nothing.
//
// A sound manifest that CURRENT does not name counts if it is the only one: of several, as
// a crash in a roll leaves them, the later name may be the older state.
//
// The error is ErrNoStore, ErrTooNew, ErrSealed, or that of listing dir.
func ReadRemains(fs vfs.FS, dir string, open seal.OpenCipher) (*Remains, error) {
	loaded, err := Load(fs, dir, open)
	switch {
	case err == nil:
		return &Remains{State: loaded.State, Version: loaded.Version, Name: loaded.Name, Anchor: loaded.Anchor()}, nil
	case errors.Is(err, ErrNoStore), errors.Is(err, ErrTooNew), errors.Is(err, ErrSealed):
		return nil, err
	}
	names, lerr := fs.List(dir)
	if lerr != nil {
		return nil, fmt.Errorf("manifest: list directory: %w", lerr)
	}
	r := &Remains{State: &State{}, Deleted: map[fileid.Num]bool{}, Damage: []error{err}}
	var nums []uint64
	for _, name := range names {
		if num, ok := parseManifestName(name); ok {
			nums = append(nums, num)
		}
	}
	slices.Sort(nums)
	if len(nums) == 1 {
		l, err := loadNamed(fs, dir, open, nums[0])
		whole := err == nil && l.State.FormatVersion <= FormatVersion
		if whole && (len(l.State.Lineage) > 0 || l.Version.NumTables() > 0) { // else an interrupted Create
			r.State, r.Version, r.Name = l.State, l.Version, l.Name
			return r, nil
		}
		r.note(err)
	}
	cur, _ := loadCurrent(fs, dir) // zero if it is damaged, which Load has said
	for _, num := range nums {
		r.note(r.gather(fs, dir, open, num, cur))
	}
	if len(nums) == 1 {
		r.Name = manifestName(nums[0])
	}
	return r, nil
}

// note adds what is wrong unless it is known.
func (r *Remains) note(err error) {
	if err != nil && !slices.ContainsFunc(r.Damage, func(e error) bool { return e.Error() == err.Error() }) {
		r.Damage = append(r.Damage, err)
	}
}

// gather raises the marks by every whole record of a manifest, wherever it stands. Files
// are taken in the order of their numbers, records in that of theirs.
func (r *Remains) gather(fs vfs.FS, dir string, open seal.OpenCipher, num uint64, cur current) error {
	f, err := fs.Open(path.Join(dir, manifestName(num)), vfs.ReadOnly)
	if err != nil {
		return fmt.Errorf("manifest: open %s: %w", manifestName(num), err)
	}
	defer f.Close()
	p, err := readLenient(f)
	if err != nil {
		return fmt.Errorf("manifest: read %s: %w", manifestName(num), err)
	}
	h, ok := identify(p, open != nil)
	if !ok && cur.num == num {
		h.uid, ok = cur.uid, true
	}
	if !ok {
		return &CorruptionError{File: manifestName(num), Offset: 0, Err: errMagic}
	}
	g, err := openGuard(open, &h, p)
	if err != nil {
		return err
	}
	if (r.State.Store == fileid.UID{}) {
		r.State.Store = h.store
	}
	seed := fileid.NewSeed(fileid.KindManifest, h.uid)
	last := uint64(0)
	for off := int64(fileHeaderLen); off+recordLen <= int64(len(p)); {
		rec, ok := record{}, false
		if binary.LittleEndian.Uint64(p[off+recordLen-8:]) != 0 { // a record's number is never 0
			rec, ok = decodeRecord(p[off:], seed, off)
		}
		if !ok || rec.number <= last {
			off += recordAlign
			continue
		}
		at, size := off, paddedLen(len(rec.body))
		last, off = rec.number, off+size
		if g.open(&rec, p[at:], at) != nil {
			continue
		}
		if e, err := DecodeEdit(rec.body); err == nil && rec.kind == typeEdit {
			r.raise(e)
		}
	}
	return nil
}

// readLenient reads a file of any length up to the limit, as far as it can be read.
func readLenient(f vfs.File) ([]byte, error) {
	p, err := readWhole(f, maxFileLen)
	if err == nil || errors.Is(err, errLength) {
		return p, err
	}
	size, serr := f.Size()
	if serr != nil {
		return nil, serr
	}
	// Sector by sector, zeros where nothing can be read.
	const sector = 4096
	p = make([]byte, size)
	for off := int64(0); off < size; off += sector {
		_, _ = f.ReadAt(p[off:min(off+sector, size)], off)
	}
	return p, nil
}

// identify returns the identities in a header. Where its checksum does not fit, the file's
// own is believed if the first record agrees, and the store's, which nothing proves, is zero.
// Salt and key id, which count if the file is encrypted, need no proof: with others nothing
// opens.
func identify(p []byte, encrypted bool) (h fileHeader, ok bool) {
	if len(p) < fileHeaderLen+recordLen {
		return h, false
	}
	h, err := decodeFileHeader(p)
	if err == nil {
		return h, true
	}
	h = fileHeader{uid: fileid.UID(p[32:48]), salt: seal.Salt(p[56:88])}
	if encrypted {
		h.key = seal.KeyID(binary.LittleEndian.Uint64(p[88:]))
	}
	_, ok = decodeRecord(p[fileHeaderLen:], fileid.NewSeed(fileid.KindManifest, h.uid), fileHeaderLen)
	return h, ok
}

// raise takes over the marks of an edit that may come after some that are lost.
func (r *Remains) raise(e *Edit) {
	marks := *e
	marks.Lineage, marks.Opened, marks.Added, marks.Deleted = nil, nil, nil, nil
	marks.AddedSegments, marks.DropSegments = nil, false
	marks.Blobs = nil
	if s, err := r.State.Apply(&marks); err == nil {
		r.State = s
	}
	for _, d := range e.Deleted {
		r.Deleted[d.Num] = true
	}
	for i := range e.Added {
		delete(r.Deleted, e.Added[i].Table.Num)
	}
	live := slices.Clone(r.State.Segments)
	if e.DropSegments {
		live = nil // the list that follows is whole
	}
	for _, s := range e.AddedSegments {
		if !slices.ContainsFunc(live, func(o Segment) bool { return o.Num == s.Num }) {
			live = append(live, s)
		}
	}
	min := r.State.MinSegment
	r.State.Segments = slices.DeleteFunc(live, func(s Segment) bool { return s.Num < min })
}
