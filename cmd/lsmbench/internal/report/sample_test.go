package report_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// sampleEngines are the engines of the sample, each with what it does well and badly.
var sampleEngines = []struct {
	name                         string
	write, sync, get, scan, seek float64 // factors on the rate of the workload
	owed                         float64 // settling, over the time of writing
	stalls                       float64 // share of writes that wait
	space, amp                   float64
}{
	{"loam", 1.25, 1.7, 2.1, 1.9, 2.7, 0.12, 0.0001, 1.45, 4.1},
	{"pebble", 1, 1, 1, 1, 1, 0.35, 0.0003, 1.12, 3.6},
	{"badger", 0.8, 0.85, 0.75, 0.28, 0.4, 0.2, 0.0008, 1.9, 2.4},
	{"bbolt", 0.05, 0.3, 1.35, 2.4, 1.6, 0.001, 0.004, 2.6, 38},
}

// sampleWorkloads are the workloads of the sample: the rate of the reference, for how
// long they run there, and how wide latencies spread.
var sampleWorkloads = []struct {
	name    string
	rate    float64
	seconds float64
	kind    string // of operation; empty where they are too short to be timed
	reads   bool
	wide    float64
	of      func(i int) float64
}{
	{"fillseq", 930e3, 5, "set", false, 0.35, func(i int) float64 { return sampleEngines[i].write }},
	{"fillbatch", 416e3, 9, "batch", false, 0.3, func(i int) float64 { return sampleEngines[i].write * 1.3 }},
	{"fillsync", 4.5e3, 6, "set", false, 0.2, func(i int) float64 { return sampleEngines[i].sync }},
	{"fillrandom", 322e3, 12, "set", false, 0.5, func(i int) float64 { return sampleEngines[i].write }},
	{"overwrite", 309e3, 13, "set", false, 0.5, func(i int) float64 { return sampleEngines[i].write * 0.9 }},
	{"readrandom", 262e3, 10, "get", true, 0.45, func(i int) float64 { return sampleEngines[i].get }},
	{"readmissing", 280e3, 10, "get", true, 0.4, func(i int) float64 { return math.Pow(sampleEngines[i].get, 2.5) }},
	{"readseq", 4.5e6, 2, "", true, 0, func(i int) float64 { return sampleEngines[i].scan }},
	{"readreverse", 3.5e6, 2, "", true, 0, func(i int) float64 { return sampleEngines[i].scan * 1.2 }},
	{"seekrandom", 124e3, 10, "seek", true, 0.4, func(i int) float64 { return sampleEngines[i].seek }},
	{"readwhilewriting", 182e3, 10, "get", true, 0.6, func(i int) float64 { return sampleEngines[i].get * 1.2 }},
	{"deleterandom", 410e3, 4, "delete", false, 0.4, func(i int) float64 { return sampleEngines[i].write }},
}

const sampleRepeats = 3

// sample is a set as a long measurement makes it: four engines, twelve workloads, three
// repeats. Its figures are invented, but like those of a real machine.
func sample() *result.Set {
	set := &result.Set{Environment: sampleEnvironment(), Runs: slices.Clone(measured().Runs)}
	for i := range set.Runs {
		set.Runs[i].Latencies = slices.Clone(set.Runs[i].Latencies)
	}
	return set
}

// measured makes the sample once; histograms are shared by its copies.
var measured = sync.OnceValue(func() *result.Set {
	set := &result.Set{}
	rng := rand.New(rand.NewPCG(20261126, 1))
	for w := range sampleWorkloads {
		for repeat := range sampleRepeats {
			for e := range sampleEngines {
				set.Runs = append(set.Runs, sampleRun(rng, w, e, repeat))
			}
		}
	}
	return set
})

func sampleEnvironment() result.Environment {
	return result.Environment{
		Schema: result.Schema, Time: time.Date(2026, 11, 26, 11, 0, 0, 0, time.UTC),
		CPU: "AMD EPYC", Cores: 2, Memory: 47 << 29, Kernel: "linux 6.18.44", FileSystem: "ext4",
		Go: "go1.26.8", Platform: "linux/amd64", Commit: "1b6c71c06f3a",
		Flags: "bench -engines loam,pebble,badger,bbolt -repeats 3 -n 1000000 -value 100 -compress none",
		Settings: map[string]string{
			"loam":   "memtable 64 MiB, budget of cache, memtables, indexes and filters 256 MiB, filters 10 bits all levels, block 4 KiB, compactions 1–2, compression none",
			"pebble": "memtable 64 MiB ×4, cache with memtables 256 MiB, bloom 10 bits all levels, block 4 KiB, index block 256 KiB, L0 trigger 2, compactions 1–2, compression NoCompression",
			"badger": "memtable 64 MiB, block cache 128 MiB, index cache 64 MiB, value threshold 1 MiB, compactors 2, compression none",
			"bbolt":  "page 4 KiB, freelist map, one transaction of 1,000 puts, no sync",
		},
		Notes: []string{
			"bbolt writes with a transaction for every 1,000 keys; fillsync with one for each.",
			"The file system is on a network block device.",
		},
	}
}

func sampleRun(rng *rand.Rand, w, e, repeat int) result.Run {
	wl, en := sampleWorkloads[w], sampleEngines[e]
	rate := wl.rate * wl.of(e) * (1 + rng.NormFloat64()*0.035)
	seconds := wl.seconds
	if !wl.reads {
		seconds = min(wl.rate*wl.seconds/rate, 45) // as many keys for everybody
	}
	r := result.Run{
		Workload: wl.name, Engine: en.name, Repeat: repeat, Reads: wl.reads,
		Ops: uint64(rate * seconds), Elapsed: time.Duration(seconds * 1e9),
		TableBytes: int64(en.space * 116e6), LogBytes: 8 << 20, LiveBytes: 116e6,
		Counted: engine.UnknownStats,
		CPU:     time.Duration(seconds * 1.3e9), Allocs: uint64(rate * seconds * 0.03 * float64(e*e)),
		AllocBytes: uint64(rate * seconds * 12 * float64(e)),
		GCs:        uint32(seconds * 3), GCPause: time.Duration(seconds * 3e5),
		AnonRSS: int64(310+40*e) << 20, FileRSS: int64(120+e*e*60) << 20,
	}
	if !wl.reads {
		r.UserWritten = int64(r.Ops) * 116
		r.DeviceWritten = int64(float64(r.UserWritten) * en.amp * (1 + rng.NormFloat64()*0.02))
		r.SettledCPU = time.Duration(float64(r.CPU) * (1 + en.owed))
		r.Settle(time.Duration(seconds * en.owed * 1e9))
		if en.name != "bbolt" {
			r.Counted = engine.Stats{TableBytesWritten: r.DeviceWritten, Syncs: 12, Stalls: int64(en.stalls * 1e5), StallTime: time.Duration(en.stalls * 1e13)}
		}
	} else {
		r.UserRead = int64(r.Ops) * 116
		r.FileRead = int64(float64(r.UserRead) * 0.3 * float64(e))
	}
	r.Complete()
	r.PerSecond = samplePerSecond(rng, &r)
	if wl.kind != "" {
		r.Latencies = []result.Latency{result.NewLatency(wl.kind, sampleHistogram(rng, &r, wl.wide, en.stalls))}
	}
	return r
}

// samplePerSecond is the operations in each whole second of a run: a warm start, noise,
// and compactions that now and then slow down who writes.
func samplePerSecond(rng *rand.Rand, r *result.Run) []uint64 {
	seconds := int(r.Elapsed.Seconds())
	rates, sum := make([]float64, seconds), 0.0
	for i := range rates {
		rate := r.Rate * (1 + rng.NormFloat64()*0.04)
		if !r.Reads {
			rate *= 1 + 0.25*math.Exp(-float64(i)/2)
			if rng.Float64() < 0.15 {
				rate *= 0.6
			}
		}
		rates[i] = rate
		sum += rate
	}
	perSecond := make([]uint64, seconds)
	for i := range rates {
		perSecond[i] = uint64(rates[i] / sum * r.Rate * float64(seconds))
	}
	return perSecond
}

// sampleHistogram has a body around the mean time of an operation, a tail of slower ones,
// and stalls.
func sampleHistogram(rng *rand.Rand, r *result.Run, wide, stalls float64) *hdr.Histogram {
	h := &hdr.Histogram{}
	body := 1e9 / r.Rate * 0.7
	for range 20_000 {
		d := body * math.Exp(rng.NormFloat64()*wide)
		switch p := rng.Float64(); {
		case !r.Reads && p < stalls:
			d = 1e6 * (1 + 20*rng.Float64())
		case p < 0.015:
			d *= 6 * math.Exp(rng.NormFloat64()*0.8)
		}
		h.Add(time.Duration(d))
	}
	return h
}
