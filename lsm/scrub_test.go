package lsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
)

// events collects the events of a store.
type events struct {
	mu   sync.Mutex
	seen []string
}

func (e *events) add(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, what)
}

func (e *events) count(what string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.seen {
		if s == what {
			n++
		}
	}
	return n
}

// openScrubbed opens a store of a few tables that is scrubbed at a rate.
func openScrubbed(t *testing.T, fs vfs.FS, rate int64, e *events) *DB {
	t.Helper()
	o := Options{CompactionWorkers: 1, Compression: NoCompression, ScrubBytesPerSec: rate}
	z := small()
	z.SettleAfter = 1000 * time.Hour
	o.seams = seams.Seams{FS: fs, Sizing: z, Event: e.add}
	db, err := Open("db", &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for i := range 2000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "key-%05d", i), make([]byte, 100), NoSync))
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	return db
}

func tableBytes(db *DB) (n int64) {
	for _, l := range db.Metrics().Levels {
		n += l.Bytes
	}
	return n
}

// damageTable flips a bit in the n-th table.
func damageTable(t *testing.T, db *DB, fs vfs.FS, n int) string {
	t.Helper()
	name := tableFiles(t, fs)[n]
	f, err := fs.Open(db.path(name), vfs.ReadWrite)
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], 5000)
	require.NoError(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], 5000)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return name
}

// The scrub begins after a while, reads at its rate and no faster, and once a day.
func TestTheScrubReadsEveryTableOnceADayAtItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		db := openScrubbed(t, vfs.NewMem(), 4<<10, &e)
		total := tableBytes(db)
		require.Greater(t, total, int64(100<<10))
		time.Sleep(scrubDelay - time.Minute)
		require.Zero(t, db.Metrics().ScrubbedBytes)
		time.Sleep(time.Minute + 10*time.Second)
		require.InDelta(t, 40<<10, db.Metrics().ScrubbedBytes, 8<<10)
		time.Sleep(time.Duration(total/(4<<10)) * time.Second)
		m := db.Metrics()
		require.Equal(t, total, m.ScrubbedBytes)
		require.EqualValues(t, 1, m.ScrubPasses)
		require.Zero(t, m.ScrubFindings)
		require.Equal(t, 1, e.count("scrubbed"))
		time.Sleep(20 * time.Hour)
		require.Equal(t, total, db.Metrics().ScrubbedBytes)
		time.Sleep(5 * time.Hour)
		require.EqualValues(t, 2, db.Metrics().ScrubPasses)
		require.Equal(t, 2*total, db.Metrics().ScrubbedBytes)
		require.NoError(t, db.Close())
	})
}

// Damage in a table that nobody reads is an event, is counted, and is in Verify's error.
func TestTheScrubFindsDamageThatNoReadHasMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		fs := vfs.NewMem()
		db := openScrubbed(t, fs, 1<<20, &e)
		name := damageTable(t, db, fs, 1)
		time.Sleep(scrubDelay + time.Hour)
		m := db.Metrics()
		require.EqualValues(t, 1, m.ScrubFindings)
		require.EqualValues(t, 1, m.ScrubPasses)
		require.Equal(t, 1, e.count("damage found"))
		var c *CorruptionError
		require.ErrorAs(t, db.Verify(context.Background()), &c)
		require.Equal(t, name, c.File)
		require.LessOrEqual(t, c.Offset, int64(5000))
		require.Greater(t, c.Offset, int64(5000-4500))
		require.EqualValues(t, 1, db.Metrics().VerifyFindings)
		require.EqualValues(t, 1, db.Metrics().Verifications)
		require.Equal(t, 1, e.count("verified"))
		require.NoError(t, db.Close())
	})
}

// What only the scrub's reads meet, since others have the table in memory, is in Verify's
// error too, as long as the table lives.
func TestVerifyTellsWhatTheScrubHasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		fs := vfs.NewFaults(vfs.NewMem())
		db := openScrubbed(t, fs, 1<<20, &e)
		name := tableFiles(t, fs)[0]
		fs.Add(vfs.Rule{Kinds: vfs.OpRead, Glob: name, Forever: true, When: func(c vfs.Call) bool { return c.Off == 0 }})
		time.Sleep(scrubDelay + time.Hour)
		require.EqualValues(t, 1, db.Metrics().ScrubFindings)
		fs.Clear()
		var c *CorruptionError
		require.ErrorAs(t, db.Verify(context.Background()), &c)
		require.Equal(t, name, c.File)
		require.NoError(t, db.Set([]byte("key-00000"), []byte("new"), nil))
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		time.Sleep(time.Second) // for the deleter
		require.NotContains(t, tableFiles(t, fs), name)
		require.NoError(t, db.Verify(context.Background()))
		require.NoError(t, db.Close())
	})
}

// A read that goes wrong once is no damage.
func TestTheScrubReadsTwiceBeforeItSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		fs := vfs.NewFaults(vfs.NewMem())
		db := openScrubbed(t, fs, 1<<20, &e)
		fs.Add(vfs.Rule{Kinds: vfs.OpRead, Glob: tableFiles(t, fs)[0], Effect: vfs.Flip, Bit: 70_000})
		time.Sleep(scrubDelay + time.Hour)
		require.Len(t, fs.Fired(), 1)
		require.Zero(t, db.Metrics().ScrubFindings)
		require.EqualValues(t, 1, db.Metrics().ScrubPasses)
		require.NoError(t, db.Close())
	})
}

// Close does not wait for a pass, and a store that asks for none has none.
func TestTheScrubEndsWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		db := openScrubbed(t, vfs.NewMem(), 1, &e)
		time.Sleep(scrubDelay + time.Minute)
		require.Positive(t, db.Metrics().ScrubbedBytes)
		before := time.Now()
		require.NoError(t, db.Close())
		require.Less(t, time.Since(before), time.Second)

		db = openScrubbed(t, vfs.NewMem(), -1, &e)
		time.Sleep(48 * time.Hour)
		require.Zero(t, db.Metrics().ScrubbedBytes)
		require.NoError(t, db.Close())
	})
}

// A table that a compaction has replaced is let go of: its file is removed at once.
func TestTheScrubLetsGoOfATableThatIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		fs := vfs.NewMem()
		db := openScrubbed(t, fs, 1<<10, &e)
		time.Sleep(scrubDelay + 5*time.Second)
		old := tableFiles(t, fs)
		for i := range 2000 {
			require.NoError(t, db.Delete(fmt.Appendf(nil, "key-%05d", i), NoSync))
		}
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		time.Sleep(time.Minute)
		for _, name := range tableFiles(t, fs) {
			require.NotContains(t, old, name)
		}
		require.NoError(t, db.Close())
	})
}

// While somebody waits for a flush the scrub stands still.
func TestTheScrubGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		db := openScrubbed(t, vfs.NewMem(), 1<<10, &e)
		time.Sleep(scrubDelay + 5*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- db.room.wait(ctx, db, flushing, func() bool { return false }) }()
		time.Sleep(10 * time.Second)
		before := db.Metrics().ScrubbedBytes
		time.Sleep(time.Minute)
		require.Equal(t, before, db.Metrics().ScrubbedBytes)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		db.room.wakeAll()
		time.Sleep(time.Minute)
		require.Greater(t, db.Metrics().ScrubbedBytes, before)
		require.NoError(t, db.Close())
	})
}

// Verify goes on after damage: every damaged table is in its error.
func TestVerifyReportsEveryDamagedTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		fs := vfs.NewMem()
		db := openScrubbed(t, fs, -1, &e)
		want := []string{damageTable(t, db, fs, 0), damageTable(t, db, fs, 2)}
		err := db.Verify(context.Background())
		require.ErrorIs(t, err, ErrCorrupt)
		for _, name := range want {
			require.ErrorContains(t, err, name)
		}
		require.EqualValues(t, 2, db.Metrics().VerifyFindings)
		require.NoError(t, db.Close())
		require.True(t, errors.Is(db.Verify(context.Background()), ErrClosed))
	})
}
