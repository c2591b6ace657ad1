package lsm

import "bytes"

// netChanges are the changes of the watched keys between two numbers, read a piece at a time.
// Between pieces a view of the store is not kept, so that a consumer who takes its time, or
// stops, pins no memtable and no file: the snapshot keeps the values that are still to be shown,
// and the hold the deletions.
type netChanges struct {
	w    *Watcher
	snap *Snapshot
	from Position
	hold *historyHold // nil: from the beginning nothing was deleted

	lower  []byte // where the next piece begins: of keys set and deleted,
	ranges []byte // and of deleted ranges, which may have been shown further than keys
	more   bool   // there may be a next piece
	limit  int    // of changes in a piece
	events []WatchEvent
}

// A piece is of so many changes, and of so many bytes of keys and values or one change more.
const (
	netEvents = 64
	netBytes  = pieceBytes
)

// take returns the next change, and reports whether there is one. Its slices are not used again.
func (n *netChanges) take() (e WatchEvent, ok bool, err error) {
	for len(n.events) == 0 && n.more {
		if err := n.read(); err != nil {
			return e, false, err
		}
	}
	if len(n.events) == 0 {
		return e, false, nil
	}
	e, n.events = n.events[0], n.events[1:]
	return e, true, nil
}

// read reads the next piece.
func (n *netChanges) read() error {
	v, err := n.snap.newDiffView(n.from)
	if err != nil {
		return err
	}
	defer v.close()
	f, err := v.newDiffer(v.from)
	if err != nil {
		return err
	}
	defer f.close()
	var kept []byte
	n.events = make([]WatchEvent, 0, n.limit)
	err = f.withinFrom(n.lower, n.ranges, n.w.walk.keys.upper, func(c *delta) bool {
		e := n.w.changeEvent(c)
		for _, p := range []*[]byte{&e.Key, &e.Upper, &e.Value} {
			if *p != nil {
				at := len(kept)
				kept = append(kept, *p...)
				*p = kept[at:len(kept):len(kept)]
			}
		}
		n.events = append(n.events, e)
		n.passed(c)
		return len(n.events) < n.limit && len(kept) < netBytes
	})
	if n.more = err == errStopped; n.more { // returned bare
		return nil
	}
	return err
}

// passed notes that c is in a piece. Keys within a range come behind it.
func (n *netChanges) passed(c *delta) {
	if c.kind == ChangeDeleteRange {
		n.lower, n.ranges = bytes.Clone(c.key), bytes.Clone(c.upper)
		return
	}
	n.lower = append(bytes.Clone(c.key), 0)
	if bytes.Compare(n.ranges, n.lower) < 0 {
		n.ranges = n.lower
	}
}

func (n *netChanges) close() {
	n.w.db.horizons.release(n.hold)
	_ = n.snap.Close() // always nil
}

// changeEvent is where a net change becomes an event.
func (w *Watcher) changeEvent(c *delta) WatchEvent {
	e := WatchEvent{Kind: WatchSet, Value: c.value, Expiry: expiryTime(c.expires)}
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
