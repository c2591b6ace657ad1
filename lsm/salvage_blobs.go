package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
)

// Salvage and blob files. A value is taken over if its blocks can be read, whatever else of
// its file cannot; it comes into the new store's tables. Of a value that is lost the report
// has the key, with the blob file.

// salvageBlob is a blob file of the damaged store.
type salvageBlob struct {
	name     string
	unlisted bool
	key      seal.KeyID // its data key, where that is known
	gone     error      // why nothing of it can be read

	r       *blob.Reader // nil: not open
	size    int64
	values  int64
	lost    []Loss
	missing int64 // values that could not be read
}

// salvageBlobs are the blob files by identity.
type salvageBlobs struct {
	byUID map[fileid.UID]*salvageBlob
	open  []*salvageBlob // least recently opened first
}

const (
	maxSalvageBlobs = 32     // open at a time
	maxSalvageLost  = 10_000 // entries of a list of what is lost
)

// findBlobs finds out which blob files there are.
func (s *salvage) findBlobs(names []string) error {
	s.blobs.byUID = map[fileid.UID]*salvageBlob{}
	here := map[string]bool{}
	for _, name := range names {
		here[name] = strings.HasSuffix(name, ".blob") && manifest.IsStoreFile(name)
	}
	known, keyIDs := map[string]fileid.UID{}, map[string]seal.KeyID{}
	if v := s.remains.Version; v != nil {
		for i := range v.Blobs {
			b := v.Blobs[i].Blob
			name := manifest.BlobName(b.Num)
			known[name], keyIDs[name] = b.UID, b.Key
			if !here[name] {
				s.blobs.enter(b.UID, &salvageBlob{name: name, gone: errMissing})
			}
		}
	}
	for _, name := range names {
		if !here[name] {
			continue
		}
		uid, listed := known[name]
		b := &salvageBlob{name: name, unlisted: !listed, key: keyIDs[name]}
		found, err := s.openBlob(b, uid)
		if err != nil && !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, seal.ErrAuth) && !errors.Is(err, crypto.ErrAuth) {
			return err
		}
		b.gone = err
		switch {
		case listed && found != uid && err == nil:
			// Another file under the name: the values that belong there are gone, its own may
			// serve tables that name it.
			s.blobs.enter(uid, &salvageBlob{name: name, gone: blob.ErrForeign})
			s.blobs.enter(found, b)
		case listed:
			s.blobs.enter(uid, b)
		case err == nil:
			s.blobs.enter(found, b)
		}
		s.blobs.trim(0)
	}
	return nil
}

// enter notes a blob file, unless there is one of the identity that can be read.
func (s *salvageBlobs) enter(uid fileid.UID, b *salvageBlob) {
	if old := s.byUID[uid]; old == nil || old.gone != nil && b.gone == nil {
		s.byUID[uid] = b
	}
}

// openBlob opens a blob file, of which want is the identity if that is known.
func (s *salvage) openBlob(b *salvageBlob, want fileid.UID) (fileid.UID, error) {
	f, err := s.fs.Open(s.dir+"/"+b.name, vfs.ReadOnly)
	if err != nil {
		return fileid.UID{}, fmt.Errorf("open %s: %w", b.name, err)
	}
	o := blob.DamagedOptions{UID: want, OpenCipher: s.keyring.openCipher(), KeyID: b.key, Name: b.name}
	r, uid, err := blob.OpenDamaged(f, o)
	if err == nil {
		err = s.keyring.admits(f, manifest.FileNum(b.name), r.Encrypted())
	}
	if err != nil {
		return fileid.UID{}, errors.Join(err, f.Close())
	}
	b.r, b.size = r, r.Size()
	s.blobs.open = append(s.blobs.open, b)
	return uid, nil
}

// trim closes files until at most n are open.
func (s *salvageBlobs) trim(n int) {
	for len(s.open) > n {
		b := s.open[0]
		_ = b.r.Close() // read only: nothing can be lost
		b.r, s.open = nil, s.open[1:]
	}
}

// fromBlob returns the value of the table's entry, whose value is in a blob file, in s.value.
// ok is false if it is lost, which the report then has.
func (s *salvage) fromBlob(t *salvageTable, key, stored []byte) (value []byte, ok bool, err error) {
	kind := t.w.Trailer().Kind()
	n := kind.MinValueLen()
	ref, err := blob.DecodeRef(stored[min(n, len(stored)):])
	if err != nil {
		return nil, false, s.lose(t, nil, key, &ref, err)
	}
	uid, known := t.blobUID(ref.File)
	b := s.blobs.byUID[uid]
	if !known || b == nil {
		return nil, false, s.lose(t, nil, key, &ref, errMissing)
	}
	if b.gone != nil {
		return nil, false, s.lose(t, b, key, &ref, b.gone)
	}
	if b.r == nil {
		s.blobs.trim(maxSalvageBlobs - 1)
		if _, err := s.openBlob(b, uid); err != nil {
			return nil, false, err
		}
	}
	s.value, err = b.r.Append(append(s.value[:0], stored[:n]...), &ref)
	if err != nil {
		return nil, false, s.lose(t, b, key, &ref, err)
	}
	b.values++
	return s.value, true, nil
}

// lose notes a value that cannot be read. An error of the file system that says nothing of
// the one file is returned; there is none that could be told apart from damage of the device.
func (s *salvage) lose(t *salvageTable, b *salvageBlob, key []byte, ref *blob.Ref, err error) error {
	if errors.Is(err, blob.ErrTooNew) {
		return errors.Join(ErrTooNew, err)
	}
	l := lostKeys{bytes.Clone(key), append(bytes.Clone(key), 0)}
	if n := len(t.lostValues); n >= maxSalvageLost {
		t.lostValues[n-1].upper = l.upper // keys come in order
	} else {
		t.lostValues = append(t.lostValues, l)
	}
	if b == nil {
		if s.lostBlob == nil {
			s.lostBlob = &salvageBlob{name: "missing.blob", gone: errMissing}
		}
		b = s.lostBlob
	}
	b.missing++
	keys, others := rootRange(l.lower, l.upper)
	loss := Loss{Offset: ref.Offset, Bytes: ref.Stored, Keys: keys, OtherScopes: others, Err: damageCause(err)}
	if len(b.lost) < maxSalvageLost {
		b.lost = append(b.lost, loss)
	} else { // no key is left out, though many be named that are not lost
		last := &b.lost[len(b.lost)-1]
		last.Keys, last.OtherScopes = KeyRange{}, true
	}
	return nil
}

// blobUID returns the identity of the table's n-th blob file.
func (t *salvageTable) blobUID(n int) (uid fileid.UID, ok bool) {
	if p := t.w.Properties(); p != nil {
		if n < len(p.Blobs) {
			return p.Blobs[n].UID, true
		}
		return uid, false
	}
	if v := t.s.remains.Version; t.meta != nil && v != nil && n < len(t.meta.Blobs) {
		if u := v.Blob(t.meta.Blobs[n].Num); u != nil {
			return u.UID, true
		}
	}
	return uid, false
}

// concludeBlobs closes the files and puts those that were of use, or should have been, into
// the report.
func (s *salvage) concludeBlobs() {
	s.blobs.trim(0)
	all := []*salvageBlob{}
	for _, b := range s.blobs.byUID {
		all = append(all, b)
	}
	if s.lostBlob != nil {
		all = append(all, s.lostBlob)
	}
	for _, b := range all {
		if b.unlisted && b.values+b.missing == 0 {
			continue
		}
		f := SalvagedFile{Name: b.name, Bytes: b.size, Entries: b.values, Lost: b.lost, Unlisted: b.unlisted, EntriesLost: b.missing}
		slices.SortStableFunc(f.Lost, func(x, y Loss) int { return int(min(max(x.Offset-y.Offset, -1), 1)) })
		s.report.Files = append(s.report.Files, f)
	}
}

// inlineKind is the kind that an entry has in the new store.
func inlineKind(t keys.Trailer) keys.Trailer { return keys.MakeTrailer(t.SeqNum(), t.Kind().Inline()) }

// blobEntry reports whether the source stands at an entry whose value is in a blob file.
func blobEntry(source salvageSource) (*salvageTable, bool) {
	t, ok := source.(*salvageTable)
	return t, ok && t.w.Trailer().Kind().IsBlob()
}
