package proc

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"
)

// Usage is what the process has used since it started.
type Usage struct {
	// CPU of all threads, in user code and in the kernel.
	CPU time.Duration
	// DeviceWritten and DeviceRead are bytes of pages sent to and fetched from devices;
	// a page written twice before it reaches the device counts once, and memory file
	// systems count nothing. FileRead are bytes asked for by read calls.
	DeviceWritten, DeviceRead, FileRead int64
	// Allocs and AllocBytes are the heap allocations of Go.
	Allocs, AllocBytes uint64
	// GCs are the collections, GCPause their pauses together.
	GCs     uint32
	GCPause time.Duration
}

// Now returns the usage up to now.
func Now() Usage {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	io := procText("/proc/self/io")
	return Usage{
		CPU:           cpuTime(),
		DeviceWritten: ioField(io, "write_bytes"),
		DeviceRead:    ioField(io, "read_bytes"),
		FileRead:      ioField(io, "rchar"),
		Allocs:        samples[0].Value.Uint64(),
		AllocBytes:    samples[1].Value.Uint64(),
		GCs:           uint32(min(gc.NumGC, math.MaxUint32)),
		GCPause:       gc.PauseTotal,
	}
}

// Since returns what was used after before.
func (u Usage) Since(before Usage) Usage {
	return Usage{
		CPU: u.CPU - before.CPU, DeviceWritten: u.DeviceWritten - before.DeviceWritten,
		DeviceRead: u.DeviceRead - before.DeviceRead, FileRead: u.FileRead - before.FileRead,
		Allocs: u.Allocs - before.Allocs, AllocBytes: u.AllocBytes - before.AllocBytes,
		GCs: u.GCs - before.GCs, GCPause: u.GCPause - before.GCPause,
	}
}

// LongestPause returns the longest of the latest n pauses of the collector; it remembers
// some hundred.
func LongestPause(n uint32) time.Duration {
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	longest := time.Duration(0)
	for i, p := range gc.Pause {
		if i < int(n) {
			longest = max(longest, p)
		}
	}
	return longest
}

func ioField(io, name string) int64 {
	n, err := strconv.ParseInt(field(io, name, ""), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// RSS is resident memory in bytes.
type RSS struct {
	// Anon is memory of the process itself, File that of mapped files.
	Anon, File int64
}

// ReadRSS returns the resident memory at this moment. It reads one file, once: what it reads
// counts as FileRead.
func ReadRSS() RSS { return rssOf(procText("/proc/self/status")) }

func rssOf(status string) RSS {
	return RSS{
		Anon: kibibytes(status, "RssAnon"),
		File: kibibytes(status, "RssFile") + kibibytes(status, "RssShmem"),
	}
}
