package lsm

import (
	"context"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// Time does not follow the wall clock, back or forth, until that has been ahead for a minute:
// then the machine was suspended.
func TestTheWallClockMayJump(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	start := db.Now()
	require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), time.Hour, nil))
	for _, jump := range []time.Duration{-10 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
		c.wall.Add(jump.Milliseconds())
		for range 100 {
			c.pass(time.Second)
			_ = db.Now()
		}
		start = start.Add(100 * time.Second)
		require.Equal(t, start, db.Now(), "a jump of years is none to catch up with")
	}
	everyRead(t, db, "k", "v", time.UnixMilli(1_800_000_000_000).Add(time.Hour))

	c.wall.Add((30 * time.Minute).Milliseconds())
	for range 60 {
		require.Equal(t, start, db.Now())
		c.pass(time.Second)
		start = start.Add(time.Second)
	}
	require.Zero(t, db.Metrics().ClockCatchUps)
	c.pass(time.Second)
	require.Equal(t, start.Add(30*time.Minute+time.Second), db.Now())
	require.Equal(t, int64(1), db.Metrics().ClockCatchUps)
	c.pass(30 * time.Minute)
	everyRead(t, db, "k", "", time.Time{})

	c.wall.Add(-(1500 * time.Millisecond).Milliseconds()) // as when a clock is set
	before := db.Now()
	for range 200 {
		c.pass(time.Second)
	}
	require.Equal(t, before.Add(200*time.Second), db.Now())
	c.wall.Add((3 * time.Second).Milliseconds())
	for range 200 {
		c.pass(time.Second)
		_ = db.Now()
	}
	require.Equal(t, before.Add(400*time.Second), db.Now(), "less than two seconds ahead")
	require.Equal(t, int64(1), db.Metrics().ClockCatchUps)
}

// A clock that was ahead for a while, and is set right again, changes nothing.
func TestAClockThatIsSetRightInTimeChangesNothing(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	start := db.Now()
	for range 5 {
		c.wall.Add(time.Hour.Milliseconds())
		for range 50 {
			c.pass(time.Second)
			_ = db.Now()
		}
		c.wall.Add(-time.Hour.Milliseconds())
		for range 5 {
			c.pass(time.Second)
			_ = db.Now()
		}
	}
	require.Equal(t, start.Add(5*55*time.Second), db.Now())
	require.Zero(t, db.Metrics().ClockCatchUps)
}

func TestAnOpeningFarAheadIsRefused(t *testing.T) {
	fs, c := vfs.NewMem(), newHandClock()
	db := openAt(t, fs, c, Options{})
	require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), 2*time.Hour, nil))
	last := db.Now()
	require.NoError(t, db.Close())
	c.pass(366*24*time.Hour + time.Second)
	for _, readOnly := range []bool{false, true} {
		o := Options{Clock: c, ReadOnly: readOnly}
		o.seams.FS = fs
		_, err := Open("db", &o)
		require.ErrorIs(t, err, ErrClock)
	}
	c.wall.Add(-c.elapsed.Load() + time.Hour.Milliseconds())
	db = openAt(t, fs, c, Options{})
	require.Equal(t, last.Add(time.Hour), db.Now(), "it was not changed by what was refused")
	everyRead(t, db, "k", "v", last.Add(2*time.Hour))
	require.NoError(t, db.Close())
	c.pass(500 * 24 * time.Hour)
	db = openAt(t, fs, c, Options{AcceptClock: true})
	require.Equal(t, c.Wall(), db.Now())
	everyRead(t, db, "k", "", time.Time{})
}

// What was left out of a table because it had expired stays expired after a crash, whatever
// the wall clock then says: the edit that installs the table records the time.
func TestTimeDoesNotGoBackBehindWhatWasReclaimed(t *testing.T) {
	fs, c := vfs.NewCrashMem(), newHandClock()
	db := openAt(t, fs, c, Options{})
	require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), time.Hour, nil))
	c.pass(2 * time.Hour)
	require.NoError(t, db.Flush(context.Background()))
	require.Equal(t, int64(1), db.Metrics().ReclaimedEntries)
	reclaimed := db.Now()
	again := openAt(t, fs.CrashCopy(), newHandClock(), Options{})
	require.False(t, again.Now().Before(reclaimed))
	everyRead(t, again, "k", "", time.Time{})
}

// The commit times of the log carry the time over a crash.
func TestTimeDoesNotGoBackBehindTheLog(t *testing.T) {
	fs, c := vfs.NewCrashMem(), newHandClock()
	db := openAt(t, fs, c, Options{})
	c.pass(3 * time.Hour)
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	committed := db.Now()
	again := openAt(t, fs.CrashCopy(), newHandClock(), Options{})
	require.False(t, again.Now().Before(committed))
}
