package lsm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// A transaction over the root, a scope that is there and one that it makes is there whole or
// not at all, the new scope's name included, wherever the power is cut; once acknowledged as
// synced it is there.
func TestATransactionOverScopesIsWholeOrAbsentAfterAPowerCut(t *testing.T) {
	old, fresh := scope.Agent("old"), scope.Agent("fresh")
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
				for i := range 10 {
					require.NoError(t, handle(t, db, old).Set(fmt.Appendf(nil, "k%d", i), []byte("old"), nil))
				}
				require.NoError(t, db.Set([]byte("root"), []byte("old"), nil))
				before := everything(t, db)
				from := mem.Ops()
				require.NoError(t, db.Update(func(tx *lsm.Txn) error {
					tx.SetWriteOptions(w)
					_, err := in(t, tx, old).Get([]byte("k0"))
					require.NoError(t, err)
					require.NoError(t, in(t, tx, old).DeleteRange([]byte("k3"), []byte("k6")))
					for i := range 120 {
						require.NoError(t, in(t, tx, old).Set(fmt.Appendf(nil, "new%03d", i), make([]byte, 50)))
						require.NoError(t, in(t, tx, fresh).Set(fmt.Appendf(nil, "new%03d", i), make([]byte, 50)))
					}
					return tx.Set([]byte("root"), []byte("new"))
				}))
				after := everything(t, db)
				require.NotEqual(t, before, after)
				acknowledged := mem.Ops()
				require.NoError(t, db.Close())
				closed := mem.Ops()
				states, whole := 0, 0
				every := 1
				if testing.Short() {
					every = 15
				}
				if encrypted {
					every *= 4
				}
				for e, k := mem.Explore(), from; k <= closed; k++ {
					if e.AdvanceTo(k); k%every > 0 && k != from && k != acknowledged && k != closed {
						continue
					}
					for s := range e.States(vfs.StateOptions{Pending: 2, Cuts: 2}) {
						db := open(s.Mem())
						got := everything(t, db)
						require.NoError(t, db.Close())
						if states++; got == after {
							whole++
							continue
						}
						require.Equal(t, before, got, s.String())
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

// everything returns what a store holds in the root and in all scopes, as text.
func everything(t *testing.T, db *lsm.DB) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, entries(t, db))
	for s, err := range db.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		fmt.Fprintln(&b, s, dump(t, handle(t, db, s)))
	}
	return b.String()
}
