package lsm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// A million scopes of ten keys each, in the long lane; two thousand otherwise. The times
// that it logs are in docs/scopes.md; it asserts none, but that memory stays bounded.
func TestAMillionScopes(t *testing.T) {
	scopes, uses := 2_000, 2_000
	if os.Getenv("LOAM_LONG") != "" {
		scopes, uses = 1_000_000, 200_000
	}
	m := million{t: t, dir: t.TempDir(), scopes: scopes, rnd: rand.New(rand.NewPCG(1, 2))}
	m.open()
	m.timed("make each with ten keys", scopes, func() {
		for i := range scopes {
			b := m.handle(i).NewBatch()
			for k := range 10 {
				b.Set(fmt.Appendf(nil, "key-%d", k), fmt.Appendf(nil, "value %d of %d", k, i))
			}
			require.NoError(t, m.db.Apply(b, lsm.NoSync))
		}
	})
	require.NoError(t, m.db.Flush(context.Background()))
	m.timed("close", 1, func() { require.NoError(t, m.db.Close()) })
	m.timed("open", 1, m.open)
	defer func() { require.NoError(t, m.db.Close()) }()
	m.timed("first read", 1, func() { m.get(scopes / 2) })
	m.timed("list all", scopes, func() { require.Equal(t, scopes, m.list("")) })
	m.timed("list a hundredth", scopes/100, func() { require.Equal(t, scopes/100, m.list("00")) })
	m.timed("read from a random one", uses, func() {
		for range uses {
			m.get(m.rnd.IntN(scopes))
		}
	})
	m.timed("write to a random one", uses, func() {
		for range uses {
			require.NoError(t, m.handle(m.rnd.IntN(scopes)).Set([]byte("more"), []byte("value"), lsm.NoSync))
		}
	})
	at := m.position()
	require.NoError(t, m.handle(scopes/3).Set([]byte("more"), []byte("new"), lsm.NoSync))
	m.timed("difference of one key", 1, func() { require.Equal(t, 1, m.changed(at)) })
	require.NoError(t, m.db.Flush(context.Background()))
	m.timed("the same, flushed", 1, func() { require.Equal(t, 1, m.changed(at)) })
	hot := m.handle(7)
	m.timed("read from the same one", uses, func() {
		for range uses {
			_, err := hot.Get([]byte("key-3"))
			require.NoError(t, err)
		}
	})
	m.timed("stats of a random one", uses/10, func() {
		for range uses / 10 {
			st, err := m.handle(m.rnd.IntN(scopes)).Stats()
			require.NoError(t, err)
			require.True(t, st.Exact)
			require.GreaterOrEqual(t, st.Entries, int64(10))
		}
	})
	m.timed("drop every tenth", scopes/10, func() {
		for i := 0; i < scopes; i += 10 {
			require.NoError(t, m.handle(i).Drop(lsm.NoSync))
		}
	})
	m.timed("read from a random one", uses, func() {
		for range uses {
			m.get(m.rnd.IntN(scopes/10)*10 + 1)
		}
	})
	require.Equal(t, scopes-scopes/10, m.list(""))
	_, err := m.handle(0).Get([]byte("key-0"))
	require.ErrorIs(t, err, lsm.ErrNotFound)
}

type million struct {
	t      *testing.T
	dir    string
	scopes int
	rnd    *rand.Rand
	db     *lsm.DB
	before uint64 // bytes of the heap
}

func (m *million) open() {
	db, err := lsm.Open(m.dir, nil)
	require.NoError(m.t, err)
	m.db = db
	if m.before == 0 {
		m.before = heap()
	}
}

// handle makes a handle each time, as a program with a million scopes does.
func (m *million) handle(i int) *lsm.Scope {
	sc, err := m.db.Scope(scope.Session(fmt.Sprintf("%08d", i*(100_000_000/m.scopes))))
	require.NoError(m.t, err)
	return sc
}

func (m *million) get(i int) {
	v, err := m.handle(i).Get([]byte("key-3"))
	require.NoError(m.t, err)
	require.Equal(m.t, fmt.Sprintf("value 3 of %d", i), string(v))
}

func (m *million) position() lsm.Position {
	snap, err := m.db.NewSnapshot()
	require.NoError(m.t, err)
	defer snap.Close()
	at, err := snap.Position()
	require.NoError(m.t, err)
	return at
}

// changed counts what has changed since.
func (m *million) changed(since lsm.Position) int {
	snap, err := m.db.NewSnapshot()
	require.NoError(m.t, err)
	defer snap.Close()
	n := 0
	for _, err := range snap.Diff(since) {
		require.NoError(m.t, err)
		n++
	}
	return n
}

func (m *million) list(prefix string) int {
	n := 0
	for _, err := range m.db.ListScopes(scope.KindSession, prefix) {
		require.NoError(m.t, err)
		n++
	}
	return n
}

func (m *million) timed(what string, n int, f func()) {
	m.t.Helper()
	start := time.Now()
	f()
	took := time.Since(start)
	used := int64(heap()) - int64(m.before)
	m.t.Logf("%-24s %9v, %8d of them, %8v each, heap +%.1f MiB", what, took.Round(time.Millisecond), n,
		(took / time.Duration(max(n, 1))).Round(10*time.Nanosecond), float64(used)/(1<<20))
	require.Less(m.t, used, int64(128<<20), "%s: what is kept of scopes is bounded", what)
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
