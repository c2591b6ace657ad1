package state

import (
	"sync"

	"github.com/loamdb/loam/state/index"
)

// A look that need not read the scope: what the look before has left is remembered, and the keys that were written
// since then are read again. Reading all of a scope passes over what was deleted in it and is not merged away
// yet: where the oldest of few entries make room for new ones all the time, many times what is there.

// Bounds of what is remembered.
const (
	mostRemembered = mostCandidates // entries, of all scopes
	mostRecent     = 1 << 13        // keys written to one scope since its last look
	sparedRecent   = 64             // so many more than the scope had entries then: reading those costs no more
)

// recent are keys of entries and documents that were written, or deleted, since a look, each as often as it
// was. R1: a key is noted before it is counted.
type recent struct {
	mu   sync.Mutex
	on   bool
	most int // keys
	keys []string
	lost bool // there were more, or some that nobody knows
}

func (r *recent) note(key []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.on || r.lost:
	case len(r.keys) >= r.most:
		r.keys, r.lost = nil, true
	default:
		r.keys = append(r.keys, string(key))
	}
}

// take returns what was noted, and goes on noting, unless on is not set.
func (r *recent) take(on bool) (keys []string, lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, lost = r.keys, r.lost || !r.on
	r.keys, r.lost, r.on, r.most = nil, false, on, mostRecent
	return keys, lost
}

// bound has no more noted than is worth reading again in a scope of so many entries: all scopes together note
// hardly more than is remembered of them.
func (r *recent) bound(entries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = min(entries+sparedRecent, mostRecent)
}

// forget has the next look read the scope.
func (in *ruled) forget() {
	in.kept = nil
	in.recent.take(false)
}

// remember keeps what a look has found in the scope.
func (k *sweeper) remember(in *ruled, kept map[string]candidate) {
	if kept == nil {
		in.forget()
		return
	}
	in.kept = kept
	in.recent.bound(len(kept))
	k.remembered += len(kept)
	k.bound(in)
}

// bound forgets the other scopes where all are too much.
func (k *sweeper) bound(in *ruled) {
	if k.remembered <= mostRemembered {
		return
	}
	k.remembered = 0 // what is counted may be forgotten
	scopes := *k.scopes.Load()
	for _, one := range scopes {
		k.remembered += len(one.kept)
	}
	if k.remembered <= mostRemembered {
		return
	}
	for _, one := range scopes {
		if one != in && one.kept != nil {
			one.forget()
		}
	}
	k.remembered = len(in.kept)
}

// again looks at a scope that is remembered, and reports whether it could.
func (k *sweeper) again(in *ruled, docs *documents, now int64) (*look, bool) {
	if in.kept == nil {
		return nil, false
	}
	keys, lost := in.recent.take(true)
	before := len(in.kept)
	for _, key := range keys {
		if lost = lost || !k.reread(in, docs, key, now); lost {
			break
		}
	}
	if lost || len(in.kept) > mostRemembered {
		in.forget()
		return nil, false
	}
	in.recent.bound(len(in.kept))
	if grown := len(in.kept) - before; grown > 0 {
		k.remembered += grown
		k.bound(in)
	}
	l := in.lookAt(now, int64(len(in.kept)))
	for _, c := range in.kept {
		l.take(c, nil)
	}
	return l, true
}

// reread reads an entry again, and reports whether that tells what a look would find.
func (k *sweeper) reread(in *ruled, docs *documents, key string, now int64) bool {
	stored := []byte(key)
	var i info
	value, err := in.space.get(nil, stored, &i)
	switch {
	case err == ErrNotFound: // returned bare
		delete(in.kept, key)
		return true
	case err != nil || i.expires != 0 || stored[0] == index.Reserved && !docs.removable(stored):
		return false
	}
	c := candidateOf(stored, value, i.version, now)
	c.key = key
	in.kept[key] = c
	return true
}

// swept takes what was deleted out of what is remembered. n is how many of part were: which, if not all, is read.
func (in *ruled) swept(part []candidate, n int) {
	if in.kept == nil {
		return
	}
	for i := range part {
		if n == len(part) {
			delete(in.kept, part[i].key)
		} else {
			in.recent.note([]byte(part[i].key))
		}
	}
}
