package lsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// A transaction several times larger than a memtable, and than a segment of the log, is
// there whole or not at all, wherever the power is cut; once acknowledged as synced it is
// there.
func TestALargeTransactionIsWholeOrAbsentAfterAPowerCut(t *testing.T) {
	for _, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
		for _, w := range []*lsm.WriteOptions{lsm.Sync, lsm.NoSync} {
			t.Run(fmt.Sprintf("mode=%d,unsynced=%v", mode, w.Unsynced), func(t *testing.T) {
				// Of each mode one is encrypted, and of each kind of commit.
				encrypted := (mode == lsm.LogMapped) == w.Unsynced
				o := lsm.Options{LogMode: mode, SyncInterval: -1, Encryption: encryptionIf(encrypted)}
				open := func(fs vfs.FS) *lsm.DB {
					seams.Inject(&o, seams.Seams{FS: fs, Sizing: seams.Sizing{
						MinSegmentBytes: 8 << 10, MaxSegmentBytes: 8 << 10, MinMemtableBytes: 8 << 10,
						MemtableBytes: 8 << 10, BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 8 << 10,
					}})
					db, err := lsm.Open("db", &o)
					require.NoError(t, err)
					return db
				}
				mem := vfs.NewCrashMem()
				db := open(mem)
				for i := range 20 {
					require.NoError(t, db.Set(fmt.Appendf(nil, "k%03d", i), []byte("old"), nil))
				}
				from := mem.Ops()
				require.NoError(t, db.Update(func(tx *lsm.Txn) error {
					tx.SetWriteOptions(w)
					_, err := tx.Get([]byte("k000"))
					require.NoError(t, err)
					for i := range 300 {
						require.NoError(t, tx.Set(fmt.Appendf(nil, "k%03d", i+10), bytes.Repeat([]byte{'n'}, 100)))
					}
					return tx.Delete([]byte("k000"))
				}))
				acknowledged := mem.Ops()
				require.NoError(t, db.Close())
				closed := mem.Ops()
				states, whole := 0, 0
				every := 5
				if testing.Short() {
					every = 20
				}
				if encrypted {
					every *= 4
				}
				for e, k := mem.Explore(), from; k <= closed; k++ {
					if e.AdvanceTo(k); k%every > 0 && k != from && k != acknowledged && k != closed {
						continue
					}
					for s := range e.States(vfs.StateOptions{Pending: 2, Cuts: 2}) {
						states++
						if largeTransaction(t, open(s.Mem()), s.String()) {
							whole++
							continue
						}
						require.False(t, k >= acknowledged && !w.Unsynced || k == closed, "%s: it was acknowledged", s)
					}
				}
				t.Logf("%d states, %d with the transaction", states, whole)
				require.Positive(t, whole)
				require.Less(t, whole, states)
			})
		}
	}
}

// largeTransaction reports whether a store holds the transaction of the test above, closes
// it, and fails on anything between.
func largeTransaction(t *testing.T, db *lsm.DB, what string) bool {
	var before, after []string
	for i := range 310 {
		if i < 20 {
			before = append(before, fmt.Sprintf("k%03d=old", i))
		}
		switch {
		case i >= 10:
			after = append(after, fmt.Sprintf("k%03d=%s", i, bytes.Repeat([]byte{'n'}, 100)))
		case i > 0:
			after = append(after, fmt.Sprintf("k%03d=old", i))
		}
	}
	got := entries(t, db)
	require.NoError(t, db.Close())
	if slices.Equal(got, after) {
		return true
	}
	require.Equal(t, before, got, what)
	return false
}
