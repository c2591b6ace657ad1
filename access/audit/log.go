package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/mutant"
)

// Errors of this package.
var (
	// ErrInvalid is the error of an option or a record that cannot be. The text says why.
	ErrInvalid = errors.New("audit: invalid")
	// ErrClosed is the error of a closed Log.
	ErrClosed = errors.New("audit: closed")
	// ErrMalformed is the error of bytes that are no record, head or anchor.
	ErrMalformed = errors.New("audit: malformed")
	// ErrTooNew is the error of a record of a later format.
	ErrTooNew = errors.New("audit: format is too new")
	// ErrBroken is the error of a chain that is not as it was written, a *BrokenError.
	ErrBroken = errors.New("audit: the chain is broken")
)

// Entry is a key with its value.
type Entry struct {
	// Key and Value are bytes; nobody changes them.
	Key, Value []byte
}

// Store keeps entries in the order of their keys as bytes. The Log has it for itself.
// Many goroutines may use it at once.
type Store interface {
	// Apply writes entries, over those that are there, and deletes keys: all or nothing.
	Apply(ctx context.Context, writes []Entry, deletes [][]byte) error
	// Get returns the value of a key, and whether there is one.
	Get(ctx context.Context, key []byte) (value []byte, ok bool, err error)
	// Scan yields the entries from lower up to upper, which is not one of them, in order. It
	// ends at its first error. What is written meanwhile it may or may not yield.
	Scan(ctx context.Context, lower, upper []byte) iter.Seq2[Entry, error]
}

// Options of a Log. Now must be given; the other zero fields have the defaults.
type Options struct {
	// Now tells the time; time.Now but for tests.
	Now func() time.Time
	// Key makes the hashes of the chain ones that only who has it can make. Without it
	// Verify finds the accidents, and the changes of those who do not know this package. It is
	// always the same for a store, of any length; it must not be changed.
	Key []byte
	// Required makes Note wait, and fail, as Write does.
	Required bool
	// QueueLen is how many records of Note may wait; 1 to 1,000,000, 1024 by default.
	QueueLen int
	// SegmentRecords is how many records a segment has, the unit of retention; 1 to 1,000,000,
	// 4096 by default.
	SegmentRecords int
}

func (o Options) withDefaults() (Options, error) {
	o.QueueLen = cmp.Or(o.QueueLen, 1024)
	o.SegmentRecords = cmp.Or(o.SegmentRecords, 4096)
	problem := ""
	switch {
	case o.Now == nil:
		problem = "no clock"
	case o.QueueLen < 1 || o.QueueLen > 1_000_000:
		problem = "the length of the queue is not 1 to 1,000,000"
	case o.SegmentRecords < 1 || o.SegmentRecords > 1_000_000:
		problem = "the records of a segment are not 1 to 1,000,000"
	default:
		return o, nil
	}
	return o, fmt.Errorf("%w: options: %s", ErrInvalid, problem)
}

// Log writes records and finds them again. All methods may be called by many goroutines.
type Log struct {
	// Constant.
	store   Store
	options Options
	cancel  context.CancelFunc // of the worker's context
	wake    chan struct{}
	done    chan struct{} // closed when the worker has ended

	// Synchronized by themselves.
	written atomic.Uint64
	dropped atomic.Uint64
	end     atomic.Pointer[Head]

	retaining sync.Mutex // one Retain or Verify at a time

	queue struct {
		mu     sync.Mutex
		jobs   []job
		noted  int    // jobs that nobody waits for
		lost   uint64 // records that were dropped and not yet told of
		closed bool
	}

	// Of the worker alone.
	known bool // end is where the chain in the store ends
}

// job is a record to be written, or a wish to know when those before it are.
type job struct {
	record Record
	empty  bool       // there is no record
	result chan error // nil if nobody waits; has room for one
}

// Open returns a Log that goes on where the store's chain ends. It must be closed. Errors
// match ErrInvalid, ErrMalformed or ErrBroken, or are the store's. It does not
// verify the chain.
func Open(ctx context.Context, s Store, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{store: s, options: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if err := l.reload(ctx); err != nil {
		return nil, err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	go l.run(work)
	return l, nil
}

// Write records and waits until the record is in the store. After an error of the context
// it may still be written. Errors match ErrInvalid or ErrClosed, or are the store's.
func (l *Log) Write(ctx context.Context, r Record) error {
	if err := l.prepare(&r); err != nil {
		return err
	}
	return l.wait(ctx, job{record: r})
}

// Note records without waiting. Where the queue is full what was allowed is dropped and counted, and what was
// denied waits, as with Write; where the store fails later either is dropped. If the options say
// Required it does what Write does. Errors match ErrInvalid or ErrClosed, or are Write's.
func (l *Log) Note(ctx context.Context, r Record) error {
	if l.options.Required {
		return l.Write(ctx, r)
	}
	if err := l.prepare(&r); err != nil {
		return err
	}
	if full, err := l.note(r); !full || err != nil {
		return err
	}
	return l.wait(ctx, job{record: r})
}

// note puts a record into the queue, or drops it, unless the queue is full and it must not be.
func (l *Log) note(r Record) (full bool, err error) {
	q := &l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	switch full := q.noted >= l.options.QueueLen; {
	case q.closed:
		return false, ErrClosed
	case full && !r.Allowed && !(mutant.Enabled && mutant.Is(mutant.DropDenials)):
		return true, nil
	case full:
		q.lost++
		l.dropped.Add(1)
		return false, nil
	}
	q.noted++
	l.pushLocked(job{record: r})
	return false, nil
}

// Flush waits until what was noted before is written or dropped. Errors are the
// context's, or match ErrClosed.
func (l *Log) Flush(ctx context.Context) error { return l.wait(ctx, job{empty: true}) }

// Close writes what was noted and ends the Log. When the context ends first, the rest is
// given up, and its error returned. A second Close does nothing.
func (l *Log) Close(ctx context.Context) error {
	l.queue.mu.Lock()
	l.queue.closed = true
	l.queue.mu.Unlock()
	l.signal()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		l.cancel()
		<-l.done
		return ctx.Err()
	}
}

// Metrics are counts since the Log was opened.
type Metrics struct {
	// Written is how many records are in the store.
	Written uint64
	// Dropped is how many are not: the queue was full, or the store failed.
	Dropped uint64
}

// Metrics returns the counts.
func (l *Log) Metrics() Metrics {
	return Metrics{Written: l.written.Load(), Dropped: l.dropped.Load()}
}

// Head returns where the chain ends. Kept elsewhere, it lets Verify find that the store was
// put back to an earlier state.
func (l *Log) Head() Head { return *l.end.Load() }

func (l *Log) prepare(r *Record) error {
	r.Seq, r.Dropped = 0, 0
	r.Time = l.options.Now().UTC().Round(0)
	if err := check(r); err != nil {
		return fmt.Errorf("%w: record: %w", ErrInvalid, err)
	}
	return nil
}

// wait hands a job to the worker and waits for its result. Those who wait are as many as
// callers, and need no other bound.
func (l *Log) wait(ctx context.Context, j job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.result = make(chan error, 1)
	l.queue.mu.Lock()
	if l.queue.closed {
		l.queue.mu.Unlock()
		return ErrClosed
	}
	l.pushLocked(j)
	l.queue.mu.Unlock()
	select {
	case err := <-j.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) pushLocked(j job) {
	l.queue.jobs = append(l.queue.jobs, j)
	l.signal()
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
