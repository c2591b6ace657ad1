package lsm

import (
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// Scope is a space of keys of its own within a store, and a handle to it: its methods are
// DB's verbs, and meet the scope's keys only. A scope comes into being with the first
// write to it, in the same batch, and ends with Drop; a handle is only its name, need not
// be closed, and may be used from any number of goroutines as long as the store, or the
// snapshot, that it came from.
type Scope struct {
	// Constant.
	db    *DB
	snap  *Snapshot // nil: the store as of now
	name  scope.Scope
	entry []byte    // the key of its entry in the directory
	room  [40]byte  // for that, of most names
	fixed *resolved // of a snapshot's: the id it had then, nil for none

	held atomic.Pointer[resolved] // what the scope was last found to be
}

// Scope returns a handle to a scope, which need not exist. Nothing is read or written.
// Errors are those of scope.Scope.Validate, and ErrClosed.
func (d *DB) Scope(s scope.Scope) (*Scope, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("lsm: %w", err)
	}
	if d.closed.Load() {
		return nil, ErrClosed
	}
	sc := &Scope{db: d, name: s}
	sc.entry = slices.Clip(appendEntryKey(sc.room[:0], s))
	return sc, nil
}

// Scope returns a handle to a scope as it was, or was not, when the snapshot was taken.
// Writing through it gives ErrReadOnly.
func (s *Snapshot) Scope(name scope.Scope) (*Scope, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	sc, err := s.db.Scope(name)
	if err != nil {
		return nil, err
	}
	if sc.fixed, err = s.was(sc); err != nil {
		return nil, err
	}
	sc.snap = s
	return sc, nil
}

// was returns what a scope was when the snapshot was taken, nil if it was not there. What it was before, and
// still is, it was in between.
func (s *Snapshot) was(sc *Scope) (*resolved, error) {
	if r := sc.known(); r != nil && r.since <= s.seq && s.db.stillNamed(r) {
		return r, nil
	}
	id, err := s.db.lookUp(sc.entry, s.seq)
	if err != nil || id == 0 {
		return nil, err
	}
	return newResolved(id, s.seq), nil
}

// Name returns the scope that the handle is for.
func (s *Scope) Name() scope.Scope { return s.name }

// Exists reports whether the scope is there. A scope can be there and hold nothing.
func (s *Scope) Exists() (bool, error) {
	if s.snap != nil {
		if s.snap.closed.Load() {
			return false, ErrClosed
		}
		return s.fixed != nil, nil
	}
	id, err := s.db.lookUp(s.entry, keys.MaxSeqNum)
	return id != 0, err
}

// Get returns the value of key as a copy that the caller owns, or ErrNotFound.
func (s *Scope) Get(key []byte) ([]byte, error) { return s.AppendGet(nil, key) }

// AppendGet appends the value of key to dst and returns the extended slice, or dst and
// ErrNotFound. In a scope that was met before it costs what DB.AppendGet does.
func (s *Scope) AppendGet(dst, key []byte) ([]byte, error) {
	out, _, err := s.getEntry(dst, key)
	return out, err
}

func (s *Scope) getEntry(dst, key []byte) ([]byte, entryState, error) {
	if s.snap != nil {
		return s.getAt(s.snap, s.fixed, dst, key)
	}
	d := s.db
	for range maxReadAttempts {
		r, err := s.current()
		if err != nil {
			return dst, entryState{}, err
		}
		if r == nil {
			return dst, entryState{}, ErrNotFound
		}
		out, e, err := d.getEntry(dst, r.prefix, key, keys.MaxSeqNum, atRead)
		if d.stillNamed(r) {
			return out, e, err
		}
		s.forget(r)
	}
	var out []byte
	var e entryState
	err := s.atSnapshot(func(snap *Snapshot, r *resolved) (err error) {
		out, e, err = s.getAt(snap, r, dst, key)
		return err
	})
	if known(err) != nil {
		return dst, entryState{}, err
	}
	return out, e, err
}

// maxReadAttempts is how often a read looks again because the directory changed under it,
// before it reads at a snapshot, which costs more and always succeeds.
const maxReadAttempts = 3

func (s *Scope) getAt(snap *Snapshot, r *resolved, dst, key []byte) ([]byte, entryState, error) {
	if snap.closed.Load() {
		return dst, entryState{}, ErrClosed
	}
	if r == nil {
		return dst, entryState{}, ErrNotFound
	}
	return s.db.getEntry(dst, r.prefix, key, snap.seq, snap.at)
}

// atSnapshot calls f with a snapshot of now, and with what the scope is in it.
func (s *Scope) atSnapshot(f func(*Snapshot, *resolved) error) error {
	snap, err := s.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	r, err := snap.was(s)
	if err != nil {
		return err
	}
	return f(snap, r)
}

// Has reports whether key is present.
func (s *Scope) Has(key []byte) (bool, error) {
	var discard [512]byte
	_, err := s.AppendGet(discard[:0], key)
	if err == ErrNotFound { // returned bare, for speed
		return false, nil
	}
	return err == nil || unopened(err), known(err)
}

// NewIter returns an iterator over the scope, as DB.NewIter does over the root. Keys and
// bounds are those of the scope.
func (s *Scope) NewIter(o *IterOptions) (*Iterator, error) {
	d := s.db
	if s.snap != nil {
		return s.iterAt(s.snap, s.fixed, o)
	}
	for range maxReadAttempts {
		r, err := s.current()
		if err != nil {
			return nil, err
		}
		if r == nil {
			return d.newIter(noKeys, o, keys.MaxSeqNum)
		}
		it, err := d.newIter(r.scopeKeys, o, keys.MaxSeqNum)
		if err != nil || d.stillNamed(r) {
			return it, err
		}
		_ = it.Close() // it was not used
		s.forget(r)
	}
	var it *Iterator
	err := s.atSnapshot(func(snap *Snapshot, r *resolved) (err error) {
		it, err = s.iterAt(snap, r, o)
		return err
	})
	return it, err
}

// noKeys are the bounds of a scope that is not there: no scope has the id 0.
var noKeys = scopeKeys{scope.AppendID(nil, 0), scope.AppendUpperBound(nil, 0)}

func (s *Scope) iterAt(snap *Snapshot, r *resolved, o *IterOptions) (*Iterator, error) {
	if snap.closed.Load() {
		return nil, ErrClosed
	}
	if r == nil {
		return s.db.newIterAt(noKeys, o, snap.seq, snap.at)
	}
	return s.db.newIterAt(r.scopeKeys, o, snap.seq, snap.at)
}

// Scan yields the scope's entries of [lower, upper) in order, as DB.Scan does.
func (s *Scope) Scan(lower, upper []byte) iter.Seq2[Entry, error] {
	return s.scan(lower, upper, false)
}

// ScanReverse yields what Scan yields, last entry first.
func (s *Scope) ScanReverse(lower, upper []byte) iter.Seq2[Entry, error] {
	return s.scan(lower, upper, true)
}

func (s *Scope) scan(lower, upper []byte, reverse bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it, err := s.NewIter(&IterOptions{LowerBound: lower, UpperBound: upper})
		walk(it, err, reverse, yield)
	}
}

// current returns what the scope was last found to be, or looks it up; nil if it is not
// there. What it returns may have ceased to hold: readers ask stillNamed afterwards, the
// leader checks writers.
func (s *Scope) current() (*resolved, error) {
	if r := s.known(); r != nil {
		return r, nil
	}
	r, _, err := s.look()
	return r, err
}

// known returns what the scope was last found to be, without looking it up.
func (s *Scope) known() *resolved {
	if r := s.held.Load(); r != nil {
		return r
	}
	r := s.db.directory.cache.get(s.name)
	if r != nil {
		s.held.Store(r)
	}
	return r
}

// look looks the scope up. The number is one at which what it found held, or after which
// the list of changes shows that it does not.
func (s *Scope) look() (*resolved, keys.SeqNum, error) {
	at := s.db.visible.load()
	id, err := s.db.lookUp(s.entry, keys.MaxSeqNum)
	if err != nil || id == 0 {
		return nil, at, err
	}
	r := newResolved(id, at)
	r.since = s.db.visible.load() // it may have come into being after at
	if s.db.keyring != nil {
		of, _, err := s.db.vault.recorded(id)
		if err != nil {
			return nil, at, err
		}
		r.sealed = of.whole
	}
	s.held.Store(r)
	s.db.directory.cache.put(s.name, r)
	return r, at, nil
}

// forget makes the next use of the scope look it up.
func (s *Scope) forget(r *resolved) {
	s.held.CompareAndSwap(r, nil)
	s.db.directory.cache.forget(s.name, r)
}

// Set writes value to key, and makes the scope with it if it is not there: both become
// durable and visible together.
func (s *Scope) Set(key, value []byte, w *WriteOptions) error {
	_, err := s.write(keys.KindSet, key, value, w)
	return err
}

// SetVersion is Set, and returns the version that the key has from then on.
func (s *Scope) SetVersion(key, value []byte, w *WriteOptions) (Version, error) {
	return s.write(keys.KindSet, key, value, w)
}

// Delete removes key, which need not exist. It makes no scope.
func (s *Scope) Delete(key []byte, w *WriteOptions) error {
	_, err := s.write(keys.KindDelete, key, nil, w)
	return err
}

// DeleteRange removes every key of the scope within [lower, upper), as DB.DeleteRange does;
// nil means no bound. It makes no scope, and a scope of which it removes everything is still
// there.
func (s *Scope) DeleteRange(lower, upper []byte, w *WriteOptions) error {
	if err := s.writable(); err != nil {
		return err
	}
	b := s.NewBatch()
	b.DeleteRange(lower, upper)
	return s.db.Apply(b, w)
}

// write commits one operation and returns its number.
func (s *Scope) write(kind keys.Kind, key, value []byte, w *WriteOptions) (Version, error) {
	d := s.db
	if err := checkLimits(key, value); err != nil {
		return 0, err
	}
	for {
		if err := s.writable(); err != nil {
			return 0, err
		}
		r, at := s.known(), keys.SeqNum(0)
		if r == nil {
			var err error
			if r, at, err = s.look(); err != nil {
				return 0, err
			}
		}
		if r == nil && kind == keys.KindDelete {
			return 0, nil
		}
		if r == nil || r.sealed && kind != keys.KindDelete {
			b := s.NewBatch()
			b.scopes[0].absent, b.scopes[0].absentAt = r == nil, at
			if b.add(kind, key, value); kind == keys.KindMerge {
				b.merges.operands++
			}
			err := d.Apply(b, w)
			return b.LastVersion(), err
		}
		q := d.queue.newRequest(w)
		q.payload = appendOp(q.payload[:0], kind, r.prefix, key, value)
		q.ops, q.merges, q.lasting = 1, kind == keys.KindMerge, kind != keys.KindSetWithExpiry
		q.bytes = int64(len(r.prefix) + len(key) + len(value))
		q.reset(1)
		q.claims.names = append(q.claims.names, d.claimOn(r))
		seq, err := d.commitScoped(q, nil)
		if err != errRedirected { // returned bare
			return Version(seq), err
		}
		s.forget(r)
	}
}

// writable returns the error of a write that has no chance.
func (s *Scope) writable() error {
	if s.snap != nil {
		return ErrReadOnly
	}
	return s.db.writable()
}

// NewBatch returns an empty batch whose operations act in the scope; see Batch.In.
func (s *Scope) NewBatch() *Batch {
	b := s.db.NewBatch()
	b.home = s
	return b.In(s)
}

// Apply commits the batch as DB.Apply does, in whichever scopes its operations are.
func (s *Scope) Apply(b *Batch, w *WriteOptions) error {
	if s.snap != nil {
		return ErrReadOnly
	}
	return s.db.Apply(b, w)
}
