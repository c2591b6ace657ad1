package lsm

import (
	"fmt"
	"iter"
	"time"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// ChangeKind says what a Change does.
type ChangeKind uint8

// Kinds of changes.
const (
	ChangeSet         ChangeKind = 1 // Key has Value
	ChangeDelete      ChangeKind = 2 // Key is absent; it may have been absent before
	ChangeDeleteRange ChangeKind = 3 // every key within [Key, Upper) is absent, but for those that are set afterwards
	ChangeNewScope    ChangeKind = 4 // Scope begins empty, whatever it held: all that it holds follows
	ChangeDropScope   ChangeKind = 5 // Scope is gone, if it was there, with all that it held
)

var changeKindNames = [...]string{"none", "set", "delete", "delete range", "new scope", "drop scope"}

// String returns the kind in words.
func (k ChangeKind) String() string {
	if int(k) < len(changeKindNames) {
		return changeKindNames[k]
	}
	return fmt.Sprintf("change(%d)", uint8(k))
}

// Change is one difference, as Diff yields them. Its slices are valid until the loop's next
// step and must not be changed.
type Change struct {
	// Kind says what it does, and which of the other fields mean something.
	Kind ChangeKind
	// Scope is where it happened; the zero Scope is the root.
	Scope scope.Scope
	// Key is the key, or the lower bound of a range, empty where that has none. Upper is the
	// upper bound of a range, nil where that has none.
	Key, Upper []byte
	// Value is what is set, and Expiry when it expires; the zero Time means never. That it has
	// expired is no change: a copy must let it expire.
	Value  []byte
	Expiry time.Time
	// Version is the version of the key that is set or deleted; the Version of a deletion is
	// that of its record.
	Version Version

	err error // why the value cannot be opened, or nil
}

// Diff yields what turns the store as it was at from into the store as it is in the snapshot:
// net changes, in all scopes. From the zero Position that is everything. Applied in order to
// a copy of the earlier state they give the later one; more than once, they do no harm.
//
// The root's changes come first, then the scopes that are gone or begin anew, then the
// changes within scopes, one scope after the other. Within a scope they are in the order of
// keys, a deleted range before the keys in it that were set later. A scope that was dropped
// and made again, moved or copied since is yielded whole.
//
// It reads the blocks that hold a change: see docs/diff.md. Reads, writes,
// flushes and compactions go on beside it. It keeps the files and memtables that it reads, and
// the snapshot may be closed only when the loop has ended.
//
// An error is yielded once, with a zero Change, and ends the loop: ErrHistoryGone if
// deletions since from may be forgotten, ErrDiverged if from is not on the store's history,
// ErrInvalidPosition if it is ahead of the snapshot, and those of reading. But ErrShredded, ErrNoScopeKey,
// ErrMerge and *UnknownOperatorError come with a Change that lacks the value, which nobody can read, and
// the loop may go on. Merges are yielded as the value that they make.
//
//	for c, err := range snap.Diff(from) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(c.Kind, c.Scope, string(c.Key))
//	}
func (s *Snapshot) Diff(from Position) iter.Seq2[Change, error] {
	return s.diff(from, (*diffView).store)
}

// Diff yields the changes of the scope since a position, as Snapshot.Diff does, up to the
// snapshot that the handle came from, or else to the first step of the loop. If the scope is
// gone since, that is all; if it began anew, ChangeNewScope and everything it holds.
func (s *Scope) Diff(from Position) iter.Seq2[Change, error] {
	run := func(v *diffView, yield func(Change) bool) error { return v.named(s, yield) }
	if s.snap != nil {
		return s.snap.diff(from, run)
	}
	return func(yield func(Change, error) bool) {
		snap, err := s.db.NewSnapshot()
		if err != nil {
			yield(Change{}, err)
			return
		}
		defer snap.Close() // always nil
		snap.diff(from, run)(yield)
	}
}

func (s *Snapshot) diff(from Position, run func(*diffView, func(Change) bool) error) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		v, err := s.newDiffView(from)
		if err == nil {
			defer v.close() // also where yield panics
			err = run(v, func(c Change) bool { return yield(c, c.err) })
		}
		if err != nil && err != errStopped { // returned bare
			yield(Change{}, err)
		}
	}
}

// diffView is the store between two numbers: what a reader at the greater one needs, and what
// has happened since the other.
type diffView struct {
	db       *DB
	state    *readState
	ranges   []rangeSource // of the memtables, as they were when the state was taken
	from, to keys.SeqNum
	at       int64 // the time at which it is judged what has expired
	limit    int   // scopes that are looked for together
}

// newDiffView takes what there is, then looks whether it is enough (H2). It must be closed.
func (s *Snapshot) newDiffView(from Position) (*diffView, error) {
	d := s.db
	if s.closed.Load() {
		return nil, ErrClosed
	}
	seq, err := d.numberOf(from, s.seq)
	if err != nil {
		return nil, fmt.Errorf("lsm: diff: %w", err)
	}
	if err := d.hold(); err != nil {
		return nil, err
	}
	d.metrics.iterators.Add(1)
	v := &diffView{db: d, from: seq, to: s.seq, at: s.at, limit: maxDiffScopes}
	guard := d.readers.Enter()
	v.state = d.state.Load()
	v.state.refs.Add(1)
	guard.Leave()
	for i, m := range v.memtables() {
		// Later ones may lack what only the snapshot needs, once it is closed.
		if set := m.ranges.Load(); set != nil {
			v.ranges = append(v.ranges, rangeSource{age: i, mem: set})
		}
	}
	err = d.known(from)
	if err != nil && d.horizons.load() == nil {
		err = d.known(from) // with the reason
	}
	if err != nil {
		v.close()
		return nil, fmt.Errorf("lsm: diff: %w", err)
	}
	return v, nil
}

// sees reports whether what a key is, is something at the time of the view.
func (v *diffView) sees(b fold.Base) bool {
	if v.at == atRead && b.Expiry != 0 { // nothing expired when the snapshot was made, as far as was known
		v.at = v.db.clock.millis()
	}
	return presentAt(b, v.at)
}

// memtables returns those of the state, newest first.
func (v *diffView) memtables() []*mutableTable {
	return append([]*mutableTable{v.state.mutable}, v.state.frozen...)
}

func (v *diffView) close() {
	v.state.unref()
	v.db.metrics.iterators.Add(-1)
	v.db.release()
}
