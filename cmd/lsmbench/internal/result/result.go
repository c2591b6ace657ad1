// Package result is what a measurement says: the schema of the JSON lines that lsmbench
// writes and reads, medians over repeats, and the comparison of two files.
//
// It must not know how a figure is measured or shown.
package result

import (
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
)

// Schema is the version of the JSON lines. A change that gives a field another meaning
// raises it.
const Schema = 1

// Line is one line of a file of results: the environment, first and maybe again at the end, or
// one run.
type Line struct {
	Environment *Environment `json:"environment,omitempty"`
	Run         *Run         `json:"run,omitempty"`
}

// Environment is on what, and with what, the runs of a file were made.
type Environment struct {
	Schema     int       `json:"schema"`
	Time       time.Time `json:"time"`
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Memory     int64     `json:"memory_bytes"`
	Kernel     string    `json:"kernel"`
	FileSystem string    `json:"file_system"`
	Go         string    `json:"go"`
	Platform   string    `json:"platform"`
	Commit     string    `json:"commit"`
	// Flags are the command and its flags, so that it can be repeated.
	Flags string `json:"flags"`
	// Settings of each engine, by name; one line each.
	Settings map[string]string `json:"settings"`
	// Notes are whatever a reader must know, one line each.
	Notes []string `json:"notes,omitempty"`
}

// Run is one workload, once, on one engine. Durations are in nanoseconds. A figure that
// is not known is absent, or engine.Unknown where 0 is a value.
type Run struct {
	// Group names the rows that belong into one table: "100-byte values".
	Group    string `json:"group,omitempty"`
	Workload string `json:"workload"`
	Engine   string `json:"engine"`
	Repeat   int    `json:"repeat"`
	// Reads: the rate says how fast the workload reads; it has no settled figure.
	Reads bool `json:"reads,omitempty"`

	// Note says how the engine did what it has no operation for.
	Note string `json:"note,omitempty"`

	// Ops done in Elapsed, and their quotient.
	Ops     uint64        `json:"ops"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Rate    float64       `json:"ops_per_sec"`
	// Settled is Rate with the flush and the compactions still owed counted in.
	Settled float64 `json:"settled_ops_per_sec,omitempty"`
	// Retries are transactions that were done again, because others were in the way.
	Retries uint64 `json:"retries,omitempty"`
	// Latencies by kind of operation; the first is the workload's main one. Empty where
	// operations are too short to be timed.
	Latencies []Latency `json:"latencies,omitempty"`
	// PerSecond are the operations done in each second since the start.
	PerSecond []uint64 `json:"per_second,omitempty"`

	// UserWritten and UserRead are keys and values given and received.
	UserWritten int64 `json:"user_written_bytes"`
	UserRead    int64 `json:"user_read_bytes"`
	// DeviceWritten and DeviceRead are what the system says of the process: pages sent to
	// the device, those dirtied through mappings included, and pages fetched from it.
	DeviceWritten int64 `json:"device_written_bytes,omitempty"`
	DeviceRead    int64 `json:"device_read_bytes,omitempty"`
	// FileRead are bytes asked for by read calls, from the page cache or not; reads
	// through mappings are not among them.
	FileRead int64 `json:"file_read_bytes,omitempty"`
	// WriteAmp is DeviceWritten over UserWritten, ReadAmp FileRead over UserRead,
	// SpaceAmp TableBytes over LiveBytes.
	WriteAmp float64 `json:"write_amp,omitempty"`
	ReadAmp  float64 `json:"read_amp,omitempty"`
	SpaceAmp float64 `json:"space_amp,omitempty"`
	// TableBytes and LogBytes are the files after the store was settled and closed.
	TableBytes int64 `json:"table_bytes"`
	LogBytes   int64 `json:"log_bytes"`
	// LiveBytes are the keys and values in the store at the end; 0 if not known.
	LiveBytes int64 `json:"live_bytes,omitempty"`
	// Counted is what the engine counts itself.
	Counted engine.Stats `json:"counted"`

	// CPU is what all threads of the process took during Elapsed; SettledCPU includes
	// the work still owed.
	CPU        time.Duration `json:"cpu_ns"`
	SettledCPU time.Duration `json:"settled_cpu_ns,omitempty"`
	// Allocs and AllocBytes are heap allocations of Go, of the bench itself included.
	Allocs     uint64 `json:"allocs"`
	AllocBytes uint64 `json:"alloc_bytes"`
	// GCs is the number of collections, GCPause their pauses together, GCMax the longest.
	GCs     uint32        `json:"gcs"`
	GCPause time.Duration `json:"gc_pause_ns"`
	GCMax   time.Duration `json:"gc_max_ns"`
	// AnonRSS and FileRSS are the greatest resident memory seen, anonymous and mapped
	// from files.
	AnonRSS int64 `json:"anon_rss_bytes,omitempty"`
	FileRSS int64 `json:"file_rss_bytes,omitempty"`
}

// Latency is the distribution of one kind of operation.
type Latency struct {
	Kind string        `json:"kind"`
	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	// P9999 is p99.99.
	P9999 time.Duration `json:"p9999_ns"`
	Max   time.Duration `json:"max_ns"`
	// Count is how many operations were timed; Slow how many took over 10 ms.
	Count uint64 `json:"count"`
	Slow  uint64 `json:"slow"`
	// Histogram is the whole distribution.
	Histogram *hdr.Histogram `json:"histogram"`
}

// SlowFrom is the length from which an operation counts as slow.
const SlowFrom = 10 * time.Millisecond

// NewLatency sums up a histogram.
func NewLatency(kind string, h *hdr.Histogram) Latency {
	return Latency{
		Kind: kind, Mean: h.Mean(), P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99),
		P999: h.Quantile(0.999), P9999: h.Quantile(0.9999), Max: h.Max(), Count: h.Count(), Slow: h.Above(SlowFrom),
		Histogram: h,
	}
}

// Complete computes the quotients from the figures they are of.
func (r *Run) Complete() {
	r.Rate = perSecond(r.Ops, r.Elapsed)
	r.WriteAmp = quotient(r.DeviceWritten, r.UserWritten)
	r.ReadAmp = quotient(r.FileRead, r.UserRead)
	r.SpaceAmp = quotient(r.TableBytes, r.LiveBytes)
}

// Settle computes the settled rate: owed is what settling took.
func (r *Run) Settle(owed time.Duration) {
	r.Settled = perSecond(r.Ops, r.Elapsed+max(owed, 0))
}

func perSecond(ops uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(ops) / d.Seconds()
}

func quotient(a, b int64) float64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Main returns the distribution of the workload's main operation, or an empty one.
func (r *Run) Main() Latency {
	if len(r.Latencies) == 0 {
		return Latency{}
	}
	return r.Latencies[0]
}
