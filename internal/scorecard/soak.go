package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
)

// A store at work for long, among faults, on the machine's own file system: what the process
// holds must not grow. The size full does it for soakTime.

const soakTime = 8 * time.Minute

// held is what the process holds while no store is open.
type held struct {
	minutes        float64 // since the beginning
	descriptors    float64 // 0 where the system does not tell
	goroutines     float64
	heap, resident float64 // KiB; 0 where the system does not tell
	space, live    float64 // KiB of files, and of keys and values
}

// soakedStore plays rounds and compares what the process holds after a quarter of them with
// what it holds later.
func soakedStore(c config) ([]figure, error) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := fuzz.Soak{Setup: encrypted(c, 30), FS: vfs.NewOS(), Dir: filepath.Join(dir, "db")}
	rounds := of(c.size, 8, 20, 1<<30)
	began := time.Now()
	var samples []held
	var broken error
	for range rounds {
		rest, err := s.Round()
		if err != nil {
			broken = fmt.Errorf("round %d: %w", len(samples), err)
			break
		}
		samples = append(samples, holds(began, rest))
		if c.size == full && time.Since(began) > soakTime {
			break
		}
	}
	tests, err := keyTestsOf("R40", "file-tests")(c)
	return append(append([]figure{
		{"soak-rounds", float64(len(samples)), "rounds", atLeast(float64(of(c.size, 8, 20, 200)))},
		{"soak-faults", float64(s.Faults), "faults", atLeast(float64(of(c.size, 3, 12, 100)))},
		{"soak-promises-broken", broke(broken), "rounds", exactly(0)},
	}, growth(samples, c.size == full)...), tests...), errors.Join(broken, err)
}

func broke(err error) float64 {
	if err != nil {
		return 1
	}
	return 0
}

// holds measures the process.
func holds(began time.Time, rest fuzz.Rest) held {
	runtime.GC() // what pools hold goes with the second collection after it was put there
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h := held{
		minutes: time.Since(began).Minutes(), goroutines: float64(runtime.NumGoroutine()), heap: float64(m.HeapAlloc) / 1024,
		space: float64(rest.Space) / 1024, live: float64(rest.Live) / 1024,
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.descriptors = float64(len(open))
	}
	var size, pages int64
	if p, err := os.ReadFile("/proc/self/statm"); err == nil {
		if _, err := fmt.Sscan(string(p), &size, &pages); err == nil {
			h.resident = float64(pages) * float64(os.Getpagesize()) / 1024
		}
	}
	return h
}

// growth compares the samples with that after the first quarter. Resident memory is a slope,
// which has a target where minutes were measured.
func growth(samples []held, long bool) []figure {
	if len(samples) < 4 {
		return nil
	}
	rest := samples[len(samples)/4:]
	warm := rest[0]
	var descriptors, goroutines, heap, space float64
	for _, h := range rest {
		descriptors = max(descriptors, h.descriptors-warm.descriptors)
		goroutines = max(goroutines, h.goroutines-warm.goroutines)
		heap = max(heap, h.heap-warm.heap)
		space = max(space, h.space-2*h.live)
	}
	resident := target{}
	if long {
		resident = atMost(1024)
	}
	return []figure{
		{"soak-descriptors-grown", descriptors, "descriptors", atMost(0)},
		{"soak-goroutines-grown", goroutines, "goroutines", atMost(0)},
		{"soak-heap-grown", float64(int64(heap)), "KiB", atMost(1024)},
		{"soak-resident-slope", float64(int64(slope(rest))), "KiB/min", resident},
		{"soak-space-above-twice", float64(int64(space)), "KiB", atMost(256)},
	}
}

// slope is that of the line nearest to the resident memory, by least squares.
func slope(samples []held) float64 {
	var x, y, xx, xy float64
	n := float64(len(samples))
	for _, h := range samples {
		x += h.minutes
		y += h.resident
		xx += h.minutes * h.minutes
		xy += h.minutes * h.resident
	}
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}
