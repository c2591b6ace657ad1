package lsm

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// tableCheck is the verification of one table by Verify.
type tableCheck struct {
	*verification
	ctx      context.Context
	name     string
	meta     *manifest.Table // its line in the manifest, nil where that is lost
	findings []error
	read     bool
	entries  int64
	bytes    int64
}

// maxVerifiers bounds how many tables are read at a time: one core verifies less than a
// good device delivers.
const maxVerifiers = 4

// tablesAtOnce verifies tables, a few at a time, and enters what was found in their order.
func (v *verification) tablesAtOnce(names []string, listed map[string]*manifest.Table) error {
	ctx, cancel := context.WithCancelCause(v.ctx)
	defer cancel(nil)
	checks := make([]tableCheck, len(names))
	work := make(chan *tableCheck)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxVerifiers, len(names)) {
		wg.Go(func() {
			for c := range work {
				if err := c.run(); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i, name := range names {
		c := &checks[i]
		*c = tableCheck{verification: v, ctx: ctx, name: name, meta: listed[name]}
		if ctx.Err() == nil {
			work <- c
		}
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i := range checks {
		c := &checks[i]
		for _, err := range c.findings {
			v.find(c.name, err)
		}
		if c.read {
			v.report.Tables++
		}
		v.report.Entries += c.entries
		v.report.Bytes += c.bytes
	}
	return nil
}

func (c *tableCheck) find(off int64, err error) {
	c.findings = append(c.findings, &CorruptionError{File: c.name, Offset: off, Err: err})
}

// run verifies the table. The error is none of the table's.
func (c *tableCheck) run() (err error) {
	f, err := c.fs.Open(c.dir+"/"+c.name, vfs.ReadOnly)
	if errors.Is(err, vfs.ErrNotExist) {
		c.find(-1, errMissing)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	o := sstable.ReaderOptions{OpenCipher: c.db.keyring.openCipher(), Cache: c.cache, Name: c.name}
	if c.meta != nil {
		if err := c.db.keyring.admits(f, c.meta.Num, c.meta.Key != 0); err != nil {
			if !errors.Is(err, seal.ErrAuth) {
				return err
			}
			c.find(-1, err)
			return nil
		}
		o.KeyID = c.meta.Key
		o.UID, o.Size, o.Digest, o.Number = c.meta.UID, c.meta.Bytes, c.meta.Digest, c.meta.Number()
		if len(c.meta.Blobs) > 0 {
			o.BlobData = blobData(c.version, c.meta)
		}
	} else {
		w, err := sstable.OpenWreck(c.ctx, f, sstable.WreckOptions{OpenCipher: o.OpenCipher, Name: c.name})
		if err != nil {
			c.find(-1, damageCause(err))
			return nil
		}
		if err := c.db.keyring.admits(f, manifest.FileNum(c.name), w.Encrypted()); err != nil {
			c.find(0, err)
			return nil
		}
		o.UID, o.Size = w.UID(), w.Size()
	}
	c.read = true
	first := c.strictly(o)
	if cerr := c.ctx.Err(); cerr != nil || first == nil {
		return cerr
	}
	return c.closely(f, o, first)
}

// strictly reads the table as the engine does and returns the first thing wrong.
func (c *tableCheck) strictly(o sstable.ReaderOptions) (err error) {
	f, err := c.fs.Open(c.dir+"/"+c.name, vfs.ReadOnly)
	if err != nil {
		return err
	}
	r, err := sstable.Open(f, o)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Verify(c.ctx); err != nil {
		return err
	}
	c.entries, c.bytes = int64(r.Properties().Entries), o.Size
	if c.meta == nil {
		return nil
	}
	uid := func(i int) (u fileid.UID) {
		if b := c.version.Blob(c.meta.Blobs[i].Num); b != nil {
			u = b.UID
		}
		return u
	}
	if err := checkBlobList(r.Properties(), c.meta, uid); err != nil {
		return err
	}
	return checkLine(c.name, c.meta, r)
}

// closely lists every part of a table that cannot be read; first is what reading it strictly
// has met.
func (c *tableCheck) closely(f vfs.File, o sstable.ReaderOptions, first error) error {
	w, err := sstable.OpenWreck(c.ctx, f, sstable.WreckOptions{UID: o.UID, OpenCipher: o.OpenCipher, KeyID: o.KeyID, Name: c.name})
	if err != nil {
		c.find(-1, damageCause(err))
		return nil
	}
	for w.Next() {
	}
	if w.Err() != nil {
		return w.Err()
	}
	c.entries, c.bytes = int64(w.Entries()), w.Size()
	for _, d := range w.Damage() {
		c.find(d.Offset, damageCause(d.Err))
	}
	var damage *CorruptionError
	if err := c.db.tableError(first); !errors.As(err, &damage) || damage.Offset >= 0 || len(w.Damage()) == 0 {
		c.findings = append(c.findings, err) // a digest that differs says nothing beyond damage that was found
	}
	return nil
}

// checkLine compares a table with its line in the manifest, which alone knows the number of
// an ingested one.
func checkLine(name string, t *manifest.Table, r *sstable.Reader) error {
	m := r.Meta()
	same := m.Entries == t.Entries && m.Deletes == t.Deletes && m.RangeDeletes == t.RangeDeletes &&
		bytes.Equal(m.Smallest, t.Smallest) && bytes.Equal(m.Largest, t.Largest) && m.LargestExclusive == t.LargestExclusive &&
		m.MinSeqNum+t.Number() == t.MinSeqNum && m.MaxSeqNum+t.Number() == t.MaxSeqNum && t.Held <= t.Entries
	if same {
		return nil
	}
	return &CorruptionError{File: name, Offset: -1, Err: errLine}
}

var errLine = errors.New("counts or bounds differ from those in the manifest")
