package lsm

import (
	"bytes"
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// handClock is a clock that tests move by hand. tick is by how much it moves with each look
// at it.
type handClock struct {
	wall, elapsed atomic.Int64 // milliseconds
	tick          atomic.Int64
}

func newHandClock() *handClock {
	c := &handClock{}
	c.wall.Store(1_800_000_000_000)
	return c
}

func (c *handClock) Wall() time.Time { return time.UnixMilli(c.wall.Load()) }
func (c *handClock) Elapsed() time.Duration {
	if by := c.tick.Load(); by > 0 {
		c.pass(time.Duration(by) * time.Millisecond)
	}
	return time.Duration(c.elapsed.Load()) * time.Millisecond
}

// pass lets time go by.
func (c *handClock) pass(d time.Duration) {
	c.wall.Add(d.Milliseconds())
	c.elapsed.Add(d.Milliseconds())
}

// openAt opens a store on fs whose time is c's.
func openAt(t *testing.T, fs vfs.FS, c Clock, o Options) *DB {
	t.Helper()
	o.Clock = c
	db := openSized(t, fs, o, small())
	for by := int64(0); by == 0 && !o.ReadOnly; runtime.Gosched() { // until markers may go
		by, _ = db.expirer.sweep.markersGo()
	}
	return db
}

// everyRead compares what all kinds of reads say of key: want "" is absence.
func everyRead(t *testing.T, db *DB, key, want string, expires time.Time) {
	t.Helper()
	v, err := db.Get([]byte(key))
	w, version, verr := db.GetWithVersion([]byte(key))
	x, at, xerr := db.GetWithExpiry([]byte(key))
	has, err2 := db.Has([]byte(key))
	require.NoError(t, err2)
	require.Equal(t, want != "", has)
	it, err3 := db.NewIter(nil)
	require.NoError(t, err3)
	defer it.Close()
	forward, backward := it.SeekGE([]byte(key)) && string(it.Key()) == key, false
	if forward {
		require.Equal(t, want, string(it.Value()))
		require.Equal(t, expires.UnixMilli(), it.Expiry().UnixMilli())
	}
	if it.SeekLT([]byte(key+"\x00")) && string(it.Key()) == key {
		backward = true
		require.Equal(t, want, string(it.Value()))
		require.Equal(t, expires.UnixMilli(), it.Expiry().UnixMilli())
	}
	scanned := false
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		scanned = scanned || string(e.Key) == key && string(e.Value) == want
	}
	require.NoError(t, db.View(func(tx *Txn) error {
		got, at, err := tx.GetWithExpiry([]byte(key))
		if want == "" {
			require.ErrorIs(t, err, ErrNotFound)
			return nil
		}
		require.Equal(t, want, string(got))
		require.Equal(t, expires.UnixMilli(), at.UnixMilli())
		return err
	}))
	if want == "" {
		require.ErrorIs(t, err, ErrNotFound)
		require.ErrorIs(t, verr, ErrNotFound)
		require.ErrorIs(t, xerr, ErrNotFound)
		require.Equal(t, Absent, version)
		require.True(t, at.IsZero())
		require.False(t, forward || backward || scanned)
		return
	}
	require.NoError(t, err)
	require.NoError(t, verr)
	require.NoError(t, xerr)
	require.Equal(t, [3]string{want, want, want}, [3]string{string(v), string(w), string(x)})
	require.NotEqual(t, Absent, version)
	require.Equal(t, expires.UnixMilli(), at.UnixMilli())
	require.True(t, forward && backward && scanned)
}

// B17: an entry is there up to its last millisecond and absent from its expiry on, whatever
// reads it, wherever it is, and what is older does not come back.
func TestEntriesAreAbsentFromTheirExpiryOn(t *testing.T) {
	const ttl = 1500 * time.Millisecond
	places := map[string]func(*testing.T, *DB) *DB{
		"memtable": func(_ *testing.T, db *DB) *DB { return db },
		"table": func(t *testing.T, db *DB) *DB {
			require.NoError(t, db.Flush(context.Background()))
			return db
		},
		"last level": func(t *testing.T, db *DB) *DB {
			require.NoError(t, db.Compact(context.Background(), nil, nil))
			return db
		},
		"reopened": func(t *testing.T, db *DB) *DB {
			clock := db.opts.Clock
			fs := db.opts.seams.FS
			require.NoError(t, db.Close())
			return openAt(t, fs, clock, Options{})
		},
	}
	for name, bring := range places {
		for _, older := range []string{"", "older"} {
			t.Run(name+older, func(t *testing.T) {
				c := newHandClock()
				db := openAt(t, vfs.NewMem(), c, Options{})
				if older != "" {
					require.NoError(t, db.Set([]byte("k"), []byte(older), nil))
					require.NoError(t, db.Flush(context.Background()))
				}
				require.NoError(t, db.Set([]byte("a"), []byte("stays"), nil))
				require.NoError(t, db.Set([]byte("z"), []byte("stays"), nil))
				expires := db.Now().Add(ttl)
				require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), ttl, nil))
				db = bring(t, db)
				everyRead(t, db, "k", "v", expires)
				everyRead(t, db, "a", "stays", time.Time{}.Add(0))
				c.pass(ttl - time.Millisecond)
				everyRead(t, db, "k", "v", expires)
				c.pass(time.Millisecond)
				everyRead(t, db, "k", "", time.Time{})
				db = bring(t, db)
				everyRead(t, db, "k", "", time.Time{})
				require.NoError(t, db.Compact(context.Background(), nil, nil))
				everyRead(t, db, "k", "", time.Time{})
				require.NoError(t, db.Set([]byte("k"), []byte("new"), nil))
				db = bring(t, db)
				c.pass(time.Hour)
				everyRead(t, db, "k", "new", time.Time{})
				require.NoError(t, db.Close())
			})
		}
	}
}

// The same on a file system of the machine.
func TestEntriesExpireOnDisk(t *testing.T) {
	dir, c := t.TempDir(), newHandClock()
	db, err := Open(dir, &Options{Clock: c})
	require.NoError(t, err)
	require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), time.Second, nil))
	require.NoError(t, db.SetWithTTL([]byte("l"), []byte("w"), time.Hour, nil))
	require.NoError(t, db.Close())
	c.pass(time.Second)
	db, err = Open(dir, &Options{Clock: c})
	require.NoError(t, err)
	everyRead(t, db, "k", "", time.Time{})
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	has, err := db.Has([]byte("l"))
	require.NoError(t, err)
	require.True(t, has)
	require.Equal(t, int64(1), db.Metrics().ReclaimedEntries)
	require.NoError(t, db.Close())
}

// Batches count their times to live from Apply on, each time they are applied; a transaction
// from its call on, and it sees its own writes.
func TestWhereTimesToLiveBegin(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	var b Batch // without a store, hence without a clock
	b.SetWithTTL([]byte("a"), []byte("1"), time.Second)
	b.SetWithTTL([]byte("b"), bytes.Repeat([]byte("2"), 300), 2*time.Second)
	b.SetWithExpiry([]byte("c"), []byte("3"), c.Wall().Add(time.Hour))
	for range 2 {
		c.pass(time.Minute)
		require.NoError(t, db.Apply(&b, nil))
		everyRead(t, db, "a", "1", db.Now().Add(time.Second))
		everyRead(t, db, "b", string(bytes.Repeat([]byte("2"), 300)), db.Now().Add(2*time.Second))
		everyRead(t, db, "c", "3", time.UnixMilli(1_800_000_000_000).Add(time.Hour))
		c.pass(time.Second)
		everyRead(t, db, "a", "", time.Time{})
	}
	require.NoError(t, db.Update(func(tx *Txn) error {
		require.NoError(t, tx.SetWithTTL([]byte("t"), []byte("own"), time.Second))
		require.NoError(t, tx.SetWithExpiry([]byte("u"), []byte("past"), db.Now()))
		require.NoError(t, tx.SetWithExpiry([]byte("a"), []byte("past"), db.Now().Add(-time.Hour)))
		v, at, err := tx.GetWithExpiry([]byte("t"))
		require.NoError(t, err)
		require.Equal(t, "own", string(v))
		require.Equal(t, db.Now().Add(time.Second).UnixMilli(), at.UnixMilli())
		_, err = tx.Get([]byte("u"))
		require.ErrorIs(t, err, ErrNotFound)
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		var got []string
		for it.Next() {
			got = append(got, string(it.Key()))
		}
		for it.Prev() {
			got = append(got, string(it.Key()))
			require.False(t, it.Expiry().IsZero())
		}
		require.Equal(t, []string{"b", "c", "t", "t", "c", "b"}, got)
		return it.Close()
	}))
	everyRead(t, db, "t", "own", db.Now().Add(time.Second))
	everyRead(t, db, "u", "", time.Time{})
	c.pass(time.Second)
	everyRead(t, db, "t", "", time.Time{})
}

// Snapshots, iterators and transactions go on seeing what they saw, through flushes and merges
// after the expiry; so do snapshots of the same number and different times.
func TestReadersKeepTheirTime(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	require.NoError(t, db.Set([]byte("k"), []byte("older"), nil))
	require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), time.Second, nil))
	require.NoError(t, db.SetWithTTL([]byte("l"), []byte("w"), time.Minute, nil))
	early, err := db.NewSnapshot()
	require.NoError(t, err)
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *Txn) error {
		c.pass(time.Second)
		late, err := db.NewSnapshot()
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, db.Compact(context.Background(), nil, nil))
			everyRead(t, db, "k", "", time.Time{})
			for _, read := range []func([]byte) ([]byte, error){tx.Get, early.Get} {
				v, err := read([]byte("k"))
				require.NoError(t, err)
				require.Equal(t, "v", string(v))
			}
			require.True(t, it.First())
			require.Equal(t, "v", string(it.Value()))
			require.True(t, it.Last() && it.Prev())
			require.Equal(t, "v", string(it.Value()))
			_, err = late.Get([]byte("k"))
			require.ErrorIs(t, err, ErrNotFound)
			v, err := late.Get([]byte("l"))
			require.NoError(t, err)
			require.Equal(t, "w", string(v))
			require.NoError(t, db.Set([]byte("other"), nil, nil))
			c.pass(time.Hour)
		}
		return late.Close()
	}))
	require.NoError(t, it.Close())
	require.NoError(t, early.Close())
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.Zero(t, expiringLeft(db), "what only snapshots kept is gone")
	everyRead(t, db, "k", "", time.Time{})
}

// expiringLeft counts entries of tables that expire, or are what is left of such.
func expiringLeft(db *DB) (n uint64) {
	for _, r := range db.state.Load().version.runs {
		for _, t := range r.tables {
			n += t.meta.Expires + t.meta.Markers
		}
	}
	return n
}

// What a batch requires, and what a transaction has read, must still be there at the time of
// the commit, however late that is.
func TestCommitsJudgeExpiryAtTheirOwnTime(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	key, other := []byte("k"), []byte("other")
	outcomes := map[string]int{}
	for i := range 24 {
		ttl := time.Duration(1+i/2) * time.Millisecond // as many looks at the clock, a millisecond each
		require.NoError(t, db.SetWithTTL(key, []byte("v"), ttl, nil))
		_, v, err := db.GetWithVersion(key)
		require.NoError(t, err)
		_, at, err := db.GetWithExpiry(key)
		require.NoError(t, err)
		c.tick.Store(1)
		depends := true
		if i%2 == 0 {
			b := db.NewBatch()
			b.Require(key, v)
			b.Set(other, nil)
			err = db.Apply(b, nil)
		} else {
			err = db.Update(func(tx *Txn) error {
				_, err := tx.Get(key)
				depends = err == nil
				return tx.Set(other, nil)
			})
		}
		c.tick.Store(0)
		switch {
		case err != nil:
			require.ErrorIs(t, err, ErrConflict)
			outcomes["conflict"]++
		case depends:
			require.Less(t, db.groupTime, at.UnixMilli(), "%v", ttl)
			outcomes["in time"]++
		}
		c.pass(time.Second)
	}
	require.Positive(t, outcomes["conflict"])
	require.Positive(t, outcomes["in time"])

	require.NoError(t, db.SetWithTTL(key, []byte("v"), time.Second, nil))
	_, v, err := db.GetWithVersion(key)
	require.NoError(t, err)
	c.pass(time.Second)
	b := db.NewBatch()
	b.Require(key, v)
	require.ErrorIs(t, db.Apply(b, nil), ErrConflict, "without operations, too")
	b.Set(other, nil)
	require.ErrorIs(t, db.Apply(b, nil), ErrConflict)
	b.Reset()
	b.Require(key, Absent)
	b.Set(key, []byte("again"))
	require.NoError(t, db.Apply(b, nil))
}

// A transaction that has passed over an entry conflicts when that expires before the commit,
// although nobody wrote anything.
func TestARangeReadConflictsWithAnExpiry(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	for _, scan := range []func(*Txn) (n int){
		func(tx *Txn) (n int) {
			for range tx.Scan(nil, nil) {
				n++
			}
			return n
		},
		func(tx *Txn) (n int) {
			for range tx.ScanReverse([]byte("a"), []byte("z")) {
				n++
			}
			return n
		},
	} {
		for _, expires := range []bool{false, true} {
			require.NoError(t, db.Set([]byte("l"), nil, nil))
			require.NoError(t, db.SetWithTTL([]byte("k"), []byte("v"), time.Second, nil))
			err := db.Update(func(tx *Txn) error {
				require.Equal(t, 2, scan(tx))
				if expires {
					c.pass(time.Second)
				}
				return tx.Set([]byte("zz"), nil)
			})
			if expires {
				require.ErrorIs(t, err, ErrConflict)
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, db.Delete([]byte("zz"), nil))
		}
	}
}
