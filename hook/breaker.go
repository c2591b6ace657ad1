package hook

import (
	"cmp"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/mutant"
)

// Breaker says when a hook is not called for a while. It opens when Failures of the last
// Window calls have failed, or SlowCalls of them took SlowAfter or longer. When OpenFor has
// passed, one call probes the hook: if it succeeds, and fast, the breaker closes and begins
// anew, otherwise it stays open for as long again. A veto is no failure. Zero fields have
// the defaults.
type Breaker struct {
	// Window is how many calls are looked back at, 1 to 64; 20 by default.
	Window int
	// Failures opens the breaker, 1 to Window; 5 by default, or Window if that is less.
	Failures int
	// SlowCalls opens it likewise, 0 to Window; 0, the default, lets calls be slow.
	SlowCalls int
	// SlowAfter makes a call slow; one second by default.
	SlowAfter time.Duration
	// OpenFor is the time until a probe; 30 seconds by default.
	OpenFor time.Duration
}

func (b Breaker) withDefaults() (Breaker, error) {
	b.Window = cmp.Or(b.Window, 20)
	b.Failures = cmp.Or(b.Failures, min(5, b.Window))
	b.SlowAfter = cmp.Or(b.SlowAfter, time.Second)
	b.OpenFor = cmp.Or(b.OpenFor, 30*time.Second)
	problem := ""
	switch {
	case b.Window < 1 || b.Window > 64:
		problem = "the window is not 1 to 64 calls"
	case b.Failures < 1 || b.Failures > b.Window:
		problem = "the failures are not 1 to the window"
	case b.SlowCalls < 0 || b.SlowCalls > b.Window:
		problem = "the slow calls are not 0 to the window"
	case b.SlowAfter < 0 || b.OpenFor < 0:
		problem = "a duration is negative"
	default:
		return b, nil
	}
	return Breaker{}, fmt.Errorf("%w: breaker: %s", ErrInvalid, problem)
}

// BreakerState is what a breaker does with calls.
type BreakerState uint8

// The states.
const (
	Closed   BreakerState = iota // calls pass
	Open                         // no call passes
	HalfOpen                     // one call is probing
)

// String returns the state's name.
func (s BreakerState) String() string {
	return [...]string{"closed", "open", "half-open"}[min(s, HalfOpen)]
}

// breaker is the state of one. While it is closed and nothing has failed lately, a call
// costs it three loads.
type breaker struct {
	config Breaker // constant

	state atomic.Uint32 // BreakerState; written under mu
	dirty atomic.Bool   // failed or slow is not zero; written under mu

	mu struct {
		sync.Mutex
		failed, slow uint64        // the last calls, newest in bit 0
		since        time.Duration // when it opened, or began to probe
	}
}

// allow reports whether a call may be made now. A call that may must be recorded.
func (b *breaker) allow(now time.Duration) bool {
	if BreakerState(b.state.Load()) == Closed {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch BreakerState(b.state.Load()) {
	case Open:
		if now-b.mu.since < b.config.OpenFor {
			return false
		}
		b.state.Store(uint32(HalfOpen))
		return true
	case HalfOpen:
		return mutant.Enabled && mutant.Is(mutant.ProbeByAll)
	}
	return true
}

// outcome is how a call ended.
type outcome uint8

const (
	succeeded outcome = iota
	failed
	calledOff // by the caller's context: says nothing of the hook
)

// record tells how a call ended that was allowed, and took from start to end.
func (b *breaker) record(how outcome, start, end time.Duration) {
	slow := how != calledOff && b.config.SlowCalls > 0 && end-start >= b.config.SlowAfter
	if how != failed && !slow && !b.dirty.Load() && BreakerState(b.state.Load()) == Closed {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch BreakerState(b.state.Load()) {
	case HalfOpen:
		if start < b.mu.since {
			return // of a call that began before the breaker opened: not the probe
		}
		switch {
		case how == calledOff:
			b.state.Store(uint32(Open)) // and the next call probes
		case how == failed || slow:
			b.openLocked(end)
		default:
			b.state.Store(uint32(Closed))
		}
	case Closed:
		window := ^uint64(0) >> (64 - b.config.Window)
		b.mu.failed = (b.mu.failed<<1 | bit(how == failed)) & window
		b.mu.slow = (b.mu.slow<<1 | bit(slow)) & window
		b.dirty.Store(b.mu.failed|b.mu.slow != 0)
		if bits.OnesCount64(b.mu.failed) >= b.config.Failures ||
			b.config.SlowCalls > 0 && bits.OnesCount64(b.mu.slow) >= b.config.SlowCalls {
			b.openLocked(end)
		}
	}
}

func (b *breaker) openLocked(now time.Duration) {
	b.mu.since = now
	b.mu.failed, b.mu.slow = 0, 0
	b.dirty.Store(false)
	b.state.Store(uint32(Open))
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}
