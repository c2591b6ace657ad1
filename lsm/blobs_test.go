package lsm_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// openBlobs opens a store on fs that puts values of 100 bytes and more into blob files.
func openBlobs(t *testing.T, fs vfs.FS, change func(*lsm.Options, *seams.Sizing)) *lsm.DB {
	t.Helper()
	o := lsm.Options{BlobThreshold: 100, CompactionWorkers: 1, Compression: lsm.NoCompression}
	z := seams.Sizing{
		MinMemtableBytes: 64 << 10, MemtableBytes: 64 << 10, BudgetBytes: 1 << 20, TableBytes: 64 << 10,
		MinSegmentBytes: 64 << 10, MaxSegmentBytes: 64 << 10, ManifestBytes: 16 << 10, SettleAfter: time.Hour,
	}
	if change != nil {
		change(&o, &z)
	}
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: z})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// large is a value of n bytes that says what it is.
func large(name string, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s/", name), n/(len(name)+1)+1)[:n]
}

func flush(t *testing.T, db *lsm.DB) {
	t.Helper()
	require.NoError(t, db.Flush(context.Background()))
}

func compactAll(t *testing.T, db *lsm.DB) {
	t.Helper()
	require.NoError(t, db.Compact(context.Background(), nil, nil))
}

// blobNames returns the blob files in the store's directory.
func blobNames(t *testing.T, fs vfs.FS) (out []string) {
	t.Helper()
	names, err := fs.List("db")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".blob") {
			out = append(out, name)
		}
	}
	return out
}

// Every way to read finds values in blob files, through compactions and in another life.
func TestValuesInBlobFilesAreReadAsOthersAre(t *testing.T) {
	for _, c := range []lsm.Compression{lsm.NoCompression, lsm.S2, lsm.Zstd, lsm.S2ThenZstd} {
		t.Run(c.String(), func(t *testing.T) {
			fs := vfs.NewMem()
			open := func() *lsm.DB {
				return openBlobs(t, fs, func(o *lsm.Options, _ *seams.Sizing) { o.Compression = c })
			}
			db := open()
			want := map[string]string{}
			set := func(key string, value []byte) {
				require.NoError(t, db.Set([]byte(key), value, lsm.NoSync))
				want[key] = string(value)
			}
			for i := range 40 {
				set(fmt.Sprintf("k%02d", i), large(fmt.Sprint(i), 50*i+1))
			}
			set("giant", large("giant", 3<<20+17))
			flush(t, db)
			require.NotEmpty(t, blobNames(t, fs))
			require.Positive(t, db.Metrics().BlobBytes)
			sc, err := db.Scope(scope.Agent("a"))
			require.NoError(t, err)
			require.NoError(t, sc.Set([]byte("k"), large("scoped", 5000), nil))
			for i := 0; i < 40; i += 3 {
				set(fmt.Sprintf("k%02d", i), large(fmt.Sprint("new", i), 4000-50*i))
			}
			snap, err := db.NewSnapshot()
			require.NoError(t, err)
			require.NoError(t, db.Set([]byte("k01"), large("unseen", 3000), nil))
			check := func() {
				t.Helper()
				readsAll(t, db, want)
				got, err := sc.Get([]byte("k"))
				require.NoError(t, err)
				require.Equal(t, large("scoped", 5000), got)
			}
			want["k01"] = string(large("unseen", 3000))
			check()
			flush(t, db)
			check()
			compactAll(t, db)
			check()
			require.NoError(t, db.Verify(context.Background()))
			old, err := snap.Get([]byte("k01"))
			require.NoError(t, err)
			require.Equal(t, string(large("1", 51)), string(old))
			require.NoError(t, snap.Close())
			require.NoError(t, db.Close())
			db = open()
			sc, err = db.Scope(scope.Agent("a"))
			require.NoError(t, err)
			check()
		})
	}
}

// readsAll compares the root scope with want by every way of reading.
func readsAll(t *testing.T, db *lsm.DB, want map[string]string) {
	t.Helper()
	for k, v := range want {
		got, err := db.AppendGet([]byte("before "), []byte(k))
		require.NoError(t, err)
		require.True(t, "before "+v == string(got), k)
		has, err := db.Has([]byte(k))
		require.NoError(t, err)
		require.True(t, has)
		got, version, err := db.GetWithVersion([]byte(k))
		require.NoError(t, err)
		require.True(t, v == string(got))
		require.NotZero(t, version)
	}
	n := 0
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		require.True(t, want[string(e.Key)] == string(e.Value), "%s", e.Key)
		n++
	}
	require.Len(t, want, n)
	for e, err := range db.ScanReverse(nil, nil) {
		require.NoError(t, err)
		require.True(t, want[string(e.Key)] == string(e.Value), "%s", e.Key)
		n--
	}
	require.Zero(t, n)
	require.NoError(t, db.View(func(tx *lsm.Txn) error {
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		for it.Next() {
			require.True(t, want[string(it.Key())] == string(it.Value()), "%s", it.Key())
		}
		return it.Close()
	}))
}

// Random overwrites leave no more than the bound once the store is at rest.
func TestBlobFilesKeepToTheirBound(t *testing.T) {
	for _, percent := range []int{0, 120, 300} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := vfs.NewMem()
				db := openBlobs(t, fs, func(o *lsm.Options, z *seams.Sizing) {
					o.BlobSpacePercent, z.SettleAfter = percent, time.Second
				})
				if percent == 0 {
					percent = 150
				}
				rnd := rand.New(rand.NewPCG(uint64(percent), 1))
				want := map[string]string{}
				for round := range 3 {
					for range 1500 {
						k := fmt.Sprintf("k%03d", rnd.IntN(200))
						v := large(fmt.Sprint(rnd.IntN(1e6)), 500+rnd.IntN(1500))
						require.NoError(t, db.Set([]byte(k), v, lsm.NoSync))
						want[k] = string(v)
					}
					if round == 1 {
						require.NoError(t, db.DeleteRange([]byte("k05"), []byte("k10"), lsm.NoSync))
						for k := range want {
							if k >= "k05" && k < "k10" {
								delete(want, k)
							}
						}
					}
					flush(t, db)
					time.Sleep(time.Minute)
					live := 0
					for _, v := range want {
						live += len(v)
					}
					m := db.Metrics()
					require.LessOrEqual(t, m.BlobBytes*100, int64(live*percent)+int64(m.BlobFiles)*100*1000, "%+v", m)
					readsAll(t, db, want)
				}
				require.NoError(t, db.Verify(context.Background()))
				before := db.Metrics()
				time.Sleep(time.Hour)
				require.Equal(t, before.BlobBytesWritten, db.Metrics().BlobBytesWritten, "at rest nothing is moved")
				require.NoError(t, db.DeleteRange(nil, nil, nil))
				time.Sleep(time.Minute)
				require.Zero(t, db.Metrics().BlobFiles)
				require.Empty(t, blobNames(t, fs))
				require.NoError(t, db.Close())
			})
		})
	}
}
