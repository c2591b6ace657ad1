package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("watch", 130, func(g *generator) follow {
		o := follow{Slot: g.slot(), watch: watch{In: g.place()}}
		if g.oneIn(2) {
			if o.Lower, o.Upper = g.bounds(); o.Lower == o.Upper {
				o.Upper = "" // there must be a key to wait for
			}
		}
		return o
	})
	register("hear", 320, func(g *generator) hear { return hear{Slot: g.slot(), Value: g.value(), Token: g.oneIn(3)} })
}

// watch is what is watched: the keys of a scope within bounds.
type watch struct {
	In    text `json:",omitempty"`
	Lower text `json:",omitempty"`
	Upper text `json:",omitempty"`
}

// within returns what is watched of the entries of the scope.
func (w *watch) within(keys *tree) *tree { return keys.within(string(w.Lower), string(w.Upper)) }

// follow begins to watch, and keeps a copy of what is watched, which a later hear brings up to
// date. Watches outlive processes: they go on from a position of theirs, or begin anew.
type follow struct {
	Slot int
	watch
}

func (o *follow) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.watches[o.Slot-1] = &o.watch
	return "ok"
}

func (o *follow) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	p.watchers[o.Slot-1].leave()
	w := &watcher{watch: o.watch}
	p.watchers[o.Slot-1] = w
	return "ok", w.begin(p)
}

// watcher is a watch with a copy of what is watched.
type watcher struct {
	watch
	w      *lsm.Watcher // nil: it is to begin again
	cancel context.CancelCauseFunc
	copy   *tree
	last   lsm.Version // of the commits that the copy has seen
	ended  bool        // that one, to its end

	token  *lsm.Position // to go on from; nil: none
	copied *tree         // the copy there
}

// begin makes the store tell of what is watched, from the token on, or from now on with a copy
// that is read.
func (w *watcher) begin(p *player) error {
	w.leave()
	t, err := p.target(w.In)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(background)
	it, err := t.Watch(ctx, &lsm.WatchOptions{LowerBound: []byte(w.Lower), UpperBound: w.Upper.bound(), From: w.token})
	if err != nil {
		cancel(nil)
		return err
	}
	w.w, w.cancel, w.last, w.ended, w.copy = it, cancel, 0, true, w.copied
	if w.token != nil {
		return nil
	}
	if w.copy, err = w.read(t); err != nil {
		w.leave()
	}
	return err
}

// read returns a copy of what is watched.
func (w *watcher) read(from reader) (copied *tree, err error) {
	it, err := from.NewIter(&lsm.IterOptions{LowerBound: []byte(w.Lower), UpperBound: w.Upper.bound()})
	if err != nil {
		return nil, err
	}
	for it.Next() {
		copied = copied.set(string(it.Key()), string(it.Value()), 0, hourOf(it.Expiry()))
	}
	return copied, errors.Join(it.Err(), it.Close())
}

// leave ends the watch, which goes on from its token when it begins again. w may be nil.
func (w *watcher) leave() {
	if w == nil || w.w == nil {
		return
	}
	_ = w.w.Close() // always nil
	w.cancel(nil)
	w.w = nil
}

// mistrust forgets the positions of watchers: what they cover may be lost.
func (p *player) mistrust() {
	for _, w := range p.watchers {
		if w != nil {
			w.token, w.copied = nil, nil
		}
	}
}

// hear writes a key that is watched, and brings the copy up to there. Then it must be what the
// store holds. With Token the watch can go on from there in another process.
type hear struct {
	Slot  int
	Value value
	Token bool `json:",omitempty"`
}

// mark is the write that the watch waits for.
func (o *hear) mark(w *watch) *act { return &act{Do: "set", In: w.In, Key: w.Lower, Value: o.Value} }

func (o *hear) model(m *Model) string {
	w := m.watches[o.Slot-1]
	if w == nil {
		return "no watch"
	}
	s, _ := o.mark(w).in(m, m.now, m.write())
	if m.commit(s, false); o.Token {
		m.promise()
	}
	keys, _ := m.now.find(string(w.In))
	return w.within(keys).pass(false)
}

func (o *hear) apply(p *player) (string, error) {
	w := p.watchers[o.Slot-1]
	if w == nil {
		return "no watch", nil
	}
	if w.w == nil {
		if err := w.begin(p); err != nil {
			return "", err
		}
	}
	t, err := p.target(w.In)
	if err != nil {
		return "", err
	}
	mark := o.mark(&w.watch)
	if err := p.act(t, mark, lsm.NoSync); err != nil {
		return "", err
	}
	line, err := w.catchUp(mark)
	if errors.Is(err, lsm.ErrHistoryGone) || errors.Is(err, lsm.ErrScopeDropped) {
		w.token, w.copied = nil, nil
		err = w.begin(p) // nothing comes any more, or of the scope of that name
	}
	if err == nil && o.Token {
		if w.token, err = tokenOf(w.w); err == nil {
			w.copied = w.copy
		}
	}
	if err != nil {
		w.leave() // whatever becomes of the store, the watch begins again
		return "", err
	}
	if line == "" {
		line = w.copy.alive(p.clock.hour()).pass(false)
	}
	return line, nil
}

func tokenOf(w *lsm.Watcher) (*lsm.Position, error) {
	at, err := w.Position()
	return &at, err
}

// catchUp does to the copy what is shown up to the end of the commit of a mark. It returns what
// is wrong about that.
func (w *watcher) catchUp(mark *act) (string, error) {
	guard := time.AfterFunc(patience, func() { w.cancel(errLate) })
	defer guard.Stop()
	for met := false; ; {
		e, err := w.w.Next()
		switch {
		case err != nil:
			return "", err
		case e.Kind == lsm.WatchDropped:
			if _, err = w.w.Next(); !errors.Is(err, lsm.ErrScopeDropped) {
				return fmt.Sprintf("after the drop: %v", err), nil
			}
			return "", err
		case e.Commit < w.last || e.Commit > w.last != w.ended:
			return fmt.Sprintf("commit %d is shown after %d, whose end was shown: %v", e.Commit, w.last, w.ended), nil
		case e.Kind != lsm.WatchLagged && (text(e.Key) < w.Lower || w.Upper != "" && text(e.Key) >= w.Upper):
			return fmt.Sprintf("%q is not watched", e.Key), nil
		}
		w.last, w.ended = e.Commit, e.Last
		w.copy = applied(w.copy, &e)
		met = met || e.Kind == lsm.WatchSet && string(e.Key) == string(mark.Key) && string(e.Value) == mark.text()
		if met && e.Last {
			return "", nil
		}
	}
}

// applied returns what an event makes of a copy.
func applied(t *tree, e *lsm.WatchEvent) *tree {
	key := string(e.Key)
	switch e.Kind {
	case lsm.WatchSet:
		return t.set(key, string(e.Value), 0, hourOf(e.Expiry))
	case lsm.WatchDelete:
		return t.remove(key, next(key))
	case lsm.WatchDeleteRange:
		return t.remove(key, string(e.Upper))
	case lsm.WatchMerge:
		value, expires := folded(e.Operator, t.alive(hourAt(e.Time)).get(key), string(e.Value))
		return t.set(key, value, 0, expires)
	}
	return t // a lag: what follows is net changes
}
