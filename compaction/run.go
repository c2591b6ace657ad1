package compaction

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/sstable"
)

// checkEvery is after how many entries a merge looks whether it was cancelled, and gives
// way to more urgent work. A merge handles some millions of entries a second.
const checkEvery = 1 << 12

// ReadError is a failure to open or to read an input of a job.
type ReadError struct {
	// Table is the input. Blob says that it is a blob file, of which the job was to move
	// values.
	Table fileid.Num
	Blob  bool
	// Err is what went wrong.
	Err error
}

// Error implements error.
func (e *ReadError) Error() string {
	name := manifest.TableName(e.Table)
	if e.Blob {
		name = manifest.BlobName(e.Table)
	}
	return fmt.Sprintf("%s cannot be read: %v", name, e.Err)
}

// Unwrap returns Err.
func (e *ReadError) Unwrap() error { return e.Err }

// Run merges the inputs of a job that is no Move and returns the new tables, which
// job.Edit puts into place. v is the version that the job was picked from, params those
// it was picked with.
//
// Errors: ctx's; those of reading, as *ReadError, in which damage is an
// *sstable.CorruptionError; those of writing; ErrNotConserved. After an error no output is
// left, and the inputs are as they were.
func Run(ctx context.Context, v *manifest.Version, j *Job, params Params, env *Env) (Result, error) {
	used := usedBelow(v, j)
	drop := newDropper(env.Snapshots, env.ElideBelow, used.gone)
	drop.expire(env.Expiry, operandsElsewhere(v, j, &env.Expiry))
	w := newRunWriter(env, j.splits(v, params.withDefaults()), drop)
	defer w.Abort()
	w.blobs.moves = j.moves()
	tombstones, err := rangeTombstones(j, env)
	if err != nil {
		return Result{}, err
	}
	w.setRanges(tombstones, used)
	m, err := newMerger(j.runs(env))
	defer m.close()
	if err == nil {
		err = merge(ctx, m, w, env.Yield)
	}
	if err != nil {
		return Result{}, fmt.Errorf("compaction: merge: %w", err)
	}
	if read := w.drop.stats.in; read != j.Entries() {
		return Result{}, fmt.Errorf("%w: %d of %d entries read", ErrNotConserved, read, j.Entries())
	}
	r, err := w.Finish()
	r.Stats.BytesRead = j.Bytes()
	return r, err
}

// merge moves every entry of m into w.
func merge(ctx context.Context, m *merger, w *RunWriter, yield func(context.Context)) error {
	for n := 0; ; n++ {
		if n%checkEvery == 0 {
			if yield != nil {
				yield(ctx)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		s := m.front()
		if s == nil {
			return nil
		}
		w.blobs.from = s
		if err := w.Add(s.key, s.trailer, s.it.Value()); err != nil {
			return err
		}
		if err := m.next(); err != nil {
			return err
		}
	}
}

// inputRun is a run of inputs as a merge reads it.
type inputRun struct {
	tables []sstable.RunTable
	at     fileid.Num      // of the table that is read now
	table  *manifest.Table // the same
}

// runs returns the inputs as a merge reads them.
func (j *Job) runs(env *Env) []*inputRun {
	out := make([]*inputRun, len(j.Inputs))
	for i := range j.Inputs {
		r := &inputRun{}
		for _, t := range j.Inputs[i].Tables {
			r.tables = append(r.tables, sstable.RunTable{
				Smallest: t.Smallest, Largest: t.Largest,
				Open: func() (*sstable.Reader, error) {
					r.at, r.table = t.Num, t
					return env.Open(t)
				},
			})
		}
		out[i] = r
	}
	return out
}

// rangeTombstones returns those of all inputs.
func rangeTombstones(j *Job, env *Env) ([]rangedel.Tombstone, error) {
	var all []rangedel.Tombstone
	for _, t := range j.Tables() {
		if t.RangeDeletes == 0 {
			continue
		}
		r, err := env.Open(t)
		if err != nil {
			return nil, fmt.Errorf("compaction: %w", &ReadError{Table: t.Num, Err: err})
		}
		for _, f := range r.RangeTombstones() {
			all = append(all, rangedel.Tombstone{Lower: f.Lower, Upper: f.Upper, Seq: f.Trailer.SeqNum()})
		}
	}
	return all, nil
}
