package wal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Mode says how commits that nobody waits to see synced reach the file.
type Mode uint8

// Modes of writing.
const (
	// Auto is Mapped where the file system's traits allow it (vfs.Traits.MappedStores),
	// Written elsewhere.
	Auto Mode = iota
	// Mapped copies them into a mapping of the segment. Synced commits are written by
	// WriteAt all the same: syncing a mapped page costs about three times as much.
	Mapped
	// Written writes each group by one WriteAt.
	Written
)

// Sizes of segments, in bytes.
const (
	DefaultMinSegmentBytes = 256 << 10
	DefaultMaxSegmentBytes = 16 << 20
	minSegmentBytes        = 2 * headerSize
	maxSegmentBytes        = 1 << 30
)

// Options are the parameters of a log. All functions of one store's log take the same.
type Options struct {
	// FS and Dir say where the slot files are.
	FS  vfs.FS
	Dir string
	// Store is the store's UID, which is in every segment header.
	Store fileid.UID
	// Random is the source of UIDs and salts, normally crypto/rand.Reader. It is read by
	// one goroutine at a time.
	Random io.Reader
	// Mode is how unsynced commits are written.
	Mode Mode
	// MinSegmentBytes is the length of a new store's first segment; each further one
	// doubles up to MaxSegmentBytes. Multiples of 4,096 from 8,192 to 1 GiB; zero is the
	// default.
	MinSegmentBytes, MaxSegmentBytes int64
	// NewCipher gives a new segment its cipher, with the id of the data key that it is derived
	// from, and so seals all that the log writes; nil: it is written in clear. OpenCipher
	// gives the same cipher back. Segments that are listed with a key are read by it alone,
	// those listed without one in clear. NewCipher is called as Random is; its error leaves
	// the log as it was, as lack of space does.
	NewCipher  seal.NewCipher
	OpenCipher seal.OpenCipher
	// Register makes a prepared segment durable in the owner's manifest. It is called
	// by the preparer's goroutine, without a lock, before the segment is used. After an
	// error that matches vfs.ErrNoSpace it is called again later with the same Segment,
	// which may or may not be in the manifest by then; any other error fails the log.
	Register func(Segment) error
	// Now is the time, by which a sync waits a moment for the writers that the last one let
	// go; nil: it waits for nobody.
	Now func() time.Time
	// Logger receives what happens in the background; nil is silence.
	Logger *slog.Logger
}

// withDefaults fills what is zero and reports every problem at once.
func (o Options) withDefaults() (Options, error) {
	if o.MinSegmentBytes == 0 {
		o.MinSegmentBytes = DefaultMinSegmentBytes
	}
	if o.MaxSegmentBytes == 0 {
		o.MaxSegmentBytes = max(DefaultMaxSegmentBytes, o.MinSegmentBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	problem := func(bad bool, text string) {
		if bad {
			errs = append(errs, fmt.Errorf("%w: %s", ErrInvalid, text))
		}
	}
	outside := func(n int64) bool { return n < minSegmentBytes || n > maxSegmentBytes || n%headerSize != 0 }
	problem(o.FS == nil, "FS is nil")
	problem(o.Random == nil, "Random is nil")
	problem(o.Mode > Written, "unknown Mode")
	problem(outside(o.MinSegmentBytes), "MinSegmentBytes is not a multiple of 4096 from 8 KiB to 1 GiB")
	problem(outside(o.MaxSegmentBytes), "MaxSegmentBytes is not a multiple of 4096 from 8 KiB to 1 GiB")
	problem(o.MinSegmentBytes > o.MaxSegmentBytes, "MinSegmentBytes exceeds MaxSegmentBytes")
	return o, errors.Join(errs...)
}

// mapped decides the mode.
func (o *Options) mapped() (bool, error) {
	if o.Mode != Auto {
		return o.Mode == Mapped, nil
	}
	traits, err := o.FS.Traits(o.Dir)
	if err != nil {
		return false, fmt.Errorf("wal: traits of %s: %w", o.Dir, err)
	}
	return traits.MappedStores, nil
}
