package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progress paints a live line of what is running. On anything but a terminal it prints
// nothing at all. One thing is in progress at a time.
type progress struct {
	out     io.Writer // nil: silent
	mu      sync.Mutex
	stopped chan struct{}
	done    sync.WaitGroup
}

// newProgress paints on f if it is a terminal.
func newProgress(f *os.File) *progress {
	p := &progress{}
	if term.IsTerminal(int(f.Fd())) {
		p.out = f
	}
	return p
}

const repaint = 100 * time.Millisecond

// start begins to paint label with the count, which other goroutines raise.
func (p *progress) start(label string, count *atomic.Int64) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stop := make(chan struct{})
	p.stopped = stop
	p.done.Go(func() {
		tick := time.NewTicker(repaint)
		defer tick.Stop()
		begin := time.Now()
		for {
			select {
			case <-stop:
				fmt.Fprint(p.out, "\r\x1b[K")
				return
			case <-tick.C:
				n, d := count.Load(), time.Since(begin)
				fmt.Fprintf(p.out, "\r\x1b[K%s: %d, %s/s, %.1f s", label, n, rateText(perSecond(int(n), d)), d.Seconds())
			}
		}
	})
}

// stop erases the line.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped != nil {
		close(p.stopped)
		p.stopped = nil
		p.done.Wait()
	}
}
