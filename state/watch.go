package state

import (
	"context"
	"fmt"
	"iter"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/state/codec"
)

// Change is something that has happened in a scope, as Scope.Watch and Scope.Diff tell it.
type Change struct {
	// Kind says what has happened.
	Kind ChangeKind
	// Key is the key; of a ChangeDeleteRange the keys from Key on, up to but not including Upper,
	// which is empty where there is no bound.
	Key, Upper string
	// Value is what a ChangeSet has written, and Meta what is known of it. That it has expired
	// is no change. Of a ChangeMerge it is the number that IncrementBlind has added, or, with Patch,
	// what PatchBlind has merged. Among net changes there are none of these.
	Value any
	Meta
	Patch bool

	err error // why the value cannot be read

	// The fields below are those of a Watcher's changes.

	// Commit is the same for all changes of one commit and rises from commit to commit. Last: no
	// further change of the same commit follows.
	Commit Version
	Last   bool
	// Durable: the commit was on the device when the change was handed out. In a memory store none ever is.
	Durable bool
	// From is the commit up to which everything had been shown when a ChangeLagged came.
	From Version
}

// ChangeKind says what a Change tells.
type ChangeKind uint8

// Kinds of changes.
const (
	ChangeSet         ChangeKind = iota + 1 // Key was given Value
	ChangeDelete                            // Key was removed; it may have been absent before
	ChangeDeleteRange                       // every key of a range was removed, but for those that are set afterwards
	ChangeNewScope                          // the scope begins empty, whatever it held: all that it holds follows
	ChangeDropScope                         // the scope is gone, with all that was in it
	ChangeLagged                            // what follows, up to Last, are net changes, in the order of keys
	ChangeMerge                             // Value was merged into what Key has, without a read
)

var changeNames = [...]string{"none", "set", "delete", "delete range", "new scope", "drop scope", "lagged", "merge"}

// String returns the kind in words.
func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return fmt.Sprintf("change(%d)", uint8(k))
}

// decode returns a change as users know it.
func (s *Scope) decode(r *rawChange) (Change, error) {
	c := Change{Kind: r.kind, Key: string(r.key), Commit: r.commit, Last: r.last, Durable: r.durable, From: r.from}
	c.Version = r.info.version
	switch r.kind {
	case 0:
		return Change{}, s.fail("read change", c.Key, ErrTooNew)
	case ChangeDeleteRange:
		if c.Upper = string(r.upper); c.Key <= firstKey {
			c.Key = ""
		}
	case ChangeSet, ChangeMerge:
		if r.info.unread != nil {
			c.Meta, c.err = r.info.meta(), r.info.unread
			return c, nil
		}
		c.Patch = r.operator == opPatch
		f := found{info: r.info}
		err := f.open(r.value)
		if err == nil {
			c.Meta = f.meta()
			c.Value, err = codec.Decode(f.payload, &stored)
		}
		if err != nil {
			return Change{}, s.fail("read change", c.Key, err)
		}
	}
	return c, nil
}

// own reports whether a change is of the store's own records in the scope (S6).
func (r *rawChange) own() bool {
	switch r.kind {
	case ChangeSet, ChangeDelete, ChangeMerge:
		return len(r.key) > 0 && r.key[0] < firstKey[0]
	case ChangeDeleteRange:
		return r.upper != nil && string(r.upper) <= firstKey
	}
	return false
}

// Diff yields what has changed in the scope since a position, up to now or to the handle's snapshot:
// net changes, in the order of keys, deletions included. Applied to a copy of what was there they
// make what is there. From the zero Position that is everything. It reads what has changed, not
// what is stored. An error is yielded once, with a zero Change, and ends the loop: ErrHistoryGone if
// what was deleted since then may be forgotten, ErrDiverged, ErrInvalidPosition, and others. But
// ErrShredded, ErrNoScopeKey and ErrMerge come with a change whose value cannot be read, and the loop goes on.
func (s *Scope) Diff(ctx context.Context, from Position) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		s, filter, err := s.passSome(ctx, access.OpScan, "")
		if err == nil {
			err = s.whole(ctx)
		}
		if err != nil {
			yield(Change{}, s.fail("diff", "", err))
			return
		}
		var sensitive uint64
		defer func() { _ = s.seen(ctx, access.OpScan, "", sensitive) }() // what was shown was shown
		for r, err := range s.space.diff(from) {
			if err == nil {
				err = ctx.Err()
			}
			var c Change
			if err == nil {
				if r.own() {
					continue
				}
				var shown bool
				if shown, err = r.shownBy(filter); err == nil && !shown {
					continue
				}
			}
			if err == nil {
				if c, err = s.decode(&r); err == nil && c.Class == Sensitive {
					err = s.seenInLoop(ctx, c.Key, &sensitive)
				}
			}
			if err != nil {
				yield(Change{}, s.fail("diff", "", err))
				return
			}
			if !yield(c, s.unreadIn(&c, "diff")) {
				return
			}
		}
	}
}

// unreadIn returns the error of a change whose value cannot be read, nil if it can.
func (s *Scope) unreadIn(c *Change, op string) error {
	if c.err == nil {
		return nil
	}
	return s.fail(op, c.Key, c.err)
}

// Watcher shows what commits change in a scope, in the order of the commits, each once. It is made by
// Scope.Watch, and must be closed, or its context must end. Its methods may be called from any
// number of goroutines.
//
// It keeps nothing but its place: recent commits are kept for all watchers together, in a bounded
// buffer. One that falls behind gets a ChangeLagged, then the net changes, then single commits again.
// Whoever applies changes to a copy of what is watched has, after each Last, what the scope had at that
// commit.
type Watcher struct {
	scope *Scope
	ctx   context.Context // of Watch
	feed  feed
	gate  *gate // of a view's, or nil
}

// Watch returns a watcher of the keys that begin with prefix, from now on, or from everything behind
// a position if from is not nil. The scope need not be there. When it is dropped, or moved to another
// name, a ChangeDropScope ends the watch. Values of class Ephemeral are not shown.
//
// Errors: ErrInvalidPosition, ErrDiverged, ErrReadOnly for a handle of a snapshot.
func (s *Scope) Watch(ctx context.Context, prefix string, from *Position) (*Watcher, error) {
	inner, filter, err := s.passSome(ctx, access.OpWatch, prefix)
	if err == nil {
		err = inner.wholeToWrite(ctx)
	}
	if err != nil {
		return nil, s.fail("watch", "", err)
	}
	lower, upper := bounds(prefix, "")
	f, err := inner.space.watch(ctx, lower, upper, from)
	if err != nil {
		return nil, s.fail("watch", "", err)
	}
	w := &Watcher{scope: inner, ctx: ctx, feed: f}
	if filter != nil {
		w.gate = newGate(s.guard, s.guard.request(access.OpWatch, prefix), filter)
	}
	return w, nil
}

// Next returns the next change, and waits for it if there is none. Errors that end the watch: the
// context's, ErrClosed, ErrScopeDropped behind a ChangeDropScope, ErrHistoryGone and ErrDiverged when
// nobody can tell any more what has changed. After others it may be called again: ErrShredded,
// ErrNoScopeKey and ErrMerge come with a change whose value cannot be read.
func (w *Watcher) Next() (Change, error) {
	c, err := w.next()
	if err != nil {
		return Change{}, err
	}
	return c, w.scope.unreadIn(&c, "watch")
}

func (w *Watcher) next() (Change, error) {
	if w.gate != nil {
		return w.gate.next(w)
	}
	r, err := w.feed.next()
	if err != nil {
		return Change{}, w.scope.fail("watch", "", err)
	}
	return w.decode(&r)
}

// decode returns a change as users know it, and records what is sensitive.
func (w *Watcher) decode(r *rawChange) (Change, error) {
	c, err := w.scope.decode(r)
	if err == nil && c.Class == Sensitive {
		if err = w.scope.seen(w.ctx, access.OpWatch, c.Key, 1); err != nil {
			return Change{}, w.scope.fail("watch", c.Key, err)
		}
	}
	return c, err
}

// Changes yields what Next returns, until the loop is left or an error ends it, which is yielded
// once, with a zero Change. It goes on behind a change whose value cannot be read.
func (w *Watcher) Changes() iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for {
			c, err := w.Next()
			if !yield(c, err) || err != nil && c.err == nil {
				return
			}
		}
	}
}

// Position returns a place behind the last commit that Next has shown to its end, for another Watch
// or a Diff, in this process or in a later one. What it covers is on the device, for which it may
// wait.
//
// A view's watcher has a place only between commits: behind a Last, and before the next change.
func (w *Watcher) Position() (Position, error) {
	if w.gate != nil && w.gate.between() {
		return Position{}, w.scope.fail("position", "", fmt.Errorf("%w: a view's watcher has no place within a commit", ErrUnsupported))
	}
	p, err := w.feed.position()
	if err != nil {
		return Position{}, w.scope.fail("position", "", err)
	}
	return p, nil
}

// Close ends the watch. It is idempotent.
func (w *Watcher) Close() error { return w.feed.close() }

// rawChange is a change before its value is decoded. Its slices are valid until the next one.
type rawChange struct {
	kind         ChangeKind
	key, upper   []byte
	value        []byte
	info         info
	commit, from Version
	last         bool
	durable      bool
	operator     string
}
