package lsm

import (
	"bytes"
	"errors"

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
	net      netChanges

	announced bool       // the WatchLagged has been shown
	cleared   bool       // the delete has been shown, or there is none
	ahead     WatchEvent // the next change, if more
	more      bool
	err       error
}

// close gives back what is held. c may be nil.
func (c *catchUp) close() {
	if c != nil {
		c.net.close()
	}
}

// catchUp begins to read what has changed since what was shown last.
func (w *Watcher) catchUp() error {
	d, k := w.db, &w.walk
	snap, err := d.NewSnapshot()
	if err != nil {
		return err
	}
	c := &catchUp{from: w.upTo(), to: snap.seq, end: d.wal.End(), whole: k.whole, net: netChanges{w: w, snap: snap, limit: netEvents}}
	dropped, err := w.resolve(c)
	if err == nil && !dropped {
		err = c.open()
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

// open sees to it that what is to be read stays: the difference, or everything.
func (c *catchUp) open() (err error) {
	n := &c.net
	n.more, c.cleared = n.w.walk.id != 0, !c.whole
	n.lower = bytes.Clone(n.w.walk.keys.lower)
	n.ranges = bytes.Clone(n.lower)
	if c.whole {
		return nil
	}
	d := n.w.db
	n.from.open, n.from.seq, _ = d.history.opened.Place(c.from) // it was visible in this process, or a position
	n.hold, err = d.horizons.hold(n.from)
	return err
}

// step moves to the next change. An error stands in its place: it is not the end.
func (c *catchUp) step() {
	c.ahead, c.more, c.err = c.net.take()
	c.more = c.more || c.err != nil
}

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
	return e, err
}
