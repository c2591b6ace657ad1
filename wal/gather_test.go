package wal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/wal"
)

// gatherClock takes a millisecond with each look at it until it is stopped; then does what it
// was told to with the next one.
type gatherClock struct {
	now     time.Time
	stopped bool
	then    func()
}

func (c *gatherClock) Now() time.Time {
	if !c.stopped {
		c.now = c.now.Add(time.Millisecond)
	} else if then := c.then; then != nil {
		c.then = nil
		then()
	}
	return c.now
}

// A sync waits for as many batches as the last one carried, and carries them.
func TestSyncGathersTheWritersThatTheLastOneLetGo(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 8)
		var clock gatherClock
		o.opts.Now = clock.Now
		l, _, _ := o.mustOpen(t)
		both, err := l.Append(batches(entry{1, 1, 10}, entry{2, 1, 10}), wal.WillSync)
		require.NoError(t, err)
		require.NoError(t, l.Sync(both))

		alone, err := l.Append(batches(entry{3, 1, 10}), wal.TrySync)
		require.NoError(t, err)
		require.Equal(t, both, l.DurableTo(), "written without a sync of its own, as another is expected")
		var last wal.Position
		clock.stopped = true
		clock.then = func() { last, err = l.Append(batches(entry{4, 1, 10}), wal.WillSync) }
		require.NoError(t, l.Sync(alone))
		require.NoError(t, err)
		require.Equal(t, last, l.DurableTo())
		require.EqualValues(t, 2, l.Stats().Syncs)
		require.NoError(t, l.Close())
	})
}

// Who does not come back is not waited for long, though the clock stands still, nor a second
// time.
func TestSyncGivesUpOnWritersThatStayAway(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 9)
		var clock gatherClock
		o.opts.Now = clock.Now
		l, _, _ := o.mustOpen(t)
		many, err := l.Append(batches(sequence(1, 100, 10)...), wal.WillSync)
		require.NoError(t, err)
		require.NoError(t, l.Sync(many))
		clock.stopped = true
		alone, err := l.Append(batches(entry{101, 1, 10}), wal.TrySync)
		require.NoError(t, err)
		require.Equal(t, many, l.DurableTo())
		require.NoError(t, l.Sync(alone))

		again, err := l.Append(batches(entry{102, 1, 10}), wal.TrySync)
		require.NoError(t, err)
		require.Equal(t, again, l.DurableTo(), "by a synced write: the last sync carried one batch")
		require.NoError(t, l.Close())
	})
}
