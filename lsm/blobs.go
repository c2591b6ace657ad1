package lsm

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
)

// Blob files: docs/blobs.md says what they are and cost. Which of them live, and how much of
// each is referred to, follows from the tables (internal/manifest). Here a table holds the
// blob files that it refers to: they go when the last version, of whatever reader, that has
// such a table is gone.

// blobFile is one blob file of the store: its line in the manifest and its reader, which is
// opened when first needed and stays open until no table holds the file.
type blobFile struct {
	db   *DB
	meta *manifest.Blob

	reader atomic.Pointer[blob.Reader]
	openMu sync.Mutex

	refs     atomic.Int64 // tables that hold it
	obsolete atomic.Bool  // a durable edit has removed it
}

// maxMapped bounds what is mapped where addresses are few.
const maxMapped = 256 << 20

// open returns the file's reader.
func (b *blobFile) open() (*blob.Reader, error) {
	if r := b.reader.Load(); r != nil {
		return r, nil
	}
	b.openMu.Lock()
	defer b.openMu.Unlock()
	if r := b.reader.Load(); r != nil {
		return r, nil
	}
	name := manifest.BlobName(b.meta.Num)
	f, err := b.db.opts.seams.FS.Open(b.db.path(name), vfs.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("open blob file: %w", err)
	}
	r, err := openBlob(f, b.meta, b.db.keyring, b.db.cache, b.db.mapTables && (bits.UintSize == 64 || b.meta.Bytes <= maxMapped))
	if err != nil {
		_ = f.Close() // the first error says what is wrong
		return nil, err
	}
	b.reader.Store(r)
	return r, nil
}

// errBlobLine: a blob file is not what the manifest says.
var errBlobLine = errors.New("length of values differs from that in the manifest")

// openBlob opens a blob file of which the manifest has a line, and compares the two.
func openBlob(f vfs.File, m *manifest.Blob, k *keyring, held *cache.Cache, mapped bool) (*blob.Reader, error) {
	name := manifest.BlobName(m.Num)
	if err := k.admits(f, m.Num, m.Key != 0); err != nil {
		return nil, clearError(name, err)
	}
	r, err := blob.Open(f, blob.ReaderOptions{
		UID: m.UID, Size: m.Bytes, Digest: m.Digest, OpenCipher: k.openCipher(), KeyID: m.Key,
		Cache: held, Name: name, Mapped: mapped,
	})
	if err != nil {
		return nil, err
	}
	if n, _ := r.Values(); r.Data() != m.Data || n != m.Values {
		_ = r.Close() // nothing was written through it
		return nil, &blob.CorruptionError{File: name, Offset: -1, Err: errBlobLine}
	}
	return r, nil
}

func (b *blobFile) unref() {
	if b.refs.Add(-1) != 0 {
		return
	}
	if r := b.reader.Load(); r != nil {
		_ = r.Close() // nothing was written through it
	}
	b.db.keyring.release(b.meta.Key, manifest.BlobName(b.meta.Num))
	if b.obsolete.Load() {
		b.db.deleter.add(manifest.BlobName(b.meta.Num), b.meta.Bytes)
	}
}

// holdBlobs takes references to the blob files of a table of m. Called with manifestMu held,
// or before the store is shared.
func (d *DB) holdBlobs(m *manifest.Version, t *manifest.Table) []*blobFile {
	if len(t.Blobs) == 0 {
		return nil
	}
	out := make([]*blobFile, len(t.Blobs))
	for i, r := range t.Blobs {
		b := d.blobs[r.Num]
		if b == nil {
			b = &blobFile{db: d, meta: m.Blob(r.Num).Blob}
			d.blobs[r.Num] = b
			d.keyring.hold(b.meta.Key, manifest.BlobName(r.Num))
		}
		b.refs.Add(1)
		out[i] = b
	}
	return out
}

// dropBlobs marks the blob files that are not in m any more. Called with manifestMu held,
// while an older version still has them.
func (d *DB) dropBlobs(m *manifest.Version) {
	if len(d.blobs) == len(m.Blobs) {
		return // all of m's are there, and so there is no other
	}
	for num, b := range d.blobs {
		if m.Blob(num) == nil {
			b.obsolete.Store(true)
			delete(d.blobs, num)
			if mutant.Enabled && mutant.Is(mutant.DropBlobEarly) {
				_ = d.opts.seams.FS.Remove(d.path(manifest.BlobName(num)))
			}
		}
	}
}

// blob returns the reader of the table's n-th blob file.
func (t *table) blob(n int) (*blob.Reader, error) {
	if n >= len(t.blobs) {
		return nil, &blob.CorruptionError{File: manifest.TableName(t.meta.Num), Offset: -1, Err: errBlobList}
	}
	return t.blobs[n].open()
}

// blobData is how many bytes of values its blob files have.
func (t *table) blobData() []int64 {
	out := make([]int64, len(t.blobs))
	for i, b := range t.blobs {
		out[i] = b.meta.Data
	}
	return out
}

// errBlobList: a table names its blob files by identity, the manifest by number.
var errBlobList = errors.New("blob files of the table differ from those in the manifest")

// checkBlobList compares the blob files that a table names with those that the manifest has
// of it; uid gives the identity of a file.
func checkBlobList(p *sstable.Properties, t *manifest.Table, uid func(i int) fileid.UID) error {
	same := len(p.Blobs) == len(t.Blobs)
	for i := 0; same && i < len(t.Blobs); i++ {
		same = p.Blobs[i].UID == uid(i) && p.Blobs[i].Bytes == uint64(t.Blobs[i].Bytes)
	}
	if same {
		return nil
	}
	return &CorruptionError{File: manifest.TableName(t.Num), Offset: -1, Err: errBlobList}
}

// inBlob is where the value of an iterator's entry is while nobody has asked for it.
type inBlob struct {
	table *sstable.Reader
	kind  keys.Kind
	away  bool // the iterator's value is a reference

	sealed bool  // the value, where it is, is sealed or cannot be known
	err    error // why that cannot be opened, once it was tried
	secret bool  // it was sealed, or was made of what was
}

// fetch makes the current value one that can be looked at. With an error the iteration ends.
func (it *Iterator) fetch() []byte {
	if err := it.load(); err != nil {
		if it.err == nil {
			it.fail(err)
		}
		return nil
	}
	return it.value
}

// appendBody reads a value into blobBuf, which it leaves to its caller.
func (it *Iterator) appendBody(stored []byte) ([]byte, error) {
	buf := it.blobBuf
	if it.blobBuf = nil; cap(buf) > keptBlobBuf {
		buf = nil // one large value must not stay beside the next
	}
	return it.in.table.AppendBody(buf[:0], it.in.kind, stored)
}

// blobForward emits the entry at which s stands, whose value is in a blob file, unless it has
// expired.
func (it *Iterator) blobForward(s *source) bool {
	b := blobBase(s)
	if !it.sees(b) {
		return false
	}
	it.value, it.expires, it.valid = s.value(), b.Expiry, true
	it.in = inBlob{table: s.run.Reader(), kind: s.trailer.Kind(), away: true, sealed: s.trailer.Kind().IsSealed()}
	return true
}

// blobBackward takes the entry at which s stands, going back, whose value is in a blob file,
// for the newest version so far of its key, and reports whether it is there.
func (it *Iterator) blobBackward(s *source) (live bool) {
	it.below = blobBase(s)
	it.valBuf, it.expires = append(it.valBuf[:0], s.value()...), it.below.Expiry
	it.in = inBlob{table: s.run.Reader(), kind: s.trailer.Kind(), away: true, sealed: s.trailer.Kind().IsSealed()}
	return it.sees(it.below)
}

// blobBase is what the entry at which s stands makes of its key, but for the value, which is in
// a blob file.
func blobBase(s *source) fold.Base {
	b := fold.Base{State: fold.Present}
	if v := s.value(); s.trailer.Kind().Expires() && len(v) >= keys.ExpiryLen {
		b.Expiry = expiryOf(v)
	}
	return b
}

// baseHere brings the value of below into valBuf, if it is in a blob file: operands are to be
// folded into it. With an error the iteration ends.
func (it *Iterator) baseHere() bool {
	if (it.in.away || it.in.sealed) && it.below.State == fold.Present {
		out, err := it.bodyHere(it.valBuf)
		if err != nil && !unopened(err) {
			return it.fail(it.db.tableError(err))
		}
		it.valBuf = append(it.valBuf[:0], out...)
	}
	it.in.away = false
	return true
}

// whole returns the entry at which s stands with its value, wherever that is.
func (s *source) whole() (keys.Trailer, []byte, error) {
	if !s.trailer.Kind().IsBlob() {
		return s.trailer, s.value(), nil
	}
	value, err := s.run.Reader().AppendBlob(nil, s.trailer.Kind(), s.value())
	return inlineKind(s.trailer), value, err
}

// keptBlobBuf is how large a buffer may be that an iterator keeps from value to value.
const keptBlobBuf = 1 << 20

// valueLen is the length of the current value, which is not read for it.
func (it *Iterator) valueLen() int {
	if it.in.away {
		return sstable.ValueLen(it.in.kind, it.value) - it.in.kind.MinValueLen()
	}
	return len(it.value)
}

// blobMetrics describes the blob files of a version.
func blobMetrics(v *manifest.Version, m *Metrics) {
	m.BlobFiles = len(v.Blobs)
	for i := range v.Blobs {
		u := &v.Blobs[i]
		m.BlobBytes += u.Bytes
		m.BlobGarbage += u.Garbage()
	}
	m.DiskBytes += m.BlobBytes
}

func totalBlobBytes(blobs []*manifest.Blob) int64 {
	var n int64
	for _, b := range blobs {
		n += b.Bytes
	}
	return n
}
