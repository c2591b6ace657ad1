package manifest

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
)

// Direction says where a conversion leads.
type Direction uint8

// Directions.
const (
	ToEncrypted Direction = iota + 1 // what is in clear is to be encrypted
	ToClear                          // what is encrypted is to be in clear
)

// Conversion is that of a store whose tables and blob files are partly encrypted and partly in clear,
// since it is on its way from the one to the other. It stands in an encrypted manifest, and so says in an
// authentic place which files may be in clear. It is immutable.
type Conversion struct {
	// To is where it leads; 0: nowhere, it has ended.
	To Direction
	// Of one ToEncrypted: files that were there when it began have numbers below Below, and those of
	// the version are in Clear, by number. Nothing else may be in clear.
	Below fileid.Num
	Clear []ClearFile
}

// ClearFile is a table or blob file in clear, as a conversion has found it.
type ClearFile struct {
	Num fileid.Num
	// Digest is the SHA-256 of the file: that in a table's line is none that withstands an attacker.
	Digest [sha256.Size]byte
}

// after returns the conversion after an edit; nil: there is none.
func (c *Conversion) after(to *Conversion) *Conversion {
	switch {
	case to == nil:
		return c
	case to.To == 0:
		return nil
	}
	return to
}

// A conversion is its direction, and for one ToEncrypted Below and the files. One that has ended is
// empty.
func appendConversion(p []byte, c *Conversion) []byte {
	if c.To == 0 {
		return p
	}
	p = binary.AppendUvarint(p, uint64(c.To))
	if c.To == ToClear {
		return p
	}
	p = binary.AppendUvarint(p, uint64(c.Below))
	for i := range c.Clear {
		p = append(binary.AppendUvarint(p, uint64(c.Clear[i].Num)), c.Clear[i].Digest[:]...)
	}
	return p
}

func decodeConversion(d *codec.Decoder) *Conversion {
	c := &Conversion{}
	if d.Len() == 0 {
		return c
	}
	switch to := d.Uvarint(); to {
	case uint64(ToClear):
		c.To = ToClear
		return c
	case uint64(ToEncrypted):
		c.To = ToEncrypted
	default:
		d.Fail(codec.ErrMalformed)
		return c
	}
	c.Below = fileid.Num(d.Uvarint())
	last := fileid.Num(0)
	for d.Err() == nil && d.Len() > 0 {
		f := ClearFile{Num: fileid.Num(d.Uvarint())}
		copy(f.Digest[:], d.Bytes(len(f.Digest)))
		if f.Num <= last || f.Num >= c.Below {
			d.Fail(codec.ErrMalformed)
			break
		}
		last = f.Num
		c.Clear = append(c.Clear, f)
	}
	return c
}
