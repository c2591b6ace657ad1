package lsm

import (
	"errors"
	"iter"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/wal"
)

// begin finds out where the watch begins, and joins the feed.
func (w *Watcher) begin(from *Position) (err error) {
	d, k := w.db, &w.walk
	var seq keys.SeqNum
	if from != nil {
		if seq, err = d.numberOf(*from, d.visible.load()); err != nil {
			return err
		}
	}
	if w.sc == nil {
		k.id, k.keys = scope.Root, w.keysOf(scope.Root)
	}
	k.place, seq, k.behind = d.feed.join(d, w, seq, from == nil)
	w.shown(seq)
	if w.sc == nil {
		return nil
	}
	if err = w.beginScope(from == nil); err != nil {
		d.feed.leave(w)
	}
	return err
}

// beginScope finds out which id the scope had where the watch begins, if that can be known.
func (w *Watcher) beginScope(now bool) error {
	d, k := w.db, &w.walk
	snap, err := d.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	id, made, err := w.entryAt(snap.seq)
	if err != nil {
		return err
	}
	switch {
	case now:
		w.shown(snap.seq)
	case id != 0 && made <= w.upTo():
	default:
		// It was made since, or was dropped, or neither. The feed tells, or nobody does.
		id, k.whole = 0, k.behind
	}
	if id != 0 {
		w.follow(id)
	}
	return nil
}

// entryAt returns the id that the scope had at seq, 0 for none, and the number at which its
// entry was written.
func (w *Watcher) entryAt(seq keys.SeqNum) (id scope.ID, made keys.SeqNum, err error) {
	value, v, err := w.db.getVersion(nil, systemKeys.prefix, w.sc.entry, seq, atNever)
	if err == ErrNotFound { // returned bare
		return 0, 0, nil
	}
	if err == nil {
		id, err = decodeEntry(value)
	}
	return id, keys.SeqNum(v), err
}

// catchUp is a walker's reading of what has changed between from and to.
type catchUp struct {
	from, to keys.SeqNum
	end      wal.Position
	whole    bool // all there is, behind the delete of all there was
	snap     *Snapshot
	view     *diffView
	pull     func() (WatchEvent, error, bool)
	stop     func()

	announced bool       // the WatchLagged has been shown
	cleared   bool       // the delete has been shown, or there is none
	ahead     WatchEvent // the next change, if more
	more      bool
	err       error
	key, val  []byte // of the event that was shown last
	upper     []byte
}

// close gives back what is held. c may be nil.
func (c *catchUp) close() {
	if c == nil {
		return
	}
	if c.stop != nil {
		c.stop()
	}
	if c.view != nil {
		c.view.close()
	}
	_ = c.snap.Close() // always nil
}

// catchUp begins to read what has changed since what was shown last.
func (w *Watcher) catchUp() error {
	d, k := w.db, &w.walk
	snap, err := d.NewSnapshot()
	if err != nil {
		return err
	}
	c := &catchUp{from: w.upTo(), to: snap.seq, end: d.wal.End(), whole: k.whole, snap: snap}
	dropped, err := w.resolve(c)
	if err == nil && !dropped {
		err = w.open(c)
	}
	if err != nil || dropped {
		c.close()
		if errors.Is(err, ErrHistoryGone) {
			k.gone = err
		}
		return err
	}
	d.metrics.watchLags.Add(1)
	c.step()
	k.catch, k.whole = c, false
	k.place, k.behind = d.feed.placeAfter(snap.seq)
	return nil
}

// resolve finds out what the scope is at the catch-up's end. A scope that has lost its id
// ends the watch; one that has got one is shown whole.
func (w *Watcher) resolve(c *catchUp) (dropped bool, err error) {
	k := &w.walk
	if w.sc == nil {
		return false, nil
	}
	id, _, err := w.entryAt(c.to)
	switch {
	case err != nil || id == k.id:
		return false, err
	case k.id != 0:
		k.piece = piece{first: c.to, last: c.to, end: c.end, final: true}
		k.ops, k.behind = opReader{}, false
		k.ahead = WatchEvent{Kind: WatchDropped, Version: Version(c.to), Commit: Version(c.to)}
		k.found, k.dropped = true, true
		return true, nil
	}
	w.follow(id)
	c.whole = true
	return false, nil
}

// open takes what is to be read: the difference, or everything.
func (w *Watcher) open(c *catchUp) (err error) {
	var from Position
	if !c.whole {
		from.open, from.seq, _ = w.db.history.opened.Place(c.from) // it was visible in this process, or a position
	}
	if c.view, err = c.snap.newDiffView(from); err != nil {
		return err
	}
	c.cleared = !c.whole
	c.pull, c.stop = iter.Pull2(w.changes(c.view))
	return nil
}

// changes yields what a view shows of the watched keys, as events.
func (w *Watcher) changes(v *diffView) iter.Seq2[WatchEvent, error] {
	return func(yield func(WatchEvent, error) bool) {
		if w.walk.id == 0 {
			return
		}
		f, err := v.newDiffer(v.from)
		if err == nil {
			defer f.close()
			err = f.within(w.walk.keys.lower, w.walk.keys.upper, func(c *delta) bool { return yield(w.changeEvent(c), nil) })
		}
		if err != nil && err != errStopped { // returned bare
			yield(WatchEvent{}, err)
		}
	}
}

// changeEvent is where a net change becomes an event.
func (w *Watcher) changeEvent(c *delta) WatchEvent {
	e := WatchEvent{Kind: WatchSet, Value: c.value, Expiry: expiryTime(c.expires), err: c.err}
	switch c.kind {
	case ChangeDeleteRange:
		e = w.rangeEvent(c.key, c.upper)
		e.Version = Version(c.seq)
		return e
	case ChangeDelete:
		e.Kind = WatchDelete
	}
	e.Key, e.Version = w.userKey(c.key), Version(c.seq)
	return e
}

// step moves to the next change.
func (c *catchUp) step() { c.ahead, c.err, c.more = c.pull() }

// next returns the next event, without what the watcher adds to all of them.
func (c *catchUp) next(w *Watcher) (e WatchEvent) {
	switch {
	case !c.announced:
		c.announced = true
		return WatchEvent{Kind: WatchLagged, From: Version(c.from), Version: Version(c.to)}
	case !c.cleared:
		c.cleared = true
		return WatchEvent{Kind: WatchDeleteRange, Key: w.lower, Upper: w.upper, Version: Version(c.to)}
	}
	e = c.ahead
	c.key, c.val = append(c.key[:0], e.Key...), append(c.val[:0], e.Value...)
	e.Key, e.Value = c.key, c.val
	if e.Upper != nil {
		c.upper = append(c.upper[:0], e.Upper...)
		e.Upper = c.upper
	}
	c.step()
	return e
}

// done reports whether everything was shown.
func (c *catchUp) done() bool { return c.announced && c.cleared && !c.more }

// nextNet returns the next event of the catch-up.
func (w *Watcher) nextNet() (e WatchEvent, err error) {
	k := &w.walk
	c := k.catch
	if err = c.err; err != nil {
		k.behind, k.whole = true, c.whole // again, from where it was
	} else {
		e = c.next(w)
		e.Commit, e.Last = Version(c.to), c.done()
		e.Durable = w.db.wal.Durable(c.end)
	}
	if err != nil || e.Last {
		c.close()
		k.catch = nil
	}
	if e.Last {
		w.shown(c.to)
	}
	if err == nil {
		err = e.err
	}
	return e, err
}
