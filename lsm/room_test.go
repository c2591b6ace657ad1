package lsm

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// The delay grows smoothly from nothing to the slowest speed, in proportion to the
// bytes written: there is no cliff.
func TestWritesAreDelayedSmoothly(t *testing.T) {
	var p pacer
	require.Zero(t, p.delay(0, 1<<20))
	require.Equal(t, time.Second, p.delay(1, slowestBytesPerSec))
	last := time.Duration(0)
	for i := 1; i <= 100; i++ {
		d := p.delay(float64(i)/100, 1<<20)
		require.Greater(t, d, last)
		require.Less(t, d-last, 3*time.Millisecond, "a step of one hundredth is a small one")
		require.InEpsilon(t, 2*d, p.delay(float64(i)/100, 2<<20), 0.001)
		last = d
	}
}

// While level 0 holds too many runs writes are slowed, in naps that are bounded, and
// the time is counted; nothing is refused.
func TestAnOverfullLevel0SlowsWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{SyncInterval: -1}
		o.seams = seams.Seams{FS: vfs.NewMem(), Sizing: seams.Sizing{
			L0Trigger: 1000, L0Slow: 2, L0Stop: 12, SettleAfter: time.Hour,
		}}
		db, err := Open("db", &o)
		require.NoError(t, err)
		for i := range 10 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i%2), make([]byte, 1000), nil))
			require.NoError(t, db.Flush(context.Background()))
		}
		require.Greater(t, db.Metrics().Levels[0].Runs, 4)
		before, began := db.Metrics().WriteDelay, time.Now()
		value := make([]byte, 1<<20)
		require.NoError(t, db.Set([]byte("large"), value, NoSync))
		napped := db.Metrics().WriteDelay - before
		require.Positive(t, napped)
		require.LessOrEqual(t, napped, maxNap)
		require.GreaterOrEqual(t, time.Since(began), napped)
		require.NoError(t, db.Close())
	})
}

// B70: while level 0 is full writes stop, and are counted; what compactions would have to write is told, also of a store
// that nobody compacts.
func TestAFullLevel0StopsWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := Options{SyncInterval: -1}
		o.seams = seams.Seams{FS: fs, Sizing: seams.Sizing{L0Trigger: 1000, L0Slow: 4, L0Stop: 5, SettleAfter: time.Hour}}
		db, err := Open("db", &o)
		require.NoError(t, err)
		for i := 0; db.Metrics().Levels[0].Runs < 5; i++ { // small ones are merged
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i%2), make([]byte, 1000), nil))
			require.NoError(t, db.Flush(context.Background()))
		}
		require.Zero(t, db.Metrics().WriteStops)
		require.Zero(t, db.Metrics().CompactionDebt)
		require.NoError(t, db.Close())

		look := o
		look.ReadOnly, look.seams.Sizing.L0Trigger = true, 4
		db, err = Open("db", &look)
		require.NoError(t, err)
		require.Equal(t, 5, db.Metrics().Levels[0].Runs)
		require.Greater(t, db.Metrics().CompactionDebt, int64(2000))
		require.NoError(t, db.Close())

		db, err = Open("db", &o)
		require.NoError(t, err)
		set := make(chan error, 1)
		go func() { set <- db.Set([]byte("k"), nil, NoSync) }()
		synctest.Wait()
		require.Equal(t, int64(1), db.Metrics().WriteStops)
		require.Empty(t, set)
		require.NoError(t, db.Close())
		require.ErrorIs(t, <-set, ErrClosed, "nobody has made room, as it was to be here")
	})
}
