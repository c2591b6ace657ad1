package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// Privacy says what becomes of personal data and credentials in values that are written, by scope and
// class.
type Privacy struct {
	// Scopes is a pattern as scope.ParsePattern has them: user:*, or ** for every scope.
	Scopes string
	// Classes are those of the values that are meant: of Standard, Sensitive and External; none means
	// all three. Values of the other classes are never looked at.
	Classes []Class
	// Policy is what becomes of what is found.
	Policy privacy.Policy
}

// looked reports whether values of a class are ever looked at.
func looked(c Class) bool { return c == Standard || c == Sensitive || c == External }

// validate reports every problem of the rule at once.
func (p *Privacy) validate() error {
	_, badScopes := scope.ParsePattern(p.Scopes)
	errs := []error{badScopes}
	for _, c := range p.Classes {
		if !looked(c) {
			errs = append(errs, fmt.Errorf("privacy: values of class %v are never looked at", c))
		}
	}
	_, badPolicy := privacy.New(&p.Policy, new(privacy.KeySet)) // which is not used: keys are a store's
	return errors.Join(append(errs, badPolicy)...)
}

// protection is what a store does to values before they are encoded.
type protection struct {
	// Constant.
	rules    []protector
	detector *privacy.Protector // of classes that are looked at though no rule is about them

	findings, blocked atomic.Int64
}

type protector struct {
	scopes  scope.Pattern
	classes [External + 1]bool
	*privacy.Protector
}

// openProtection makes policies ready; the key for what they hash and seal is made with the first one
// that needs it.
func (s *Store) openProtection(policies []Privacy) error {
	p := &s.protection
	var err error
	if p.detector, err = privacy.New(&privacy.Policy{Default: privacy.Detect}, nil); err != nil {
		return err
	}
	var keys privacy.Keys
	for i := range policies {
		policy := &policies[i]
		made, err := privacy.New(&policy.Policy, keys)
		if errors.Is(err, privacy.ErrNoKeys) {
			if keys, err = s.privacyKeys(!s.readOnly); err != nil {
				return err
			}
			if keys == nil { // nothing can be written, and so nothing is to be protected
				continue
			}
			made, err = privacy.New(&policy.Policy, keys)
		}
		if err != nil {
			return err
		}
		r := protector{Protector: made}
		if r.scopes, err = scope.ParsePattern(policy.Scopes); err != nil {
			return err
		}
		for _, c := range policy.Classes {
			r.classes[c] = true
		}
		if len(policy.Classes) == 0 {
			r.classes[Standard], r.classes[Sensitive], r.classes[External] = true, true, true
		}
		p.rules = append(p.rules, r)
	}
	return nil
}

var privacyKey = []byte("key")

// privacyKeys returns the keys of the store's hashes, tokens and ciphertexts. Where there are none they
// are made if create is set, and are nil otherwise.
func (s *Store) privacyKeys(create bool) (privacy.Keys, error) {
	space, err := s.own(privacyScope)
	if err != nil {
		return nil, err
	}
	for {
		key, _, err := space.get(context.Background(), privacyKey)
		switch {
		case err == nil:
			return keySet(key)
		case !errors.Is(err, ErrNotFound):
			return nil, err
		case !create:
			return nil, nil
		}
		var fresh [privacy.KeySize]byte
		rand.Read(fresh[:]) // never fails
		if _, err := space.replace(privacyKey, Absent, fresh[:]); err != nil {
			return nil, err
		}
	}
}

func keySet(key []byte) (privacy.Keys, error) {
	keys, err := privacy.NewKeySet(key, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return keys, nil
}

// of returns who looks at values of a class in a scope, nil for nobody.
func (p *protection) of(name scope.Scope, c Class) *privacy.Protector {
	if !looked(c) || c == Standard && len(p.rules) == 0 {
		return nil
	}
	for i := range p.rules {
		if r := &p.rules[i]; r.classes[c] && r.scopes.Match(name) {
			return r.Protector
		}
	}
	if c == Standard {
		return nil
	}
	return p.detector
}

// protect makes of p's value what may be stored. What was protected before stays as it is.
func (s *Scope) protect(p *pending, limits *codec.Limits) error {
	by := s.store.protection.of(s.name, p.header.Class)
	if by == nil || mutant.Enabled && mutant.Is(mutant.StoreUnprotected) {
		return nil
	}
	encoded, err := codec.Append(nil, p.value, limits)
	if err != nil {
		return err
	}
	value, err := codec.Decode(encoded, limits) // Go types become what is looked at
	if err != nil {
		return err
	}
	value, findings, err := by.Protect(value)
	c := &s.store.protection
	c.findings.Add(int64(len(findings)))
	switch {
	case errors.Is(err, privacy.ErrBlocked):
		c.blocked.Add(1)
	case errors.Is(err, privacy.ErrTooDeep):
		err = fmt.Errorf("%w: %w", ErrTooDeep, err)
	case err == nil && len(findings) > 0:
		if p.value = value; p.accept != nil {
			err = p.accept(value)
		}
	}
	return err
}

// Reveal returns the value of key with what was tokenised or encrypted in it as it was, or ErrNotFound.
// What was redacted or hashed stays; documents have Collection.Reveal. A view's principal must be allowed to
// read the key, and be an admin of the scope; that is recorded. ErrReveal of package privacy: a mark was not
// made by this store.
func (s *Scope) Reveal(ctx context.Context, key string) (any, error) {
	v, err := s.reveal(ctx, key)
	if err != nil {
		return nil, s.fail("reveal", key, err)
	}
	return v, nil
}

func (s *Scope) reveal(ctx context.Context, key string) (any, error) {
	if _, err := s.pass(ctx, access.OpSettings, ""); err != nil {
		return nil, err
	}
	s, err := s.pass(ctx, access.OpGet, key)
	if err != nil {
		return nil, err
	}
	b := s.store.borrow()
	defer s.store.giveBack(b)
	var f found
	if err := s.find(ctx, key, b, &f); err != nil {
		return nil, err
	}
	return s.turnBack(ctx, key, &f)
}

// Reveal returns the document under key with what was tokenised or encrypted in it as it was, or
// ErrNotFound. A view's principal must be allowed what Scope.Reveal asks for, with the document as the
// key; that is recorded. Errors beyond those of Scope.Reveal are ErrType and ErrOverflow for what does not go
// into a T.
func (c *Collection[T]) Reveal(ctx context.Context, key string) (T, error) {
	v, err := c.c.reveal(ctx, key)
	var doc T
	if err == nil {
		doc, err = as[T](v, &stored)
	}
	if err != nil {
		var zero T
		return zero, c.c.fail("reveal", key, err)
	}
	return doc, nil
}

func (c *collection) reveal(ctx context.Context, key string) (any, error) {
	if _, err := c.passSettings(ctx); err != nil && !(mutant.Enabled && mutant.Is(mutant.RevealToReaders)) {
		return nil, err
	}
	c, err := c.pass(ctx, access.OpGet, key)
	if err != nil {
		return nil, err
	}
	b := c.scope.store.borrowDocs()
	defer c.scope.store.giveBackDocs(b)
	if err := c.read(ctx, b, key); err != nil {
		return nil, err
	}
	return c.scope.turnBack(ctx, c.logical(key), &b.found)
}

// turnBack returns the value that was found under a key, or document, with what can be turned back as it was,
// and records that it is shown.
func (s *Scope) turnBack(ctx context.Context, key string, f *found) (any, error) {
	v, err := codec.Decode(f.payload, &stored)
	if err != nil {
		return nil, err
	}
	if f.header.Class != Sensitive { // else it was recorded when it was found
		if err := s.seen(ctx, access.OpGet, key, 1); err != nil {
			return nil, err
		}
	}
	keys, err := s.store.privacyKeys(false)
	if err != nil {
		return nil, err
	}
	p, err := privacy.New(&privacy.Policy{}, keys)
	if err != nil {
		return nil, err
	}
	return p.Reveal(v)
}

// ScanPrivacy yields what a policy finds in the values that the scope holds, of every class, by key, and
// then in the documents of its collections, each called by the collection's name, a slash and its key: what is not
// protected. A nil policy means every detector. Nothing is changed, and no report holds what was found. What
// nobody can read, ErrShredded, ErrNoScopeKey or ErrMerge, is passed over. Any other value that cannot be read ends
// the loop with an error, which is yielded with a zero Report; one that lies too deep to be looked at is yielded
// with its key and error.
func (s *Scope) ScanPrivacy(ctx context.Context, policy *privacy.Policy) iter.Seq2[privacy.Report, error] {
	if policy == nil {
		policy = &privacy.Policy{Default: privacy.Detect}
	}
	return func(yield func(privacy.Report, error) bool) {
		p, err := privacy.New(policy, new(privacy.KeySet)) // finding asks no keys
		if err != nil {
			yield(privacy.Report{}, s.fail("scan privacy", "", fmt.Errorf("%w: %w", ErrOption, err)))
			return
		}
		entries := func(yield func(privacy.Entry, error) bool) {
			left := false
			err := s.scan(ctx, scanning{shown: true, documents: true}, func(e Entry) bool {
				left = e.Err == nil && !yield(privacy.Entry{Name: e.Key, Value: e.Value}, nil) // else nobody can read it
				return !left
			})
			if err != nil && !left {
				yield(privacy.Entry{}, s.fail("scan privacy", "", err))
			}
		}
		for r, err := range p.Scan(entries) {
			if err != nil && r.Name != "" {
				err = s.fail("scan privacy", r.Name, err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
