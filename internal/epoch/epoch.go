// Package epoch lets readers use shared, immutable state without a shared counter, and
// tells a writer when every reader that may hold a replaced state has left.
//
// A reader calls Enter before it loads the shared pointer and Leave when it holds
// nothing reached through it. A writer swaps the pointer, then calls Wait, and may
// free what the old pointer reached when Wait returns.
//
// The scheme is sleepable read-copy-update: every reader counts itself in one of two
// generations, in a slot on a cache line of its own. Wait drains the idle generation,
// turns the current one idle, and drains that. See P. McKenney, "Sleepable RCU" (2006).
//
// Invariants:
//
//   - E1. A reader that entered before the swap is counted in some slot of one of the
//     two generations until it leaves.
//   - E2. After the flip new readers count themselves in the other generation, but for
//     stragglers that loaded the old index before it; the drain that precedes the next
//     flip waits for those.
//   - E3. A reader that enters after the swap sees the new pointer: all operations are
//     sequentially consistent, as those of sync/atomic are.
//
// Readers must be short: an operation, never an iterator's life. Wait blocks as long
// as the longest reader.
package epoch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/loamdb/loam/internal/mutant"
)

// slots is a power of two, well above the number of processors, so that two readers
// seldom share a line.
const slots = 64

type slot struct {
	readers [2]atomic.Int64
	_       [48]byte // one cache line a slot
}

// Domain is one set of readers and writers. The zero Domain is ready.
type Domain struct {
	current atomic.Uint32 // generation of new readers: 0 or 1
	_       [60]byte
	slots   [slots]slot
	mu      sync.Mutex // one Wait at a time
}

// Guard is what Enter gives and Leave takes back.
type Guard struct{ counter *atomic.Int64 }

// Enter begins a read. It never blocks. The guard must be given to Leave on the same
// or another goroutine.
func (d *Domain) Enter() Guard { return d.enter(d.current.Load()) }

// enter counts a reader in a generation, the current one unless Wait came between.
func (d *Domain) enter(generation uint32) Guard {
	// The address of a local tells goroutines apart without asking the runtime: stacks
	// are kilobytes apart. A collision costs a shared line, nothing else.
	var here byte
	h := uintptr(unsafe.Pointer(&here)) >> 11
	h ^= h >> 7
	c := &d.slots[h&(slots-1)].readers[generation&1]
	c.Add(1)
	return Guard{c}
}

// Leave ends the read that g began.
func (g Guard) Leave() { g.counter.Add(-1) }

// Wait returns when every reader that entered before the call has left. It must not
// be called between Enter and Leave.
func (d *Domain) Wait() {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.current.Load()
	if !mutant.Enabled || !mutant.Is(mutant.SkipStragglers) {
		d.drain(1 - old) // E2: stragglers of the flip before this one
	}
	d.current.Store(1 - old)
	if !mutant.Enabled || !mutant.Is(mutant.SkipReaders) {
		d.drain(old)
	}
}

func (d *Domain) drain(generation uint32) {
	for i := range d.slots {
		// Most readers are gone in a microsecond; one may be waiting for a slow device,
		// and must not cost a processor meanwhile.
		for n := 0; d.slots[i].readers[generation].Load() != 0; n++ {
			if n < 100 {
				runtime.Gosched()
			} else {
				<-time.After(min(time.Duration(n)*time.Microsecond, time.Millisecond))
			}
		}
	}
}
