package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/scopefile"
)

// Retention says what of a scope is kept. A zero field sets no limit.
//
// Entries and documents of collections count and go alike, those written longest ago first; what the
// store keeps beside them, and values of class Ephemeral, neither count nor go. The indexes of a collection that is
// not open in this process are built anew when it is opened next, if documents have gone.
type Retention struct {
	// MaxAge is how long ago an entry may have been written last, to the millisecond.
	MaxAge time.Duration
	// MaxEntries is how many entries are kept, MaxBytes how many bytes of keys and values as they are
	// stored.
	MaxEntries, MaxBytes int64
	// DropIdle is after how long without a write the whole scope is dropped, with its rule. Reading
	// does not count.
	DropIdle time.Duration
}

// SetRetention makes r the rule of what the scope keeps, in the place of the one before; the zero
// Retention takes it away. The rule is stored in the scope, which comes into being with it: it
// goes where the scope is moved and into its copies, and away with Drop.
//
// What is beyond a limit is deleted in the background, the oldest writes first, as soon as
// the limit is exceeded by a twentieth; never is anything deleted that was written since. Whoever would exceed one of
// entries or bytes by more than a tenth waits until that has been done, or until its context ends (docs/retention.md). Watchers see deletes; after-hooks at AfterExpire are told, and the
// timeline has the events. Of the options those on syncing count. ErrOption: a limit is negative.
//
// A view's principal must be an admin of the whole scope and, unless it takes the rule away, may delete all of it.
func (s *Scope) SetRetention(ctx context.Context, r Retention, opts ...Option) error {
	inner, err := s.pass(ctx, access.OpSettings, "")
	if err == nil && r != (Retention{}) {
		_, err = s.pass(ctx, access.OpDrop, "") // who sets a rule must be allowed to delete what it deletes
	}
	s = inner
	if err == nil {
		err = s.wholeToWrite(ctx)
	}
	if err == nil {
		err = r.validate()
	}
	if err == nil && s.store.readOnly {
		err = ErrReadOnly
	}
	if err == nil && hook.Simulated(ctx) {
		err = hook.ErrSimulated
	}
	if err == nil {
		err = s.store.sweeper.set(s, r, s.unsyncedWhole(opts))
	}
	if err != nil {
		return s.fail("set retention", "", err)
	}
	return nil
}

// Retention returns the rule of what the scope keeps, now or in its snapshot: the zero Retention if it has
// none.
func (s *Scope) Retention(ctx context.Context) (Retention, error) {
	s, err := s.pass(ctx, access.OpSettings, "")
	if err == nil {
		err = s.whole(ctx)
	}
	var r rule
	if err == nil {
		r, err = readRule(s.space)
	}
	if err != nil {
		return Retention{}, s.fail("retention", "", err)
	}
	return r.Retention, nil
}

func (r Retention) validate() error {
	switch {
	case r.MaxAge < 0 || r.DropIdle < 0:
		return fmt.Errorf("%w: a time of %v", ErrOption, min(r.MaxAge, r.DropIdle))
	case r.MaxEntries < 0 || r.MaxBytes < 0:
		return fmt.Errorf("%w: at most %d", ErrOption, min(r.MaxEntries, r.MaxBytes))
	}
	return nil
}

// rule is a Retention as it is stored, with the time since which it holds.
type rule struct {
	Retention
	since int64 // milliseconds since 1970
}

// The record of a rule, docs/formats/scope-records.md:
//
//	key: 00 · 72      value: version 1 · age · entries · bytes · idle · since   (varints; times in milliseconds)
const ruleVersion = 1

var ruleKey = []byte{0, 'r'}

func (r *rule) encode() []byte {
	p := []byte{ruleVersion}
	for _, n := range []int64{ceilMillis(r.MaxAge), r.MaxEntries, r.MaxBytes, ceilMillis(r.DropIdle), r.since} {
		p = binary.AppendUvarint(p, uint64(n))
	}
	return p
}

// ceilMillis returns a duration in milliseconds, rounded up.
func ceilMillis(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond != 0 {
		ms++
	}
	return ms
}

func decodeRule(p []byte) (rule, error) {
	switch {
	case len(p) == 0 || p[0] == 0:
		return rule{}, fmt.Errorf("%w: a rule of retention", ErrMalformed)
	case p[0] > ruleVersion:
		return rule{}, fmt.Errorf("%w: a rule of retention of version %d", ErrTooNew, p[0])
	}
	var n [5]int64
	p = p[1:]
	for i := range n {
		v, size := binary.Uvarint(p)
		if size <= 0 || size > 1 && p[size-1] == 0 || v > math.MaxInt64 {
			return rule{}, fmt.Errorf("%w: a rule of retention", ErrMalformed)
		}
		n[i], p = int64(v), p[size:]
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	if len(p) > 0 || n[0] > most+1 || n[3] > most+1 {
		return rule{}, fmt.Errorf("%w: a rule of retention", ErrMalformed)
	}
	return rule{Retention{durationOf(n[0]), n[1], n[2], durationOf(n[3])}, n[4]}, nil
}

// durationOf returns a time in milliseconds that ceilMillis has made.
func durationOf(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// inFile returns the rule as a file has it, retentionOf what a file has as a rule.
func (r *Retention) inFile() scopefile.Retention {
	return scopefile.Retention{MaxAge: ceilMillis(r.MaxAge), DropIdle: ceilMillis(r.DropIdle), MaxEntries: r.MaxEntries, MaxBytes: r.MaxBytes}
}

func retentionOf(r scopefile.Retention) Retention {
	return Retention{durationOf(r.MaxAge), r.MaxEntries, r.MaxBytes, durationOf(r.DropIdle)}
}

// readRule returns the rule of a scope, the zero rule if it has none.
func readRule(sp space) (rule, error) {
	p, err := sp.get(nil, ruleKey, nil)
	if errors.Is(err, ErrNotFound) {
		return rule{}, nil
	}
	if err != nil {
		return rule{}, err
	}
	return decodeRule(p)
}

// retentionScope is where the names of scopes with rules are, as keys. A name in it need not have a
// rule; a rule that counts has its name in it.
var retentionScope = scope.Custom(reservedName + "retention")

// set stores the rule of a scope.
func (k *sweeper) set(s *Scope, r Retention, unsynced bool) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	w := write{space: s.space, key: ruleKey}
	if r == (Retention{}) {
		if have, err := readRule(s.space); err == nil && have.Retention == r {
			return nil // and no scope comes into being
		}
		if _, err := k.store.commit([]write{w}, unsynced); err != nil {
			return err
		}
		return k.reload(s.name, 0)
	}
	stored := rule{r, k.store.engine.now()}
	w.value = stored.encode()
	if _, err := k.store.commit([]write{k.listing(s.name), w}, unsynced); err != nil {
		return err
	}
	return k.reload(s.name, 0)
}

// listing is the write that lists a scope as one with a rule.
func (k *sweeper) listing(name scope.Scope) write {
	return write{space: k.names, key: scope.AppendKey(nil, name), value: noBytes}
}

// carry lists the scope to which s is about to be moved or copied, and reports whether s has a rule. If it
// has, settle is called when that has happened, or has not.
func (k *sweeper) carry(s *Scope, to scope.Scope, unsynced bool) (bool, error) {
	if k.store.readOnly {
		return false, nil // what follows is refused
	}
	if _, err := s.space.get(nil, ruleKey, nil); err != nil {
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return false, err
	}
	err := k.list(to, unsynced)
	return err == nil, err
}

// list lists a scope that is about to get a rule. settle is called when that has happened, or has not.
func (k *sweeper) list(name scope.Scope, unsynced bool) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	_, err := k.store.commit([]write{k.listing(name)}, unsynced)
	return err
}

// settle makes the rules that scopes have now those that count (R4). The scopes were written to last at the
// time at, or with their rules. Where that fails no rule counts until Open has done it: the last one may be
// that of a scope which is gone, and would delete what is written to the next one of its name.
func (k *sweeper) settle(at int64, names ...scope.Scope) {
	k.changing.Lock()
	defer k.changing.Unlock()
	for _, name := range names {
		if k.reload(name, at) != nil {
			k.failed.Add(1)
			k.install(name, space{}, rule{}, at)
		}
	}
}

// gone says that a scope was dropped.
func (k *sweeper) gone(name scope.Scope) {
	if (*k.scopes.Load())[name] != nil {
		k.settle(k.store.engine.now(), name)
	}
}

// reload reads the rule of a scope and makes it the one that counts. The scope was written to last at the time
// at, or with its rule. The caller holds changing.
func (k *sweeper) reload(name scope.Scope, at int64) error {
	sp, err := k.store.engine.space(name)
	if err != nil {
		return err
	}
	r, err := readRule(sp)
	if err != nil {
		return err
	}
	_, known := (*k.scopes.Load())[name]
	entry := k.listing(name)
	_, err = k.names.get(nil, entry.key, nil)
	listed := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if rules := r.Retention != (Retention{}); rules != listed {
		if !rules {
			entry.value = nil
		}
		if _, err := k.store.commit([]write{entry}, true); err != nil {
			return err
		}
	}
	if r.Retention == (Retention{}) && !known {
		return nil
	}
	k.install(name, sp, r, at)
	return nil
}
