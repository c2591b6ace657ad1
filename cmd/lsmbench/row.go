package main

import (
	"context"
	"time"
)

// row is one line of the table: one workload on one engine. Its JSON form is what
// -json prints, durations in nanoseconds.
type row struct {
	Workload string `json:"workload"`
	Engine   string `json:"engine"`
	// Ops and the time they took; Rate is their quotient, per second.
	Ops     int           `json:"ops"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Rate    float64       `json:"ops_per_sec"`
	// Settled is Rate with the flush and the compactions still owed counted in; 0 for
	// reads.
	Settled float64 `json:"settled_ops_per_sec,omitempty"`
	// Latencies; all 0 where operations are too short to be timed.
	P50  time.Duration `json:"p50_ns,omitempty"`
	P99  time.Duration `json:"p99_ns,omitempty"`
	P999 time.Duration `json:"p999_ns,omitempty"`
	Max  time.Duration `json:"max_ns,omitempty"`
	// UserBytes are keys and values given or received.
	UserBytes int64 `json:"user_bytes"`
	// WrittenBytes reached the page cache of a device, or 0 where the system does not
	// say; WriteAmp is their ratio to UserBytes.
	WrittenBytes int64   `json:"written_bytes,omitempty"`
	WriteAmp     float64 `json:"write_amp,omitempty"`
	// DiskBytes is the size of the store's directory; SpaceAmp its ratio to live keys
	// and values.
	DiskBytes int64   `json:"disk_bytes"`
	SpaceAmp  float64 `json:"space_amp,omitempty"`
}

func (r *run) row(w workload, e Engine) row {
	result := newRow(w.name, e.Name(), r.ops, r.elapsed, &r.hist)
	result.UserBytes = r.bytes
	return result
}

func newRow(workload, engine string, ops int, elapsed time.Duration, h *histogram) row {
	return row{
		Workload: workload, Engine: engine, Ops: ops, Elapsed: elapsed, Rate: perSecond(ops, elapsed),
		P50: h.quantile(0.50), P99: h.quantile(0.99), P999: h.quantile(0.999), Max: h.max,
	}
}

// settle waits until the store is at rest and records what that cost.
func (w *row) settle(ctx context.Context, s Store) error {
	start := clock()
	idle, err := s.Settle(ctx)
	w.Settled = perSecond(w.Ops, w.Elapsed+max(clock()-start-idle, 0))
	return err
}

func (w *row) setWritten(bytes int64) {
	if bytes > 0 && w.UserBytes > 0 {
		w.WrittenBytes = bytes
		w.WriteAmp = float64(bytes) / float64(w.UserBytes)
	}
}

func perSecond(ops int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(ops) / d.Seconds()
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
