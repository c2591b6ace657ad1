package lsm_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/lsm"
)

// ingest writes a few tables of random keys and ingests them at once.
func (r *run) ingest() {
	o := lsm.Options{Compression: lsm.Compression(r.rnd.IntN(5)), BlockBytes: 512}
	seams.Inject(&o, seams.Seams{FS: r.fs})
	entries := map[string]string{}
	for range 1 + r.rnd.IntN(60) {
		entries[r.key()] = r.value()
	}
	ks := slices.Sorted(maps.Keys(entries))
	var files []string
	for len(ks) > 0 {
		n := 1 + r.rnd.IntN(len(ks))
		file := fmt.Sprintf("outside-%d", len(files))
		w, err := lsm.NewTableWriter(file, &o)
		require.NoError(r.t, err)
		for _, k := range ks[:n] {
			require.NoError(r.t, w.Set([]byte(k), []byte(entries[k])))
		}
		require.NoError(r.t, w.Finish())
		files, ks = append(files, file), ks[n:]
	}
	r.rnd.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	require.NoError(r.t, r.db.Ingest(context.Background(), files...))
	maps.Copy(r.model, entries)
	for _, file := range files {
		require.NoError(r.t, r.fs.Remove(file))
	}
}

// checkpoint makes one, and compares it with the model.
func (r *run) checkpoint(dir string) {
	require.NoError(r.t, r.db.Checkpoint(context.Background(), dir))
	o := randomOptions(r.rnd, r.fs)
	o.MustExist = true
	db, err := lsm.Open(dir, &o)
	require.NoError(r.t, err)
	(&run{t: r.t, rnd: r.rnd, db: db, model: r.model}).checkAll()
	require.NoError(r.t, db.Verify(context.Background()))
	require.NoError(r.t, db.Close())
}

// As TestStoreBehavesAsASortedMap, with tables ingested and checkpoints made between; at
// last it goes on from a checkpoint.
func TestIngestsAndCheckpointsBehaveAsTheModelDoes(t *testing.T) {
	seeds, steps := 8, 800
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newRun(t, uint64(1000+seed))
			for i := range steps {
				r.step()
				if r.rnd.IntN(20) == 0 {
					r.ingest()
					r.checkGet()
				}
				if r.rnd.IntN(200) == 0 {
					r.checkpoint(fmt.Sprintf("copy-%d", i))
				}
			}
			r.checkAll()
			r.checkpoint("last")
			r.reopen()
			r.checkAll()
			require.NoError(t, r.db.Close())
			var err error
			r.opts.MustExist = true
			r.db, err = lsm.Open("last", &r.opts)
			require.NoError(t, err)
			for range steps / 8 {
				r.batch()
				r.checkScan()
				if r.rnd.IntN(20) == 0 {
					r.ingest()
				}
			}
			r.checkAll()
			require.NoError(t, r.db.Verify(context.Background()))
			require.NoError(t, r.db.Close())
		})
	}
}
