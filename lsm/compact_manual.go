package lsm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// manualCompaction is a request of Compact: its range goes down to the last level.
type manualCompaction struct {
	lower, upper []byte          // internal user keys
	last         keys.SeqNum     // what was committed later is left alone
	job          *compaction.Job // the last one picked for it
	done         chan error      // capacity 1
}

// Compact merges the tables that hold keys of [lower, upper) down to the last level,
// memtables included, so that what was deleted or overwritten gives its space back now.
// nil bounds mean all keys; the bounds, and their absence, mean the root. A store does this by
// itself as need arises.
func (d *DB) Compact(ctx context.Context, lower, upper []byte) error {
	return d.compactIn(ctx, rootKeys, lower, upper)
}

// Compact does for the keys of the scope what DB.Compact does for those of the root. For a
// scope that is not there is nothing to do; the space of a dropped one comes back by itself.
func (s *Scope) Compact(ctx context.Context, lower, upper []byte) error {
	if err := s.writable(); err != nil {
		return err
	}
	r, _, err := s.look()
	if err != nil || r == nil {
		return err
	}
	return s.db.compactIn(ctx, r.scopeKeys, lower, upper)
}

func (d *DB) compactIn(ctx context.Context, in scopeKeys, lower, upper []byte) error {
	if err := d.Flush(ctx); err != nil {
		return err
	}
	m := &manualCompaction{
		lower: slices.Concat(in.prefix, lower),
		upper: in.upper,
		last:  d.visible.load(),
		done:  make(chan error, 1),
	}
	if upper != nil {
		m.upper = slices.Concat(in.prefix, upper)
	}
	d.compactor.mu.Lock()
	d.compactor.manual = append(d.compactor.manual, m)
	d.compactor.mu.Unlock()
	d.compactor.wake()
	select {
	case err := <-m.done:
		if err != nil {
			return fmt.Errorf("lsm: compact: %w", err)
		}
		return nil
	case <-ctx.Done():
		d.compactor.withdraw(m)
		return ctx.Err()
	case <-d.background.ctx.Done():
		return ErrClosed
	}
}

// withdraw takes back a request that nobody waits for any more.
func (c *compactor) withdraw(m *manualCompaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.manual = slices.DeleteFunc(c.manual, func(o *manualCompaction) bool { return o == m })
}

// pickManualLocked returns the next job of the requests of DB.Compact, and answers
// those that have nothing left to do.
func (c *compactor) pickManualLocked(v *manifest.Version, p compaction.Params) *compaction.Job {
	for i := 0; i < len(c.manual); {
		m := c.manual[i]
		job, done := compaction.PickManual(upTo(v, m.last), m.lower, m.upper, p)
		switch {
		case done:
			m.done <- nil
			c.manual = slices.Delete(c.manual, i, i+1)
		case job != nil:
			m.job = job
			return job
		case len(p.Running) == 0:
			m.done <- c.inTheWayLocked()
			c.manual = slices.Delete(c.manual, i, i+1)
		default:
			i++ // it waits for running jobs
		}
	}
	return nil
}

// upTo returns the version without the runs of level 0 that are newer than last: a
// request of DB.Compact ends although writers go on.
func upTo(v *manifest.Version, last keys.SeqNum) *manifest.Version {
	older := *v
	older.Levels[0] = slices.DeleteFunc(slices.Clone(v.Levels[0]), func(r manifest.Run) bool {
		return !slices.ContainsFunc(r.Tables, func(t *manifest.Table) bool { return t.MinSeqNum <= last })
	})
	return &older
}

// inTheWayLocked is the error of a request that tables which could not be read are in the
// way of.
func (c *compactor) inTheWayLocked() error {
	if err := c.aside.err(c.db.opts.seams.Now()); err != nil {
		return err
	}
	return errors.New("tables are in the way that no job may take")
}

// answerLocked ends the requests of DB.Compact that a failed job was picked for, all of
// them if there is no job.
func (c *compactor) answerLocked(job *compaction.Job, err error) {
	c.manual = slices.DeleteFunc(c.manual, func(m *manualCompaction) bool {
		if job != nil && m.job != job {
			return false
		}
		m.done <- err
		return true
	})
}
