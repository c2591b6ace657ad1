package lsm

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

func TestExpiriesThatAreNone(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	k := []byte("k")
	for _, ttl := range []time.Duration{0, -1, -time.Hour} {
		require.ErrorIs(t, db.SetWithTTL(k, nil, ttl, nil), ErrInvalidExpiry)
		b := db.NewBatch()
		b.SetWithTTL(k, nil, ttl)
		b.Set(k, nil)
		require.ErrorIs(t, db.Apply(b, nil), ErrInvalidExpiry)
		require.ErrorIs(t, db.Update(func(tx *Txn) error { _ = tx.SetWithTTL(k, nil, ttl); return nil }), ErrInvalidExpiry)
	}
	for _, at := range []time.Time{{}, time.UnixMilli(0), time.UnixMilli(-1), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1<<60, 0)} {
		require.ErrorIs(t, db.SetWithExpiry(k, nil, at, nil), ErrInvalidExpiry, "%v", at)
		b := db.NewBatch()
		b.SetWithExpiry(k, nil, at)
		require.ErrorIs(t, db.Apply(b, nil), ErrInvalidExpiry)
		require.ErrorIs(t, db.Update(func(tx *Txn) error { return tx.SetWithExpiry(k, nil, at) }), ErrInvalidExpiry)
	}
	require.NoError(t, db.SetWithTTL(k, nil, 1<<63-1, nil))
	_, at, err := db.GetWithExpiry(k)
	require.NoError(t, err)
	require.Greater(t, at.Year(), 2300)
	require.NoError(t, db.SetWithTTL(k, nil, 1, nil))
	_, at, err = db.GetWithExpiry(k)
	require.NoError(t, err)
	require.Equal(t, db.Now().Add(time.Millisecond), at, "rounded up")
	long := make([]byte, keys.MaxUserKeyLen+1)
	require.ErrorIs(t, db.SetWithTTL(long, nil, time.Second, nil), ErrTooLarge)
	require.ErrorIs(t, checkExpiringLimits(k, make([]byte, keys.MaxValueLen-keys.ExpiryLen+1)), ErrTooLarge)
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.SetWithTTL(k, nil, time.Second, nil), ErrClosed)
	require.ErrorIs(t, db.SetWithExpiry(k, nil, time.Now(), nil), ErrClosed)
	ro := openAt(t, db.opts.seams.FS, c, Options{ReadOnly: true})
	require.ErrorIs(t, ro.SetWithTTL(k, nil, time.Second, nil), ErrReadOnly)
	c.pass(time.Second)
	everyRead(t, ro, "k", "", time.Time{})
}

// A payload of the log with an expiry that nobody can have written is damage.
func TestPayloadsWithImpossibleExpiries(t *testing.T) {
	for _, value := range []string{"", "1234567", "\x00\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
		_, err := checkPayload(appendOp(nil, keys.KindSetWithExpiry, rootPrefix, []byte("k"), []byte(value)))
		require.Error(t, err, "%x", value)
	}
	s, err := checkPayload(appendExpiring(nil, rootPrefix, []byte("k"), 1, []byte("v")))
	require.NoError(t, err)
	require.Equal(t, payloadStats{ops: 1, bytes: 2 + 8 + 1}, s)
}

// Scopes have it all; a copy expires when the original does.
func TestEntriesOfScopesExpire(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.NoError(t, sc.SetWithTTL([]byte("k"), []byte("v"), time.Second, nil))
	require.NoError(t, sc.SetWithExpiry([]byte("l"), []byte("w"), db.Now().Add(time.Hour), nil))
	require.NoError(t, sc.Set([]byte("m"), []byte("x"), nil))
	var b Batch
	b.In(sc).SetWithTTL([]byte("n"), []byte("y"), time.Minute)
	b.In(nil).SetWithTTL([]byte("n"), []byte("root"), 2*time.Minute)
	require.NoError(t, db.Apply(&b, nil))
	fork, err := sc.Fork(context.Background(), scope.Agent("b"), nil)
	require.NoError(t, err)
	for _, s := range []*Scope{sc, fork} {
		_, at, err := s.GetWithExpiry([]byte("n"))
		require.NoError(t, err)
		require.Equal(t, db.Now().Add(time.Minute), at)
	}
	c.pass(time.Second)
	for _, s := range []*Scope{sc, fork} {
		_, err = s.Get([]byte("k"))
		require.ErrorIs(t, err, ErrNotFound)
		_, v, err := s.GetWithVersion([]byte("k"))
		require.ErrorIs(t, err, ErrNotFound)
		require.Equal(t, Absent, v)
		st, err := s.Stats()
		require.NoError(t, err)
		require.Equal(t, ScopeStats{Entries: 3, Bytes: 6, Exact: true}, st)
		_, at, err := s.GetWithExpiry([]byte("m"))
		require.NoError(t, err)
		require.True(t, at.IsZero())
	}
	everyRead(t, db, "n", "root", db.Now().Add(2*time.Minute-time.Second))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	old, err := snap.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.ErrorIs(t, old.SetWithTTL([]byte("k"), nil, time.Second, nil), ErrReadOnly)
	c.pass(2 * time.Hour)
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	v, err := old.Get([]byte("l"))
	require.NoError(t, err)
	require.Equal(t, "w", string(v))
	_, err = fork.Get([]byte("l"))
	require.ErrorIs(t, err, ErrNotFound)
}

// Readers beside writers, flushes and merges never see an entry after its expiry, nor an
// older one than they saw, nor what an expired one has hidden.
func TestExpiryBesideWriters(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	stop := make(chan struct{})
	done := make(chan error, 3)
	const names = 20
	rounds := 1500
	if testing.Short() {
		rounds = 300
	}
	go func() {
		for i := range rounds {
			key := numbered(i % names)
			var err error
			if i/names%3 == 0 {
				err = db.Set(key, fmt.Appendf(nil, "%09d", i), NoSync)
			} else {
				err = db.SetWithTTL(key, fmt.Appendf(nil, "%09d", i), time.Duration(1+i%50)*time.Millisecond, NoSync)
			}
			c.pass(time.Millisecond)
			if err == nil && i%97 == 0 {
				err = db.Flush(context.Background())
			}
			if err == nil && i%301 == 0 {
				err = db.Compact(context.Background(), nil, nil)
			}
			if err != nil {
				done <- err
				return
			}
		}
		close(stop)
		done <- nil
	}()
	for range 2 {
		go func() {
			seen := map[string]string{}
			check := func(key []byte, v []byte, at, began time.Time) error {
				if !at.IsZero() && !at.After(began) {
					return fmt.Errorf("%s was seen at %v, expired at %v", key, began, at)
				}
				if string(v) < seen[string(key)] {
					return fmt.Errorf("%s went back from %s to %s", key, seen[string(key)], v)
				}
				seen[string(key)] = string(v)
				return nil
			}
			for i := 0; ; i++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				began := db.Now()
				v, at, err := db.GetWithExpiry(numbered(i % names))
				if err == nil {
					err = check(numbered(i%names), v, at, began)
				} else if err == ErrNotFound {
					err = nil
				}
				if err == nil && i%50 == 0 {
					var it *Iterator
					if it, err = db.NewIter(nil); err == nil {
						for it.Next() && err == nil {
							err = check(it.Key(), it.Value(), it.Expiry(), began)
						}
						_ = it.Close()
					}
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 3 {
		require.NoError(t, <-done)
	}
}
