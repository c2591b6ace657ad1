package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The abilities, by operations of the engine's own or by stand-ins: the same tests for
// both, and for stand-ins on engines that have no need of them.

// bare is a session without abilities.
type bare struct{ Session }

func TestDeleteBatch(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		for _, k := range []string{"a", "b", "c", "d"} {
			s.set(k, "of "+k)
		}
		require.NoError(t, s.DeleteBatch(bytesOf("b", "absent", "d")))
		require.NoError(t, s.DeleteBatch(bytesOf("b")))
		require.Equal(t, pairsOf("a", "of a", "c", "of c"), scan(t, s, nil, false, 10))
		s.set("b", "again")
		s.want("b", "again")
	})
}

func TestRanges(t *testing.T) {
	test := func(t *testing.T, s *opened, d RangeDeleter) {
		const keys = 2600 // more than two batches of a stand-in
		want := map[string]bool{}
		var batch []Pair
		for i := range keys {
			k := fmt.Sprintf("k%05d", i)
			want[k] = true
			batch = append(batch, Pair{[]byte(k), []byte("value")})
			if len(batch) == 100 {
				require.NoError(t, s.SetBatch(batch, false))
				batch = batch[:0]
			}
			if i == keys/2 {
				_, err := s.store.Settle(t.Context())
				require.NoError(t, err)
			}
		}
		for _, r := range [][2]string{
			{"k00000", "k00001"}, {"k00010", "k00020"}, {"k000151", "k00030"}, {"k00040", "k02500"},
			{"k00040", "k00050"}, {"k02590", "l"}, {"x", "y"}, {"a", "b"},
		} {
			lower, upper := []byte(r[0]), []byte(r[1])
			require.NoError(t, d.DeleteRange(lower, upper))
			clear(lower)
			for k := range want {
				if r[0] <= k && k < r[1] {
					delete(want, k)
				}
			}
		}
		check := func() {
			t.Helper()
			got := scan(t, s, nil, false, keys)
			require.Len(t, got, len(want))
			for _, p := range got {
				require.True(t, want[p.key], p.key)
			}
			s.wantAbsent("k00040")
			s.want("k02500", "value")
		}
		check()
		_, err := s.store.Settle(t.Context())
		require.NoError(t, err)
		check()
		s.set("k00045", "new")
		s.want("k00045", "new")
	}
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		d, _ := Ranges(s.Session)
		test(t, s, d)
	})
	t.Run("stand-in", func(t *testing.T) {
		s := open(t, loamEngine{}, t.TempDir(), small("none"))
		defer s.close()
		d, how := Ranges(bare{s.Session})
		require.Contains(t, how, "scan")
		test(t, s, d)
	})
}

// scopeEntries scans a scope.
func scopeEntries(t *testing.T, sc Scoper, scope string) []pair {
	t.Helper()
	var got []pair
	n, err := sc.ScanIn([]byte(scope), func(key, value []byte) { got = append(got, pair{string(key), string(value)}) })
	require.NoError(t, err)
	require.Equal(t, len(got), n)
	return got
}

func TestScopes(t *testing.T) {
	test := func(t *testing.T, sc Scoper) {
		key, value := []byte("k0"), []byte("v0")
		set := func(scope string, sync bool, keys ...string) {
			t.Helper()
			var pairs []Pair
			for _, k := range keys {
				pairs = append(pairs, Pair{[]byte(k), []byte(scope + " " + k)})
			}
			require.NoError(t, sc.SetIn([]byte(scope), pairs, sync))
		}
		require.Empty(t, scopeEntries(t, sc, "a"))
		require.NoError(t, sc.DropScope([]byte("a")))
		set("a", false, "z", "x", "y")
		set("a1", true, "x")
		set("a-", false, "w/x", "w")
		for i := range byte(3) { // buffers are the caller's
			key[1], value[1] = '0'+i, '0'+i
			require.NoError(t, sc.SetIn([]byte("b"), []Pair{{key, value}}, false))
		}
		require.Equal(t, pairsOf("x", "a x", "y", "a y", "z", "a z"), scopeEntries(t, sc, "a"))
		require.Equal(t, pairsOf("x", "a1 x"), scopeEntries(t, sc, "a1"))
		require.Equal(t, pairsOf("w", "a- w", "w/x", "a- w/x"), scopeEntries(t, sc, "a-"))
		require.Equal(t, pairsOf("k0", "v0", "k1", "v1", "k2", "v2"), scopeEntries(t, sc, "b"))

		require.NoError(t, sc.CopyScope([]byte("a"), []byte("copy")))
		require.NoError(t, sc.SetIn([]byte("a"), []Pair{{[]byte("x"), []byte("new")}, {[]byte("more"), []byte{}}}, false))
		require.Equal(t, pairsOf("x", "a x", "y", "a y", "z", "a z"), scopeEntries(t, sc, "copy"))
		require.Equal(t, pairsOf("more", "", "x", "new", "y", "a y", "z", "a z"), scopeEntries(t, sc, "a"))

		require.NoError(t, sc.DropScope([]byte("a")))
		require.Empty(t, scopeEntries(t, sc, "a"))
		require.Equal(t, pairsOf("x", "a1 x"), scopeEntries(t, sc, "a1"))
		require.Len(t, scopeEntries(t, sc, "a-"), 2)
		require.Len(t, scopeEntries(t, sc, "copy"), 3)
		set("a", false, "k")
		require.Equal(t, pairsOf("k", "a k"), scopeEntries(t, sc, "a"))
		large := strings.Repeat("v", 2000)
		var pairs []Pair
		for i := range 300 {
			pairs = append(pairs, Pair{fmt.Appendf(nil, "%04d", i), []byte(large)})
		}
		for len(pairs) > 0 {
			require.NoError(t, sc.SetIn([]byte("large"), pairs[:20], false))
			pairs = pairs[20:]
		}
		require.Len(t, scopeEntries(t, sc, "large"), 300)
		require.NoError(t, sc.DropScope([]byte("large")))
		require.Empty(t, scopeEntries(t, sc, "large"))
	}
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		sc, _ := Scopes(s.Session)
		test(t, sc)
	})
	t.Run("stand-in", func(t *testing.T) {
		s := open(t, loamEngine{}, t.TempDir(), small("none"))
		defer s.close()
		sc, how := Scopes(bare{s.Session})
		require.Contains(t, how, "prefix")
		test(t, sc)
	})
}

// TestTransactions counts in two keys at once, from several goroutines: no count is lost.
func TestTransactions(t *testing.T) {
	const goroutines, each = 4, 100
	test := func(t *testing.T, e Engine, hide bool) {
		c := small("none")
		c.Conflicts = true
		s := open(t, e, t.TempDir(), c)
		defer s.close()
		var lock sync.Mutex
		transactions := func(session Session) Transactor {
			if hide {
				session = bare{session}
			}
			txns, how := Transactions(session, &lock)
			require.True(t, !hide || strings.Contains(how, "lock"))
			return txns
		}
		keys := [][]byte{[]byte("left"), []byte("right")}
		value := make([]byte, 8)
		count := func(tx Txn) error {
			for _, key := range keys {
				v, found, err := tx.Get(make([]byte, 0, 8), key)
				if err != nil {
					return err
				}
				n := uint64(0)
				if found {
					n = binary.BigEndian.Uint64(v)
				}
				if err := tx.Set(key, binary.BigEndian.AppendUint64(nil, n+1)); err != nil {
					return err
				}
				// Own writes are seen, and buffers are the caller's.
				own, found, err := tx.Get(nil, key)
				if err != nil || !found || binary.BigEndian.Uint64(own) != n+1 {
					return fmt.Errorf("own write of %q: %x %t %w", key, own, found, err)
				}
			}
			return nil
		}
		var wg sync.WaitGroup
		for range goroutines {
			session := newSession(t, s.store)
			txns := transactions(session)
			wg.Go(func() {
				for range each {
					if retries, err := txns.Transact(false, count); err != nil || retries < 0 {
						t.Error(err, retries)
						break
					}
				}
				if err := session.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, key := range keys {
			v, found, err := s.Get(nil, key)
			require.NoError(t, err)
			require.True(t, found)
			require.EqualValues(t, goroutines*each, binary.BigEndian.Uint64(v))
		}
		failed := errors.New("changed its mind")
		_, err := transactions(s.Session).Transact(false, func(tx Txn) error {
			copy(value, "whatever")
			require.NoError(t, tx.Set(keys[0], value))
			return failed
		})
		require.ErrorIs(t, err, failed)
		v, _, err := s.Get(nil, keys[0])
		require.NoError(t, err)
		require.NotEqual(t, "whatever", string(v))
		s.set("after", "it all goes on")
	}
	eachEngine(t, func(t *testing.T, e Engine) { test(t, e, false) })
	t.Run("stand-in", func(t *testing.T) { test(t, loamEngine{}, true) })
}

func TestCheckpoints(t *testing.T) {
	const keys = 3000
	test := func(t *testing.T, e Engine, hide bool) {
		c := small("none")
		s := open(t, e, filepath.Join(t.TempDir(), "store"), c)
		defer s.close()
		var batch []Pair
		for i := range keys {
			batch = append(batch, Pair{fmt.Appendf(nil, "k%05d", i), fmt.Appendf(nil, "value of %d", i)})
			if len(batch) == 500 {
				require.NoError(t, s.SetBatch(batch, false))
				batch = batch[:0]
			}
			if i == keys/2 {
				_, err := s.store.Settle(t.Context())
				require.NoError(t, err)
			}
		}
		cp, _ := Checkpoints(e, c, s.store)
		if hide {
			var how string
			cp, how = Checkpoints(e, c, bareStore{s.store})
			require.Contains(t, how, "scan")
		}
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, cp.Checkpoint(t.Context(), dir))
		s.set("k00000", "changed since")
		o := open(t, e, dir, c)
		require.Len(t, scan(t, o, nil, false, 2*keys), keys)
		o.want("k00000", "value of 0")
		o.want(fmt.Sprintf("k%05d", keys-1), fmt.Sprintf("value of %d", keys-1))
		o.set("k00001", "of the copy")
		o.close()
		s.want("k00001", "value of 1")
		require.Len(t, scan(t, s, nil, false, 2*keys), keys)
	}
	eachEngine(t, func(t *testing.T, e Engine) { test(t, e, false) })
	t.Run("stand-in", func(t *testing.T) { test(t, loamEngine{}, true) })
}

// bareStore is a store without abilities.
type bareStore struct{ Store }

// TestSyncedWritersOfSeveralGoroutines: engines may let them share commits.
func TestSyncedWritersOfSeveralGoroutines(t *testing.T) {
	const goroutines, each = 8, 10
	eachEngine(t, func(t *testing.T, e Engine) {
		dir := t.TempDir()
		s := open(t, e, dir, small("none"))
		var wg sync.WaitGroup
		for g := range goroutines {
			session := newSession(t, s.store)
			wg.Go(func() {
				key := make([]byte, 0, 16)
				for i := range each {
					key = fmt.Appendf(key[:0], "%d/%d", g, i)
					if err := session.Set(key, key, g > 0); err != nil {
						t.Error(err)
					}
				}
				if err := session.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s.close()
		s = open(t, e, dir, small("none"))
		defer s.close()
		require.Len(t, scan(t, s, nil, false, 1000), goroutines*each)
	})
}
