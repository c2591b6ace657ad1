package state

import "container/heap"

// ephemeralDue has the values of class Ephemeral that expire, the first one at its head, so that those that have are found
// without a look at the others.
type ephemeralDue []*ephemeral

func (d ephemeralDue) Len() int           { return len(d) }
func (d ephemeralDue) Less(i, j int) bool { return d[i].expires < d[j].expires }

func (d ephemeralDue) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].due, d[j].due = i, j
}

// Push is heap's: a value comes in by heap.Push.
func (d *ephemeralDue) Push(v any) {
	e := v.(*ephemeral)
	e.due = len(*d)
	*d = append(*d, e)
}

// Pop is heap's.
func (d *ephemeralDue) Pop() any {
	last := len(*d) - 1
	v := (*d)[last]
	(*d)[last], *d = nil, (*d)[:last]
	return v
}

// reap drops the values that have expired, but for a moment those behind one that is pinned. The caller holds mu.
func (e *ephemerals) reap(now func() int64) {
	if len(e.due) == 0 {
		return
	}
	for at := now(); len(e.due) > 0 && e.due[0].expires <= at && !e.due[0].pinned; {
		e.drop(e.due[0])
	}
}

// expires makes v one of those that expire, if it does.
func (e *ephemerals) expires(v *ephemeral) {
	if v.expires != 0 {
		heap.Push(&e.due, v)
	}
}

// expiresNoMore takes v out of those again.
func (e *ephemerals) expiresNoMore(v *ephemeral) {
	if v.expires != 0 {
		heap.Remove(&e.due, v.due)
	}
}
