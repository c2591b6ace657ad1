package lsm_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// The memory budget is kept: a store many times its size is filled in random order, read in
// random order and scanned, and what the process holds in memory of its own, looked at
// every few calls, is at most a quarter more. The long form is 4 GiB under a budget of 128 MiB:
// 157 MiB were seen. The short one has a budget so small that what every process of Go has
// and every store needs, some 10 MiB, must be allowed for.
//
// It runs in a process of its own: what other tests have left in the heap would count.
func TestTheMemoryBudgetIsKept(t *testing.T) {
	if invariants.Enabled || testing.Short() {
		t.Skip("the checks of such a build take memory of their own")
	}
	if os.Getenv("LOAM_BUDGET_CHILD") != "" {
		fillAndReadWithinTheBudget(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestTheMemoryBudgetIsKept$", "-test.v", "-test.timeout", "30m")
	child.Env = append(os.Environ(), "LOAM_BUDGET_CHILD=1", "GOGC=100", "GOMEMLIMIT=off") // as users have it
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "MiB") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func fillAndReadWithinTheBudget(t *testing.T) {
	budget, total, fixed := int64(32<<20), int64(96<<20), int64(16<<20)
	if os.Getenv("LOAM_LONG") != "" {
		budget, total, fixed = 128<<20, 4<<30, 0
	}
	const valueLen = 1000
	records := uint64(total / valueLen)
	runtime.GC()
	before := anonymous(t)
	most, calls := before, 0
	sample := func() {
		if calls++; calls%256 == 0 {
			most = max(most, anonymous(t))
		}
	}

	db, err := lsm.Open(t.TempDir(), &lsm.Options{MemoryBudget: budget, Compression: lsm.NoCompression})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	value := make([]byte, valueLen)
	key := make([]byte, 8)
	// An odd factor permutes the numbers below a power of two, so that each key is written
	// once, in no order.
	slots := uint64(1)
	for slots < records {
		slots *= 2
	}
	for i := range slots {
		n := i * 0x9E3779B97F4A7C15 % slots
		if n >= records {
			continue
		}
		binary.BigEndian.PutUint64(key, n)
		binary.BigEndian.PutUint64(value, n)
		require.NoError(t, db.Set(key, value, lsm.NoSync))
		sample()
	}
	filled := most
	rng := rand.New(rand.NewPCG(1, 1))
	for range records / 4 {
		n := rng.Uint64N(records)
		binary.BigEndian.PutUint64(key, n)
		v, err := db.AppendGet(value[:0], key)
		require.NoError(t, err)
		require.Equal(t, n, binary.BigEndian.Uint64(v))
		sample()
	}
	read := most
	found := uint64(0)
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		require.Equal(t, found, binary.BigEndian.Uint64(e.Key))
		found++
		sample()
	}
	require.Equal(t, records, found)
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	t.Logf("budget %s, store %s: at most %s after the fill, %s after reads, %s in all, %s before it was opened",
		mib(budget), mib(total), mib(filled), mib(read), mib(most), mib(before))
	require.LessOrEqual(t, most-before, budget+budget/4+fixed)
}

// A store that was written and then flushed by hand has given the memory of its memtables back,
// and takes it again when it is written.
func TestAFlushedStoreGivesTheMemoryOfItsMemtablesBack(t *testing.T) {
	if invariants.Enabled {
		t.Skip("memtables are in the collector's memory here")
	}
	const memtable = 32 << 20
	o := lsm.Options{MemtableBytes: memtable}
	seams.Inject(&o, seams.Seams{Sizing: seams.Sizing{SettleAfter: time.Hour}}) // at rest it would do so without a Flush
	db, err := lsm.Open(t.TempDir(), &o)
	require.NoError(t, err)
	value := make([]byte, 1000)
	key := uint64(0)
	fill := func(bytes int) {
		for range bytes / len(value) {
			key++
			require.NoError(t, db.Set(binary.BigEndian.AppendUint64(nil, key), value, lsm.NoSync))
		}
	}
	for range 2 {
		fill(3 * memtable) // every arena is touched
		full := anonymous(t)
		require.NoError(t, db.Flush(t.Context()))
		// Not when at rest: as soon as the flusher has let the memtable go, which is after Flush has returned.
		require.Eventually(t, func() bool { return anonymous(t) <= full-memtable/2 }, 30*time.Second, time.Millisecond, "of %d bytes", full)
	}
	require.NoError(t, db.Close())
}

// anonymous is how much memory of its own the process has resident, in bytes.
func anonymous(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Error(err)
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Error(err)
			}
			return kib << 10
		}
	}
	t.Error("no RssAnon in /proc/self/status")
	return 0
}
