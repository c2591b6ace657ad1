package lsm_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// Who has read a key requires what it was then, which is believed while nothing was committed since, and
// looked up otherwise.
func TestWhatWasReadIsRequiredAsOfThen(t *testing.T) {
	db, err := lsm.Open("db", &lsm.Options{InMemory: true})
	require.NoError(t, err)
	defer db.Close()
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	key, other := []byte("k"), []byte("other")
	read := func() lsm.EntryInfo {
		_, info, err := sc.AppendGetInfo(nil, key)
		if err != nil {
			require.ErrorIs(t, err, lsm.ErrNotFound)
		}
		return info
	}
	apply := func(info lsm.EntryInfo) (*lsm.Batch, error) {
		b := db.NewBatch()
		b.In(sc)
		b.RequireAsOf(key, info.Version, info.AsOf)
		b.Set(key, []byte("v"))
		return b, db.Apply(b, nil)
	}
	require.NoError(t, sc.Set(other, []byte("v"), nil)) // the scope is there
	for _, meanwhile := range []struct {
		name     string
		do       func() error
		conflict bool
	}{
		{"nothing", func() error { return nil }, false},
		{"another key", func() error { return sc.Set(other, []byte("v"), nil) }, false},
		{"a set", func() error { return sc.Set(key, []byte("v"), nil) }, true},
		{"a delete", func() error { return sc.Delete(key, nil) }, true},
		{"nothing, absent", func() error { return nil }, false},
		{"a range", func() error { return sc.DeleteRange([]byte("a"), []byte("z"), nil) }, true},
		{"a set where nothing was", func() error { return sc.Set(key, []byte("v"), nil) }, true},
		{"a flush", func() error { return db.Flush(context.Background()) }, false},
	} {
		info := read()
		require.NotZero(t, info.AsOf, meanwhile.name)
		require.NoError(t, meanwhile.do())
		_, err := apply(info)
		if meanwhile.conflict {
			require.ErrorIs(t, err, lsm.ErrConflict, meanwhile.name)
			continue
		}
		require.NoError(t, err, meanwhile.name)
	}

	// A wrong version is none as of any time but that at which nobody looks.
	info := read()
	info.Version++
	info.AsOf--
	_, err = apply(info)
	require.ErrorIs(t, err, lsm.ErrConflict)

	// Who has required the same knows it as of its own commit.
	info = read()
	b := db.NewBatch()
	for range 3 {
		b.Reset()
		b.In(sc)
		b.RequireAsOf(key, info.Version, info.AsOf)
		b.Set(other, []byte("v"))
		require.NoError(t, db.Apply(b, nil))
		info.AsOf = b.LastVersion()
	}
	require.NoError(t, sc.Set(key, []byte("w"), nil))
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrConflict)

	// What expires, and what others have read, is known as of no time.
	require.NoError(t, sc.SetWithExpiry(key, []byte("v"), db.Now().Add(time.Hour), nil))
	require.Zero(t, read().AsOf)
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	in, err := snap.Scope(scope.Agent("a"))
	require.NoError(t, err)
	_, info, err = in.AppendGetInfo(nil, other)
	require.NoError(t, err)
	require.Zero(t, info.AsOf)
	require.NoError(t, snap.Close())

	// The scope is another one.
	require.NoError(t, sc.Set(key, []byte("v"), nil))
	info = read()
	require.NoError(t, sc.Move(scope.Agent("b"), nil))
	_, err = apply(info)
	require.ErrorIs(t, err, lsm.ErrConflict)
}
