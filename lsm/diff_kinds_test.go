package lsm_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Operands and entries that expire, in differences: a copy that takes in each difference and
// lets expire what expires holds what the store holds, whatever flushes and compactions have
// folded and left out meanwhile.
func TestDifferencesOfMergesAndOfWhatExpires(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 16))
			clock := &modelClock{}
			clock.millis.Store(1_000_000)
			o := randomOptions(rnd, vfs.NewMem())
			o.Clock = clock
			if seed%2 == 1 {
				o.BlobThreshold = 16
			}
			db, err := lsm.Open("store", &o)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()

			replica := map[string]lsm.Entry{}
			expiry := map[string]time.Time{}
			var from lsm.Position
			for range 60 {
				for range rnd.IntN(30) {
					changeAtRandom(t, db, rnd)
				}
				if rnd.IntN(3) == 0 {
					require.NoError(t, db.Flush(context.Background()))
				}
				if rnd.IntN(5) == 0 {
					require.NoError(t, db.Compact(context.Background(), nil, nil))
				}
				clock.millis.Add(rnd.Int64N(400))
				if rnd.IntN(2) == 0 {
					continue
				}
				snap, err := db.NewSnapshot()
				require.NoError(t, err)
				at, err := snap.Position()
				require.NoError(t, err)
				for c, err := range snap.Diff(from) {
					require.NoError(t, err)
					takeIn(replica, expiry, c)
				}
				// A snapshot of a store in which nothing expires has no time: it is now.
				maps.DeleteFunc(replica, func(k string, _ lsm.Entry) bool {
					return !expiry[k].IsZero() && !expiry[k].After(db.Now())
				})
				var want []string
				for e, err := range snap.Scan(nil, nil) {
					require.NoError(t, err)
					want = append(want, string(e.Key)+"="+string(e.Value))
					_, until, err := snap.GetWithExpiry(e.Key)
					require.NoError(t, err)
					require.True(t, until.Equal(expiry[string(e.Key)]), "%s expires at %v, not %v", e.Key, until, expiry[string(e.Key)])
				}
				var got []string
				for _, k := range slices.Sorted(maps.Keys(replica)) {
					got = append(got, k+"="+string(replica[k].Value))
				}
				require.Equal(t, want, got)
				require.NoError(t, db.SetHorizon("copy", at))
				require.NoError(t, snap.Close())
				from = at
			}
		})
	}
}

func changeAtRandom(t *testing.T, db *lsm.DB, rnd *rand.Rand) {
	key := fmt.Appendf(nil, "k%02d", rnd.IntN(40))
	ttl := time.Duration(1+rnd.IntN(900)) * time.Millisecond
	switch rnd.IntN(12) {
	case 0:
		require.NoError(t, db.Delete(key, lsm.NoSync))
	case 1:
		upper := fmt.Appendf(nil, "k%02d", rnd.IntN(40))
		if string(upper) > string(key) {
			require.NoError(t, db.DeleteRange(key, upper, lsm.NoSync))
		}
	case 2:
		long := append(lsm.Int64Bytes(rnd.Int64N(100)), make([]byte, 40)...)
		require.NoError(t, db.SetWithTTL(append(key, '+'), long, ttl, lsm.NoSync))
		require.NoError(t, db.Set(append(key, '-'), long, lsm.NoSync))
		require.NoError(t, db.Merge(lsm.BytesAppend, append(key, '-'), long[:20], lsm.NoSync))
	case 3:
		require.NoError(t, db.Set(key, lsm.Int64Bytes(rnd.Int64N(100)), lsm.NoSync))
	case 4, 5, 6:
		require.NoError(t, db.SetWithTTL(key, lsm.Int64Bytes(rnd.Int64N(100)), ttl, lsm.NoSync))
	default:
		require.NoError(t, db.Merge(lsm.Int64Add, key, lsm.Int64Bytes(rnd.Int64N(100)), lsm.NoSync))
	}
}

// takeIn applies a change to a copy of a store that has no scopes.
func takeIn(replica map[string]lsm.Entry, expiry map[string]time.Time, c lsm.Change) {
	switch c.Kind {
	case lsm.ChangeSet:
		replica[string(c.Key)] = lsm.Entry{Value: slices.Clone(c.Value)}
		expiry[string(c.Key)] = c.Expiry
	case lsm.ChangeDelete:
		delete(replica, string(c.Key))
		delete(expiry, string(c.Key))
	case lsm.ChangeDeleteRange:
		maps.DeleteFunc(replica, func(k string, _ lsm.Entry) bool {
			gone := k >= string(c.Key) && (c.Upper == nil || k < string(c.Upper))
			if gone {
				delete(expiry, k)
			}
			return gone
		})
	}
}
