package lsm

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/loamdb/loam/internal/manifest"
)

// Verify reads every table and blob file of the store as it is now, past the cache, and checks all that
// they can tell: each checksum, the order of entries, that filters have every key,
// indexes, counts and bounds against those in the manifest, that the tables of a run do not
// overlap, that references lie within blob files and are counted right, and the digests that the manifest has. Where
// nothing is damaged, entries and names of scopes must agree. Reads and writes go on beside it. It goes
// on after damage: the error then holds a *CorruptionError for each damaged table, and what
// the scrub has found in the tables that are there now. A read that fails and ctx end it. It may
// be called from any goroutine, also on a store that is open for reading only.
//
// A table is checked up to the first damage in it; Verify, the function, lists the rest.
func (d *DB) Verify(ctx context.Context) error {
	if err := d.hold(); err != nil {
		return err
	}
	defer d.release()
	guard := d.readers.Enter()
	s := d.state.Load()
	s.refs.Add(1)
	guard.Leave()
	defer s.unref()
	findings, err := d.verifyVersion(ctx, s.version)
	if err == nil && len(findings) == 0 {
		findings, err = d.verifyDirectory(ctx)
	}
	c := &d.metrics.care
	if ctx.Err() == nil {
		c.verifications.Add(1)
	}
	c.verifyFindings.Add(int64(len(findings)))
	d.event("verified", "tables", s.version.NumTables(), "findings", len(findings), "error", err)
	if err != nil {
		return errors.Join(joinFindings(findings), err)
	}
	return joinFindings(findings)
}

// verifyVersion verifies the tables of a version. The error is what ended it early.
func (d *DB) verifyVersion(ctx context.Context, v *version) (findings []*CorruptionError, err error) {
	if err := v.CheckInvariants(); err != nil {
		findings = append(findings, &CorruptionError{File: manifest.CurrentName, Offset: -1, Err: err})
	}
	for i := range v.runs {
		for _, t := range v.runs[i].tables {
			err := d.verifyTable(ctx, t)
			var c *CorruptionError
			switch {
			case err == nil:
				if c = d.scrubber.findingOf(t.meta.Num); c != nil {
					findings = append(findings, c)
				}
			case errors.As(err, &c):
				findings = append(findings, c)
			default:
				return findings, err
			}
			d.metrics.care.verifiedBytes.Add(t.meta.Bytes)
		}
	}
	more, err := d.verifyBlobs(ctx, v)
	return append(findings, more...), err
}

// verifyDirectory compares the two sides of the directory of scopes.
func (d *DB) verifyDirectory(ctx context.Context) ([]*CorruptionError, error) {
	err := d.checkDirectory(ctx)
	var c *CorruptionError
	if errors.As(err, &c) {
		return []*CorruptionError{c}, nil
	}
	return nil, err
}

// verifyTable reads one table and compares it with its line in the manifest.
func (d *DB) verifyTable(ctx context.Context, t *table) error {
	r, err := t.open()
	if err != nil {
		return err
	}
	if err := r.Verify(ctx); err != nil {
		return d.tableError(err)
	}
	return checkLine(manifest.TableName(t.meta.Num), t.meta, r)
}

// careCounters are the sums of verifying and scrubbing.
type careCounters struct {
	verifications, verifiedBytes, verifyFindings atomic.Int64
	scrubbedBytes, scrubPasses, scrubFindings    atomic.Int64
}

func (c *careCounters) fill(m *Metrics) {
	m.Verifications, m.VerifiedBytes, m.VerifyFindings = c.verifications.Load(), c.verifiedBytes.Load(), c.verifyFindings.Load()
	m.ScrubbedBytes, m.ScrubPasses, m.ScrubFindings = c.scrubbedBytes.Load(), c.scrubPasses.Load(), c.scrubFindings.Load()
}
