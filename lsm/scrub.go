package lsm

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// scrubber reads every table and blob file again and again, slowly, and compares it with the digest that
// the manifest has of it. Blocks are verified when they are first read, compactions verify
// what they merge; what rots in a table that neither meets would be found when every good
// copy of it is gone. Reads go to the device where the system allows that: what the page
// cache holds says nothing of it, and is not pushed out either.
//
// It takes the tables in the order of their numbers, beginning with one at random, so that
// a store that is never open for long comes through all of them over time, and needs no
// record of where it was. It holds one table at a time, and lets go of one that is removed.
type scrubber struct {
	db   *DB
	last fileid.Num // the table before the next one; owned by loop

	mu    sync.Mutex
	found map[fileid.Num]*CorruptionError // mu
}

const (
	// scrubDelay is how long after Open the scrub begins: a process that opens a store for
	// a moment has other things to do.
	scrubDelay = 10 * time.Minute
	// scrubEvery is how long a pass takes at least: a small store is not read all the time.
	scrubEvery = 24 * time.Hour
	// maxScrubRead bounds a read, minScrubRead is a page.
	maxScrubRead, minScrubRead = 256 << 10, 4 << 10
)

// loop scrubs until the store is closed.
func (s *scrubber) loop() {
	d := s.db
	ctx := d.background.ctx
	if d.opts.ScrubBytesPerSec < 0 || d.opts.InMemory || !sleep(ctx, scrubDelay) {
		return
	}
	var start [8]byte
	if _, err := io.ReadFull(d.opts.seams.Random, start[:]); err == nil {
		s.last = fileid.Num(binary.LittleEndian.Uint64(start[:]) % max(d.nextFile.Load(), 1))
	}
	for ctx.Err() == nil {
		began := d.opts.seams.Now()
		s.pass(ctx)
		if !sleep(ctx, max(scrubEvery-d.opts.seams.Now().Sub(began), time.Minute)) {
			return
		}
	}
}

// pass scrubs as many tables as there are when it begins, or until it comes round.
func (s *scrubber) pass(ctx context.Context) {
	d := s.db
	first := s.last
	wrapped := false
	for ctx.Err() == nil {
		t := s.next(s.last)
		if t == nil || wrapped && t.num > first {
			if t != nil {
				t.unref()
			}
			if wrapped {
				break
			}
			wrapped, s.last = true, 0
			continue
		}
		s.last = t.num
		s.scrub(ctx, t)
		t.unref()
	}
	s.last = first
	if ctx.Err() == nil {
		d.metrics.care.scrubPasses.Add(1)
		s.forget()
		d.event("scrubbed")
	}
}

// next returns the live table or blob file with the least number above last, with a
// reference, or nil.
func (s *scrubber) next(last fileid.Num) *scrubFile {
	d := s.db
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	var best *table
	for num, t := range d.tables {
		if num > last && (best == nil || num < best.meta.Num) {
			best = t
		}
	}
	var blob *blobFile
	for num, b := range d.blobs {
		if num > last && (blob == nil || num < blob.meta.Num) {
			blob = b
		}
	}
	switch {
	case best == nil && blob == nil:
		return nil
	case best == nil || blob != nil && blob.meta.Num < best.meta.Num:
		blob.refs.Add(1) // a table of the newest version has one too
		return scrubBlob(blob)
	}
	best.refs.Add(1) // the newest version has one too
	return scrubTable(best)
}

// scrub reads one file, from the device where that can be.
func (s *scrubber) scrub(ctx context.Context, t *scrubFile) {
	c := s.examine(ctx, t, vfs.ReadOnlyDirect)
	if c != nil && errors.Is(c.Err, vfs.ErrNotSupported) {
		c = s.examine(ctx, t, vfs.ReadOnly)
	}
	s.report(ctx, t, c)
}

// examine reads one file and returns what is wrong with it, or nil. One that differs is
// read once more: a read can go wrong on its way.
func (s *scrubber) examine(ctx context.Context, t *scrubFile, mode vfs.OpenMode) *CorruptionError {
	name := t.name
	f, err := s.db.opts.seams.FS.Open(s.db.path(name), mode)
	if err != nil {
		return &CorruptionError{File: name, Offset: -1, Err: err}
	}
	defer f.Close() // read only: nothing can be lost
	for range 2 {
		off, err := s.read(ctx, t, f)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errDigest) {
			return &CorruptionError{File: name, Offset: off, Err: err}
		}
		if c := t.locate(ctx, f); c != nil {
			return c
		}
	}
	return &CorruptionError{File: name, Offset: -1, Err: errDigest}
}

var errDigest = errors.New("wrong digest of the file")

// read reads the whole file at the pace of the options and compares its digest. An error
// of reading comes with its place.
func (s *scrubber) read(ctx context.Context, t *scrubFile, f vfs.File) (off int64, err error) {
	d := s.db
	rate := d.opts.ScrubBytesPerSec
	buf := make([]byte, min(max(rate/4, minScrubRead), maxScrubRead)&^(minScrubRead-1))
	digest := xxhash.New()
	due := d.opts.seams.Now()
	for off < t.bytes && ctx.Err() == nil && !t.obsolete.Load() {
		d.giveWay(ctx)
		p := buf[:min(int64(len(buf)), t.bytes-off)]
		n, err := f.ReadAt(p, off)
		if n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = errWrongSize
			}
			return off, err
		}
		_, _ = digest.Write(p) // never fails
		off += int64(n)
		d.metrics.care.scrubbedBytes.Add(int64(n))
		// What was lost by giving way is not made up for: there is no hurry.
		now := d.opts.seams.Now()
		due = due.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		if wait := due.Sub(now); wait > 0 {
			sleep(ctx, wait)
		} else {
			due = now
		}
	}
	// Killed by TestTheScrubFindsDamageThatNoReadHasMet.
	if digest.Sum64() != t.digest && !(mutant.Enabled && mutant.Is(mutant.BlindScrub)) {
		return off, errDigest
	}
	return off, nil
}

// report takes note of what the reading of a file gave; nil: it is sound.
func (s *scrubber) report(ctx context.Context, t *scrubFile, c *CorruptionError) {
	if ctx.Err() != nil || t.obsolete.Load() {
		return
	}
	s.mu.Lock()
	if c == nil {
		delete(s.found, t.num)
	} else {
		if s.found == nil {
			s.found = map[fileid.Num]*CorruptionError{}
		}
		s.found[t.num] = c
	}
	s.mu.Unlock()
	if c != nil {
		s.db.metrics.care.scrubFindings.Add(1)
		s.db.event("damage found", "file", c.File, "offset", c.Offset, "cause", c.Err)
	}
}

// findingOf returns what the scrub has found in a file, nil if nothing.
func (s *scrubber) findingOf(num fileid.Num) *CorruptionError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found[num]
}

// forget drops what was found in tables that are gone.
func (s *scrubber) forget() {
	d := s.db
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for num := range s.found {
		if d.tables[num] == nil && d.blobs[num] == nil {
			delete(s.found, num)
		}
	}
}
