package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// ErrScopeDropped: the scope that was watched has been dropped or moved away. The event that
// says so was the last one.
var ErrScopeDropped = errors.New("lsm: the watched scope is gone")

// WatchOptions say what a watcher is shown. nil means everything from now on.
type WatchOptions struct {
	// Prefix is what all keys begin with; empty means any.
	Prefix []byte
	// LowerBound is the smallest key shown, UpperBound the smallest one beyond those shown;
	// nil means no bound. With a Prefix both must hold.
	LowerBound, UpperBound []byte
	// From is where to begin: behind everything that it covers. nil means now.
	From *Position
}

// WatchKind says what a WatchEvent tells.
type WatchKind uint8

// Kinds of events.
const (
	WatchSet         WatchKind = iota + 1 // Key was given Value
	WatchDelete                           // Key was removed
	WatchDeleteRange                      // every key within [Key, Upper) was removed
	WatchLagged                           // what follows up to Last are net changes, in the order of keys
	WatchDropped                          // the watched scope is gone, with all that was in it
	WatchMerge                            // Operator, given Value as its operand, was applied to what Key had
)

// String returns the kind's name.
func (k WatchKind) String() string {
	switch k {
	case WatchSet:
		return "set"
	case WatchDelete:
		return "delete"
	case WatchDeleteRange:
		return "delete range"
	case WatchLagged:
		return "lagged"
	case WatchDropped:
		return "dropped"
	case WatchMerge:
		return "merge"
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// WatchEvent is one operation of a commit, or news of the watch itself. Its slices are valid
// until the next call of Next and must not be changed.
type WatchEvent struct {
	// Kind says what happened.
	Kind WatchKind
	// Key is the key, or the lower bound of a range. Upper is the bound of a WatchDeleteRange
	// beyond its last key; nil means no bound. Ranges are cut to what is watched.
	Key, Upper []byte
	// Value is what a WatchSet has set, and Expiry when that expires; the zero Time means
	// never. That it has expired is no event. Or Value is the operand of a WatchMerge.
	Value  []byte
	Expiry time.Time
	// Operator is the name of a WatchMerge's operator. Among net changes there are no merges,
	// but the values that they have made. Time is when a WatchMerge was committed, by the store's
	// time: what has expired by then is nothing that the operand is applied to.
	Operator string
	Time     time.Time
	// Version is the operation's own, that of DB.GetWithVersion. Commit is the same for all
	// operations of one commit, rises from commit to commit, and is the Version of the last
	// of them.
	Version, Commit Version
	// Last: no further event of the same commit follows. What the events up to here have
	// shown is the state of what is watched at Commit.
	Last bool
	// Durable: the commit was on the device when Next returned. A synced one always was.
	Durable bool
	// From is the Version up to which everything had been shown when a WatchLagged came. Its
	// Commit is the one up to which the net changes go.
	From Version

	err error // why the value cannot be opened, or nil
}

// Watcher shows what commits change, in the order of the commits, each once. It is made by
// DB.Watch or Scope.Watch, and must be closed, or its context must end.
//
// A watcher keeps nothing but its place. Recent commits are kept for all watchers together,
// in a bounded buffer; one that falls behind it, or meets something that is not in it (tables
// that were ingested, a scope that was moved to the watched name), gets one WatchLagged, then
// what has changed in all between From and Commit: ranges deleted and keys set and deleted,
// in the order of keys, then single commits again. Whoever applies events to a copy of what
// is watched has, after each Last, what the store had at that commit.
//
// Next, Events and Position may be called from any number of goroutines; Close too.
type Watcher struct {
	// Constant.
	db        *DB
	ctx       context.Context
	sc        *Scope // nil: the root
	lower     []byte // user keys
	upper     []byte // nil: no bound
	entryKey  []byte // of the scope's entry, with the system scope's id
	alarm     alarm
	closed    chan struct{}
	closeOnce sync.Once
	unhook    func() bool // of ctx

	turn chan struct{} // capacity 1: filled by whoever uses walk
	walk walker

	done atomic.Uint64 // every commit up to this number has been shown

	// Guarded by feed.parkMu.
	parked bool
	woken  uint64 // the piece it was woken for
	spans  []span // what concerns it
	left   bool   // it was taken out of the store
}

// Watch returns a watcher of the root's keys. It shows every commit that becomes visible after
// Watch has returned, and none that was visible before the call; with From, every one behind
// that position. It ends with ctx, by whose cause Next then fails.
//
// Errors: ErrInvalidRange for bounds that cross, ErrClosed, ErrReadOnly for a store that does
// not change, and those of From: ErrDiverged, ErrInvalidPosition, ErrHistoryGone (by Next).
func (d *DB) Watch(ctx context.Context, o *WatchOptions) (*Watcher, error) {
	return d.watch(ctx, nil, o)
}

// Watch returns a watcher of the scope's keys, as DB.Watch does of the root's. The scope need
// not be there: its creation is then shown by its first events. When it is dropped, or moved to
// another name, a WatchDropped ends the watch, and Next gives ErrScopeDropped. A handle of a
// snapshot gives ErrReadOnly.
func (s *Scope) Watch(ctx context.Context, o *WatchOptions) (*Watcher, error) {
	if s.snap != nil {
		return nil, ErrReadOnly
	}
	return s.db.watch(ctx, s, o)
}

func (d *DB) watch(ctx context.Context, sc *Scope, o *WatchOptions) (*Watcher, error) {
	if d.closed.Load() {
		return nil, ErrClosed
	}
	if d.opts.ReadOnly {
		return nil, ErrReadOnly
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if o == nil {
		o = &WatchOptions{}
	}
	w := &Watcher{db: d, ctx: ctx, sc: sc, alarm: newAlarm(), closed: make(chan struct{}), turn: make(chan struct{}, 1)}
	if err := w.setBounds(o); err != nil {
		return nil, err
	}
	if sc != nil {
		w.entryKey = append(bytes.Clone(systemKeys.prefix), sc.entry...)
	}
	if err := w.begin(o.From); err != nil {
		return nil, fmt.Errorf("lsm: watch: %w", err)
	}
	w.unhook = context.AfterFunc(ctx, w.leave)
	return w, nil
}

// setBounds works out the keys that are watched.
func (w *Watcher) setBounds(o *WatchOptions) error {
	for _, b := range [][]byte{o.Prefix, o.LowerBound, o.UpperBound} {
		if err := checkLimits(b, nil); err != nil {
			return err
		}
	}
	w.lower = bytes.Clone(o.LowerBound)
	if o.UpperBound != nil {
		w.upper = append([]byte{}, o.UpperBound...)
		if bytes.Compare(o.LowerBound, o.UpperBound) > 0 {
			return fmt.Errorf("%w: bounds of a watch", ErrInvalidRange)
		}
	}
	if len(o.Prefix) > 0 {
		if bytes.Compare(o.Prefix, w.lower) > 0 {
			w.lower = bytes.Clone(o.Prefix)
		}
		if end := prefixEnd(o.Prefix); end != nil && (w.upper == nil || bytes.Compare(end, w.upper) < 0) {
			w.upper = end
		}
	}
	return nil
}

// prefixEnd returns the smallest key behind all that begin with prefix, or nil if none is.
func prefixEnd(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] < 0xff {
			end := bytes.Clone(prefix[:n])
			end[n-1]++
			return end
		}
	}
	return nil
}

// Events yields what Next returns, until the loop is left or an error ends it, which is
// yielded once, with a zero event.
//
//	for e, err := range w.Events() {
//		if err != nil {
//			return err
//		}
//		fmt.Printf("%d %s %s\n", e.Commit, e.Kind, e.Key)
//	}
func (w *Watcher) Events() iter.Seq2[WatchEvent, error] {
	return func(yield func(WatchEvent, error) bool) {
		for {
			e, err := w.Next()
			if !yield(e, err) || known(err) != nil {
				return
			}
		}
	}
}

// Position returns a place behind the last commit that Next has shown to its end, or behind
// later ones that do not concern the watcher, for WatchOptions.From: in this process or in a
// later one. What it covers is on the device, for which it may wait for a sync. Whoever asks
// beside the goroutine that calls Next must know what that one has dealt with.
//
// Errors: ErrPoisoned, ErrClosed.
func (w *Watcher) Position() (Position, error) {
	w.db.feed.catchParkedUp(w)
	done := w.upTo()
	if w.db.closed.Load() {
		return Position{}, ErrClosed
	}
	return w.db.positionOf(done)
}

// upTo returns the number up to which everything has been shown.
func (w *Watcher) upTo() keys.SeqNum { return keys.SeqNum(w.done.Load()) }

// shown notes that everything up to seq has been shown.
func (w *Watcher) shown(seq keys.SeqNum) {
	for old := w.done.Load(); old < uint64(seq) && !w.done.CompareAndSwap(old, uint64(seq)); old = w.done.Load() {
	}
}

// Close ends the watch. A call of Next that waits, or comes later, gives ErrClosed. It is
// idempotent, and returns nil.
func (w *Watcher) Close() error {
	w.unhook()
	w.leave()
	return nil
}

// leave takes the watcher out of the store. When it returns nobody is in Next.
func (w *Watcher) leave() {
	w.closeOnce.Do(func() {
		close(w.closed)
		w.db.feed.leave(w)
		w.turn <- struct{}{}
		w.walk.release()
		<-w.turn
	})
}

// ended returns why the watch is over, or nil.
func (w *Watcher) ended() error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	select {
	case <-w.closed:
		return ErrClosed
	default:
	}
	if w.db.closed.Load() {
		return ErrClosed
	}
	return nil
}

// keysOf returns the bounds of what is watched, as the engine's keys, of the given id.
func (w *Watcher) keysOf(id scope.ID) span {
	var s span
	s.lower = append(scope.AppendID(nil, id), w.lower...)
	if w.upper != nil {
		s.upper = append(scope.AppendID(nil, id), w.upper...)
	} else {
		s.upper = scope.AppendUpperBound(nil, id)
	}
	return s
}
