package lsm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// decrypting reports whether the store is to be in clear: its files are written so.
func (k *keyring) decrypting() bool {
	return k != nil && k.conversion != nil && k.conversion.To == manifest.ToClear
}

// toConvert is the length of the tables and blob files of v that a conversion has still to write anew.
func (k *keyring) toConvert(v *manifest.Version) int64 {
	if k == nil || k.conversion == nil {
		return 0
	}
	left := int64(0)
	for _, u := range compaction.KeyUses(v, nil) {
		if (u.Key != 0) == k.decrypting() {
			left += u.Bytes
		}
	}
	return left
}

// admits returns an error for the file of that number which is in clear, in an encrypted store, and which no
// conversion has found there as it is (E3): anybody can make one.
func (k *keyring) admits(f vfs.File, num fileid.Num, encrypted bool) error {
	if k == nil || encrypted || k.decrypting() || mutant.Enabled && mutant.Is(mutant.AdmitPlain) {
		return nil
	}
	var listed []manifest.ClearFile
	if k.conversion != nil {
		listed = k.conversion.Clear
	}
	i, found := slices.BinarySearchFunc(listed, num, func(c manifest.ClearFile, num fileid.Num) int { return cmp.Compare(c.Num, num) })
	if !found {
		return fmt.Errorf("%w: file in clear", seal.ErrAuth)
	}
	// Killed by TestAForgedTableInClearIsRefused.
	if mutant.Enabled && mutant.Is(mutant.IgnoreClearList) {
		return nil
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	got, _, err := digestsOf(context.Background(), f, size)
	if err == nil && got != listed[i].Digest {
		err = fmt.Errorf("%w: file in clear, another than was to be encrypted", seal.ErrAuth)
	}
	return err
}

// clearError is the error of a file that admits refuses, or could not read.
func clearError(name string, err error) error {
	if errors.Is(err, seal.ErrAuth) {
		return &CorruptionError{File: name, Offset: -1, Err: err}
	}
	return err
}

// digestClear lists the tables and blob files in clear of what was loaded. They must be sound.
func (d *DB) digestClear(ctx context.Context, loaded *manifest.Loaded) (*manifest.Conversion, error) {
	c := &manifest.Conversion{To: manifest.ToEncrypted, Below: loaded.State.NextFileNum}
	var err error
	add := func(num fileid.Num, name string, bytes int64, want uint64) bool {
		var digest [sha256.Size]byte
		if digest, err = d.digestFile(ctx, name, bytes, want); err == nil {
			c.Clear = append(c.Clear, manifest.ClearFile{Num: num, Digest: digest})
		}
		return err == nil
	}
	loaded.Version.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		return t.Key != 0 || add(t.Num, manifest.TableName(t.Num), t.Bytes, t.Digest)
	})
	for i := range loaded.Version.Blobs {
		if b := loaded.Version.Blobs[i]; err == nil && b.Key == 0 {
			add(b.Num, manifest.BlobName(b.Num), b.Bytes, b.Digest)
		}
	}
	slices.SortFunc(c.Clear, func(a, b manifest.ClearFile) int { return cmp.Compare(a.Num, b.Num) })
	return c, err
}

// digestFile returns the SHA-256 of a file that has the size and digest of its line in the manifest.
func (d *DB) digestFile(ctx context.Context, name string, bytes int64, want uint64) ([sha256.Size]byte, error) {
	f, err := d.opts.seams.FS.Open(d.path(name), vfs.ReadOnly)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	defer f.Close() // read only: nothing can be lost
	digest, known, err := digestsOf(ctx, f, bytes)
	if err == nil && known != want {
		err = &CorruptionError{File: name, Offset: -1, Err: errWrongDigest}
	}
	return digest, err
}

// digestsOf returns the SHA-256 and the XXH64 of the first bytes of a file.
func digestsOf(ctx context.Context, f vfs.File, bytes int64) (secure [sha256.Size]byte, known uint64, err error) {
	h, x := sha256.New(), xxhash.New()
	buf := make([]byte, min(bytes, copyBytes))
	for off := int64(0); off < bytes; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return secure, 0, err
		}
		buf = buf[:min(int64(len(buf)), bytes-off)]
		if n, err := f.ReadAt(buf, off); err != nil && !(n == len(buf) && errors.Is(err, io.EOF)) {
			return secure, 0, err
		}
		_, _ = h.Write(buf) // neither ever fails
		_, _ = x.Write(buf)
	}
	return [sha256.Size]byte(h.Sum(nil)), x.Sum64(), nil
}

// nothingClear returns nil if nothing in clear is in v, or in the directory: no table or blob file from before the
// conversion, and no manifest; and if that is durable. Called with manifestMu held, so that no manifest is being made.
func (d *DB) nothingClear(v *manifest.Version, c *manifest.Conversion) error {
	clear := false
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		clear = t.Key == 0
		return !clear
	})
	if clear || slices.ContainsFunc(v.Blobs, func(b manifest.BlobUse) bool { return b.Key == 0 }) {
		return errStillClear
	}
	fs := d.opts.seams.FS
	names, err := fs.List(d.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		num := manifest.FileNum(name)
		switch {
		case num > 0 && num < c.Below && d.tables[num] == nil && d.blobs[num] == nil:
			// Killed by TestEncryptionEndsWhenNothingInClearIsLeft.
			if mutant.Enabled && mutant.Is(mutant.EndEarly) {
				continue
			}
			return errStillClear
		case num == 0 && manifest.IsStoreFile(name) && name != d.manifestLog.Name():
			return errStillClear // the manifest's own business: the next roll or opening removes it
		}
	}
	return fs.SyncDir(d.dir)
}
