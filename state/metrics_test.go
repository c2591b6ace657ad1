package state_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

func latencyOf(m *state.Metrics, op string) state.Latency {
	for _, l := range m.Latencies {
		if l.Op == op {
			return l
		}
	}
	return state.Latency{}
}

// B70: operations per second, percentiles of latencies, the hit rate of the cache, write amplification, stalls
// and what is waiting for the background.
func TestMetricsTellHowTheStoreDoes(t *testing.T) {
	everywhere(t, &state.Options{Engine: &lsm.Options{MemoryBudget: 8 << 20}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		before := f.Metrics()
		const n = 2000
		for i := range n {
			require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%04d", i), strings.Repeat("x", 1000), state.NoSync))
		}
		for i := range n {
			_, err := sc.Get(ctx, fmt.Sprintf("k%04d", i))
			require.NoError(t, err)
		}
		// Of a change the memory of two calls is taken, and on several processors it goes round: chance says which is measured.
		for tries, m := 0, before; tries < 100 && latencyOf(&m, "change").Samples == 0; tries++ {
			for range 600 {
				_, err := sc.Increment(ctx, "n", 1, state.NoSync)
				require.NoError(t, err)
			}
			m = f.Metrics()
		}
		_, err := sc.GetMany(ctx, "n", "k0001")
		require.NoError(t, err)
		_, err = sc.Delete(ctx, "n", state.NoSync)
		require.NoError(t, err)
		_, err = sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.NoError(t, c.Set(ctx, "ada", person{}))
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "k", 1) }))
		m := f.Metrics()
		require.Greater(t, m.Uptime, before.Uptime)
		require.GreaterOrEqual(t, m.Writes-before.Writes, int64(n))
		require.GreaterOrEqual(t, m.Reads-before.Reads, int64(n))
		for _, op := range []string{"get", "set", "change", "list", "commit"} {
			l := latencyOf(&m, op)
			require.Positive(t, l.Samples, op)
			require.Positive(t, l.P50, op)
			require.LessOrEqual(t, l.P50, l.P95)
			require.LessOrEqual(t, l.P95, l.P99)
			require.LessOrEqual(t, l.P99, l.P999)
		}
		require.Less(t, latencyOf(&m, "get").Samples, uint64(n))
		require.NoError(t, f.Engine().Flush(ctx))
		m = f.Metrics()
		require.Positive(t, m.Engine.FlushedBytes)
		require.Greater(t, m.WriteAmplification(), 0.0)
		if f.dir == "" {
			return
		}
		f.reopen() // what is read now comes from tables
		sc = f.Scope(agent)
		for range 3 {
			for i := range n {
				_, err := sc.Get(ctx, fmt.Sprintf("k%04d", i))
				require.NoError(t, err)
			}
		}
		m = f.Metrics()
		require.Greater(t, m.CacheHitRate(), 0.0)
		require.LessOrEqual(t, m.CacheHitRate(), 1.0)
	})
}

func TestRatiosOfMetrics(t *testing.T) {
	m := state.Metrics{}
	require.Equal(t, []float64{1, 0}, []float64{m.CacheHitRate(), m.WriteAmplification()})
	m.Engine.CacheHits, m.Engine.CacheMisses = 3, 1
	m.Engine.UserBytesFlushed, m.Engine.FlushedBytes, m.Engine.CompactedBytes, m.Engine.BlobBytesWritten = 10, 12, 20, 3
	require.Equal(t, []float64{0.75, 3.5}, []float64{m.CacheHitRate(), m.WriteAmplification()})
}

// B70: the figures are there for those who collect them.
func TestExposition(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Scope(agent).Set(ctx, "k", 1))
		m := f.Metrics()
		var out bytes.Buffer
		require.NoError(t, m.WritePrometheus(&out, `a"b`))
		line := regexp.MustCompile(`^(# (HELP|TYPE) loam_\S+ .+|loam_\S+\{store="a\\"b"[^{}]*\} [-+0-9.e]+)$`)
		for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			require.Regexp(t, line, l)
		}
		for _, want := range []string{
			`loam_state_writes_total{store="a\"b"} 1`, `loam_state_latency_samples_total{store="a\"b",op="set"} `,
			`loam_state_latency_seconds{store="a\"b",op="get",quantile="0.999"} 0`, `loam_write_stops_total{store="a\"b"} 0`,
		} {
			require.Contains(t, out.String(), want)
		}
		out.Reset()
		require.NoError(t, m.WritePrometheus(&out, ""))
		require.Contains(t, out.String(), "\nloam_state_writes_total 1\n")

		var v struct {
			Writes  float64                       `json:"loam_state_writes_total"`
			Latency map[string]map[string]float64 `json:"loam_state_latency_seconds"`
			Engine  map[string]any                `json:"engine"`
		}
		require.NoError(t, json.Unmarshal([]byte(f.Expvar().String()), &v))
		require.Equal(t, 1.0, v.Writes)
		require.Contains(t, v.Latency["set"], "0.99")
		require.Contains(t, v.Engine, "loam_write_stops_total")
	})
}

// docs/state-metrics.md lists every figure.
func TestDocumentOfFigures(t *testing.T) {
	page, err := os.ReadFile("../docs/state-metrics.md")
	require.NoError(t, err)
	for _, row := range state.FigureRows() {
		require.Contains(t, string(page), row)
	}
}

// Calls that are measured make no garbage, and none is lost among many goroutines.
func TestMeasuringMakesNoGarbage(t *testing.T) {
	f := &fixture{t: t}
	f.open()
	defer f.Close()
	sc := f.Scope(agent)
	require.NoError(t, sc.Set(ctx, "k", int64(1)))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2510 {
				if _, err := sc.Get(ctx, "k"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	m := f.Metrics()
	require.GreaterOrEqual(t, latencyOf(&m, "get").Samples, uint64(8*2510/251/2))
}

// What it costs a call that its time may be taken: the difference between the two.
func BenchmarkMeasuring(b *testing.B) {
	store, err := state.OpenMemory(nil)
	require.NoError(b, err)
	defer store.Close()
	for _, timed := range []bool{false, true} {
		b.Run(fmt.Sprintf("timed=%v", timed), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				store.Borrow(timed)
			}
		})
	}
}
