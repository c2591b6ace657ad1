package dump

import (
	"errors"
	"fmt"
	"path"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
)

// blobs prints the blob files, whose values stand with the keys of the tables.
func (d *dumper) blobs(v *manifest.Version) error {
	for i := range v.Blobs {
		if err := d.blob(&v.Blobs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) blob(u *manifest.BlobUse) (err error) {
	name := manifest.BlobName(u.Num)
	f, err := d.fs.Open(path.Join(d.dir, name), vfs.ReadOnly)
	if err != nil {
		return err
	}
	r, err := blob.Open(f, blob.ReaderOptions{UID: u.UID, Size: u.Bytes, Digest: u.Digest, Name: name})
	if err != nil {
		return errors.Join(err, f.Close())
	}
	values, bytes := r.Values()
	d.printf("%s\n  uid %s, digest %016x, codec %s\n", name, u.UID, u.Digest, r.Codec())
	d.printf("  %d values, %s, stored %s\n", values, units.Bytes(int64(bytes)), units.Bytes(r.Data()))
	d.printf("  referred to by %d tables: %d bytes, %d are garbage\n", u.Tables, u.Live, u.Garbage())
	return r.Close()
}

// refText says where a value is.
func refText(kind keys.Kind, value []byte) string {
	ref, err := blob.DecodeRef(value[min(kind.MinValueLen(), len(value)):])
	if err != nil {
		return "malformed reference"
	}
	return fmt.Sprintf("%d bytes in blob file %d of the table, %d at %d", ref.ValueLen(), ref.File, ref.Stored, ref.Offset)
}
