package sstable

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/block"
)

// WreckOptions say what is known of a table that may be damaged.
type WreckOptions struct {
	// UID is the table's identity where it is known; zero is not known. A file of another
	// identity is then not read.
	UID fileid.UID
	// OpenCipher makes the cipher of an encrypted table; nil: such tables are refused.
	OpenCipher seal.OpenCipher
	// KeyID is the table's data key where that is known. A table of another one, or of none, is
	// then not read.
	KeyID seal.KeyID
	// Name is the file's name in errors.
	Name string
}

// Damage is a part of a table's file that could not be read.
type Damage struct {
	// Offset and Len say where it is, in bytes. What is missing at the end has no length.
	Offset, Len int64
	// Entries reports that entries are lost with it: it is a data block, or range
	// tombstones, or may be. Damage of filters and indexes alone loses none.
	Entries bool
	// Ranges: what is lost are range tombstones, which may have covered any key between the
	// table's bounds.
	Ranges bool
	// After and Through bound the keys that are lost, both included. nil is not known.
	After, Through []byte
	// Err is what is wrong. It matches ErrCorrupt, or is an error of the file.
	Err error
}

// Wreck reads what can be read of a table that may be damaged anywhere: its frame, its
// index and each block by itself. Where the index is gone blocks are found by what they
// look like and by their checksums, which no other bytes have. It reads nothing but what a
// checksum or a tag covers, so that no damage is taken for an entry. Of an encrypted table the
// header must be whole, but for what WreckOptions tell: its salt is nowhere else.
//
// The entries of its blocks come in internal-key order; one that would break the order is
// left out and is damage. A Wreck is for one goroutine. It takes memory for a block or two
// and a window of the file.
type Wreck struct {
	ctx  context.Context
	f    vfs.File
	o    WreckOptions
	size int64
	uid  fileid.UID
	// head is the header as it was written, where the table is encrypted or it was read.
	head  header
	guard block.Guard

	footer    *footer
	top       *topIndex
	props     *Properties
	fragments []Fragment
	damage    []Damage
	err       error // of ctx

	win    window
	raw    []byte // payload of the last compressed block
	opened []byte // last block of an encrypted table
	view   block.Block
	next   int // entry of view
	left   int // entries of view from next on

	part   int       // the next partition
	idx    partition // whose blocks are being read, of idxBuf
	idxBuf []byte
	open   bool   // there is such a partition
	bi     int    // its next block
	sep    []byte // separator of the block before that
	pos    int64  // up to where data blocks have been dealt with
	scan   finder // at work while it has bytes to go
	// tailSeen: something was read that lies behind all data blocks, or its absence was noted.
	tailSeen bool

	key, spare []byte
	trailer    keys.Trailer
	value      []byte
	began      bool
	unbounded  int // the first damage whose bounds are still to come
	rejected   bool
	entries    uint64
}

// maxDamages bounds the list: a file of small damaged pieces must not fill memory with it.
// What is beyond is added to the last one.
const maxDamages = 10_000

// OpenWreck prepares to read the table in f, which stays its caller's and open. The error
// is ErrForeign, ErrTooNew, ErrSealed, that of OpenCipher, or says that the file is no table at
// all, or too damaged to tell which.
func OpenWreck(ctx context.Context, f vfs.File, o WreckOptions) (*Wreck, error) {
	w := &Wreck{ctx: ctx, f: f, o: o}
	var err error
	if w.size, err = f.Size(); err != nil {
		return nil, fmt.Errorf("sstable: size of %s: %w", o.Name, err)
	}
	w.win = window{f: f, size: w.size}
	if err := w.identify(); err != nil {
		return nil, err
	}
	if !w.guard.Encrypted() {
		w.usePlain(w.uid)
	}
	w.readFrame()
	w.pos = min(headerLen, w.size)
	return w, nil
}

// usePlain reads the file as the plain table of an identity.
func (w *Wreck) usePlain(uid fileid.UID) {
	w.head = header{uid: uid}
	w.guard, _ = w.head.guard(nil) // without a key there is no error
}

// identify finds out which table it is: from a header or footer that a checksum covers, else
// by the identity under which a block is found.
func (w *Wreck) identify() error {
	var head, foot []byte
	if w.size >= headerLen {
		head, _ = w.win.read(0, headerLen)
		head = bytes.Clone(head) // the next read takes its memory
	}
	if w.size >= headerLen+footerLen {
		foot, _ = w.win.read(w.size-footerLen, footerLen)
	}
	if sealed, err := w.identifySealed(head); sealed || err != nil {
		return err
	}
	w.guard = block.Guard{}
	var candidates []fileid.UID
	if h, err := decodeHeader(head); err == nil {
		candidates = append(candidates, h.uid)
	} else if foot != nil && errors.Is(err, ErrTooNew) && tooNew(foot, w.size) {
		return fmt.Errorf("sstable: %s: %w", w.o.Name, err)
	}
	if uid, ok := footerUID(foot, w.size); ok {
		candidates = append(candidates, uid)
	}
	switch want := w.o.UID; {
	case want == fileid.UID{}:
	case len(candidates) > 0 && candidates[0] != want && candidates[len(candidates)-1] != want:
		return w.refuse(-1, fmt.Errorf("UID %s instead of %s: %w", candidates[0], want, ErrForeign))
	default:
		w.uid = want
		return nil
	}
	if len(candidates) > 0 {
		w.uid = candidates[0]
		return nil
	}
	// Neither can be trusted, but the damage may be elsewhere in them than in the UID.
	if len(head) >= 32 {
		candidates = append(candidates, fileid.UID(head[16:32]))
	}
	if len(foot) >= 16 {
		candidates = append(candidates, fileid.UID(foot[:16]))
	}
	for _, uid := range candidates {
		w.usePlain(uid)
		s := w.finderOver(headerLen, w.size)
		if _, found := s.search(headerLen); found {
			w.uid = uid
			return nil
		}
	}
	return w.refuse(-1, fmt.Errorf("no table, or not to be told which: %w", errMagic))
}

// tooNew reports whether a footer says that it was written by a later version.
func tooNew(foot []byte, size int64) bool {
	_, err := decodeFooter(foot, size, &header{})
	return errors.Is(err, ErrTooNew)
}

// footerUID returns the identity in a footer whose checksum fits.
func footerUID(foot []byte, size int64) (uid fileid.UID, ok bool) {
	if len(foot) != footerLen {
		return uid, false
	}
	copy(uid[:], foot)
	f, err := decodeFooter(foot, size, &header{uid: uid})
	return uid, err == nil && f.uid == uid
}

// readFrame reads whatever of footer, header, top index, properties and range tombstones
// can be read, and lists the rest as damage.
func (w *Wreck) readFrame() {
	if b, err := w.win.read(0, min(headerLen, w.size)); err != nil {
		w.lose(Damage{Offset: 0, Len: int64(len(b)), Err: err})
	} else if h, err := decodeHeader(b); err != nil || h.uid != w.uid {
		if err == nil {
			err = fmt.Errorf("header: %w", ErrForeign)
		}
		if w.guard.Encrypted() {
			err = fmt.Errorf("%w: %w", seal.ErrAuth, err)
		}
		w.lose(Damage{Offset: 0, Len: int64(len(b)), Err: w.refuse(0, err)})
	}
	space := w.head.footerSpace()
	at := w.size - space
	if at < headerLen {
		return
	}
	f, err := w.readFooter()
	if err != nil {
		w.lose(Damage{Offset: at, Len: space, Err: w.refuse(at, err)})
		return
	}
	w.footer = &f
	if p, err := w.sealed(f.top, 0); err == nil {
		if top, err := decodeTop(p, &f); err == nil {
			w.top = &top
		} else {
			w.lose(Damage{Offset: f.top.off, Len: f.top.len, Err: w.refuse(f.top.off, err)})
		}
	} else {
		w.lose(Damage{Offset: f.top.off, Len: f.top.len, Err: err})
	}
	p, err := w.sealed(f.props, 0)
	if err == nil {
		var props Properties
		if props, err = decodeProperties(p); err == nil {
			w.props = &props
		}
	}
	if err != nil {
		w.lose(Damage{Offset: f.props.off, Len: f.props.len, Err: w.refuse(f.props.off, err)})
	}
	w.readRanges(f.ranges)
	w.checkFilter()
}

// readFooter reads the footer of a file that is long enough.
func (w *Wreck) readFooter() (footer, error) {
	space := w.head.footerSpace()
	b, err := w.win.read(w.size-space, space)
	if err != nil {
		return footer{}, err
	}
	return w.head.openFooter(bytes.Clone(b), &w.guard, w.size)
}

// readRanges reads the range tombstones, if there are any.
func (w *Wreck) readRanges(at span) {
	if at.len == 0 {
		return
	}
	p, err := w.sealed(at, 64<<20)
	if err == nil {
		err = w.addRanges(p)
	}
	if err != nil {
		w.lose(Damage{Offset: at.off, Len: at.len, Entries: true, Ranges: true, Err: w.refuse(at.off, err)})
	}
}

// addRanges decodes a block of range tombstones by itself: the properties that count them
// may be damaged.
func (w *Wreck) addRanges(payload []byte) error {
	b, err := block.Decode(payload)
	if err != nil {
		return err
	}
	c := KindCount{Entries: uint64(b.Count())}
	var key []byte
	for i := range b.Count() {
		key = b.AppendKey(key[:0], i)
		c.Bytes += uint64(len(key) + len(b.Value(i)))
		if c.Bytes > maxRangeBytes {
			return fmt.Errorf("range tombstones of more than %d bytes: %w", maxRangeBytes, errMalformed)
		}
	}
	fragments, err := decodeFragments(payload, c)
	if err == nil {
		w.fragments = append(w.fragments, fragments...)
	}
	return err
}

// checkFilter reads the filter chunks: no entry needs them, but they are part of what is
// damaged or not.
func (w *Wreck) checkFilter() {
	if w.top == nil {
		return
	}
	for _, at := range w.top.chunks {
		if _, err := w.sealed(at, 0); err != nil {
			w.lose(Damage{Offset: at.off, Len: at.len, Err: err})
		}
	}
}

// UID returns the table's identity.
func (w *Wreck) UID() fileid.UID { return w.uid }

// Encrypted reports whether the table is.
func (w *Wreck) Encrypted() bool { return w.guard.Encrypted() }

// Framed reports whether the footer was read: all range tombstones that can be read are
// then known from the beginning.
func (w *Wreck) Framed() bool { return w.footer != nil }

// Properties returns the table's properties, nil where they are lost.
func (w *Wreck) Properties() *Properties { return w.props }

// RangeTombstones returns the range tombstones found so far: all that there are once Next
// has returned false.
func (w *Wreck) RangeTombstones() []Fragment { return w.fragments }

// Damage returns what could not be read so far, in the order in which it was met.
func (w *Wreck) Damage() []Damage { return w.damage }

// Entries returns how many entries Next has shown.
func (w *Wreck) Entries() uint64 { return w.entries }

// Size returns the file's length.
func (w *Wreck) Size() int64 { return w.size }

// Key returns the entry's user key, valid until the next call of Next.
func (w *Wreck) Key() []byte { return w.key }

// Trailer returns the entry's sequence number and kind.
func (w *Wreck) Trailer() keys.Trailer { return w.trailer }

// Value returns the entry's value, valid until the next call of Next.
func (w *Wreck) Value() []byte { return w.value }

// Err returns ctx's error when that ended the reading. Damage is no error.
func (w *Wreck) Err() error { return w.err }

// sealed reads and opens the sealed block at a place. The payload is valid until the next
// read.
func (w *Wreck) sealed(at span, limit uint64) ([]byte, error) {
	raw, err := w.win.read(at.off, at.len)
	if err != nil {
		return nil, w.refuse(at.off, err)
	}
	if w.guard.Encrypted() {
		w.opened = append(keepSmall(w.opened), raw...)
		raw = w.opened
	}
	payload, err := block.Open(raw, &w.guard, at.off, func(n int) []byte {
		if uint64(n) > limit {
			return nil
		}
		if cap(w.raw) < n {
			w.raw = make([]byte, n)
		}
		return w.raw[:n]
	})
	if err != nil {
		return nil, w.refuse(at.off, err)
	}
	return payload, nil
}

// refuse makes a *CorruptionError of err, unless it is one, or the file's.
func (w *Wreck) refuse(off int64, err error) error {
	var c *CorruptionError
	var read *readError
	if errors.As(err, &c) || errors.As(err, &read) {
		return err
	}
	return &CorruptionError{File: w.o.Name, Offset: off, Err: err}
}

// lose lists damage. Its key bounds are open until the next entry is known.
func (w *Wreck) lose(d Damage) {
	if n := len(w.damage); n == maxDamages {
		last := &w.damage[n-1]
		last.Len += d.Len
		last.Entries = last.Entries || d.Entries
		if d.Entries {
			last.After, last.Through = nil, nil
		}
		return
	}
	w.damage = append(w.damage, d)
}
