package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/envelope"
)

// Errors of leases.
var (
	// ErrLeaseHeld: somebody has the lease. The type is *LeaseHeldError.
	ErrLeaseHeld = errors.New("state: the lease is held")
	// ErrLeaseLost: the lease was released, or has expired; somebody else may have it.
	ErrLeaseLost = errors.New("state: the lease is lost")
)

// LeaseHeldError says who has a lease. It matches ErrLeaseHeld.
type LeaseHeldError struct {
	// Holder is what whoever has the lease calls itself, Expires when it ends unless it is renewed.
	Holder  string
	Expires time.Time
}

// Error implements error.
func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("%v by %q until %s", ErrLeaseHeld, e.Holder, e.Expires.Format(time.RFC3339Nano))
}

// Is reports whether target is ErrLeaseHeld.
func (e *LeaseHeldError) Is(target error) bool { return target == ErrLeaseHeld }

// Token tells the holders of a lease apart, one after the other: each is greater than all before it, of this
// lease and of all others of the store, also when the scope was dropped or the store has crashed between
// them. Whoever does something for holders of a lease remembers the greatest token it has seen and refuses
// lesser ones: so one that does not know yet that it has lost the lease does no harm.
//
// That holds within one store. A checkpoint, or another copy, that is opened in the place of the original goes on from
// where it was made: it gives out tokens again that the original has given out after that. Whoever remembers
// tokens of the original must be told before the copy is used.
type Token uint64

// LeaseInfo is what is known of a lease that somebody has.
type LeaseInfo struct {
	// Holder is what its holder calls itself.
	Holder string
	// Token is the holder's, Expires when the lease ends unless it is renewed.
	Token   Token
	Expires time.Time
}

// Lease is the right to be the only one for some time: of a name in a scope at most one is held at any
// time. It may be used from any number of goroutines, and need not be closed: it ends when its time
// is up, by the store's clock.
type Lease struct {
	// Constant.
	scope *Scope
	name  string
	token Token
	op    *Option

	mu      sync.Mutex // one renewal or release at a time
	info    LeaseInfo
	version Version // of the record; Absent once it is known to be lost
}

// AcquireLease takes the lease of a name, which is as keys are, for as long as ttl says, under the name of a
// holder: 1 to 128 bytes. If somebody has it, also one of the same name, it is ErrLeaseHeld. It is on the device when
// AcquireLease returns, unless an option says otherwise. Leases are apart from keys: no operation on these
// shows or touches them; what is done to the whole scope is done to them.
func (s *Scope) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration, opts ...Option) (*Lease, error) {
	l, err := s.acquire(ctx, name, holder, ttl, join(opts))
	if err != nil {
		return nil, s.fail("acquire lease", name, err)
	}
	return l, nil
}

func (s *Scope) acquire(ctx context.Context, name, holder string, ttl time.Duration, o Option) (*Lease, error) {
	s, err := s.pass(ctx, access.OpUpdate, name)
	if err == nil {
		err = s.leasable(ctx, name)
	}
	if err == nil && (holder == "" || len(holder) > maxHolderLen) {
		err = fmt.Errorf("%w: a holder's name of %d bytes is not within 1 and %d", ErrOption, len(holder), maxHolderLen)
	}
	if err != nil {
		return nil, err
	}
	l := &Lease{scope: s, name: name, op: &o}
	for {
		l.version = Absent
		if mutant.Enabled && mutant.Is(mutant.StealLease) {
			var i info
			_, _ = s.space.get(nil, l.key(), &i)
			l.version = i.version
		}
		switch err := l.write(ctx, leaseRecord{holder: holder}, ttl); {
		case err == nil:
			l.token = Token(l.version)
			if mutant.Enabled && mutant.Is(mutant.ReuseToken) {
				l.token = 1
			}
			l.info.Token = l.token
			return l, nil
		case !errors.Is(err, ErrConflict):
			return nil, err
		}
		info, _, err := s.lease(name)
		switch {
		case err == nil:
			return nil, &LeaseHeldError{info.Holder, info.Expires}
		case err != ErrNotFound: // returned bare
			return nil, err
		}
		if err := ctx.Err(); err != nil { // it has ended meanwhile
			return nil, err
		}
	}
}

// LeaseInfo returns who has the lease of a name, now or in the scope's snapshot: ErrNotFound if nobody has.
// Within a transaction the commit depends on that.
func (s *Scope) LeaseInfo(ctx context.Context, name string) (LeaseInfo, error) {
	in, err := s.pass(ctx, access.OpGet, name)
	if err == nil {
		err = in.usable(ctx, name)
	}
	var info LeaseInfo
	if err == nil {
		info, _, err = in.lease(name)
	}
	if err != nil {
		return LeaseInfo{}, s.fail("lease info", name, err)
	}
	return info, nil
}

// leasable returns the error of a change of a lease that has no chance.
func (s *Scope) leasable(ctx context.Context, name string) error {
	if err := s.usable(ctx, name); err != nil {
		return err
	}
	switch {
	case s.store.closed.Load():
		return ErrClosed
	case s.mode == atSnapshot || s.store.readOnly:
		return ErrReadOnly
	case s.mode == inTransaction:
		return fmt.Errorf("%w: leases are not acquired in transactions", ErrUnsupported)
	case hook.Simulated(ctx):
		return hook.ErrSimulated
	}
	return s.store.writable(ctx)
}

// lease reads the record of a lease. ErrNotFound is returned bare.
func (s *Scope) lease(name string) (LeaseInfo, Version, error) {
	var i info
	p, err := s.space.get(nil, leaseKey(name), &i)
	if err != nil {
		return LeaseInfo{}, Absent, err
	}
	r, err := decodeLease(p)
	if err != nil {
		return LeaseInfo{}, Absent, err
	}
	if r.token == 0 {
		r.token = Token(i.version)
	}
	return LeaseInfo{r.holder, r.token, envelope.Millis(i.expires).Time()}, i.version, nil
}

func (l *Lease) key() []byte { return leaseKey(l.name) }

// write writes the record on the condition that it has the lease's version still, and notes what it has
// written.
func (l *Lease) write(ctx context.Context, r leaseRecord, ttl time.Duration) error {
	s := l.scope
	o := Option{life: lifeTTL, ttl: ttl}
	expires, err := o.expiry(s.store.engine.now(), 0)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	version, err := s.store.commit([]write{{
		space: s.space, key: l.key(), value: r.encode(), expires: expires, conditional: true, version: l.version,
	}}, s.unsynced(Standard, l.op))
	if err != nil {
		return err
	}
	l.version, l.info = version, LeaseInfo{r.holder, r.token, envelope.Millis(expires).Time()}
	return nil
}

// Name returns the lease's name, Scope the scope that it is in.
func (l *Lease) Name() string { return l.name }

// Scope returns the scope that the lease is in.
func (l *Lease) Scope() scope.Scope { return l.scope.name }

// Token returns the token of whoever has the lease through l, for those that act for it.
func (l *Lease) Token() Token { return l.token }

// Info returns what was known of the lease when it was acquired or renewed last.
func (l *Lease) Info() LeaseInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.info
}

// Renew makes the lease last for as long as ttl says from now on, with the same token. ErrLeaseLost: it has
// ended, and may be somebody else's.
func (l *Lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.change(ctx, "renew lease", func() error {
		return l.write(ctx, leaseRecord{token: l.token, holder: l.info.Holder}, ttl)
	})
}

// Release gives the lease back before its time. ErrLeaseLost: it had ended already.
func (l *Lease) Release(ctx context.Context) error {
	return l.change(ctx, "release lease", func() error {
		s := l.scope
		w := write{space: s.space, key: l.key(), conditional: true, version: l.version}
		if _, err := s.store.commit([]write{w}, s.unsynced(Standard, l.op)); err != nil {
			return err
		}
		l.version = Absent
		return nil
	})
}

// change does something to a lease that is held.
func (l *Lease) change(ctx context.Context, op string, do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.scope.leasable(ctx, l.name)
	if err == nil {
		err = l.allowed(ctx)
	}
	if err == nil && l.version == Absent {
		err = ErrLeaseLost
	}
	if err == nil {
		if err = do(); errors.Is(err, ErrConflict) {
			err, l.version = ErrLeaseLost, Absent
		}
	}
	if err != nil {
		return l.scope.fail(op, l.name, err)
	}
	return nil
}

// allowed asks again whether the principal who has acquired the lease may change it.
func (l *Lease) allowed(ctx context.Context) error {
	g := l.scope.witness
	if g == nil {
		return nil
	}
	return g.control.check(ctx, g.request(access.OpUpdate, l.name))
}

// Check makes a transaction depend on the lease: it is ErrLeaseLost if the lease has ended, and the transaction
// conflicts if it ends, or is renewed, before the commit. So what the transaction writes is written by the one that
// has the lease, or not at all.
func (l *Lease) Check(ctx context.Context, tx *Txn) error {
	info, err := tx.Scope(l.scope.name).LeaseInfo(ctx, l.name)
	if errors.Is(err, ErrNotFound) || err == nil && info.Token != l.token {
		return l.scope.fail("check lease", l.name, ErrLeaseLost)
	}
	return err
}

// The record of a lease, docs/formats/scope-records.md:
//
//	key: 00 · 6c · name      value: version 1 · token varint · holder
//
// The token is 0 in the record that has taken the lease: it is that record's version. The lease ends when the
// record expires.
const (
	leaseVersion = 1
	maxHolderLen = 128
)

// leaseRecord is a lease as it is stored.
type leaseRecord struct {
	token  Token
	holder string
}

// The keys of leases.
var leasesFirst, leasesEnd = []byte{0, 'l'}, []byte{0, 'l' + 1}

func leaseKey(name string) []byte { return slices.Concat(leasesFirst, []byte(name)) }

func (r *leaseRecord) encode() []byte {
	return append(binary.AppendUvarint([]byte{leaseVersion}, uint64(r.token)), r.holder...)
}

func decodeLease(p []byte) (leaseRecord, error) {
	switch {
	case len(p) == 0 || p[0] == 0:
		return leaseRecord{}, fmt.Errorf("%w: a lease", ErrMalformed)
	case p[0] > leaseVersion:
		return leaseRecord{}, fmt.Errorf("%w: a lease of version %d", ErrTooNew, p[0])
	}
	token, n := binary.Uvarint(p[1:])
	if n <= 0 || n > 1 && p[n] == 0 || len(p[1:])-n == 0 || len(p[1:])-n > maxHolderLen {
		return leaseRecord{}, fmt.Errorf("%w: a lease", ErrMalformed)
	}
	return leaseRecord{Token(token), string(p[1+n:])}, nil
}
