package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/envelope"
)

// Values of class Ephemeral are in memory only, bounded in bytes: those that have expired make room, then the ones
// that were written longest ago. A key has a value here or in the engine, never both:
//
//   - X1. Whoever writes here holds the key's stripe alone; whoever commits to the engine shares
//     those of its keys. So the two never happen to a key at once.
//   - X2. What becomes ephemeral is put here before it is deleted there, and what becomes stored is
//     committed there before it goes here, where it makes no room meanwhile. Readers look here
//     first: they see one or the other, and look again when they found neither while such a change was
//     under way.
//
// Snapshots, transactions, copies, differences and watchers know nothing of them.
type ephemerals struct {
	// Constant.
	limit int64 // in bytes; negative: there is no such class
	seed  maphash.Seed

	stripes [stripeCount]stripe

	count   atomic.Int64  // of values, so that nobody looks for any where there are none
	changes atomic.Uint64 // how often a key has changed sides

	table ephemeralTable // changed under mu, searched without

	mu             sync.Mutex
	closed         bool
	scopes         map[scope.Scope]*ephemeralScope
	bytes          int64
	evicted        int64
	oldest, newest *ephemeral
	due            ephemeralDue
}

// ephemeral is one value. The bytes of a value never change.
type ephemeral struct {
	in           *ephemeralScope
	key          string
	value        []byte // with its envelope
	expires      int64
	older, newer *ephemeral
	at           int // in in.values
	due          int // in due, if it expires
	link         ephemeralLink

	// pinned: the engine has a value of the key still, which readers must not find in this one's place (X2).
	pinned bool
}

type ephemeralScope struct {
	name   scope.Scope
	values []*ephemeral // in any order
	sorted []*ephemeral // by key; nil: to be made
}

// ephemeralOverhead is what a value takes besides key and value, about.
const ephemeralOverhead = 160

// expired reports whether the value has expired.
func (v *ephemeral) expired(now func() int64) bool { return v.expires != 0 && v.expires <= now() }

func (v *ephemeral) size() int64 { return int64(len(v.key)+len(v.value)) + ephemeralOverhead }

const stripeCount = 256

type stripe struct {
	sync.RWMutex
	_ [40]byte // a cache line of its own
}

// held are stripes that somebody shares, as bits.
type held [stripeCount / 64]uint64

func (e *ephemerals) init(limit int64) {
	e.limit, e.seed, e.scopes = limit, maphash.MakeSeed(), map[scope.Scope]*ephemeralScope{}
	e.table.init()
}

func (e *ephemerals) stripeOf(key []byte) int { return int(maphash.Bytes(e.seed, key) % stripeCount) }

// add makes the stripe of a key one of those to be held.
func (h *held) add(e *ephemerals, key []byte) {
	if e.limit >= 0 {
		i := e.stripeOf(key)
		h[i/64] |= 1 << (i % 64)
	}
}

// share takes the stripes, in order.
func (e *ephemerals) share(h *held) {
	for i, word := range h {
		for ; word != 0; word &= word - 1 {
			e.stripes[i*64+bits.TrailingZeros64(word)].RLock()
		}
	}
}

func (e *ephemerals) unshare(h *held) {
	for i, word := range h {
		for ; word != 0; word &= word - 1 {
			e.stripes[i*64+bits.TrailingZeros64(word)].RUnlock()
		}
	}
}

// get appends the value of a key to dst and tells when it expires.
func (e *ephemerals) get(dst []byte, name scope.Scope, key string, now func() int64) (out []byte, expires int64, ok bool) {
	v := e.table.find(name, key)
	if v == nil || v.expired(now) {
		return dst, 0, false
	}
	return append(dst, v.value...), v.expires, true
}

// put makes v the newest value. The caller holds the key's stripe alone, and calls unpin if v is to be
// pinned.
func (e *ephemerals) put(name scope.Scope, v *ephemeral, now func() int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	in := e.scopes[name]
	if in == nil {
		in = &ephemeralScope{name: name}
		e.scopes[name] = in
	}
	e.insert(in, v, now)
	return nil
}

// replace is put if the key has a value here that has not expired, and reports whether it has.
func (e *ephemerals) replace(name scope.Scope, v *ephemeral, now func() int64) bool {
	if e.count.Load() == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.table.find(name, v.key)
	if old == nil || old.expired(now) {
		return false
	}
	e.insert(old.in, v, now)
	return true
}

// insert makes v the newest value, in the place of one that its key has. The caller holds mu.
func (e *ephemerals) insert(in *ephemeralScope, v *ephemeral, now func() int64) {
	e.count.Add(1) // before the old one goes: who sees 0 looks for nothing here
	v.in, v.at = in, len(in.values)
	in.values, in.sorted = append(in.values, v), nil
	if old := e.table.put(v); old != nil {
		e.unlink(old)
	}
	if v.older = e.newest; v.older != nil {
		v.older.newer = v
	} else {
		e.oldest = v
	}
	e.newest = v
	e.bytes += v.size()
	e.expires(v)
	e.makeRoom(now)
}

// makeRoom drops values until the others fit: those that have expired, then from the oldest one on all but the newest, and
// those that are pinned, which may take more for a moment. The caller holds mu.
func (e *ephemerals) makeRoom(now func() int64) {
	if e.bytes > e.limit {
		e.reap(now)
	}
	for v := e.oldest; e.bytes > e.limit && v != e.newest; {
		newer := v.newer
		if !v.pinned {
			e.evicted++
			e.drop(v)
		}
		v = newer
	}
}

// unpin has a value make room for others from now on.
func (e *ephemerals) unpin(name scope.Scope, key string, now func() int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.table.find(name, key); v != nil {
		v.pinned = false
	}
	e.makeRoom(now)
}

// fits returns the error of a value for which there is not room enough, even if all others made room.
func (e *ephemerals) fits(v *ephemeral) error {
	if v.size() > e.limit {
		return fmt.Errorf("%w: %d bytes of class %v exceed the %d that there is room for", ErrTooLarge, v.size(), Ephemeral, e.limit)
	}
	return nil
}

// unlink takes v out of its scope, the order of writing and the sums.
func (e *ephemerals) unlink(v *ephemeral) {
	if v.older != nil {
		v.older.newer = v.newer
	} else {
		e.oldest = v.newer
	}
	if v.newer != nil {
		v.newer.older = v.older
	} else {
		e.newest = v.older
	}
	e.bytes -= v.size()
	e.expiresNoMore(v)
	e.count.Add(-1)
	in, last := v.in, len(v.in.values)-1
	in.values[v.at], in.values[last].at = in.values[last], v.at
	in.values[last], in.values, in.sorted = nil, in.values[:last], nil
}

// drop removes v. The caller holds mu.
func (e *ephemerals) drop(v *ephemeral) {
	e.table.remove(v)
	e.unlink(v)
	if len(v.in.values) == 0 {
		delete(e.scopes, v.in.name)
	}
}

// remove removes a key and reports whether it had a value that had not expired.
func (e *ephemerals) remove(name scope.Scope, key string, now func() int64) bool {
	if e.count.Load() == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.table.find(name, key)
	if v == nil {
		return false
	}
	e.drop(v)
	return !v.expired(now)
}

// supersede removes the keys of a commit, whose stripes the caller shares.
func (e *ephemerals) supersede(name scope.Scope, ws []write) {
	if e.count.Load() == 0 || mutant.Enabled && mutant.Is(mutant.KeepBothSides) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range ws {
		if v := e.table.find(name, string(ws[i].key)); v != nil {
			e.changes.Add(1) // before it goes: who sees no value here sees that, with a snapshot of before the commit too
			e.drop(v)
		}
	}
}

// clear removes all that a scope has.
func (e *ephemerals) clear(name scope.Scope) {
	if e.count.Load() == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if in := e.scopes[name]; in != nil {
		for len(in.values) > 0 {
			e.drop(in.values[len(in.values)-1])
		}
	}
}

// between returns the values of a scope whose keys lie within [lower, upper), in order.
func (e *ephemerals) between(name scope.Scope, lower, upper []byte, now int64) []*ephemeral {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := e.scopes[name]
	if in == nil {
		return nil
	}
	if in.sorted == nil {
		in.sorted = slices.Clone(in.values)
		slices.SortFunc(in.sorted, func(a, b *ephemeral) int { return strings.Compare(a.key, b.key) })
	}
	at := func(key []byte) int {
		i, _ := slices.BinarySearchFunc(in.sorted, string(key), func(v *ephemeral, key string) int { return strings.Compare(v.key, key) })
		return i
	}
	part := in.sorted[at(lower):]
	if upper != nil {
		part = in.sorted[at(lower):at(upper)]
	}
	return slices.DeleteFunc(slices.Clone(part), func(v *ephemeral) bool { return v.expires != 0 && v.expires <= now })
}

// close forgets everything.
func (e *ephemerals) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed, e.oldest, e.newest, e.due, e.bytes = true, nil, nil, nil, 0
	clear(e.scopes)
	e.table.clear()
	e.count.Store(0)
}

// figures returns what Metrics tell.
func (e *ephemerals) figures(now func() int64) (count, bytes, evicted int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reap(now)
	return e.count.Load(), e.bytes, e.evicted
}

// countIn returns how many values a scope has that have not expired.
func (e *ephemerals) countIn(name scope.Scope, now func() int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reap(now)
	if in := e.scopes[name]; in != nil {
		return int64(len(in.values))
	}
	return 0
}

// has reports whether a key has a value here that has not expired.
func (e *ephemerals) has(name scope.Scope, key string, now func() int64) bool {
	v := e.table.find(name, key)
	return v != nil && !v.expired(now)
}

// removeEphemeral removes a value of class Ephemeral and reports whether it was there.
func (s *Scope) removeEphemeral(key string) bool {
	e := &s.store.ephemeral
	lock := &e.stripes[e.stripeOf([]byte(key))]
	lock.Lock()
	defer lock.Unlock()
	return e.remove(s.name, key, s.store.engine.now)
}

// errEphemeralPart is the error of what only stored values can be part of.
var errEphemeralPart = fmt.Errorf("%w: values of class %v are no part of transactions, nor of writes that depend on what was there", ErrUnsupported, Ephemeral)

// displaced is a stored value whose place one of class Ephemeral is to take.
type displaced struct {
	asked   bool // of the version
	class   Class
	version Version
}

// minded reports whether somebody is to be asked or told when a stored value of a key makes place.
func (s *Scope) minded(key string) bool {
	in := s.store.hooks.Interest(hook.OpDelete, s.name, scope.Scope{}, key)
	return in.Before || in.After || s.store.recording || s.witness != nil
}

// displace returns what one of class Ephemeral under key is to take the place of, of which hooks have been asked:
// their error is that of the write. It is not looked for where nobody minds.
func (s *Scope) displace(ctx context.Context, key []byte) (displaced, error) {
	var d displaced
	if !s.minded(string(key)) || s.store.ephemeral.has(s.name, string(key), s.store.engine.now) {
		return d, nil
	}
	var there bool
	var err error
	if d.class, d.version, there, err = s.storedUnder(key); err == nil && there {
		err = s.askDisplaced(ctx, string(key), &d)
	}
	return d, err
}

// askDisplaced asks hooks, and records what is sensitive, of a stored value that is to go.
func (s *Scope) askDisplaced(ctx context.Context, key string, d *displaced) error {
	ctx = s.acting(ctx)
	if d.class == Sensitive {
		if err := s.seen(ctx, access.OpDelete, key, 1); err != nil {
			return err
		}
	}
	d.asked = true
	return s.askToDelete(ctx, "", key, d.class)
}

// putEphemeral makes value, which is as it would be stored, one of class Ephemeral, and deletes what
// the engine has of the key: of that hooks are told, and asked unless it is what displace has returned.
// The value may be in the scratch.
func (s *Scope) putEphemeral(ctx context.Context, b *scratch, key string, value []byte, expires int64, d displaced, o *Option) error {
	if b.key = append(b.key[:0], key...); b.one[0].key != nil { // of the one before
		b.one[0] = write{}
	}
	ctx = s.acting(ctx)
	for {
		done, err := s.tryEphemeral(ctx, b, key, value, expires, &d, o)
		if err != nil {
			return err
		}
		if done {
			s.tell(ctx, b.one[:])
			return nil
		}
		if !d.asked {
			if err := s.store.enter(ctx, b.counters); err != nil {
				return err
			}
			defer s.store.leave(b.counters) // once: it is asked of then
		}
		if err := s.askDisplaced(ctx, key, &d); err != nil {
			return err
		}
	}
}

// tryEphemeral is putEphemeral up to what is told, unless there is a stored value of which nobody was asked:
// then d is that, and nothing is done.
func (s *Scope) tryEphemeral(ctx context.Context, b *scratch, key string, value []byte, expires int64, d *displaced, o *Option) (done bool, err error) {
	e := &s.store.ephemeral
	v := &ephemeral{key: key, value: bytes.Clone(value), expires: expires}
	if err := e.fits(v); err != nil {
		return false, err
	}
	lock := &e.stripes[e.stripeOf(b.key)]
	lock.Lock()
	defer lock.Unlock()
	if e.replace(s.name, v, s.store.engine.now) { // the engine has nothing
		b.counters.writes.Add(1)
		return true, nil
	}
	class, version, there, err := s.storedUnder(b.key)
	if err != nil {
		return false, err
	}
	minded := there && s.minded(key)
	if minded && !(d.asked && version == d.version) {
		d.class, d.version = class, version
		return false, nil
	}
	v.pinned = there
	if err := e.put(s.name, v, s.store.engine.now); err != nil {
		return false, err
	}
	b.counters.writes.Add(1)
	if !there {
		return true, nil
	}
	e.changes.Add(1)
	b.one[0] = write{space: s.space, key: b.key}
	if minded {
		b.one[0].tell = s.noticeOfDelete(&b.notice, key, class, o)
	}
	_, err = s.commitNoted(ctx, b, b.one[:], func(all []write) (Version, error) {
		return s.store.commit(all, s.unsynced(class, &Option{}))
	})
	if err != nil {
		e.remove(s.name, key, s.store.engine.now)
	}
	e.unpin(s.name, key, s.store.engine.now)
	return err == nil, err
}

// storedUnder reports whether the engine has a value of a key, of which class and version, 0 where nobody can
// tell.
func (s *Scope) storedUnder(key []byte) (class Class, version Version, there bool, err error) {
	var i info
	p, err := s.space.get(nil, key, &i)
	switch {
	case err == nil:
		h, _, _ := envelope.Decode(p) // the zero Header with an error
		return h.Class, i.version, true, nil
	case errors.Is(err, ErrMerge):
		return 0, 0, true, nil
	case unread(err):
		return Sensitive, i.version, true, nil
	case err == ErrNotFound: // returned bare
		return 0, 0, false, nil
	}
	return 0, 0, false, err
}
