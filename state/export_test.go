package state

import (
	"context"
	"strconv"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/index"
)

// PutOwn writes a record of the store's own into the scope.
func (s *Scope) PutOwn(name string) error {
	_, err := s.store.commit([]write{{space: s.space, key: []byte("\x00" + name), value: []byte("own")}}, true)
	return err
}

// PutRaw writes bytes that are no value, or one that this version cannot read, to a key.
func (s *Scope) PutRaw(key string, stored []byte) error {
	_, err := s.store.commit([]write{{space: s.space, key: []byte(key), value: stored}}, true)
	return err
}

// PutRawBehind writes, in one commit, what key has to key and bytes that are no value to another.
func PutRawBehind(s *Scope, key, raw string, stored []byte) error {
	value, err := s.space.get(nil, []byte(key), nil)
	if err == nil {
		_, err = s.store.commit([]write{{space: s.space, key: []byte(key), value: value}, {space: s.space, key: []byte(raw), value: stored}}, true)
	}
	return err
}

// HasOwn reports whether the scope has one.
func (s *Scope) HasOwn(name string) bool {
	_, err := s.space.get(nil, []byte("\x00"+name), nil)
	return err == nil
}

// SetInOwnScope writes a record into a scope of the store's own.
func (s *Store) SetInOwnScope(name string) error {
	space, err := s.engine.space(scope.Custom(reservedName + "own"))
	if err != nil {
		return err
	}
	_, err = s.commit([]write{{space: space, key: []byte(name), value: []byte("own")}}, true)
	return err
}

// FoldOperands folds operands of the operator of increments, or of that of patches.
func FoldOperands(increment bool, dst, value []byte, operands [][]byte) ([]byte, error) {
	if increment {
		return foldOperands(opIncrement, &stored, dst, value, operands)
	}
	return foldOperands(opPatch, &stored, dst, value, operands)
}

// Numbers returns the numbers of the events of a commit whose last write has the number last: writes are + with an
// expiry, - without, and ? for what is only required.
func Numbers(writes string, last Version) []uint64 {
	ws := make([]write, len(writes))
	for i, kind := range writes {
		ws[i] = write{value: []byte{}, requires: kind == '?', tell: &notice{}}
		if kind == '+' {
			ws[i].expires = 1
		}
	}
	number(ws, last)
	got := make([]uint64, len(ws))
	for i := range ws {
		got[i] = ws[i].tell.event.SeqNum
	}
	return got
}

// ShareStripe reports whether writes of class Ephemeral to two keys wait for each other.
func ShareStripe(s *Store, a, b string) bool {
	return s.ephemeral.stripeOf([]byte(a)) == s.ephemeral.stripeOf([]byte(b))
}

// CheckStored reports whether bytes are what is stored of a value.
func CheckStored(p []byte) error { return checkOperand(p) }

// Behind returns the handle behind the guard of one of a view.
func (s *Scope) Behind() *Scope { return s.guard.inner }

// FlipAudit changes a byte of a record of the audit.
func (s *Store) FlipAudit() error {
	own, err := s.own(auditScope)
	if err != nil {
		return err
	}
	var key, value []byte
	err = scan(own.space, []byte{3}, []byte{4}, false, func(k, v []byte, _ info) bool {
		key, value = append(key, k...), append(value, v...)
		return false
	})
	if err != nil {
		return err
	}
	value[3] ^= 1 // of the time
	_, err = own.engine.commit([]write{{space: own.space, key: key, value: value}}, true)
	return err
}

// StoreOf returns the store of a handle.
func StoreOf(s *Scope) *Store { return s.store }

// SweepWith does what the sweeper does for a scope with a rule, with something that happens between its look
// and its deletes, and returns how many entries were deleted. The scope has the rule.
func SweepWith(s *Scope, between func()) (int, error) {
	k := s.store.sweeper
	k.working.Lock()
	defer k.working.Unlock()
	in := (*k.scopes.Load())[s.name]
	docs := k.documentsOf(in)
	now := s.store.engine.now()
	l, err := k.look(in, docs, now)
	if err != nil {
		return 0, err
	}
	chosen, _, _ := l.choose()
	between()
	n, err := k.remove(in, docs, chosen)
	in.swept(chosen, n)
	return n, err
}

// DropIdleWith does what the sweeper does for a scope whose rule says that it is idle, with something that
// happens first.
func DropIdleWith(s *Scope, before func()) error {
	k := s.store.sweeper
	k.working.Lock()
	defer k.working.Unlock()
	in := (*k.scopes.Load())[s.name]
	before()
	return k.dropIdle(in)
}

// BetweenSweeps calls f while the sweeper neither looks at anything nor deletes what it has found.
func BetweenSweeps(s *Store, f func()) {
	s.sweeper.working.Lock()
	defer s.sweeper.working.Unlock()
	f()
}

// ListedForRetention returns the scopes that are listed as ones with rules.
func (s *Store) ListedForRetention() ([]string, error) {
	names := []string{}
	err := scan(s.sweeper.names, nil, nil, false, func(key, _ []byte, _ info) bool {
		name, err := scope.ParseKey(key)
		if err == nil {
			names = append(names, name.String())
		}
		return err == nil
	})
	return names, err
}

// Records of scopes.
var (
	DecodeRule  = func(p []byte) (Retention, int64, error) { r, err := decodeRule(p); return r.Retention, r.since, err }
	EncodeRule  = func(r Retention, since int64) []byte { return (&rule{r, since}).encode() }
	DecodeLease = func(p []byte) (Token, string, error) { r, err := decodeLease(p); return r.token, r.holder, err }
	EncodeLease = func(t Token, holder string) []byte { return (&leaseRecord{t, holder}).encode() }
)

// FigureRows returns the rows of the table of figures in docs/state-metrics.md.
func FigureRows() []string {
	var rows []string
	for i := range exposedFigures {
		e := &exposedFigures[i]
		rows = append(rows, "| `"+e.name+"` | "+e.kind()+" | `"+e.field+"` | "+e.help+" |")
	}
	return append(rows,
		"| `"+latencyName+"` | gauge | `Latencies` | "+latencyHelp+" |",
		"| `"+samplesName+"` | counter | `Latencies.Samples` | "+samplesHelp+" |")
}

// Borrow borrows the memory of a call and gives it back, as a Get does, or without its time being taken.
func (s *Store) Borrow(timed bool) {
	if timed {
		s.giveBack(s.borrowFor(timedGet))
	} else {
		s.giveBack(s.borrow())
	}
}

// Staged returns how many scopes imports have left in a store.
func Staged(s *Store) (n int, err error) {
	for _, err = range s.engine.scopes(scope.KindCustom, importScopes) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, err
}

// NewestOf returns the time of the last write that a look at a scope with a rule finds.
func NewestOf(s *Scope) (time.Time, error) {
	k := s.store.sweeper
	k.working.Lock()
	defer k.working.Unlock()
	in := (*k.scopes.Load())[s.name]
	l, err := k.look(in, k.documentsOf(in), s.store.engine.now())
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(l.found.newest).UTC(), nil
}

// ReplaceUntold puts another scope in the place of one, as happens before the sweeper is told.
func ReplaceUntold(s, by *Scope) error {
	if _, err := s.space.change(context.Background(), wholeDrop, scope.Scope{}, true); err != nil {
		return err
	}
	_, err := by.space.change(context.Background(), wholeMove, s.name, true)
	return err
}

// Beyond is when a limit is exceeded so far that somebody looks.
var Beyond = beyond

// AppendTurn reports which blind appends look.
var AppendTurn = appendTurn

// Rests returns for how many milliseconds nothing is tried after each of n attempts that came to nothing.
func Rests(n int) []int64 {
	var in ruled
	rests := make([]int64, n)
	for i := range rests {
		in.rest(0)
		rests[i] = in.restsTo
	}
	return rests
}

// HoldSweeper keeps rules from being carried out until release is called.
func HoldSweeper(s *Store) (release func()) {
	s.sweeper.working.Lock()
	return s.sweeper.working.Unlock
}

// MostWait is how long a write waits for room at most.
const MostWait = mostWait

// CountNow returns how many entries and documents there are in a scope at one moment.
func CountNow(s *Scope) (n int, err error) {
	e, err := s.store.engine.begin(nil)
	if err != nil {
		return 0, err
	}
	defer e.close()
	sp, err := e.space(s.name)
	if err != nil {
		return 0, err
	}
	err = scan(sp, nil, nil, false, func(key, _ []byte, _ info) bool {
		if _, ok := userKey(key); ok {
			n++
		}
		return true
	})
	return n, err
}

// KnownSets has n collections of other names opened, and returns of how many the sweeper knows the indexes.
func KnownSets(s *Store, n int) int {
	for i := range n {
		set, err := index.NewSet("c"+strconv.Itoa(i), index.Def{Name: "i", Fields: []string{"f"}})
		if err != nil {
			panic(err)
		}
		s.sweeper.know(set)
	}
	s.sweeper.sets.mu.Lock()
	defer s.sweeper.sets.mu.Unlock()
	return len(s.sweeper.sets.byID)
}

// Stage leaves what an import leaves that a crash has ended, sealed or not.
func Stage(s *Store, sealed bool) error {
	place, err := s.engine.space(scope.Custom(importScopes + "left"))
	if err == nil {
		_, err = s.commit([]write{{space: place, key: []byte("k"), value: []byte("left"), sealed: sealed}}, false)
	}
	return err
}

// Remembered returns how many entries of a scope with a rule the last look has remembered.
func Remembered(s *Scope) int {
	k := s.store.sweeper
	k.working.Lock()
	defer k.working.Unlock()
	return len((*k.scopes.Load())[s.name].kept)
}

// RecentKeys returns how many keys are noted for the next looks at scopes with rules.
func RecentKeys(s *Store) (n int) {
	for _, in := range *s.sweeper.scopes.Load() {
		in.recent.mu.Lock()
		n += len(in.recent.keys)
		in.recent.mu.Unlock()
	}
	return n
}
