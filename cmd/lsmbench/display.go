package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// display paints a live line of what is running: which of how many, what, how far, the
// current rate, and when all will be done. On anything but a terminal it prints nothing.
type display struct {
	out   io.Writer // nil: silent
	now   func() time.Time
	width func() int // of the terminal, in letters; 0 is not known

	mu      sync.Mutex
	begun   time.Time
	total   int // runs
	done    int
	label   string
	since   time.Time
	ops     uint64
	rate    float64 // of the last interval
	rateAt  time.Time
	rateOps uint64
}

// newDisplay paints on f if it is a terminal.
func newDisplay(f *os.File) *display {
	d := &display{now: time.Now}
	if fd := int(f.Fd()); term.IsTerminal(fd) {
		d.out = f
		d.width = func() int {
			width, _, err := term.GetSize(fd)
			if err != nil {
				return 0
			}
			return width
		}
	}
	d.begun = d.now()
	return d
}

// expect adds runs to those that are to come.
func (d *display) expect(runs int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total += runs
}

// start begins a run, or what prepares one.
func (d *display) start(label string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.label, d.ops, d.rate, d.rateOps = label, 0, 0, 0
	d.since = d.now()
	d.rateAt = d.since
	d.paintLocked()
}

const repaint = 100 * time.Millisecond

// progress says how many operations the run has done.
func (d *display) progress(ops uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops = ops
	if past := d.now().Sub(d.rateAt); past >= repaint {
		d.rate = float64(ops-min(ops, d.rateOps)) / past.Seconds()
		d.rateAt, d.rateOps = d.now(), ops
		d.paintLocked()
	}
}

// finish ends a run that was expected.
func (d *display) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done++
}

// erase removes the line, so that something else can be printed.
func (d *display) erase() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out != nil {
		fmt.Fprint(d.out, "\r\x1b[K")
	}
}

func (d *display) paintLocked() {
	if d.out == nil {
		return
	}
	line := fmt.Sprintf("[%d/%d] %s", min(d.done+1, d.total), d.total, d.label)
	if d.ops > 0 {
		line += fmt.Sprintf(": %s done, %s/s", count(d.ops), units.Rate(d.rate))
	}
	line += fmt.Sprintf(", %.0f s", d.now().Sub(d.since).Seconds())
	if eta := d.etaLocked(); eta > 0 {
		line += ", " + eta.Round(time.Second).String() + " to go"
	}
	fmt.Fprintf(d.out, "\r\x1b[K%s", d.cut(line))
}

// cut leaves of a line what fits the terminal: what wraps could not be painted over.
func (d *display) cut(line string) string {
	letters := []rune(line)
	if most := d.width() - 1; most > 0 && len(letters) > most {
		return string(letters[:most])
	}
	return line
}

// etaLocked supposes that the runs to come take as long as those that are done.
func (d *display) etaLocked() time.Duration {
	if d.done == 0 || d.done >= d.total {
		return 0
	}
	return d.now().Sub(d.begun) / time.Duration(d.done) * time.Duration(d.total-d.done)
}

// count writes a number in whole thousands, or millions.
func count(n uint64) string {
	switch {
	case n < 10_000:
		return fmt.Sprint(n)
	case n < 1_000_000:
		return fmt.Sprintf("%d,000", n/1000)
	case n < 10_000_000:
		return fmt.Sprintf("%d,%03d,000", n/1_000_000, n/1000%1000)
	}
	return fmt.Sprintf("%d million", n/1_000_000)
}
