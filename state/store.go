package state

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/internal/latency"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// Store is an open store of typed values in scopes. Its methods may be called from any number of
// goroutines.
type Store struct {
	// Constant.
	engine       *engine
	memory       bool // there is no device to wait for
	readOnly     bool
	noSync       bool
	encrypted    bool // values can be sealed
	inferClass   bool
	class        Class
	scopeClasses []scopeClass
	limits       codec.Limits // of values that are written
	strict       codec.Limits // of those of class External
	control      *control     // nil: no access control
	protection   protection

	hooks        *hook.Dispatcher
	timeline     *timeline.Timeline
	records      *records   // of the timeline
	recording    bool       // of events
	recordValues bool       // of these
	retain       *retention // nil: nothing is recorded

	sweeper *sweeper  // carries out rules of retention
	left    leftovers // of imports

	ephemeral ephemerals
	scratch   sync.Pool // of *scratch
	sources   sync.Pool // of *source

	ended      context.Context // ends when the store begins to close
	closed     atomic.Bool     // nobody is told of anything any more
	end        context.CancelFunc
	closing    atomic.Bool   // Close was called
	told       chan struct{} // of one: wakes Close, which waits for what is being told
	gone       chan struct{} // is closed when the first Close has ended
	background sync.WaitGroup
	unrecorded atomic.Int64

	clock     clock // takes the time of calls
	opened    time.Time
	hookEpoch time.Time // from which the engine's time counts that hooks go by, too; zero: they look themselves
	latencies [timedOps]latency.Histogram

	counters [counterShards]counters
	borrowed atomic.Uint32 // how often memory was made for a scratch
	appends  atomic.Uint32 // blind ones
}

// counters count what calls do. There are several, so that processors do not wait for each other.
type counters struct {
	reads, writes, conflicts atomic.Int64
	telling                  atomic.Int64 // commits that are to be told
	_                        [32]byte     // a cache line of its own
}

const counterShards = 16

type scopeClass struct {
	pattern scope.Pattern
	class   Class
}

// defaultEphemeralBytes is the room for values of class Ephemeral.
const defaultEphemeralBytes = 16 << 20

// strictShare is how much less long values of class External may be.
const strictShare = 16

// stored are the limits within which stored values are read: the widest, since what was written
// under other options must stay readable. Lengths are still held against the bytes that there are.
var stored = codec.Limits{MaxBytes: 1 << 30, MaxDepth: 10_000, MaxNodes: 1 << 30}

// Open opens the store in dir, or makes one there, with the directories above it. A nil o means the
// defaults: what a write has returned from is on the device.
//
// One process at a time has a directory open for writing. Errors: ErrLocked, ErrNotExist,
// ErrCorrupt, ErrTooNew, ErrInvalidOptions, ErrClock, and those of the file system. An Open that
// fails has changed nothing that a later one needs.
func Open(dir string, o *Options) (*Store, error) {
	if dir == "" {
		return nil, fmt.Errorf("%w: no directory is named", ErrInvalidOptions)
	}
	return open(dir, o, false)
}

// OpenMemory opens a new store in memory, which is gone when it is closed: the same store, without
// files. Errors: ErrInvalidOptions.
func OpenMemory(o *Options) (*Store, error) { return open("memory", o, true) }

func open(dir string, o *Options, memory bool) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o == nil {
		o = &Options{}
	}
	var settings EngineOptions
	if o.Engine != nil {
		settings = *o.Engine
	}
	settings.InMemory = memory
	limits := o.limits()
	s := &Store{memory: memory, readOnly: settings.ReadOnly, noSync: o.NoSync, encrypted: settings.Encryption != nil, inferClass: o.InferClass, class: o.Class, limits: limits.WithDefaults()}
	if s.class == 0 {
		s.class = Standard
	}
	s.strict = s.limits
	s.strict.MaxBytes = max(s.strict.MaxBytes/strictShare, 1)
	for _, c := range o.ScopeClasses {
		p, err := scope.ParsePattern(c.Scopes)
		if err != nil {
			return nil, err // Validate has seen to it that this does not happen
		}
		s.scopeClasses = append(s.scopeClasses, scopeClass{p, c.Class})
	}
	s.clock = clock{now: time.Now, since: time.Since} // the machine's: it is how long callers wait
	s.opened = s.clock.now()
	s.scratch.New = func() any { return &scratch{counters: &s.counters[s.borrowed.Add(1)%counterShards]} }
	s.ephemeral.init(cmp.Or(o.EphemeralBytes, defaultEphemeralBytes))
	s.sources.New = func() any { return &source{} }
	if err := s.start(dir, o, &settings); err != nil {
		return nil, err
	}
	return s, nil
}

// start opens the engine and begins what the store does in the background.
func (s *Store) start(dir string, o *Options, settings *EngineOptions) error {
	var err error
	if s.engine, err = openEngine(dir, settings, &s.limits); err != nil {
		return err
	}
	s.ended, s.end = context.WithCancel(context.Background())
	s.gone, s.told = make(chan struct{}), make(chan struct{}, 1)
	s.left.wake = make(chan struct{}, 1)
	if !s.readOnly {
		err = s.dropImports()
	}
	if err == nil {
		s.control, err = s.openControl(o.Access)
	}
	if err == nil {
		err = s.openProtection(o.Privacy)
	}
	if err == nil {
		err = s.openSweeper(settings.Clock != nil)
	}
	if err == nil {
		err = s.openHooks(o.Hooks)
	}
	if err == nil {
		if err = s.openTimeline(o.Timeline); err != nil {
			_ = s.hooks.Close(s.ended) // the first error says what is wrong
		}
	}
	if err != nil {
		s.end()
		s.control.close()
		_ = s.engine.close() // likewise
		return err
	}
	if !s.readOnly {
		s.background.Go(s.tellExpiries)
		s.background.Go(s.sweeper.run)
		s.background.Go(s.dropLeftovers)
	}
	return nil
}

// Close ends the store: after-hooks are told of all that was written, what was acknowledged is made
// durable, and everything that the store does in the background ends. It must not be called by a
// hook. Snapshots, transactions and watchers that are open make it return ErrInUse; the store is
// closed all the same. A second Close returns nil, when the first one has ended.
//
// While it waits for what is being written, and for hooks, nobody else begins to write, or begins or commits a transaction:
// ErrClosed. Hooks may write until the last of them has returned, with the context that they were given. Every use
// after Close is ErrClosed.
func (s *Store) Close() error {
	if s.closing.Swap(true) {
		<-s.gone
		return nil
	}
	defer close(s.gone)
	s.end()
	s.background.Wait()
	s.drain()
	_ = s.hooks.Close(context.Background()) // there is no error but the context's
	s.closed.Store(true)
	s.control.close()
	err := s.engine.close()
	s.ephemeral.close() // last: who does not find a value there asks the engine, which says ErrClosed
	return err
}

// Scope returns a handle to a scope, which need not exist: it comes into being with the first
// write to it. Nothing is read or written. A scope that cannot be, or is reserved, makes
// every operation on the handle fail with ErrScope.
//
// In a store with access control it is nobody's, and every operation on it is denied: use As.
func (s *Store) Scope(name scope.Scope) *Scope { return s.guarded("", s.scopeIn(s.engine, name)) }

func (s *Store) scopeIn(e *engine, name scope.Scope) *Scope {
	sc := &Scope{store: s, name: name}
	if sc.err = checkScope(name); sc.err == nil {
		sc.space, sc.err = e.space(name)
	}
	sc.class = s.classIn(name)
	return sc
}

// classIn returns the class of values in a scope for which nothing else says one.
func (s *Store) classIn(name scope.Scope) Class {
	for i := range s.scopeClasses {
		if c := &s.scopeClasses[i]; c.pattern.Match(name) {
			return c.class
		}
	}
	return s.class
}

// reservedName begins the names of the custom scopes that the store keeps for itself, as it begins
// the keys that are reserved.
const reservedName = "__"

func checkScope(name scope.Scope) error {
	if err := name.Validate(); err != nil {
		return err
	}
	if reservedScope(name) {
		return fmt.Errorf("%w: names of custom scopes that begin with %s are reserved", ErrScope, reservedName)
	}
	return nil
}

func reservedScope(name scope.Scope) bool {
	return name.Kind() == scope.KindCustom && strings.HasPrefix(name.ID(), reservedName)
}

// ListScopes yields the scopes of a kind, or of all kinds with scope.AnyKind, whose id begins with
// prefix, in the order of scope.Compare. It reads no values. A scope is there from the first write
// to it until it is dropped or moved, whatever it holds; values of class Ephemeral alone make none.
// An error is yielded once, with a
// zero Scope, and ends the loop.
func (s *Store) ListScopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	return s.visible("", listScopes(s.engine, kind, prefix))
}

func listScopes(e *engine, kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	return func(yield func(scope.Scope, error) bool) {
		for name, err := range e.scopes(kind, prefix) {
			if err != nil {
				yield(scope.Scope{}, &Error{Op: "list scopes", Err: err})
				return
			}
			if !reservedScope(name) && !yield(name, nil) {
				return
			}
		}
	}
}

// scratch is the memory that one call works with: what is in it is the caller's until it is given
// back.
type scratch struct {
	key    []byte   // of one operation
	buf    []byte   // what was read, or is to be written
	one    [1]write // the commit of a single write
	notice notice   // of that

	counters *counters // those that the call counts in

	calls uint32 // that have had it
	timed bool   // the call's time is taken
	op    timedOp
	begun time.Time
}

// maxPooledBytes keeps one giant value from staying in a pool for ever.
const maxPooledBytes = 64 << 10

func (s *Store) borrow() *scratch { return s.scratch.Get().(*scratch) }

// borrowFor returns memory for one call, whose time is taken if it is its turn.
func (s *Store) borrowFor(op timedOp) *scratch {
	b := s.borrow()
	if b.calls++; b.calls%sampleEvery == 1 {
		b.timed, b.op, b.begun = true, op, s.clock.now()
	}
	return b
}

func (s *Store) giveBack(b *scratch) {
	if b.notice.event.Op != 0 {
		b.notice = notice{}
	}
	if b.timed {
		s.latencies[b.op].Add(s.clock.since(b.begun))
		b.timed = false
	}
	if b.one[0].key != nil { // not of a read: it is long
		b.one[0] = write{}
	}
	if cap(b.buf) > maxPooledBytes {
		b.buf = nil
	}
	s.scratch.Put(b)
}
