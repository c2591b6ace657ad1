package lsm

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// put writes a record of the directory as it is.
func put(t *testing.T, db *DB, key, value []byte) {
	t.Helper()
	var b dirBatch
	b.add(keys.KindSet, key, value)
	_, err := db.commitDirectory(&b, nil)
	require.NoError(t, err)
}

func TestBadRecordsOfTheDirectoryAreRefused(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	name := scope.User("u")
	for value, want := range map[string]error{
		"": ErrCorrupt, "\x00": ErrCorrupt, "\x01": ErrCorrupt, "\x01\x02": ErrCorrupt, "\x01\x03\x00": ErrCorrupt,
		"\x01\xf0\x05": ErrCorrupt, "\x02\x03": ErrTooNew,
	} {
		put(t, db, entryKey(name), []byte(value))
		sc, err := db.Scope(name)
		require.NoError(t, err)
		_, err = sc.Get([]byte("k"))
		require.ErrorIs(t, err, want, "% x", value)
		require.ErrorIs(t, sc.Set([]byte("k"), nil, nil), want)
		require.ErrorIs(t, sc.Drop(nil), want)
		require.ErrorIs(t, sc.Move(scope.User("v"), nil), want)
		_, err = sc.NewIter(nil)
		require.ErrorIs(t, err, want)
		b := sc.NewBatch()
		b.Set(nil, nil)
		require.ErrorIs(t, db.Apply(b, nil), want)
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		_, err = snap.Scope(name)
		require.ErrorIs(t, err, want)
		require.NoError(t, snap.Close())
	}
	put(t, db, append(entryKey(name), 0), entryValue(7))
	var last error
	for _, err := range db.ListScopes(scope.KindUser, "") {
		last = err
	}
	require.ErrorIs(t, last, ErrCorrupt)
}

// A death record that means nothing keeps the reaper from its work, and nobody else.
func TestABadDeathRecordKeepsWhatIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		sc := fillScope(t, db, scope.User("u"), 300, 100)
		id := idOf(t, sc)
		require.NoError(t, db.Flush(context.Background()))
		put(t, db, idKey(recordDeath, scope.System), flagValue)
		require.NoError(t, sc.Drop(NoSync)) // not at once, that is, before Close
		require.NoError(t, db.Close())
		db = openRestful(t, fs)
		time.Sleep(time.Minute)
		require.Equal(t, 300, entriesOf(t, db, id))
		require.NoError(t, fillScope(t, db, scope.User("u"), 10, 10).Drop(nil))
		require.NoError(t, db.Close())
	})
}

// A copy that is ended early leaves nothing.
func TestAnEndedCopyLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openRestful(t, vfs.NewMem())
		sc := fillScope(t, db, scope.User("u"), 5000, 200)
		_, err := sc.Copy(&countdown{Context: context.Background(), left: 3}, scope.User("v"), nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		there, err := db.Scope(scope.User("v"))
		require.NoError(t, err)
		require.Zero(t, count(t, there))
		time.Sleep(time.Minute)
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		require.Empty(t, collect(db.records(t, recordStaged)))
		require.Empty(t, collect(db.records(t, recordDeath)))
		require.Zero(t, entriesOf(t, db, idOf(t, sc)+1))
		require.Equal(t, 5000, count(t, sc))
		require.NoError(t, db.Close())
	})
}

// countdown is a context that ends when it has been asked so often.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func collect(keys func(func([]byte) bool)) (out [][]byte) {
	for k := range keys {
		out = append(out, bytes.Clone(k))
	}
	return out
}

func FuzzDecodeEntry(f *testing.F) {
	for _, id := range []scope.ID{3, 239, 240, 1 << 40, scope.MaxID} {
		f.Add(entryValue(id))
	}
	f.Add([]byte{2, 3})
	f.Add([]byte{1, 0xf1, 0, 255})
	f.Fuzz(func(t *testing.T, value []byte) {
		id, err := decodeEntry(value)
		if err == nil && !bytes.Equal(entryValue(id), value) {
			t.Fatalf("% x decodes as %d", value, id)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
			t.Fatalf("% x: %v", value, err)
		}
	})
}

// When the directory changes faster than a reader looks, it reads at a snapshot.
func TestReadersDoNotDependOnAQuietDirectory(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	sc := fillScope(t, db, scope.User("u"), 10, 10)
	none, err := db.Scope(scope.User("none"))
	require.NoError(t, err)
	db.directory.mu.Lock() // as if what was resolved were always too old
	db.directory.floor = keys.MaxSeqNum
	db.directory.taken.Store(uint64(keys.MaxSeqNum))
	db.directory.mu.Unlock()
	v, err := sc.Get([]byte("k00007"))
	require.NoError(t, err)
	require.Len(t, v, 10)
	_, err = sc.Get([]byte("none"))
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, 10, count(t, sc))
	st, err := sc.Stats()
	require.NoError(t, err)
	require.Equal(t, ScopeStats{Entries: 10, Bytes: 160, Exact: true}, st)
	require.Zero(t, count(t, none))
	_, err = none.Get(nil)
	require.ErrorIs(t, err, ErrNotFound)
	require.Zero(t, db.Metrics().Snapshots)
}

// The example of docs/formats/directory.md, byte by byte.
func TestRecordsOfTheDirectoryMatchTheirPage(t *testing.T) {
	var making, dropping dirBatch
	s := &Scope{entry: entryKey(scope.Agent("a"))}
	making.makeEntry(s.entry, 300, 0)
	making.payload = appendOp(making.payload, keys.KindSet, scope.AppendID(nil, 300), []byte("k"), []byte("v"))
	require.Equal(t, []byte{
		0x02, 0x04, 0x02, 0x01, 0x04, 0x61, 0x04, 0x01, 0xf1, 0x01, 0x2c,
		0x02, 0x05, 0x02, 0x07, 0xf1, 0x01, 0x2c, 0x03, 0x01, 0x04, 0x61,
		0x02, 0x04, 0xf1, 0x01, 0x2c, 0x6b, 0x01, 0x76,
	}, making.payload)
	dropping.takeEntry(s, claim{id: 300})
	dropping.unname(300)
	dropping.kill(300)
	require.Equal(t, []byte{
		0x01, 0x04, 0x02, 0x01, 0x04, 0x61,
		0x01, 0x05, 0x02, 0x07, 0xf1, 0x01, 0x2c,
		0x02, 0x05, 0x02, 0x02, 0xf1, 0x01, 0x2c, 0x01, 0x01,
	}, dropping.payload)
	require.Equal(t, []byte{0x03, 0xf1, 0x01, 0x2c}, idKey(recordStaged, 300))
}
