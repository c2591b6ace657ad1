package manifest

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// Blob files. An edit that adds tables adds the blob files that only these refer to; a blob
// file leaves the version with the last table that refers to it. How much of each is referred
// to follows from the tables, so that it cannot drift from what is true of them.

// Blob is a blob file: what is known of it without opening it. It is immutable.
type Blob struct {
	// Num is the file's number and UID its identity, Bytes its length, Digest the hash of
	// its content.
	Num    fileid.Num
	UID    fileid.UID
	Bytes  int64
	Digest uint64
	// Data is how many bytes of it are values, Values how many they are.
	Data   int64
	Values uint64
	// Key is the data key that its cipher is derived from; 0: it is in clear.
	Key seal.KeyID
}

// BlobRef is what a table refers to of one blob file.
type BlobRef struct {
	// Num is the file's number.
	Num fileid.Num
	// Bytes is what the values referred to take in the file.
	Bytes int64
}

// BlobUse is a live blob file and how much of it is referred to.
type BlobUse struct {
	*Blob
	// Tables is how many live tables refer to it, Live the bytes that they refer to.
	Tables int
	Live   int64
}

// Garbage is how many bytes of values nothing refers to.
func (u *BlobUse) Garbage() int64 { return u.Data - u.Live }

// Blob returns the live blob file of the given number, nil if there is none.
func (v *Version) Blob(num fileid.Num) *BlobUse {
	if i, ok := findBlob(v.Blobs, num); ok {
		return &v.Blobs[i]
	}
	return nil
}

// BlobBytes returns the total length of the live blob files.
func (v *Version) BlobBytes() int64 {
	n := int64(0)
	for i := range v.Blobs {
		n += v.Blobs[i].Bytes
	}
	return n
}

func findBlob(blobs []BlobUse, num fileid.Num) (int, bool) {
	return slices.BinarySearchFunc(blobs, num, func(u BlobUse, n fileid.Num) int { return cmp.Compare(u.Num, n) })
}

// check checks what can be said of a blob file alone.
func (b *Blob) check() error {
	if b.Data <= 0 || b.Data >= b.Bytes || b.Values == 0 {
		return invalid("blob file %d of %d bytes has %d values of %d", b.Num, b.Bytes, b.Values, b.Data)
	}
	return nil
}

// checkRefs checks a table's references for themselves.
func (t *Table) checkRefs() error {
	for i, r := range t.Blobs {
		twice := slices.ContainsFunc(t.Blobs[:i], func(o BlobRef) bool { return o.Num == r.Num })
		if r.Bytes <= 0 || twice {
			return invalid("table %d refers to blob file %d, %d bytes", t.Num, r.Num, r.Bytes)
		}
	}
	return nil
}

// blobChange counts the references of tables that come and go.
type blobChange struct{ blobs []BlobUse } // ascending by number

func (c *blobChange) add(b *Blob) error {
	if err := b.check(); err != nil {
		return err
	}
	i, found := findBlob(c.blobs, b.Num)
	if found {
		return invalid("blob file %d is there twice", b.Num)
	}
	c.blobs = slices.Insert(c.blobs, i, BlobUse{Blob: b})
	return nil
}

// refer counts the references of a table by times: 1 for one that comes, -1 for one that
// goes.
func (c *blobChange) refer(t *Table, times int) error {
	for _, r := range t.Blobs {
		i, found := findBlob(c.blobs, r.Num)
		if !found {
			return invalid("table %d refers to blob file %d, which is not there", t.Num, r.Num)
		}
		c.blobs[i].Tables += times
		c.blobs[i].Live += int64(times) * r.Bytes
	}
	return nil
}

// settle drops the files that nothing refers to.
func (c *blobChange) settle() error {
	for i := range c.blobs {
		u := &c.blobs[i]
		if u.Live > u.Data || u.Live < 0 {
			return invalid("tables refer to %d of %d bytes of blob file %d", u.Live, u.Data, u.Num)
		}
	}
	c.blobs = slices.DeleteFunc(c.blobs, func(u BlobUse) bool { return u.Tables == 0 })
	return nil
}

// changeBlobs brings the blob files of n up to date, which is v after the tables of e came
// and went.
func (n *Version) changeBlobs(v *Version, e *Edit) error {
	refers := func(a AddedTable) bool { return len(a.Table.Blobs) > 0 }
	if len(v.Blobs)+len(e.Blobs) == 0 && !slices.ContainsFunc(e.Added, refers) {
		return nil
	}
	c := blobChange{blobs: slices.Clone(v.Blobs)}
	for _, b := range e.Blobs {
		if err := c.add(b); err != nil {
			return err
		}
	}
	for i := range e.Added {
		if err := c.refer(e.Added[i].Table, 1); err != nil {
			return err
		}
	}
	var gone [NumLevels][]fileid.Num
	for _, d := range e.Deleted {
		gone[d.Level] = append(gone[d.Level], d.Num)
	}
	for level := range gone {
		set := newNumSet(gone[level])
		if len(set) == 0 {
			continue
		}
		for _, r := range v.Levels[level] {
			for _, t := range r.Tables {
				if set.index(t.Num) < 0 {
					continue
				}
				if err := c.refer(t, -1); err != nil {
					return err
				}
			}
		}
	}
	if err := c.settle(); err != nil {
		return err
	}
	n.Blobs = c.blobs
	return nil
}

// checkBlobs compares the blob files of v with its tables.
func (v *Version) checkBlobs() error {
	var c blobChange
	for i := range v.Blobs {
		if err := c.add(v.Blobs[i].Blob); err != nil {
			return err
		}
	}
	var err error
	v.All(func(_ Level, _ RunID, t *Table) bool {
		if err = t.checkRefs(); err == nil {
			err = c.refer(t, 1)
		}
		return err == nil
	})
	if err == nil {
		err = c.settle()
	}
	if err != nil {
		return err
	}
	if !slices.EqualFunc(c.blobs, v.Blobs, func(a, b BlobUse) bool { return a == b }) {
		return invalid("blob files and the tables that refer to them do not agree")
	}
	return nil
}

// A blob file is a field of an edit, a table's references are one of an added table:
//
//	blob = num uid[16] bytes digest[8] data values key?
//	refs = (num bytes)*   at least one, in the order in which the table counts the files
const tagTableBlobs = 5<<1 | 1

// blobs appends the blob files that an edit adds.
func (enc *encoder) blobs(e *Edit) {
	blobs := slices.Clone(e.Blobs)
	slices.SortFunc(blobs, func(a, b *Blob) int { return cmp.Compare(a.Num, b.Num) })
	for _, b := range blobs {
		p := binary.AppendUvarint(enc.scratch[:0], uint64(b.Num))
		p = binary.AppendUvarint(append(p, b.UID[:]...), uint64(b.Bytes))
		p = binary.LittleEndian.AppendUint64(p, b.Digest)
		p = binary.AppendUvarint(p, uint64(b.Data))
		enc.field(tagBlob, appendKey(binary.AppendUvarint(p, b.Values), b.Key))
	}
}

func decodeBlob(d *codec.Decoder) *Blob {
	b := &Blob{Num: fileid.Num(d.Uvarint()), UID: decodeUID(d), Bytes: decodeInt64(d), Digest: d.Uint64()}
	b.Data, b.Values = decodeInt64(d), d.Uvarint()
	b.Key = decodeKey(d)
	return b
}

// blobRefs appends a table's references.
func (enc *encoder) blobRefs(t *Table) {
	if len(t.Blobs) == 0 {
		return
	}
	var p []byte
	for _, r := range t.Blobs {
		p = binary.AppendUvarint(binary.AppendUvarint(p, uint64(r.Num)), uint64(r.Bytes))
	}
	enc.field(tagTableBlobs, p)
}

// decodeBlobRefs decodes such a field. What is malformed fails d, which it was read from.
func (t *Table) decodeBlobRefs(d *codec.Decoder, value []byte) {
	f := codec.NewDecoder(value)
	for {
		r := BlobRef{Num: fileid.Num(f.Uvarint()), Bytes: int64(min(f.Uvarint(), math.MaxInt64))}
		if f.Err() != nil {
			d.Fail(codec.ErrMalformed)
			return
		}
		t.Blobs = append(t.Blobs, r)
		if f.Len() == 0 {
			return
		}
	}
}
