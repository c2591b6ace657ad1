package state

import (
	"fmt"
	"sync"

	"github.com/loamdb/loam/access"
)

// gate lets through those changes of a watcher that its principal may see. A change is held back until
// it is known whether another one of the same commit follows: so Last is where the principal's
// changes end, though the commit may not.
type gate struct {
	// Constant.
	guard   *guard
	request access.Request
	turn    chan struct{} // of one: who reads the feed

	mu     sync.Mutex
	filter *access.Filter
	ready  []Change // to be handed out, in order
	held   bool     // the last of ready may not be its commit's last
}

func newGate(g *guard, r access.Request, f *access.Filter) *gate {
	return &gate{guard: g, request: r, turn: make(chan struct{}, 1), filter: f}
}

// next returns the next change that may be seen.
func (g *gate) next(w *Watcher) (Change, error) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	for {
		if c, ok := g.take(false); ok {
			return c, nil
		}
		r, err := w.feed.next()
		if err != nil {
			if c, ok := g.take(true); ok {
				return c, nil // the error comes again
			}
			return Change{}, w.scope.fail("watch", "", err)
		}
		shown, err := g.shows(w, &r)
		var c Change
		if err != nil {
			err = w.scope.fail("watch", "", err)
		} else if shown {
			c, err = w.decode(&r)
		}
		g.put(c, shown && err == nil, r.last)
		if err != nil {
			return Change{}, err
		}
	}
}

// take returns the next change, also one that is held back if all is set.
func (g *gate) take(all bool) (Change, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ready) == 0 || len(g.ready) == 1 && g.held && !all {
		return Change{}, false
	}
	c := g.ready[0]
	if g.ready = g.ready[1:]; len(g.ready) == 0 {
		g.ready, g.held = nil, false
	}
	return c, true
}

// put takes in a change, if it may be shown, which may be the last of its commit.
func (g *gate) put(c Change, shown, last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if shown {
		g.ready = append(g.ready, c)
	}
	if n := len(g.ready); n > 0 && last {
		g.ready[n-1].Last = true
	}
	g.held = !last && len(g.ready) > 0
}

// between reports whether there are changes of a commit that has been read to its end, or in part, and
// that have not been handed out.
func (g *gate) between() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ready) > 0
}

// shows reports whether a change may be seen, by the rules of now. When no key may be seen any more
// that is an error.
func (g *gate) shows(w *Watcher, r *rawChange) (bool, error) {
	c := g.guard.control
	g.mu.Lock()
	f := g.filter
	g.mu.Unlock()
	if !c.keeper.Fresh(f) {
		var err error
		if f, err = c.filter(w.ctx, g.request); err != nil {
			return false, err
		}
		g.mu.Lock()
		g.filter = f
		g.mu.Unlock()
	}
	return r.shownBy(f)
}

// shownBy reports whether a filter, nil for none, shows a change. What is about the scope, and not about
// keys, is shown to everybody who may see any of them.
func (r *rawChange) shownBy(f *access.Filter) (bool, error) {
	switch {
	case f == nil:
		return true, nil
	case r.kind == ChangeSet || r.kind == ChangeDelete || r.kind == ChangeMerge:
		return f.Allows(string(r.key)), nil
	case r.kind == ChangeDeleteRange && f.Covers("") != access.AllKeys:
		return false, fmt.Errorf("%w: a range of keys was deleted, not all of which may be seen", ErrUnsupported)
	}
	return true, nil
}
