package hook

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Options are what a Dispatcher needs. Now must be given; the other zero fields have the
// defaults.
type Options struct {
	// Now tells the time; time.Now but for tests. Many goroutines ask at once.
	Now func() time.Time
	// Since tells the time since what Now has said, by the same clock: time.Since takes half
	// as long as time.Now. By default Now is asked.
	Since func(time.Time) time.Duration
	// Rand is read once, eight bytes; crypto/rand by default.
	Rand io.Reader
	// Workers run after-hooks, each those of its share of the keys; 1 to 256, 4 by default.
	Workers int
	// QueueLen is how many events may wait for a worker, 1 to 1,000,000; 1024 by default.
	QueueLen int
	// WhenFull is what becomes of an event that finds the queue full; Block by default.
	WhenFull Policy
	// OnFailure is told of each failure, dropped events included, by the goroutine that
	// made the change or a worker. It must return fast; vetoes are no failures.
	OnFailure func(*CallError)
}

// Validate returns all that is wrong with the options, as an error that matches ErrInvalid, or nil.
func (o Options) Validate() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	if now := o.Now; o.Since == nil && now != nil {
		o.Since = func(t time.Time) time.Duration { return now().Sub(t) }
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	o.Workers = cmp.Or(o.Workers, 4)
	o.QueueLen = cmp.Or(o.QueueLen, 1024)
	var problems []string
	bad := func(is bool, problem string) {
		if is {
			problems = append(problems, problem)
		}
	}
	bad(o.Now == nil, "no clock")
	bad(o.Workers < 1 || o.Workers > 256, "the workers are not 1 to 256")
	bad(o.QueueLen < 1 || o.QueueLen > 1_000_000, "the length of the queue is not 1 to 1,000,000")
	bad(o.WhenFull > Drop, "no such policy")
	if len(problems) > 0 {
		return o, fmt.Errorf("%w: options: %s", ErrInvalid, strings.Join(problems, "; "))
	}
	return o, nil
}

// Dispatcher knows the hooks and runs them. All methods may be called by many goroutines.
type Dispatcher struct {
	// Constant.
	options Options
	base    time.Time // of what now returns
	random  uint64
	seed    uint64 // of the hashes of keys
	shards  []*shard

	// Synchronized by themselves, and seldom written.
	table   atomic.Pointer[table]
	dropped atomic.Uint64
	closed  atomic.Bool
	watch   watchdog

	mu      sync.Mutex // of changes of table
	order   uint64
	started bool // the workers

	_ [64]byte // a cache line: workers read what stands above, callers write what follows

	events atomic.Uint64
	spare  atomic.Pointer[call] // the first to be used without a goroutine; noCall in a closed Dispatcher
	idle   [2]idleCalls         // without a goroutine, with one
}

// New returns a Dispatcher without hooks. It must be closed. The error matches ErrInvalid,
// or is that of Rand.
func New(o Options) (*Dispatcher, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var random [8]byte
	if _, err := io.ReadFull(o.Rand, random[:]); err != nil {
		return nil, fmt.Errorf("hook: random bytes: %w", err)
	}
	d := &Dispatcher{
		options: o, base: o.Now(), seed: binary.BigEndian.Uint64(random[:]),
		// Not zero, so that no event has the id that names none.
		random: binary.LittleEndian.Uint64(random[:]) | 1,
	}
	for range o.Workers {
		d.shards = append(d.shards, newShard(o.QueueLen, o.WhenFull))
	}
	d.table.Store(makeTable(nil))
	d.watch.init(d)
	go d.watch.loop()
	return d, nil
}

// now returns the time since the Dispatcher was made.
func (d *Dispatcher) now() time.Duration { return d.options.Since(d.base) }

func (d *Dispatcher) startWorkersLocked() {
	if d.started {
		return
	}
	d.started = true
	for _, s := range d.shards {
		c := &call{d: d, shard: s, clock: -1}
		d.watch.add(c)
		go c.work()
	}
}

func beforePoint(op Op) Point { return Point(op) << 1 }
func afterPoint(op Op) Point  { return Point(op)<<1 | 1 }

// Interest says which hooks an operation would meet.
type Interest struct {
	// Before and After say that there are some.
	Before, After bool
	// Values says that an after-hook asks for old and new values.
	Values bool
}

// Interest returns it, so that what no hook wants need not be made.
func (d *Dispatcher) Interest(op Op, s, to scope.Scope, key string) Interest {
	var in Interest
	if !op.Valid() {
		return in
	}
	hooks := d.table.Load().of(op, s.Kind(), to.Kind())
	for _, r := range hooks.before {
		in.Before = in.Before || r.matches(s, to, key)
	}
	for _, r := range hooks.after {
		if r.matches(s, to, key) {
			in.After, in.Values = true, in.Values || r.Values
		}
	}
	return in
}

// Before runs the before-hooks of a change that is about to be made; call it once for each
// attempt. If it returns nil, make the change, with what Replaced says. Otherwise do not:
// the error is a *VetoError, a *CallError, or ErrClosed. Hooks that are
// isolated hold it no longer than their timeouts, one after another.
func (d *Dispatcher) Before(ctx context.Context, ch *Change) error {
	if !ch.Op.Valid() {
		return fmt.Errorf("%w: no such operation: %d", ErrInvalid, uint8(ch.Op))
	}
	p := beforePoint(ch.Op)
	hooks := d.table.Load().of(ch.Op, ch.Scope.Kind(), ch.To.Kind()).before
	var first *registration
	runner, several := false, false
	for _, r := range hooks {
		if r.matches(ch.Scope, ch.To, ch.Key) {
			if several = first != nil; !several {
				first = r
			}
			runner = runner || r.isolated.Load()
		}
	}
	if first == nil {
		return nil
	}
	trace := TraceOf(ctx)
	if trace.depth >= maxDepth {
		return &CallError{Hook: first.Name, Point: p, Err: ErrDepth}
	}
	ch.lingers = false
	if !several && !runner {
		if ran, err := d.quick(ctx, ch, p, first, trace); ran {
			return err
		}
	}
	c := d.getCall(runner)
	if c == nil {
		return ErrClosed
	}
	c.mode, c.point, c.hooks, c.parent, c.trace, c.clock = modeBefore, p, hooks, ctx, trace, d.begins(ch)
	begun := c
	c = d.drive(c, ch)
	ch.lingers = c != begun
	err := c.err
	d.putCall(c)
	return err
}

// BeforeBatch runs the before-hooks of changes that are made together or not at all. The
// first error refuses all of them; the changes are then of no use any more.
func (d *Dispatcher) BeforeBatch(ctx context.Context, changes []Change) error {
	for i := range changes {
		if err := d.Before(ctx, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// Stamp fills in what an event lacks of id, time, actor, correlation and cause, from the
// context where it says so. After does it too; call Stamp where the event is recorded as well.
func (d *Dispatcher) Stamp(ctx context.Context, ev *Event) { d.stamp(TraceOf(ctx), ev) }

func (d *Dispatcher) stamp(trace Trace, ev *Event) {
	if ev.ID.IsZero() {
		ev.ID = makeID(d.random, d.events.Add(1))
	}
	if ev.Time.IsZero() {
		ev.Time = d.options.Now()
	}
	if ev.Actor == "" {
		ev.Actor = trace.Actor
	}
	if ev.Correlation == "" {
		ev.Correlation = trace.Correlation
	}
	if ev.Cause.IsZero() {
		ev.Cause = trace.Cause
	}
}

// After tells the after-hooks of a change that was made; call it once for each commit. It
// waits for inline hooks, and for room in a full queue under Block. An operation that does
// not exist, and a context of Simulate, tell nobody.
func (d *Dispatcher) After(ctx context.Context, ev Event) { d.AfterOf(ctx, &ev) }

// AfterOf is After of an event that its caller keeps, and that need not be copied but into the queue. It is
// stamped, and not kept.
func (d *Dispatcher) AfterOf(ctx context.Context, ev *Event) {
	if !ev.Op.Valid() {
		return
	}
	list := &d.table.Load().of(ev.Op, ev.Scope.Kind(), ev.To.Kind()).after
	hooks := *list
	inline, queue, runner := false, false, false
	for _, r := range hooks {
		if r.matches(ev.Scope, ev.To, ev.Key) {
			inline, queue = inline || r.Inline, queue || !r.Inline
			runner = runner || r.Inline && r.isolated.Load()
		}
	}
	if !inline && !queue {
		return
	}
	trace := TraceOf(ctx)
	if trace.simulated {
		return
	}
	d.stamp(trace, ev)
	if inline && !d.runInline(ctx, trace, hooks, ev, runner) {
		d.drop(modeInline, hooks, ev, trace.depth)
	}
	if !queue {
		return
	}
	if trace.depth >= maxDepth || !d.shardOf(ev).push(ctx, list, ev, trace.depth) {
		d.drop(modeQueue, hooks, ev, trace.depth)
	}
}

// runInline reports false when the event must be dropped.
func (d *Dispatcher) runInline(ctx context.Context, trace Trace, hooks []*registration, ev *Event, runner bool) bool {
	if trace.depth >= maxDepth {
		return false
	}
	c := d.getCall(runner)
	if c == nil {
		return false
	}
	c.mode, c.point, c.hooks, c.parent, c.trace, c.event = modeInline, afterPoint(ev.Op), hooks, ctx, trace, *ev
	c.clock = -1
	d.putCall(d.drive(c, nil))
	return true
}

// drop counts an event that hooks of a mode do not get.
func (d *Dispatcher) drop(m mode, hooks []*registration, ev *Event, depth int) {
	why := ErrDropped
	if depth >= maxDepth {
		why = ErrDepth
	}
	c := call{mode: m, point: afterPoint(ev.Op), event: *ev}
	d.dropped.Add(1)
	for _, r := range hooks {
		if c.wants(r, nil) && !(mutant.Enabled && mutant.Is(mutant.ForgetDrops)) {
			r.counts.drops.Add(1)
			d.report(&CallError{Hook: r.Name, Point: c.point, Err: why})
		}
	}
}

func (d *Dispatcher) report(failure *CallError) {
	if d.options.OnFailure != nil {
		d.options.OnFailure(failure)
	}
}

// Drain waits until every event that After was given has been handled, those that it is given meanwhile too, by hooks
// or by others. Its error is the context's.
func (d *Dispatcher) Drain(ctx context.Context) error {
	// A worker that was idle may have got an event from one that was not yet looked at. It is over when all were
	// idle twice, and got none in between.
	for before, twice := uint64(0), false; ; {
		put, waited := uint64(0), false
		for _, s := range d.shards {
			done, n := s.drained()
			put += n
			select {
			case <-done:
				continue
			default:
			}
			waited = true
			select {
			case <-done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if !waited && twice && put == before {
			return nil
		}
		before, twice = put, !waited
	}
}

// Close handles what is queued, and ends every goroutine. From then on Register and Before
// answer ErrClosed, and events are dropped. When the context ends first, what is left in the
// queue is dropped and the contexts of the hooks that are running end; Close returns the
// context's error, and goroutines of hooks that do not return go on. Another Close is nil.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	closed, started := d.closed.Swap(true), d.started
	d.mu.Unlock()
	if closed {
		return nil
	}
	for _, s := range d.shards {
		s.close()
	}
	if started {
		for _, s := range d.shards {
			select {
			case <-s.ended:
			case <-ctx.Done():
				d.abandon()
			}
		}
	}
	d.closeCalls()
	d.watch.close()
	select {
	case <-d.watch.ended:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// abandon drops what is queued and ends what is running.
func (d *Dispatcher) abandon() {
	for _, s := range d.shards {
		for _, q := range s.discard() {
			var ev Event
			hooks, depth := *q.hooks, int(q.depth)
			q.take(&ev)
			d.drop(modeQueue, hooks, &ev, depth)
		}
	}
	d.watch.expireQueue()
}
