package lsm

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// What a transaction has kept from being dropped goes when it has ended, whether the
// store is at rest by then, or at work and left alone afterwards.
func TestSpaceReturnsAfterATransaction(t *testing.T) {
	for _, inside := range []time.Duration{0, time.Minute} {
		t.Run(inside.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := small()
				z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes, z.SettleAfter = 1<<20, 1<<20, 8<<20, time.Second
				z.MinSegmentBytes, z.MaxSegmentBytes = 64<<10, 256<<10
				db := openSized(t, vfs.NewMem(), Options{Compression: NoCompression}, z)
				for i := range 1000 {
					require.NoError(t, db.Set(fmt.Appendf(nil, "k%04d", i), make([]byte, 4<<10), NoSync))
				}
				time.Sleep(time.Minute)
				require.NoError(t, db.View(func(tx *Txn) error {
					for i := range 1000 {
						require.NoError(t, db.Delete(fmt.Appendf(nil, "k%04d", i), NoSync))
					}
					time.Sleep(inside)
					n := 0
					for _, err := range tx.Scan(nil, nil) {
						require.NoError(t, err)
						n++
					}
					require.Equal(t, 1000, n)
					return nil
				}))
				time.Sleep(time.Minute)
				requireEmpty(t, db)
				require.NoError(t, db.Close())
			})
		})
	}
}
