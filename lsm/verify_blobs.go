package lsm

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
)

// Verifying blob files: every block of each by itself, what the manifest says of each, and
// that tables refer to as much of each as it says, and to nothing beyond their values.

// blobData returns how many bytes of values the blob files of a table have, for the bounds of
// its references.
func blobData(v *manifest.Version, t *manifest.Table) []int64 {
	out := make([]int64, len(t.Blobs))
	for i, r := range t.Blobs {
		if u := v.Blob(r.Num); u != nil {
			out[i] = u.Data
		}
	}
	return out
}

// verifyBlobs verifies the blob files of a version of the open store. The error is what ended
// it early.
func (d *DB) verifyBlobs(ctx context.Context, v *version) (findings []*CorruptionError, err error) {
	seen := map[*blobFile]bool{}
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			for _, b := range t.blobs {
				if seen[b] {
					continue
				}
				seen[b] = true
				r, err := b.open()
				if err == nil {
					err = r.Verify(ctx)
				}
				var c *CorruptionError
				switch {
				case err == nil:
					if c = d.scrubber.findingOf(b.meta.Num); c != nil {
						findings = append(findings, c)
					}
				case errors.As(d.tableError(err), &c):
					findings = append(findings, c)
				default:
					return findings, err
				}
				d.metrics.care.verifiedBytes.Add(b.meta.Bytes)
			}
		}
	}
	return findings, nil
}

// blobCheck is the verification of one blob file by Verify.
type blobCheck struct {
	name     string
	meta     *manifest.Blob // its line in the manifest, nil where that is lost
	findings []error
	read     bool
	bytes    int64
}

// blobs verifies the blob files of the version, a few at a time; every one in the directory
// where there is none.
func (v *verification) blobs(version *manifest.Version, names []string) error {
	var checks []blobCheck
	listed := map[string]bool{}
	if version != nil {
		for i := range version.Blobs {
			b := version.Blobs[i].Blob
			checks = append(checks, blobCheck{name: manifest.BlobName(b.Num), meta: b})
			listed[manifest.BlobName(b.Num)] = true
		}
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".blob") || !manifest.IsStoreFile(name) || listed[name] {
			continue
		}
		v.report.Unlisted = append(v.report.Unlisted, name)
		if version == nil {
			checks = append(checks, blobCheck{name: name})
		}
	}
	slices.Sort(v.report.Unlisted)
	if err := v.blobsAtOnce(checks); err != nil {
		return err
	}
	for i := range checks {
		c := &checks[i]
		for _, err := range c.findings {
			v.find(c.name, v.db.tableError(err))
		}
		if c.read {
			v.report.BlobFiles++
		}
		v.report.BlobBytes += c.bytes
	}
	return nil
}

func (v *verification) blobsAtOnce(checks []blobCheck) error {
	ctx, cancel := context.WithCancelCause(v.ctx)
	defer cancel(nil)
	work := make(chan *blobCheck)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxVerifiers, len(checks)) {
		wg.Go(func() {
			for c := range work {
				if err := v.blob(ctx, c); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range checks {
		if ctx.Err() == nil {
			work <- &checks[i]
		}
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// blob verifies one blob file. The error is none of the file's.
func (v *verification) blob(ctx context.Context, c *blobCheck) error {
	r, err := v.openBlob(c)
	if errors.Is(err, vfs.ErrNotExist) {
		err = &CorruptionError{File: c.name, Offset: -1, Err: errMissing}
	}
	if err != nil {
		c.findings = append(c.findings, err)
		return ctx.Err()
	}
	defer r.Close() // read only: nothing can be lost
	c.read = true
	damage, err := r.Examine(ctx)
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	if err != nil {
		damage = append(damage, err)
	}
	c.findings = append(c.findings, damage...)
	if c.meta != nil {
		c.bytes = c.meta.Bytes
	}
	return nil
}

func (v *verification) openBlob(c *blobCheck) (*blob.Reader, error) {
	f, err := v.fs.Open(v.dir+"/"+c.name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	r, err := (*blob.Reader)(nil), error(nil)
	if c.meta != nil {
		r, err = openBlob(f, c.meta, v.db.keyring, nil, false)
	} else {
		var d *blob.Reader
		var uid fileid.UID
		if d, uid, err = blob.OpenDamaged(f, blob.DamagedOptions{OpenCipher: v.db.keyring.openCipher(), Name: c.name}); err == nil {
			r, err = blob.Open(f, blob.ReaderOptions{UID: uid, Size: d.Size(), OpenCipher: v.db.keyring.openCipher(), Name: c.name})
		}
		if err == nil {
			err = v.db.keyring.admits(f, manifest.FileNum(c.name), r.Encrypted())
		}
	}
	if err != nil {
		_ = f.Close() // the first error says what is wrong
	}
	return r, err
}
