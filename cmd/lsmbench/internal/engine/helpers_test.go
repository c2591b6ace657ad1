package engine

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests of conformance_test.go run on every engine of the build: with
// -tags "peers rocksdb lmdb" on all of them.

// small is a configuration whose memtable a test can fill.
func small(compression string) Config {
	return Config{
		MemtableBytes: 1 << 20,
		BudgetBytes:   32 << 20,
		FilterBits:    10,
		BlockBytes:    4096,
		Compression:   compression,
		Compactions:   2,
	}
}

// eachEngine runs a test for each engine of the build, once the test that calls it has
// returned, beside others: most of their time they wait, for the device or for an engine that
// closes slowly.
func eachEngine(t *testing.T, test func(t *testing.T, e Engine)) {
	t.Parallel()
	for _, e := range All() {
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// opened is a store with a session, to be closed by close.
type opened struct {
	Session
	store Store
	t     *testing.T
}

func open(t *testing.T, e Engine, dir string, c Config) *opened {
	t.Helper()
	store, err := e.Open(dir, c)
	require.NoError(t, err)
	return &opened{newSession(t, store), store, t}
}

func newSession(t *testing.T, store Store) Session {
	t.Helper()
	s, err := store.NewSession()
	require.NoError(t, err)
	return s
}

func (o *opened) close() {
	o.t.Helper()
	require.NoError(o.t, o.Session.Close())
	require.NoError(o.t, o.store.Close())
}

func (o *opened) set(key, value string) {
	o.t.Helper()
	require.NoError(o.t, o.Set([]byte(key), []byte(value), false))
}

// want checks what Get appends; that absent is no value is for wantAbsent.
func (o *opened) want(key, value string) {
	o.t.Helper()
	got, found, err := o.Get([]byte("prefix/"), []byte(key))
	require.NoError(o.t, err)
	require.True(o.t, found, key)
	require.Equal(o.t, "prefix/"+value, string(got))
}

func (o *opened) wantAbsent(key string) {
	o.t.Helper()
	got, found, err := o.Get([]byte("prefix/"), []byte(key))
	require.NoError(o.t, err)
	require.False(o.t, found, key)
	require.Equal(o.t, "prefix/", string(got))
}

// pair is an entry that a scan visited.
type pair struct{ key, value string }

func pairsOf(s ...string) (pairs []pair) {
	for i := 0; i < len(s); i += 2 {
		pairs = append(pairs, pair{s[i], s[i+1]})
	}
	return pairs
}

func bytesOf(s ...string) (b [][]byte) {
	for _, s := range s {
		b = append(b, []byte(s))
	}
	return b
}

// scan reads with a scanner of its own.
func scan(t *testing.T, s Session, from []byte, reverse bool, n int) []pair {
	t.Helper()
	sc, err := s.NewScanner()
	require.NoError(t, err)
	got := scanWith(t, sc, from, reverse, n)
	require.NoError(t, sc.Close())
	return got
}

func scanWith(t *testing.T, sc Scanner, from []byte, reverse bool, n int) []pair {
	t.Helper()
	var got []pair
	count, err := sc.Scan(from, reverse, n, func(key, value []byte) bool {
		got = append(got, pair{string(key), string(value)})
		return true
	})
	require.NoError(t, err)
	require.Equal(t, count, len(got))
	return got
}

// requireData checks that not every byte of a closed store is called log.
func requireData(t *testing.T, e Engine, dir string) {
	t.Helper()
	data := int64(0)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !e.LogFile(name) {
			data += info.Size()
		}
		return err
	}))
	require.Positive(t, data, "every file counts as a log")
}
