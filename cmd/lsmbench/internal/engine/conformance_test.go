package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSetGetDelete(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		s.wantAbsent("a")
		s.set("a", "1")
		s.set("b", "2")
		s.want("a", "1")
		s.set("a", "3")
		s.want("a", "3")
		require.NoError(t, s.Delete([]byte("a")))
		require.NoError(t, s.Delete([]byte("never there")))
		s.wantAbsent("a")
		s.want("b", "2")
		s.set("a", "4")
		s.want("a", "4")
	})
}

// TestEncryptedStoresAre: what -encrypt compares is encrypted, in all files.
func TestEncryptedStoresAre(t *testing.T) {
	const canary = "canary-in-the-mine"
	require.True(t, slices.ContainsFunc(All(), Encrypts))
	eachEngine(t, func(t *testing.T, e Engine) {
		if !Encrypts(e) {
			t.Skip("it cannot")
		}
		dir, c := t.TempDir(), small("none")
		require.NoError(t, os.Chmod(dir, 0o700))
		c.Encrypted = true
		require.NotEqual(t, e.Settings(small("none")), e.Settings(c))
		s := open(t, e, dir, c)
		for i := range 20_000 {
			s.set(fmt.Sprintf("%s-%06d", canary, i), canary)
		}
		s.close()
		s = open(t, e, dir, c)
		s.want(canary+"-000007", canary)
		s.close()
		files := 0
		require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			files++
			content, err := os.ReadFile(path)
			require.NotContains(t, string(content), canary, path)
			return err
		}))
		require.Positive(t, files)
	})
}

// TestBuffersCanBeUsedAgain: slices passed in belong to the caller once a call returns.
func TestBuffersCanBeUsedAgain(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		key, value := []byte("k0"), []byte("v0")
		pair := []Pair{{key, value}}
		for i := range byte(10) {
			key[1], value[1] = '0'+i, '0'+i
			if i%2 == 0 {
				require.NoError(t, s.Set(key, value, false))
			} else {
				require.NoError(t, s.SetBatch(pair, false))
			}
		}
		for i := range 10 {
			s.want(fmt.Sprintf("k%d", i), fmt.Sprintf("v%d", i))
		}
	})
}

func TestGetUsesTheBufferItIsGiven(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		s.set("k", "value")
		buf := make([]byte, 0, 64)
		got, found, err := s.Get(buf, []byte("k"))
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, "value", string(got))
		require.Same(t, &buf[:1][0], &got[0], "a copy too many")
	})
}

func TestEmptyAndLargeValues(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		dir := t.TempDir()
		large := make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(large)
		s := open(t, e, dir, small("none"))
		require.NoError(t, s.Set([]byte("empty"), []byte{}, false))
		require.NoError(t, s.Set([]byte("large"), large, true))
		require.NoError(t, s.SetBatch([]Pair{{[]byte("empty2"), []byte{}}, {[]byte("large2"), large}}, false))
		check := func() {
			t.Helper()
			keys := []string{"empty", "empty2", "large", "large2"}
			values := []string{"", "", string(large), string(large)}
			for i, key := range keys {
				s.want(key, values[i])
			}
			got := values[:0:0]
			require.NoError(t, s.MultiGet(bytesOf(keys...), func(_ int, value []byte, found bool) {
				require.True(t, found)
				got = append(got, string(value))
			}))
			require.Equal(t, values, got)
			require.Equal(t, pairsOf("empty", "", "empty2", "", "large", string(large), "large2", string(large)), scan(t, s, nil, false, 10))
			require.Equal(t, pairsOf("large2", string(large), "large", string(large), "empty2", "", "empty", ""), scan(t, s, nil, true, 10))
		}
		check()
		_, err := s.store.Settle(t.Context())
		require.NoError(t, err)
		check()
		s.close()
		s = open(t, e, dir, small("none"))
		check()
		s.close()
	})
}

// TestBatchesAreSeenWhole: no scanner sees half a batch while batches are written.
func TestBatchesAreSeenWhole(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		batch := func(i int) []Pair {
			v := fmt.Appendf(nil, "%d", i)
			return []Pair{{[]byte("a"), v}, {[]byte("b"), v}, {[]byte("c"), v}}
		}
		require.NoError(t, s.SetBatch(batch(0), false))
		var wg sync.WaitGroup
		wg.Go(func() {
			w, err := s.store.NewSession()
			for i := 1; i <= 200 && err == nil; i++ {
				err = w.SetBatch(batch(i), false)
			}
			if err != nil {
				t.Error(err)
				return
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
		defer wg.Wait()
		for last := ""; last != "200"; {
			got := scan(t, s, nil, false, 10)
			require.Len(t, got, 3)
			require.Equal(t, got[0].value, got[1].value)
			require.Equal(t, got[0].value, got[2].value)
			last = got[0].value
		}
	})
}

func TestMultiGet(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		for i := range 500 {
			s.set(fmt.Sprintf("k%03d", i), fmt.Sprintf("v%d", i))
		}
		_, err := s.store.Settle(t.Context())
		require.NoError(t, err)
		s.set("k007", "new")
		require.NoError(t, s.MultiGet(nil, func(int, []byte, bool) { t.Error("visit without a key") }))
		for range 2 {
			var got []string
			err = s.MultiGet(bytesOf("k499", "k007", "absent", "k000", "k007", "z"), func(i int, value []byte, found bool) {
				got = append(got, fmt.Sprintf("%d %s %t", i, value, found))
			})
			require.NoError(t, err)
			require.Equal(t, []string{"0 v499 true", "1 new true", "2  false", "3 v0 true", "4 new true", "5  false"}, got)
		}
	})
}

func TestScan(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		require.Empty(t, scan(t, s, nil, false, 5))
		require.Empty(t, scan(t, s, nil, true, 5))
		require.Empty(t, scan(t, s, []byte("c"), false, 5))
		for _, k := range []string{"h", "b", "f", "x", "d"} {
			s.set(k, "of "+k)
		}
		require.NoError(t, s.Delete([]byte("x")))
		_, err := s.store.Settle(t.Context())
		require.NoError(t, err)
		s.set("d", "of d, again")
		b, d, f, h := pair{"b", "of b"}, pair{"d", "of d, again"}, pair{"f", "of f"}, pair{"h", "of h"}

		sc, err := s.NewScanner()
		require.NoError(t, err)
		for _, c := range []struct {
			from    string
			reverse bool
			n       int
			want    []pair
		}{
			{"", false, 10, []pair{b, d, f, h}},
			{"", false, 4, []pair{b, d, f, h}},
			{"", false, 3, []pair{b, d, f}},
			{"", false, 0, nil},
			{"", true, 10, []pair{h, f, d, b}},
			{"", true, 1, []pair{h}},
			{"d", false, 10, []pair{d, f, h}},
			{"e", false, 10, []pair{f, h}},
			{"e", false, 1, []pair{f}},
			{"a", false, 2, []pair{b, d}},
			{"i", false, 10, nil},
			// In reverse too a scan starts at the first key that is not before from.
			{"f", true, 10, []pair{f, d, b}},
			{"e", true, 2, []pair{f, d}},
			{"a", true, 10, []pair{b}},
			{"i", true, 10, nil},
			{"", false, 10, []pair{b, d, f, h}},
		} {
			from := []byte(c.from)
			if c.from == "" {
				from = nil
			}
			require.Equal(t, c.want, scanWith(t, sc, from, c.reverse, c.n), "%+v", c)
		}
		for _, reverse := range []bool{false, true} {
			visits := 0
			count, err := sc.Scan(nil, reverse, 10, func([]byte, []byte) bool { visits++; return visits < 2 })
			require.NoError(t, err)
			require.Equal(t, 2, count)
			require.Equal(t, 2, visits)
		}
		require.NoError(t, sc.Close())
	})
}

// TestLongScans: what is read from an engine in portions comes without a gap.
func TestLongScans(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		var want []pair
		var batch []Pair
		for i := range 3000 {
			k, v := fmt.Sprintf("k%05d", i), string(bytes.Repeat([]byte{byte(i)}, i%700))
			want = append(want, pair{k, v})
			batch = append(batch, Pair{[]byte(k), []byte(v)})
			if len(batch) == 100 {
				require.NoError(t, s.SetBatch(batch, false))
				batch = batch[:0]
			}
		}
		require.Equal(t, want, scan(t, s, nil, false, 5000))
		require.Equal(t, want[1500:2900], scan(t, s, []byte("k01500"), false, 1400))
		back := scan(t, s, nil, true, 5000)
		require.Len(t, back, len(want))
		for i, p := range back {
			require.Equal(t, want[len(want)-1-i], p)
		}
	})
}

func TestScannerShowsTheStoreAsItWas(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		s.set("a", "1")
		s.set("b", "2")
		sc, err := s.NewScanner()
		require.NoError(t, err)
		s.set("a", "3")
		s.set("c", "4")
		require.NoError(t, s.Delete([]byte("b")))
		for range 2 {
			require.Equal(t, pairsOf("a", "1", "b", "2"), scanWith(t, sc, nil, false, 10))
			require.Equal(t, pairsOf("b", "2", "a", "1"), scanWith(t, sc, nil, true, 10))
		}
		require.Equal(t, pairsOf("a", "3", "c", "4"), scan(t, s, nil, false, 10))
		s.want("a", "3")
		require.NoError(t, sc.Close())
	})
}

func TestSyncedWritesMixWithUnsynced(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		dir := t.TempDir()
		s := open(t, e, dir, small("none"))
		for i := range 20 {
			key, value := fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "v%d", i)
			require.NoError(t, s.Set(key, value, i%3 == 0))
			require.NoError(t, s.SetBatch([]Pair{{append(key, 'b'), value}}, i%2 == 0))
		}
		require.NoError(t, s.Delete([]byte("k19")))
		s.close()
		s = open(t, e, dir, small("none"))
		defer s.close()
		for i := range 19 {
			s.want(fmt.Sprintf("k%d", i), fmt.Sprintf("v%d", i))
			s.want(fmt.Sprintf("k%db", i), fmt.Sprintf("v%d", i))
		}
		s.wantAbsent("k19")
	})
}

// TestSettleCompactVerifyReopen writes several memtables full under every compression.
func TestSettleCompactVerifyReopen(t *testing.T) {
	const keys, rounds = 4000, 3
	value := func(i, round int) string {
		return fmt.Sprintf("%d/%d/%s", i, round, bytes.Repeat([]byte{'x'}, 200))
	}
	eachEngine(t, func(t *testing.T, e Engine) {
		for _, compression := range Compressions {
			t.Run(compression, func(t *testing.T) {
				dir, c := t.TempDir(), small(compression)
				require.NotContains(t, e.Settings(c), "\n")
				s := open(t, e, dir, c)
				check := func() {
					t.Helper()
					for i := 0; i < keys; i += 37 {
						s.want(fmt.Sprintf("k%05d", i), value(i, rounds-1))
					}
					s.wantAbsent("k")
					require.Len(t, scan(t, s, nil, false, 2*keys), keys)
				}
				var batch []Pair
				for round := range rounds {
					for i := range keys {
						batch = append(batch, Pair{fmt.Appendf(nil, "k%05d", i), []byte(value(i, round))})
						if len(batch) == 100 {
							require.NoError(t, s.SetBatch(batch, false))
							batch = batch[:0]
						}
					}
				}
				idle, err := s.store.Settle(t.Context())
				require.NoError(t, err)
				require.GreaterOrEqual(t, idle, time.Duration(0))
				check()
				if err := s.store.Compact(t.Context()); !errors.Is(err, ErrUnsupported) {
					require.NoError(t, err)
				}
				if err := s.store.Verify(t.Context()); !errors.Is(err, ErrUnsupported) {
					require.NoError(t, err)
				}
				stats := s.store.Stats()
				require.GreaterOrEqual(t, min(stats.TableBytesWritten, stats.Syncs, stats.Stalls, int64(stats.StallTime)), int64(Unknown))
				check()
				s.close()
				requireData(t, e, dir)
				s = open(t, e, dir, c)
				check()
				s.close()
			})
		}
	})
}

func TestGoroutinesWithSessionsOfTheirOwn(t *testing.T) {
	const goroutines, each = 4, 300
	eachEngine(t, func(t *testing.T, e Engine) {
		store, err := e.Open(t.TempDir(), small("none"))
		require.NoError(t, err)
		work := func(g int) (err error) {
			s, err := store.NewSession()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			var buf []byte
			for i := range each {
				key := fmt.Appendf(nil, "%d/%d", g, i)
				if err := s.Set(key, key, i%100 == 0); err != nil {
					return err
				}
				v, found, err := s.Get(buf[:0], key)
				if err != nil || !found || !bytes.Equal(v, key) {
					return fmt.Errorf("get of %s after its set: %q %t %w", key, v, found, err)
				}
				buf = v
			}
			return s.Delete(fmt.Appendf(nil, "%d/0", g))
		}
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				if err := work(g); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s := newSession(t, store)
		require.Len(t, scan(t, s, nil, false, 2*goroutines*each), goroutines*(each-1))
		require.NoError(t, s.Close())
		require.NoError(t, store.Close())
	})
}
