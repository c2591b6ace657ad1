package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// mortal is what the model of a store knows of a key.
type mortal struct {
	value   string
	expires int64 // milliseconds since 1970; 0: never
}

// Values in blob files expire, are appended to and folded as others are, under flushes,
// compactions and reopenings.
func TestBlobFilesOfEntriesThatExpireAndOfMerges(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 7))
		fs, clock := vfs.NewMem(), newHandClock()
		o := Options{BlobThreshold: 50, BlobSpacePercent: 120, Compression: []Compression{NoCompression, S2, S2ThenZstd}[seed%3]}
		db := openAt(t, fs, clock, o)
		model := map[string]mortal{}
		for step := range 500 {
			k := fmt.Sprintf("k%02d", rnd.IntN(30))
			v := string(bytes.Repeat([]byte{byte('a' + rnd.IntN(26))}, rnd.IntN(300)))
			now := clock.Wall().UnixMilli()
			if m, ok := model[k]; ok && m.expires != 0 && m.expires <= now {
				delete(model, k)
			}
			switch rnd.IntN(12) {
			case 0, 1, 2:
				require.NoError(t, db.Set([]byte(k), []byte(v), NoSync))
				model[k] = mortal{value: v}
			case 3, 4:
				at := now + int64(1+rnd.IntN(3000))
				require.NoError(t, db.SetWithExpiry([]byte(k), []byte(v), time.UnixMilli(at), NoSync))
				model[k] = mortal{v, at}
			case 5, 6, 7:
				require.NoError(t, db.Merge(BytesAppend, []byte(k), []byte(v), NoSync))
				m := model[k]
				m.value += v
				model[k] = m
			case 8:
				require.NoError(t, db.Delete([]byte(k), NoSync))
				delete(model, k)
			case 9:
				clock.pass(time.Duration(rnd.IntN(400)) * time.Millisecond)
			case 10:
				require.NoError(t, db.Flush(context.Background()))
			case 11:
				if rnd.IntN(3) == 0 {
					require.NoError(t, db.Compact(context.Background(), nil, nil))
				}
			}
			if step%10 == 0 {
				agreesWith(t, db, model, clock.Wall().UnixMilli())
			}
			if step%250 == 249 {
				require.NoError(t, db.Verify(context.Background()))
				require.NoError(t, db.Close())
				db = openAt(t, fs, clock, o)
				agreesWith(t, db, model, clock.Wall().UnixMilli())
			}
		}
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		agreesWith(t, db, model, clock.Wall().UnixMilli())
		require.Positive(t, db.Metrics().BlobFiles)
		require.NoError(t, db.Verify(context.Background()))
		require.NoError(t, db.Close())
	}
}

// agreesWith compares what all kinds of reads say with the model.
func agreesWith(t *testing.T, db *DB, model map[string]mortal, now int64) {
	t.Helper()
	there := 0
	for k, m := range model {
		got, expires, err := db.GetWithExpiry([]byte(k))
		if m.expires != 0 && m.expires <= now {
			require.ErrorIs(t, err, ErrNotFound)
			has, err := db.Has([]byte(k))
			require.NoError(t, err)
			require.False(t, has)
			continue
		}
		there++
		require.NoError(t, err)
		require.Equal(t, m.value, string(got), k)
		require.Equal(t, m.expires, millisOf(expires), k)
	}
	check := func(key, value []byte, expires time.Time) {
		t.Helper()
		m, ok := model[string(key)]
		require.True(t, ok, "%s", key)
		require.Equal(t, m.value, string(value), "%s", key)
		require.Equal(t, m.expires, millisOf(expires), "%s", key)
	}
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	n := 0
	for it.Next() {
		check(it.Key(), it.Value(), it.Expiry())
		n++
	}
	require.Equal(t, there, n)
	for it.Prev() {
		check(it.Key(), it.Value(), it.Expiry())
		n--
	}
	require.NoError(t, it.Close())
	require.Zero(t, n)
	require.ErrorIs(t, db.Update(func(tx *Txn) error {
		for k, m := range model {
			if m.expires == 0 || m.expires > now {
				require.NoError(t, tx.Merge(BytesAppend, []byte(k), []byte("!")))
			}
		}
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		for it.Next() {
			value := it.Value()
			require.Equal(t, byte('!'), value[len(value)-1])
			check(it.Key(), value[:len(value)-1], it.Expiry())
			n++
		}
		require.NoError(t, it.Close())
		return errUndone
	}), errUndone)
	require.Equal(t, there, n)
}

var errUndone = errors.New("undone")

func millisOf(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMilli()
}
