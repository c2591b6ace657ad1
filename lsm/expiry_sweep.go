package lsm

import (
	"bytes"
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// sweep makes events of expiries: for each record of the index that is due it commits, as one
// batch, the delete of the entry, that of the record, and the event. The batch depends on
// the number that the key then has, expired or not: what was written again with another
// expiry, or deleted, is no event. A crash leaves all of that batch or nothing, so that an
// event is there once.
//
// Merges keep the markers of expired entries until the sweep has come by: without one nobody
// could tell an entry that has expired from one that was deleted before.
//
// Records of a scope that is being copied together (scope_copy.go) are left alone until it is
// there, or dead: what has expired of it meanwhile is an event then.
type sweep struct {
	active atomic.Bool // the index is written, or has records
	looked bool        // of the loop: whether it has looked for records of earlier openings

	mu      sync.Mutex
	through int64 // everything that was due by then, of what is numbered up to upTo, is swept
	upTo    keys.SeqNum
	news    chan struct{} // closed at the next event; nil: nobody waits
}

// maxSwept bounds what one batch of the sweep deals with.
const maxSwept = 256

// markersGo returns the expiry and the number up to which merges may drop markers.
func (s *sweep) markersGo() (by int64, upTo keys.SeqNum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.through, s.upTo
}

func (s *sweep) advance(through int64, upTo keys.SeqNum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through, s.upTo = max(s.through, through), max(s.upTo, upTo)
}

// announce wakes whoever waits for events.
func (s *sweep) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// await returns what is closed at the next event.
func (s *sweep) await() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news == nil {
		s.news = make(chan struct{})
	}
	return s.news
}

// sweepDue sweeps what is due, and returns when the next entry is, 0 if none is in sight.
func (x *expirer) sweepDue() (next int64, err error) {
	d, s := x.db, &x.sweep
	if !s.looked {
		first, err := x.readIndex(math.MaxInt64, 1)
		if err != nil {
			return 0, err
		}
		if len(first.due) > 0 || first.held {
			s.active.Store(true)
		}
		s.looked = true
		x.changed.Store(true) // markers may go from now on
	}
	if !s.active.Load() {
		s.advance(math.MaxInt64, keys.MaxSeqNum)
		return 0, nil
	}
	for d.background.ctx.Err() == nil {
		now := d.clock.millis()
		if err := d.publisher.await(d, keys.SeqNum(x.lastListed.Load())); err != nil {
			return 0, err
		}
		read, err := x.readIndex(now, maxSwept)
		if err != nil {
			return 0, err
		}
		if len(read.due) == 0 {
			if !read.held {
				s.advance(now, read.at)
			}
			return read.next, nil
		}
		if err := x.sweepBatch(read.due); err != nil && !errors.Is(err, ErrConflict) && err != errRedirected {
			return 0, err
		}
	}
	return 0, ErrClosed
}

// dueExpiry is a record of the index that is due.
type dueExpiry struct {
	record  []byte // its key, within the system scope
	key     []byte // of the entry: the part of record
	expires int64
}

// indexRead is what a look at the index found.
type indexRead struct {
	due  []dueExpiry
	next int64       // the first expiry that is not due, 0 if there is none or not all that is due was read
	at   keys.SeqNum // the number at which it was read
	held bool        // records of staged ids were due, which are not among these
}

// readIndex reads up to limit records that are due.
func (x *expirer) readIndex(now int64, limit int) (out indexRead, err error) {
	it, err := x.db.newIter(systemKeys, recordBounds(recordExpiry), keys.MaxSeqNum)
	if err != nil {
		return out, err
	}
	out.at = it.seq
	staged := map[scope.ID]bool{}
	for len(out.due) < limit && err == nil && it.Next() {
		e := dueExpiry{record: bytes.Clone(it.Key())}
		if e.expires, e.key, err = decodeExpiryKey(e.record); err != nil {
			break
		}
		if e.expires > now {
			out.next = e.expires
			break
		}
		if _, err = checkRecord(it.Value()); err != nil {
			break
		}
		held, serr := x.isStaged(e.key, staged)
		if held || serr != nil {
			out.held, err = out.held || held, serr
			continue
		}
		out.due = append(out.due, e)
	}
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return out, err
}

// isStaged reports whether the id of a key's scope is staged; known is of those asked before.
func (x *expirer) isStaged(key []byte, known map[scope.ID]bool) (bool, error) {
	id, _, err := scope.DecodeID(key)
	if err != nil {
		return false, directoryError(err)
	}
	staged, ok := known[id]
	if ok || id == scope.Root {
		return staged, nil
	}
	has, err := x.db.hasRecord(idKey(recordStaged, id))
	known[id] = has
	return has, err
}

// hasRecord reports whether the system scope has a record.
func (d *DB) hasRecord(key []byte) (bool, error) {
	_, err := d.get(nil, systemKeys.prefix, key, keys.MaxSeqNum)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// unstaged tells that staged ids are so no more: their records are to be looked at.
func (x *expirer) unstaged() {
	if x.sweep.active.Load() {
		x.alarm.wake()
	}
}

// sweepBatch commits what becomes of records that are due. ErrConflict: one of the entries
// was written meanwhile, or its scope was dropped, and all are to be looked at again.
func (x *expirer) sweepBatch(due []dueExpiry) error {
	d := x.db
	var b dirBatch
	c := &conditions{raw: true}
	events := 0
	scopes := sweptScopes{db: d, known: map[scope.ID]sweptScope{}}
	for _, e := range due {
		b.add(keys.KindDelete, e.record, nil)
		id, n, err := scope.DecodeID(e.key)
		if err != nil {
			return directoryError(err)
		}
		sc, err := scopes.find(id)
		if err != nil {
			return err
		}
		if sc.dead {
			continue
		}
		v, err := x.expired(&e, n)
		if err != nil {
			return err
		}
		if v == Absent {
			continue
		}
		c.points = append(c.points, newPoint(nil, e.key, v))
		b.addRaw(keys.KindDelete, e.key, nil)
		b.add(keys.KindSet, appendEventKey(nil, e.expires, keys.SeqNum(v)), appendEventValue(nil, sc.form, e.key[n:]))
		events++
	}
	r := d.queue.newRequest(NoSync)
	r.payload = append(r.payload[:0], b.payload...)
	r.ops, r.bytes = b.ops, b.bytes
	r.reset(len(scopes.claims))
	r.claims.names = append(r.claims.names, scopes.claims...)
	_, err := d.commitScoped(r, c)
	if err == nil && events > 0 {
		d.metrics.expiryEvents.Add(int64(events))
		x.sweep.announce()
	}
	return err
}

// expired returns the number of the entry that the record is for, expired or not, Absent if
// the key has been deleted since or has another expiry.
func (x *expirer) expired(e *dueExpiry, n int) (Version, error) {
	_, now, err := x.db.pointRead(nil, e.key[:n], e.key[n:], keys.MaxSeqNum, atNever, false)
	if err != nil && !errors.Is(err, ErrNotFound) && !unopened(err) {
		return Absent, err
	}
	if now.expires != e.expires && !(mutant.Enabled && mutant.Is(mutant.SweepRewritten)) {
		return Absent, nil
	}
	return now.version, nil
}

// sweptScopes are the scopes that a batch of the sweep meets.
type sweptScopes struct {
	db     *DB
	known  map[scope.ID]sweptScope
	claims []claim
}

// sweptScope is what the sweep knows of a scope: of one that was dropped nothing expires.
type sweptScope struct {
	dead bool
	form []byte
}

func (s *sweptScopes) find(id scope.ID) (sweptScope, error) {
	if sc, ok := s.known[id]; ok || id == scope.Root {
		return sc, nil
	}
	at := s.db.visible.load()
	name, err := s.db.nameOf(id, keys.MaxSeqNum)
	if err != nil {
		return sweptScope{}, err
	}
	sc := sweptScope{dead: name == scope.Scope{}}
	if !sc.dead {
		sc.form = scope.AppendKey(nil, name)
		s.claims = append(s.claims, claim{at: at, id: id})
	}
	s.known[id] = sc
	return sc, nil
}

// addRaw adds an operation on a key that has its scope's id.
func (b *dirBatch) addRaw(kind keys.Kind, key, value []byte) {
	b.payload = appendOp(b.payload, kind, nil, key, value)
	b.ops++
	b.bytes += int64(len(key) + len(value))
}
