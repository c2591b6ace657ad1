package lsm

import "context"

// Verify reads every table of the store as it is now, past the cache, and checks all that
// the tables can tell of themselves: each checksum, the order of entries, indexes, filters
// and counts, and the digests that the manifest has. Reads and writes go on beside it. The
// first damage found is a *CorruptionError; a read that fails and ctx end it too. It may be
// called from any goroutine, also on a store that is open for reading only.
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
	for i := range s.version.runs {
		for _, t := range s.version.runs[i].tables {
			r, err := t.open()
			if err == nil {
				err = d.tableError(r.Verify(ctx))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
