package workload

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

func TestSharesCoverEverythingOnce(t *testing.T) {
	for _, total := range []uint64{0, 1, 7, 100, 1 << 60} {
		for g := 1; g < 9; g++ {
			next := uint64(0)
			for i := range g {
				lo, hi := share(total, g, i)
				require.Equal(t, next, lo)
				require.LessOrEqual(t, lo, hi)
				next = hi
			}
			require.Equal(t, total, next)
		}
	}
}

// An operation that stalls delays those behind it. Timed from their intended starts they
// are slow too; timed from the end of the one before, only one would be.
func TestOpenLoopCountsFromTheIntendedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{}
		start := clock()
		l := loop{ctx: context.Background(), pace: pacing{weight: 1}, first: start, interval: 10 * time.Millisecond}
		err := l.open(w, 0, 20, func(i uint64) (kind, error) {
			if i == 5 {
				time.Sleep(50 * time.Millisecond)
			}
			return 0, nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 20, w.ops.Load())
		h := w.hists[0]
		require.EqualValues(t, 20, h.Count())
		// The stalled one, and those that were due during the stall: 50, 40, 30, 20, 10 ms.
		require.EqualValues(t, 5, h.Above(9*time.Millisecond))
		require.GreaterOrEqual(t, h.Max(), 50*time.Millisecond)
	})
}

func TestOpenLoopEndsAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{}
		start := clock()
		l := loop{ctx: context.Background(), pace: pacing{weight: 1}, first: start, deadline: start + time.Second, interval: 10 * time.Millisecond}
		require.NoError(t, l.open(w, 0, endless, func(uint64) (kind, error) { return 0, nil }))
		require.EqualValues(t, 100, w.ops.Load())
	})
}

// Operations that were due and never begun were left out of the latencies without a word.
func TestAnOpenLoopThatGivesUpSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := clock()
		l := loop{ctx: context.Background(), pace: pacing{weight: 1}, first: start, deadline: start + time.Second, interval: 10 * time.Millisecond}
		slow := func(uint64) (kind, error) {
			time.Sleep(100 * time.Millisecond)
			return 0, nil
		}
		w := &worker{}
		require.NoError(t, l.open(w, 0, endless, slow))
		require.True(t, w.late)
		require.EqualValues(t, 30, w.ops.Load(), "until two seconds after the limit")
		w = &worker{}
		l.first, l.deadline = clock(), clock()+time.Second
		require.NoError(t, l.open(w, 0, 5, slow))
		require.False(t, w.late, "it has done them all")

		r := run{}
		r.use("a stand-in")
		r.remark(lateNote)
		require.Equal(t, "a stand-in; "+lateNote, r.result.Note)
	})
}

// An open loop that is behind never waits, and looked at its context only while it did.
func TestAnOpenLoopThatIsBehindCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := loop{ctx: ctx, pace: pacing{weight: 1}, interval: time.Nanosecond}
	require.ErrorIs(t, l.open(&worker{}, 0, endless, func(uint64) (kind, error) {
		cancel()
		return 0, nil
	}), context.Canceled)
}

func TestClosedLoopTimesWhatItIsTold(t *testing.T) {
	op := func(i uint64) (kind, error) { return kind(i % 2), nil }
	for _, c := range []struct{ sample, timed uint64 }{{0, 0}, {1, 1000}, {8, 125}} {
		w := &worker{}
		l := loop{ctx: context.Background(), pace: pacing{sample: c.sample, weight: 3}}
		require.NoError(t, l.closed(w, 0, 1000, op))
		require.EqualValues(t, 3000, w.ops.Load())
		counted := uint64(0)
		for _, h := range w.hists {
			if h != nil {
				counted += h.Count()
			}
		}
		require.Equal(t, c.timed, counted)
	}
}

func TestLoopsEndWithTheContextAndWithErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l := loop{ctx: ctx, pace: pacing{sample: 1, weight: 1}}
	require.ErrorIs(t, l.closed(&worker{}, 0, endless, func(uint64) (kind, error) { return 0, nil }), context.Canceled)
	broken := errors.New("broken")
	l.ctx = context.Background()
	require.ErrorIs(t, l.closed(&worker{}, 0, endless, func(uint64) (kind, error) { return 0, broken }), broken)
	require.ErrorIs(t, l.open(&worker{}, 0, endless, func(uint64) (kind, error) { return 0, broken }), broken)
}

func TestRecordsAreKnownOnceAllBeforeThemAre(t *testing.T) {
	s := newInserts(10)
	a, b, c := s.take(), s.take(), s.take()
	require.Equal(t, []uint64{10, 11, 12}, []uint64{a, b, c})
	s.done(c)
	s.done(b)
	require.EqualValues(t, 10, s.known())
	s.done(a)
	require.EqualValues(t, 13, s.known())
	require.Empty(t, s.ended)
}

func TestMixesAreParsed(t *testing.T) {
	w, err := parseMix("read=95,update=5")
	require.NoError(t, err)
	require.Equal(t, Spare, w.Start)
	require.False(t, w.Reads)
	w, err = parseMix("read=60,scan=40")
	require.NoError(t, err)
	require.Equal(t, Filled, w.Start)
	require.True(t, w.Reads)
	for _, wrong := range []string{"read=50", "read=50,read=60", "jump=100", "read=x,update=5", "read=-5,update=105"} {
		_, err := parseMix(wrong)
		require.Error(t, err, wrong)
	}
}

func TestWorkloadsAreChosenByName(t *testing.T) {
	list, err := ParseList("fillseq,fillsync@16 readrandom")
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, 16, list[1].Goroutines)
	require.Equal(t, "fillsync@16", list[1].Name)
	list, err = ParseList("read=95,update=5 ycsb-a")
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, wrong := range []string{"", "fillsync@0", "fillsync@", "nothing", "fillseq,readseq,fillseq"} {
		_, err := ParseList(wrong)
		require.Error(t, err, wrong)
	}
	for _, w := range All() {
		require.NotEqual(t, Prepare, w.Name)
		require.NotEqual(t, Crash, w.Name)
	}
}

// Inserts beyond what keys can number ended the process in a panic.
func TestInsertsEndWhereKeysDo(t *testing.T) {
	_, err := Do(t.Context(), tinySpec(t, "insert=100", time.Minute), nil)
	require.ErrorContains(t, err, "number no more than 50 records")
}

// tinySpec runs a workload on 40 records of 12 bytes.
func tinySpec(t *testing.T, workload string, limit time.Duration) Spec {
	return Spec{
		Workload: workload, Engine: "loam", Dir: t.TempDir(), Config: engine.Config{MemtableBytes: 1 << 20, BudgetBytes: 16 << 20, BlockBytes: 4096, Compactions: 1},
		Params: Params{Records: 40, Key: "2", Value: "10", Compressible: 1, Goroutines: 1, Seed: 1, Limit: limit},
	}
}

// What the goroutine beside wrote was in the bytes that the device got, and not in those
// given.
func TestBytesWrittenBesideAreGivenToo(t *testing.T) {
	r, err := Do(t.Context(), tinySpec(t, "setwhilesyncing", 50*time.Millisecond), nil)
	require.NoError(t, err)
	measured := int64(r.Ops) * 12
	require.Greater(t, r.UserWritten, measured)
	require.Zero(t, (r.UserWritten-measured)%12)
}

// The mixes are those of YCSB.
func TestMixesOfYCSB(t *testing.T) {
	for name, want := range map[string]mix{
		"ycsb-a": {read: 50, update: 50, choose: "zipfian"},
		"ycsb-b": {read: 95, update: 5, choose: "zipfian"},
		"ycsb-c": {read: 100, choose: "zipfian"},
		"ycsb-d": {read: 95, insert: 5, choose: "latest"},
		"ycsb-e": {scan: 95, insert: 5, choose: "zipfian"},
		"ycsb-f": {read: 50, modify: 50, choose: "zipfian"},
	} {
		c, err := Find(name)
		require.NoError(t, err)
		require.NotNil(t, c.Workload, want)
		x := &mixer{mix: want}
		x.fill()
		counts := map[kind]int{}
		for _, k := range x.table {
			counts[k]++
		}
		total := 0
		for k, share := range want.shares() {
			require.Equal(t, *share, counts[kind(k)])
			total += *share
		}
		require.Equal(t, 100, total)
	}
}
